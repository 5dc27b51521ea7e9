// What the chip says of a circuit, in every mode. What can be said comes with the payload.

import assert from "node:assert/strict";
import { test } from "node:test";

import { backboneWords, quality } from "../../ctviz/player/quality.js";

const GOOD = ["faithful", "good", "faithful: carries 90 ± 1 % of the behaviour", ""];
const VOID = ["undefined", "none", "faithfulness says nothing at this step", "The metric hardly differs."];

const model = (row, said = GOOD, more = {}) => ({
  quality: [row], trust: [said], size: [3], steps: [0], ablation: "counterfactual", provenance: {}, ...more,
});

test("the words are those of the payload", () => {
  const { state, grade, words } = quality(model([0.9, 0, 0.01]), 0);
  assert.deepEqual([state, grade, words], GOOD.slice(0, 3));
});

test("what is outside is fed what the run corrupts with", () => {
  const said = (ablation) => quality(model([0.9, 0, 0.01], GOOD, { ablation }), 0).lines.join(" ");
  assert.match(said("counterfactual"), /everything outside of it is fed the counterfactual prompt:/);
  assert.match(said("mean"), /everything outside of it writes its mean over the examples:/);
  assert.match(said("zero"), /everything outside of it writes nothing \(zero\):/);
});

test("with fewer edges drawn it is about all of them", () => {
  const { words, lines } = quality(model([0.9, 0, 0.01]), 0, 2);
  assert.equal(words, `all 3 edges: ${GOOD[2]}`);
  assert.equal(lines.at(-1), "This is about the circuit's 3 edges, of which 2 are drawn.");
});

test("a number that means nothing is given with the reason and without a share", () => {
  const { words, lines } = quality(model([5.36, 0, 29.4], VOID), 0, 2);
  assert.equal(words, VOID[2]);
  assert.deepEqual(lines, ["Faithfulness 536.0 % ± 2940.0 %", "The metric hardly differs."]);
});

test("a timeline without any says so", () => {
  const bare = { ...model([null, null, null]), trust: [], quality: null };
  assert.deepEqual(quality(bare, 0).lines, ["Faithfulness not measured at this step"]);
});

test("a long reason is broken between words", () => {
  const why = "word ".repeat(40).trim();
  const { lines } = quality(model([5, 0, 29], [...VOID.slice(0, 3), why]), 0);
  assert.equal(lines.slice(1).join(" "), why);
  assert.ok(lines.every((line) => line.length <= 84));
});

test("the range and the kind of random circuits are said where they are known", () => {
  const provenance = { random: "5 random connected circuits of its size" };
  const lines = (row) => quality(model(row, GOOD, { provenance }), 0).lines.join(" ");
  assert.match(lines([0.9, 0.2, 0.01, 0.1, 0.5]), /20\.0 % \(10\.0 % to 50\.0 %\): 5 random connected/);
  assert.doesNotMatch(lines([0.9, 0.2, 0.01, 0.2, 0.2]), / to /);
});

test("a backbone says what it holds, and what it carries where that was measured and says something", () => {
  const words = (alone, share = 0.35) => backboneWords({ backbone: { shares: [share], alone } }, 0);
  assert.equal(words([]), "the backbone: 35 % of the circuit's |score|");
  assert.equal(words([""]), "the backbone: 35 % of the circuit's |score|");
  assert.equal(words(["12 ± 4 %"]), "the backbone: 35 % of the circuit's |score|; alone it carries 12 ± 4 % of the behaviour");
  assert.equal(words([], null), "");
});
