// What stands above the graph: bars between snapshots, and what is and is not known of a word.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bars, chance, lastRow, likely, word } from "../../ctviz/player/predictions.js";

const probe = {
  answer: " is", foil: " are",
  predictions: [[[" are", 0.9], [" were", 0.05]], [[" is", 0.5], [" are", 0.25]]],
  chances: [[null, 0.9], [0.5, 0.25]],
};

test("at a snapshot the bars are what is stored", () => {
  assert.deepEqual(bars(probe, 0, 1, 0).map(({ token, p, place, seen }) => [token, p, place, seen]),
    [[" are", 0.9, 0, 1], [" were", 0.05, 1, 1]]);
});

test("between two, known numbers move and unknown ones fade without moving", () => {
  const found = Object.fromEntries(bars(probe, 0, 1, 0.25).map(({ token, ...bar }) => [token, bar]));
  assert.equal(Object.keys(found).length, 3);
  assert.ok(Math.abs(found[" are"].p - (0.75 * 0.9 + 0.25 * 0.25)) < 1e-12);
  assert.equal(found[" are"].place, 0.25);
  assert.equal(found[" are"].seen, 1);
  assert.deepEqual([found[" were"].p, found[" were"].place, found[" were"].seen], [0.05, 1, 0.75]);
  assert.deepEqual([found[" is"].p, found[" is"].place, found[" is"].seen], [0.5, 0, 0.25]);
});

test("two tokens that are written alike are two bars", () => {
  const twice = { ...probe, predictions: [[["�", 0.5], ["�", 0.25]], [["�", 0.25], ["�", 0.125]]] };
  const found = bars(twice, 0, 1, 0.5);
  assert.deepEqual(found.map(({ p }) => p), [0.375, 0.1875]);
  assert.equal(new Set(found.map(({ key }) => key)).size, 2);
});

test("a chance that is not stored is never nought", () => {
  assert.deepEqual(chance(probe, 0, 1), { first: "not among the 2 likeliest", now: "50 %" });
  assert.deepEqual(chance(probe, 1, 1), { first: "90 %", now: "25 %" });
  assert.deepEqual(chance(probe, 0, 0), { first: "", now: "not among the 2 likeliest" });
});

test("small probabilities keep a digit, and none is called nought or all", () => {
  assert.equal(likely(0.034), "3.4 %");
  assert.equal(likely(0.099), "9.9 %");
  assert.equal(likely(0.0999), "10 %");
  assert.equal(likely(0.00001), "under 0.1 %");
  assert.equal(likely(0), "under 0.1 %");
  assert.equal(likely(0.9972), "99.7 %");
});

test("a head's attention from the last token is its last row, between snapshots on the way", () => {
  // two tokens: rows [255], [51, 204], then [255], [153, 102]
  const maps = { weights: [255, 51, 204, 255, 153, 102], width: 3, n: 2 };
  assert.deepEqual(lastRow(maps, 0, 1, 0), [0.2, 0.8]);
  assert.deepEqual(lastRow(maps, 0, 1, 0.5), [0.4, 0.6]);
  assert.equal(lastRow(null, 0, 0, 0), null);
});

test("a word is shown without the blank in front, and never as nothing", () => {
  assert.deepEqual([" is", "\n", " "].map(word), ["is", "⏎", "␣"]);
});
