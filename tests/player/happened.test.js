// Events on the clock: which is the last one, and which a pointer means.

import assert from "node:assert/strict";
import { test } from "node:test";

import { latest, near, placed } from "../../ctviz/player/happened.js";

const event = (at, text = `at ${at}`) => ({ kind: "metric", at, text, numbers: "", node: "" });
const events = [event(1, "a"), event(1, "b"), event(4), event(null, "and 2 more")];

test("the last event at a snapshot is the one that happened there or before", () => {
  const found = [0, 1, 3, 4, 9].map((i) => latest(placed(events), i));
  assert.deepEqual(found, [-1, 1, 1, 2, 2]);
  assert.equal(latest([], 3), -1);
});

test("what counts the others has no place", () => {
  assert.deepEqual(placed(events).map(({ at }) => at), [1, 1, 4]);
});

test("a pointer means all events of the nearest snapshot, if it is near enough", () => {
  const places = [0, 0.25, 0.5, 0.75, 1];
  const texts = (share) => near(placed(events), places, share, 0.1).map(({ text }) => text);
  assert.deepEqual(texts(0.3), ["a", "b"]);
  assert.deepEqual(texts(0.95), ["at 4"]);
  assert.deepEqual(texts(0.5), []);
  assert.deepEqual(near([], places, 0.5, 1), []);
});
