// What the chip says of a circuit, in every mode.

import assert from "node:assert/strict";
import { test } from "node:test";

import { backboneWords, quality } from "../../ctviz/player/quality.js";

const model = (row, more = {}) => ({
  quality: [row], size: [3], steps: [0], ablation: "counterfactual", provenance: {}, ...more,
});

test("what is outside is fed what the run corrupts with", () => {
  const said = (ablation) => quality(model([0.9, 0, 0.01], { ablation }), 0).lines.join(" ");
  assert.match(said("counterfactual"), /everything outside of it is fed the counterfactual prompt:/);
  assert.match(said("mean"), /everything outside of it writes its mean over the examples:/);
  assert.match(said("zero"), /everything outside of it writes nothing \(zero\):/);
});

test("the best of the random circuits decides", () => {
  const words = (...row) => quality(model(row), 0).words;
  assert.match(words(0.9, 0.2, 0.01, 0.1, 0.89), /^no better than random circuits/);
  assert.match(words(0.9, 0.2, 0.01, 0.1, 0.5), /^faithful/);
  assert.match(words(0.95, 0.9, 0.005, 0.88, 0.92), /^hardly better than random circuits/);
  assert.match(words(0.9, 0.85, 0.01), /^hardly better/); // a run of one draw, without a range
  assert.match(words(0.9, 0.9, 0.01), /^no better/);
});

test("the range and the kind of random circuits are said where they are known", () => {
  const provenance = { random: "5 random connected circuits of its size" };
  const lines = (row) => quality(model(row, { provenance }), 0).lines.join(" ");
  assert.match(lines([0.9, 0.2, 0.01, 0.1, 0.5]), /20\.0 % \(10\.0 % to 50\.0 %\): 5 random connected/);
  assert.doesNotMatch(lines([0.9, 0.2, 0.01, 0.2, 0.2]), / to /);
});

test("a backbone says what it holds, and what it carries only where that was measured and says something", () => {
  const words = (alone, share = 0.35) => backboneWords({ backbone: { shares: [share], alone: [alone] } }, 0);
  assert.equal(words([null, null]), "the backbone: 35 % of the circuit's |score|");
  assert.equal(words([0.12, 0.04]), "the backbone: 35 % of the circuit's |score|; alone it carries 12 % ± 4 % of the behaviour");
  assert.equal(words([0.12, null]), "the backbone: 35 % of the circuit's |score|; alone it carries 12 % of the behaviour");
  assert.equal(words([7.2, 3.1]), "the backbone: 35 % of the circuit's |score|");
  assert.equal(words([0.5, 0.1], null), "");
});
