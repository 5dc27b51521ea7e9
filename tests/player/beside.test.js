// What of a comparison is noise.

import assert from "node:assert/strict";
import { test } from "node:test";

import { alikeByNoise, noiseWords, onlyByNoise } from "../../ctviz/player/beside.js";

/** Four edges at one snapshot: band is 2 * hypot(0.3, 0.4) = 1. */
const pair = (oneUnit = true) => ({
  E: 4, noiseBand: 2,
  member: [1, 1, 0, 0], score: [2, 2, 0.5, 0], error: [0.3, 0.3, 0.3, 0.3],
  other: { member: [1, 0, 1, 0], score: [3, 0.5, 1.4, 0], error: [0.4, 0.4, 0.4, 0.4], oneUnit },
});

test("a difference inside two standard errors of itself is noise", () => {
  const found = [0, 1, 2, 3].map((e) => alikeByNoise(pair(), e, 0));
  assert.deepEqual(found, [true, false, true, null]); // the last one is in neither circuit
  assert.equal(noiseWords(pair(), 0), "; 2 of these differ by no more than the noise");
});

test("without errors, or between different units, nothing is known of noise", () => {
  const sure = { ...pair(), error: null };
  assert.equal(alikeByNoise(sure, 0, 0), null);
  assert.equal(noiseWords(sure, 0), "");
  assert.equal(noiseWords(pair(false), 0), "");
  const unknown = { ...pair(), error: [NaN, NaN, NaN, NaN] };
  assert.equal(alikeByNoise(unknown, 0, 0), null);
});

test("a line is marked if all that it stands for is on one side, by no more than noise", () => {
  const marked = (...edges) => onlyByNoise(pair(), edges, 0);
  assert.deepEqual([marked(2), marked(2, 3), marked(0), marked(1), marked(1, 2), marked(3)], [
    true, true, false, false, false, false,
  ]);
});
