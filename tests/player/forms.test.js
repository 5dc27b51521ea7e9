// The circuit as a braid of paths and as a matrix, by hand.

import assert from "node:assert/strict";
import { test } from "node:test";

import { braidPlaces } from "../../ctviz/player/braid.js";
import { matrixSums } from "../../ctviz/player/matrix.js";

// Nodes: 0 input, 1 and 2 heads of layer 0, 3 its MLP, 4 a head of layer 1, 5 logits.
const KINDS = [
  ["input", "input", -1], ["a0.h0", "head", 0], ["a0.h1", "head", 0], ["m0", "mlp", 0],
  ["a1.h0", "head", 1], ["logits", "logits", 2],
];
const nodes = KINDS.map(([name, kind, layer]) => ({ name, kind, layer }));

test("in a braid each node stands once, a layer's heads before its MLP", () => {
  const { columns, column, offset } = braidPlaces({ nodes }, [[0, 1, 3, 5], [0, 2, 3, 5], [0, 2, 5]]);
  assert.deepEqual(columns.map(({ layer }) => layer), [null, 0, 0, null]);
  assert.deepEqual([...column], [[0, 0], [1, 1], [2, 1], [3, 2], [5, 3]]);
  assert.equal(offset.get(0), 0); // all paths go through it: ranks 0, 1 and 2 about 1
  assert.ok(offset.get(2) - offset.get(1) >= 1);
  assert.ok(offset.get(3) < 0); // paths 0 and 1
});

// input -1-> a0.h0<q>, input -> a0.h1<v> -2, a0.h0 0.5 and a0.h1 -0.25 -> a1.h0<k>, m0 3 -> logits,
// and one of rank 5 that the third asks for.
const SLOTS = [
  ["a0.h0<q>", 1], ["a0.h1<v>", 2], ["a1.h0<k>", 4], ["logits", 5],
].map(([name, node]) => ({ name, node, feeds: [node] }));
const EDGES = [[0, 0, 1], [0, 1, -2], [1, 2, 0.5], [2, 2, -0.25], [3, 3, 3], [4, 3, 0.125]];
const MODEL = {
  nodes, slots: SLOTS, E: 6, sourceOf: EDGES.map(([n]) => n), slotOf: EDGES.map(([, s]) => s),
  targetOf: EDGES.map(([, s]) => SLOTS[s].node), score: EDGES.map(([, , v]) => v),
  rank: [2, 1, 3, 4, 0, 5], backbone: { sizes: [2] }, size: [6],
};
const cell = ({ rows, columns, cells }, from, to) => cells.get(
  rows.findIndex(({ name }) => name === from) * columns.length
  + columns.findIndex(({ name }) => name === to),
);

test("a matrix adds up the edges between layers, with their signs and without", () => {
  const sums = matrixSums(MODEL, { i: 0, level: "circuit", most: 5 }, null);
  assert.deepEqual(sums.rows.map(({ name }) => name), ["input", "heads 0", "MLP 0"]);
  assert.deepEqual(sums.columns.map(({ name }) => name), ["heads 0", "heads 1", "logits"]);
  assert.deepEqual(cell(sums, "input", "heads 0"), { net: -1, mass: 3, edges: [0, 1] });
  assert.deepEqual(cell(sums, "heads 0", "heads 1"), { net: 0.25, mass: 0.75, edges: [2, 3] });
  assert.equal(cell(sums, "heads 0", "logits"), undefined);
  assert.equal(sums.largest, 3);
  assert.equal(sums.cells.size, 3);
});

test("a matrix has the edges that are shown, and of two parts it goes node by node", () => {
  const bones = matrixSums(MODEL, { i: 0, level: "backbone", most: Infinity }, null);
  assert.deepEqual([...bones.cells.values()].map(({ edges }) => edges), [[1], [4]]);
  const whole = matrixSums(MODEL, { i: 0, level: "circuit", most: Infinity }, null);
  const zoomed = { from: whole.rows[0], to: whole.columns[0] };
  const near = matrixSums(MODEL, { i: 0, level: "circuit", most: Infinity }, zoomed);
  assert.deepEqual(near.columns.map(({ name }) => name), ["a0.h0<q>", "a0.h1<v>"]);
  assert.equal(cell(near, "input", "a0.h1<v>").net, -2);
});
