// Decoding what Python packed (packed.json, made by packed.py): the numbers that went in come out.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { blocksInside, decode, edgesAt, shareAt, shortLabel, strongestHeads, title } from "../../ctviz/player/data.js";

const payload = JSON.parse(readFileSync(new URL("packed.json", import.meta.url), "utf8"));
const model = await decode(payload);

/** Equal within what rounding to the wire's integers allows. */
function close(actual, expected, within) {
  assert.equal(actual.length, expected.length);
  expected.forEach((value, at) => {
    if (Number.isNaN(value)) assert.ok(Number.isNaN(actual[at]), `${at} is ${actual[at]}`);
    else assert.ok(Math.abs(actual[at] - value) <= within, `${at}: ${actual[at]}, not ${value}`);
  });
}

test("shapes and names", () => {
  assert.deepEqual([model.T, model.E, model.N], [2, 4, 8]);
  assert.deepEqual([0, 1, 2, 3].map(model.edgeName), [
    "input → m0", "input → a1.h0<q>", "m0 → logits", "m1 → logits",
  ]);
  assert.equal(model.index.get("m1"), 6);
  assert.deepEqual([...model.sourceOf], [0, 0, 3, 6]);
  assert.deepEqual([...model.targetOf], [3, 4, 7, 7]);
});

test("scores, within half of a step of their snapshot's largest", () => {
  const [first, last] = [model.score.slice(0, 4), model.score.slice(4)];
  close(first, [1, 0, -0.5, 0], 1 / 65534 + 1e-6);
  close(last, [0.25, 0.0625, -2, 0.125], 2 / 65534 + 1e-6);
});

test("membership, a byte a snapshot", () => {
  assert.deepEqual([...model.member], [1, 0, 1, 0, 1, 1, 1, 1]);
});

test("standard errors, and those that are not known", () => {
  close(model.error, [0.5, 0.5, 0.5, 0.5, NaN, NaN, NaN, NaN], 1e-5);
});

test("redundancy, and nodes that have none", () => {
  const none = [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN];
  close(model.redundancy.circuit, [...none.with(3, 0.25), ...none.with(3, 1)], 1e-5);
  assert.deepEqual(model.estimators, ["circuit"]);
  assert.equal(model.split, null);
});

test("a redundancy between two snapshots lies between", () => {
  const at = (i, j, f) => shareAt(model, "circuit", 3, { i, j, f });
  assert.ok(Math.abs(at(0, 1, 0) - 0.25) < 1e-5);
  assert.ok(Math.abs(at(0, 1, 0.4) - 0.55) < 1e-5); // 0.25 + 0.4 * 0.75
  assert.ok(Math.abs(at(1, 1, 0) - 1) < 1e-5);
  assert.ok(Number.isNaN(shareAt(model, "circuit", 0, { i: 0, j: 1, f: 0 })));
  assert.ok(Number.isNaN(shareAt(model, "mass", 3, { i: 0, j: 1, f: 0 })));
});

test("ranks are among the circuit's edges of the snapshot, by |score|", () => {
  assert.deepEqual([...model.rank.slice(0, 4)], [0, 65535, 1, 65535]);
  assert.deepEqual([...model.rank.slice(4)], [1, 3, 0, 2]);
  assert.deepEqual([...model.size], [2, 4]);
  assert.equal(model.maxEdges, 4);
});

test("the widest line stands for a high quantile of |score|, so that one outlier is no measure", () => {
  // Sorted: 0.0625 0.125 0.25 0.5 1 2; floor(0.985 * 5) = 4.
  assert.ok(Math.abs(model.widest - 1) < 1e-4);
});

test("turnover is one minus the overlap with the snapshot before, and the largest is a big change", () => {
  close(model.churn, [0, 0.5], 1e-6); // two of four edges entered, none left
  assert.deepEqual(model.big, [false, true]);
});

test("which edges touch a node: at their source, at their slot, and where that feeds", () => {
  assert.deepEqual([...model.touching[0]], [1, 1, 0, 0]);
  assert.deepEqual([...model.touching[3]], [1, 0, 1, 0]);
  assert.deepEqual([...model.touching[4]], [0, 1, 0, 0]);
  assert.deepEqual([...model.touching[1]], [0, 0, 0, 0]);
});

