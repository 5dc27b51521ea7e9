// Paths through a circuit small enough to follow by hand.

import assert from "node:assert/strict";
import { test } from "node:test";

import { arrivals, pathsOf, strongest, strongestPaths } from "../../ctviz/player/paths.js";

// Nodes in the order of the model: 0 input, 1 and 2 heads, 3 an MLP, 4 logits.
//
//   input -5-> h1 -3-> mlp -4-> logits        edges 0, 2, 4
//   input -1-> h2 -2-> mlp                    edges 1, 3
//   h1 -1.5-> logits                          edge 5
const MODEL = {
  E: 6, N: 5, nodes: ["input", "head", "head", "mlp", "logits"].map((kind) => ({ kind })),
  slots: [1, 2, 3, 3, 4, 4].map((node) => ({ feeds: [node] })),
  sourceOf: [0, 0, 1, 2, 3, 1], slotOf: [0, 1, 2, 3, 4, 5],
  score: [5, -1, -3, 2, 4, 1.5, 5, -1, -3, 2, 4, 1.5],
  member: [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0], // the second snapshot has no way through
};

test("a path is as strong as its weakest edge", () => {
  const path = strongest(MODEL, arrivals(MODEL, 0), 0, 4);
  assert.deepEqual(path, { edges: [0, 2, 4], strength: 3 });
});

test("each path takes what those before it have left", () => {
  // After the first, 2 are left of edge 0, 0 of edge 2 and 1 of edge 4: then h1 to the logits, 1.5;
  // then 0.5 of edge 0 lead nowhere, and h2 brings 1.
  assert.deepEqual(strongestPaths(MODEL, 0, 9), [
    { edges: [0, 2, 4], strength: 3 }, { edges: [0, 5], strength: 1.5 },
    { edges: [1, 3, 4], strength: 1 },
  ]);
  assert.equal(strongestPaths(MODEL, 0, 2).length, 2);
});

test("a circuit without a way through has no path", () => {
  assert.deepEqual(strongestPaths(MODEL, 1, 9), []);
  assert.equal(strongest(MODEL, arrivals(MODEL, 1), 0, 4), null);
});

test("a node's own paths: what brings it its input, and where its output goes", () => {
  assert.deepEqual(pathsOf(MODEL, 0, 2), [1, 3, 4]);
  assert.deepEqual(pathsOf(MODEL, 0, 1), [0, 2, 4]);
  assert.deepEqual(pathsOf(MODEL, 0, 0), [0, 2, 4]);
  assert.deepEqual(pathsOf(MODEL, 0, 4), [0, 2, 4]);
  assert.deepEqual(pathsOf(MODEL, 1, 1), [0]); // nothing leads on
});

test("a shared key or value slot brings its edge to each head that it feeds", () => {
  const shared = { ...MODEL, slots: MODEL.slots.map((slot, at) => (at ? slot : { feeds: [1, 2] })) };
  const { into } = arrivals(shared, 0);
  assert.deepEqual([into.get(1), into.get(2)], [[0], [0, 1]]);
  // Of edge 0 the first leaves 2, the second 0.5, so that h2 has more from its own edge 1.
  assert.deepEqual(strongestPaths(shared, 0, 9).map(({ strength }) => strength), [3, 1.5, 1]);
});
