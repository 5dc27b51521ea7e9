// Lines of the graph: which edges are joined, what a joined line stands for, and how it changed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Drawn, lineChange, makeLines } from "../../ctviz/player/lines.js";

// Nodes: 0 input, 1 and 2 blocks of the MLP 5, 3 and 4 blocks of the MLP 6. Slots: 0 to 3 of the
// blocks, 4 and 5 two inputs of one head, node 7.
const EDGES = [
  [0, 0], [0, 1], // into both blocks of the first MLP
  [1, 2], [2, 2], [2, 3], // from the first into the second
  [1, 4], [2, 4], [1, 5], // from the first into a head
];
const NODE_OF = [1, 2, 3, 4, 7, 7];
const MODEL = {
  E: EDGES.length, slots: NODE_OF.map((node) => ({ node })), mlpOf: [-1, 5, 5, 6, 6, -1, -1, -1],
  sourceOf: EDGES.map(([source]) => source), slotOf: EDGES.map(([, slot]) => slot),
  targetOf: EDGES.map(([, slot]) => NODE_OF[slot]),
};

/** Places of the nodes, blocks of closed MLPs in that of theirs. */
function places(closed) {
  const own = MODEL.mlpOf.map((_, n) => ({ n }));
  return own.map((place, n) => (closed.includes(MODEL.mlpOf[n]) ? own[MODEL.mlpOf[n]] : place));
}

test("where all MLPs are open a line is an edge", () => {
  const lines = makeLines(MODEL, places([]));
  assert.equal(lines.E, 8);
  assert.deepEqual([...lines.lineOf], [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual([...lines.slotOf], MODEL.slotOf);
});

test("edges of a closed MLP's blocks are joined where they share their other end", () => {
  const lines = makeLines(MODEL, places([5]));
  assert.deepEqual(lines.edges, [[0, 1], [2, 3], [4], [5, 6], [7]]);
  assert.deepEqual([...lines.lineOf], [0, 0, 1, 1, 2, 3, 3, 4]);
  assert.deepEqual([...lines.sourceOf], [0, 1, 2, 1, 1]);
});

test("between two closed MLPs there is one line", () => {
  assert.deepEqual(makeLines(MODEL, places([5, 6])).edges, [[0, 1], [2, 3, 4], [5, 6], [7]]);
});

test("an edge within one place, of a group, has no line", () => {
  const group = {};
  const at = places([5]).map((place, n) => (n === 0 || n === 1 || n === 2 ? group : place));
  const lines = makeLines(MODEL, at);
  assert.deepEqual([...lines.lineOf.slice(0, 2)], [-1, -1]);
  assert.equal(lines.lineOf[2], 0); // blocks in a group are not in the place of their MLP
  assert.equal(lines.lineOf[3], 1);
});

test("a line stands for the sum of |score|, and fades as its edges do", () => {
  const drawn = new Drawn(2);
  drawn.add(0, 0.5, 1);
  drawn.add(0, -0.75, 1);
  drawn.add(1, -2, 0.25); // on its way in
  assert.equal(drawn.size(0), 1.25);
  assert.equal(drawn.sum[0], -0.25);
  assert.deepEqual([...drawn.there], [1, 0.25]);
  assert.equal(drawn.size(1), 2);
  drawn.clear();
  assert.equal(drawn.size(0), 0);
});

/** Two edges at two snapshots; a standard error of 0.1 is noise of 2 sqrt(0.02) = 0.28 each. */
const scored = (score, member, error = new Array(4).fill(0.1)) => ({
  E: 2, score, member, error, noiseBand: 2,
});

test("a joined line enters with its first edge and leaves with its last", () => {
  assert.equal(lineChange(scored([0, 0, 1, 0], [0, 0, 1, 0]), [0, 1], 0, 1), "entered");
  assert.equal(lineChange(scored([1, 0, 1, 1], [1, 0, 1, 1]), [0, 1], 0, 1), "strengthened");
  assert.equal(lineChange(scored([1, 1, 0, 0], [1, 1, 0, 0]), [0, 1], 0, 1), "left");
  assert.equal(lineChange(scored([0.9, 0, 1, 0], [0, 0, 1, 0]), [0, 1], 0, 1), "entered~");
  assert.equal(lineChange(scored([1, 0, 0, 0], [0, 0, 0, 0]), [0, 1], 0, 1), "");
});

test("a line is reversed if the sum of its scores is, beyond the noise of that", () => {
  const both = [1, 1, 1, 1];
  assert.equal(lineChange(scored([1, 1, -1, -1], both), [0, 1], 0, 1), "reversed");
  assert.equal(lineChange(scored([3, -1, -3, 1], both), [0, 1], 0, 1), "reversed");
  assert.equal(lineChange(scored([1, 1, -1, 0.7], both), [0, 1], 0, 1), "weakened"); // -0.3 of 0.4
});

test("its noise is the sum of that of its edges", () => {
  const both = [1, 1, 1, 1];
  assert.equal(lineChange(scored([1, 1, 1.25, 1.25], both), [0, 1], 0, 1), "noise"); // 0.5 < 0.56
  assert.equal(lineChange(scored([1, 1, 1.3, 1.3], both), [0, 1], 0, 1), "strengthened");
  assert.equal(lineChange(scored([1, -1, 0.7, -0.7], both), [0, 1], 0, 1), "weakened");
  assert.equal(lineChange(scored([1, 1, 5, 5], both, [NaN, 0, 0, 0]), [0, 1], 0, 1), "same");
  assert.equal(lineChange({ ...scored([1, 1, 5, 5], both), error: null }, [0, 1], 0, 1), "same");
});