test("who was updated, a byte a snapshot", () => {
  assert.deepEqual([...model.updated], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
});

test("direct attribution, and where it is not defined", () => {
  const none = [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN];
  close(model.attribution[0], [...none.with(3, 3), ...none.with(3, -1.5)], 1e-4);
});

test("attention is inflated and summed up when it is asked for", async () => {
  const { weights, width, n } = await model.attention(0, "a1.h0");
  assert.deepEqual([width, n], [3, 2]); // the lower triangle of two tokens
  close([...weights].map((v) => v / 255), [1, 0.2, 0.8, 1, 0.6, 0.4], 1 / 510);
  assert.equal(await model.attention(0, "a0.h0"), null); // touches no kept edge
  assert.equal(await model.attention(1, "a1.h0"), null); // there is one probe
});

test("the noise band comes with the payload", () => {
  assert.equal(model.noiseBand, 2);
});

test("a run without snapshots is a model without frames", async () => {
  const empty = await decode({
    ...payload, steps: [], scores: "", scales: [], member: "", updated: "", errors: null,
    redundancy: { circuit: "" }, counts: { size: [], entered: [], left: [] }, quality: null,
    curves: [], probes: [], edges: [],
  });
  assert.deepEqual([empty.T, empty.E, empty.maxEdges, empty.widest], [0, 0, 0, 1]);
  assert.deepEqual(empty.big, []);
});

test("another run beside it, in the same encodings", async () => {
  const { scores, scales, member, redundancy, counts } = payload;
  const beside = {
    label: "B", note: "", redundancy, scores, scales, member,
    counts: { ...counts, both: counts.size },
  };
  const pair = await decode({ ...payload, label: "A", other: beside });
  assert.deepEqual([...pair.other.rank], [...pair.rank]);
  assert.deepEqual([...pair.other.member], [...pair.member]);
  assert.equal(pair.other.label, "B");
});

/** Two layers of one head and two blocks, behind them their MLPs; one edge into and out of m1.b0. */
function cut() {
  const node = (name, kind, layer, unit) => ({ name, kind, layer, unit, places: { circuit: [0, 0] }, degree: 2 });
  const of = (layer) => [
    node(`a${layer}.h0`, "head", layer, 0), node(`m${layer}.b0`, "block", layer, 0),
    node(`m${layer}.b1`, "block", layer, 1),
  ];
  const nodes = [
    node("input", "input", -1, 0), ...of(0), ...of(1), node("logits", "logits", 2, 0),
    node("m0", "mlp", 0, 0), node("m1", "mlp", 1, 0),
  ];
  const slots = [
    { name: "m1.b0", kind: "mlp", node: 5, feeds: [5] }, { name: "logits", kind: "logits", node: 7, feeds: [7] },
  ];
  const shares = [
    [65535, 65534, 0, 32767, 65534, 0, 65534, 0], [65535, 65534, 0, 0, 0, 0, 0, 0],
  ];
  return decode({
    ...payload, nodes, slots, edges: [[0, 0], [5, 1]], probes: [], maps: {}, monotone: [0, 0],
    shape: { layers: 2, heads: 1, kv_heads: 1, blocks: 2 }, errors: null, split: {}, updated: "AAA=",
    redundancy: { circuit: series(shares) },
    scores: series([[1, 2], [3, 4]]), scales: [1, 1],
    member: Buffer.from([0b01, 0b11]).toString("base64"),
  });
}

/** Rows of 16-bit codes as the wire has them: differences from the row before, low bytes first. */
function series(rows) {
  const changes = rows.flatMap((row, t) => row.map((v, n) => (v - (t ? rows[t - 1][n] : 0)) & 65535));
  const planes = [...changes.map((v) => v & 255), ...changes.map((v) => v >> 8)];
  return deflateSync(Buffer.from(planes)).toString("base64");
}

test("an MLP that is cut stands behind the graph's nodes and has what its blocks have", async () => {
  const two = await cut();
  assert.equal(two.N, 8);
  assert.deepEqual([...two.blocksOf], [[8, [2, 3]], [9, [5, 6]]]);
  assert.deepEqual([...two.mlpOf], [-1, -1, 8, 8, -1, 9, 9, -1, -1, -1]);
  assert.deepEqual([...two.touching[9]], [1, 1]);
  assert.deepEqual([...two.touching[8]], [0, 0]);
  const first = { i: 0, j: 0, f: 0 };
  assert.ok(Math.abs(shareAt(two, "circuit", 8, first) - 0.25) < 1e-4); // (0 + 0.5) / 2
  assert.ok(Math.abs(shareAt(two, "circuit", 9, first) - 0.5) < 1e-4); // (0 + 1) / 2
  assert.deepEqual(blocksInside(two, 9, 0), [5]);
  assert.deepEqual(blocksInside(two, 8, 1), []);
});

test("what nodes are called", () => {
  const head = { kind: "head", layer: 3, unit: 7 };
  assert.equal(title(head), "Head 7, layer 3");
  assert.equal(shortLabel(head), "h7");
  assert.equal(title({ name: "m2", kind: "mlp", layer: 2 }), "MLP, layer 2");
  assert.equal(shortLabel({ name: "m2", kind: "mlp" }), "MLP");
  const block = { name: "m2.b5", kind: "block", layer: 2, unit: 5 };
  assert.equal(title(block), "Block 5 of the MLP, layer 2");
  assert.equal(shortLabel(block), "b5");
  assert.equal(title({ kind: "kv", layer: 1, unit: 0 }), "Shared key/value head 0, layer 1");
  assert.equal(shortLabel({ kind: "input" }), "input");
});

test("the strongest heads are those that write most into the circuit", () => {
  const nodes = ["input", "head", "head", "head", "mlp"].map((kind) => ({ kind }));
  const run = {
    nodes, E: 6, sourceOf: [0, 1, 1, 2, 3, 4], member: [1, 1, 1, 1, 0, 1], score: [9, 1, -1, -1.5, 7, 8],
  };
  assert.deepEqual(strongestHeads(run, 0, 3), [1, 2]); // 1 + 1 and 1.5; 7 is not in the circuit
  assert.deepEqual(strongestHeads(run, 0, 1), [1]);
});

test("of the backbone as many edges are drawn as it has, of a circuit as many as are asked for", () => {
  const run = { backbone: { sizes: [3, 5] }, size: [60, 70] };
  assert.equal(edgesAt(run, { level: "backbone", most: Infinity }, 1), 5);
  assert.equal(edgesAt(run, { level: "backbone", most: 4 }, 1), 4);
  assert.equal(edgesAt(run, { level: "circuit", most: 40 }, 0), 40);
  assert.equal(edgesAt(run, { level: "model", most: Infinity }, 0), 60); // not all that was sent
});
