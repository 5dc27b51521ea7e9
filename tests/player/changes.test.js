// What changed, by hand, on four edges at two snapshots.

import assert from "node:assert/strict";
import { test } from "node:test";

import { change, changeWords, monotoneWords, opposite, overlapWords } from "../../ctviz/player/changes.js";

/** A model of the edges: [in before, in after, score before, score after]. */
function model(edges, error = 0.1) {
  const E = edges.length;
  const of = (at) => edges.map((edge) => edge[at]);
  return {
    E, noiseBand: 2, steps: [0, 5], whole: { kept: E, dropped: 0 },
    member: Uint8Array.from([...of(0), ...of(1)]), score: [...of(2), ...of(3)],
    error: error === null ? null : Float64Array.from({ length: 2 * E }, () => error),
  };
}

const only = (...edge) => model([edge]);

// The band is 2 * sqrt(0.01 + 0.01) = 0.2828.
const CASES = [
  ["in neither circuit", [0, 0, 1, 2], ""],
  ["entered", [0, 1, 0, 1], "entered"],
  ["entered by no more than noise", [0, 1, 0.9, 1], "entered~"],
  ["left", [1, 0, 1, 0], "left"],
  ["left by no more than noise", [1, 0, 1, 0.9], "left~"],
  ["grew", [1, 1, 1, 1.29], "strengthened"],
  ["grew within the band", [1, 1, 1, 1.28], "noise"],
  ["shrank", [1, 1, 1, 0.7], "weakened"],
  ["a negative score that grew in size", [1, 1, -1, -1.5], "strengthened"],
  ["a negative score that shrank in size", [1, 1, -1, -0.5], "weakened"],
  ["a sign that turned and is as large", [1, 1, -1, 1], "reversed"],
  ["a sign that turned, by far", [1, 1, -8.92, 3.39], "reversed"],
  ["a sign that may have turned: the one is not known", [1, 1, -0.19, 3], "strengthened"],
  ["a sign that may have turned: the other is not known", [1, 1, -3, 0.19], "weakened"],
  ["a sign that turned, but it left", [1, 0, -1, 1], "left"],
  ["unchanged", [1, 1, 1, 1], "noise"],
];

for (const [name, edge, expected] of CASES) {
  test(`${name}: ${expected || "nothing"}`, () => {
    assert.equal(change(only(...edge), 0, 0, 1), expected);
  });
}

test("the band is the payload's", () => {
  const wide = { ...only(1, 1, 1, 1.4), noiseBand: 3 }; // 3 * 0.1414 = 0.424
  assert.equal(change(wide, 0, 0, 1), "noise");
  assert.equal(change({ ...wide, noiseBand: 2 }, 0, 0, 1), "strengthened");
});

test("without errors nothing is said about noise", () => {
  assert.equal(change(model([[1, 1, 1, 5]], null), 0, 0, 1), "same");
  assert.equal(change(model([[0, 1, 1, 1]], null), 0, 0, 1), "entered");
  assert.equal(change(model([[1, 0, 1, 1]], NaN), 0, 0, 1), "left");
  assert.equal(change(model([[1, 1, 1, 5]], NaN), 0, 0, 1), "same");
});

test("it works backwards too", () => {
  const one = only(0, 1, 0, 1);
  assert.equal(change(one, 0, 1, 0), "left");
  assert.equal(change(only(1, 1, 1, 2), 0, 1, 0), "weakened");
});

const SOME = [
  [0, 1, 0, 1], [0, 1, 0.9, 1], [1, 0, 1, 0], [1, 1, 1, 2], [1, 1, 1, 3], [1, 1, 2, 1], [1, 1, 1, 1],
  [0, 0, 1, 1], [1, 1, 1, -1],
];

test("a circuit's changes are counted in words", () => {
  assert.equal(
    changeWords(model(SOME), 0, 1),
    "since step 0: 2 entered, 1 left, 2 stronger, 1 weaker, 1 reversed, 1 within noise",
  );
  assert.equal(changeWords(model(SOME, null), 0, 1), "since step 0: 2 entered, 1 left");
  const cut = { ...model(SOME, null), whole: { kept: 9, dropped: 3 } };
  assert.equal(
    changeWords(cut, 0, 1),
    "since step 0: 2 entered, 1 left (among the 9 strongest edges of the run)",
  );
});

test("when the clock moved back, what is here alone has not entered", () => {
  assert.equal(
    changeWords(model(SOME), 1, 0),
    "before step 5: 1 gone by then, 2 not yet here, 1 stronger here, 2 weaker here, 1 reversed, 1 within noise",
  );
});

/** Two runs at one snapshot, of the edges: [in A, in B, score in A, score in B]. */
function pair(edges, error = 0.1) {
  const of = (at) => edges.map((edge) => edge[at]);
  const errors = error === null ? null : edges.map(() => error);
  return {
    E: edges.length, noiseBand: 2, label: "A", counts: { size: [10] },
    member: of(0), score: of(2), error: errors,
    other: { label: "B", counts: { size: [7], both: [4] }, member: of(1), score: of(3), error: errors },
  };
}

test("what two runs have in common", () => {
  const edges = [[1, 1, 1, -1], [1, 1, 1, 2], [1, 1, 1, -0.19], [0, 1, 1, -1], [1, 0, 1, -1]];
  assert.deepEqual(edges.map((_, e) => opposite(pair(edges), e, 0)), [true, false, false, false, false]);
  assert.equal(overlapWords(pair(edges), 0), "4 in both (1 reversed), 6 only in A, 3 only in B");
  assert.equal(overlapWords(pair(edges, null), 0), "4 in both, 6 only in A, 3 only in B");
});

test("an edge that only strengthened or weakened says so", () => {
  const run = { monotone: [1, -1, 0] };
  const words = [0, 1, 2].map((e) => monotoneWords(run, e));
  assert.deepEqual(words, ["only strengthened over the run", "only weakened over the run", ""]);
  assert.equal(monotoneWords({}, 0), ""); // of a page that was made before
});
