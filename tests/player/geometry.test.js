// Places and curves, by hand, in units of the layout (y grows downwards).

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  around, collapse, curves, extent, fold, nearest, port, rowGap, stretch,
} from "../../ctviz/player/geometry.js";

const near = (a, b, within = 1e-4) => assert.ok(Math.abs(a - b) <= within, `${a} is not ${b}`);
const head = (x, y) => ({ kind: "head", x, y });
const mlp = (x, y) => ({ kind: "mlp", x, y });

test("blocks of a closed MLP have no place, and an open one widens the picture", () => {
  const block = (x) => ({ kind: "block", x, y: 0 });
  const nodes = [block(140), block(176), mlp(90, 0), block(null)];
  const model = { mlpOf: [2, 2, -1, 2] };
  const box = { left: -10, top: 0, width: 120, height: 10, radius: 15, rows: [] };
  const closed = fold({ nodes, box }, model, () => false);
  assert.deepEqual(closed.nodes.map(({ x }) => x), [null, null, 90, null]);
  assert.equal(closed.box.width, 120);
  const open = fold({ nodes, box }, model, (n) => n === 2);
  assert.deepEqual(open.nodes.map(({ x }) => x), [140, 176, 90, null]);
  assert.equal(open.box.width, 210); // from -10 to 176 and a margin of 24
});

test("how large nodes are", () => {
  assert.deepEqual(extent(head(0, 0), 15), { w: 30, h: 30 });
  assert.deepEqual(extent(mlp(0, 0)), { w: 42, h: 22 });
  assert.deepEqual(extent({ kind: "kv" }), { w: 24, h: 11 });
  assert.deepEqual(extent({ kind: "logits" }), { w: 132, h: 26 });
  assert.deepEqual(extent({ kind: "group", w: 90 }), { w: 90, h: 26 });
});

test("q, k and v enter a head from left to right, on its circle", () => {
  const places = ["q", "k", "v"].map((kind) => port(head(100, 50), kind, 10, 0));
  assert.deepEqual(places.map(({ x }) => x), [92, 100, 108]);
  near(places[0].y, 50 + 6); // sqrt(100 - 64)
  near(places[1].y, 50 + 10);
  near(places[2].y, 50 + 6);
});

test("a shared key/value head has k at its left and v at its right", () => {
  const node = { kind: "kv", x: 0, y: 0 };
  assert.deepEqual(port(node, "k", 15, 0), { x: -6, y: 5.5 });
  assert.deepEqual(port(node, "v", 15, 0), { x: 6, y: 5.5 });
});

test("edges fan out along a wide end, within its width", () => {
  assert.deepEqual(port(mlp(0, 0), "mlp", 15, 50), { x: 11, y: 11 }); // 0.22 * 50
  assert.equal(port(mlp(0, 0), "mlp", 15, 500).x, 14);
  assert.equal(port({ kind: "logits", x: 0, y: 0 }, "logits", 15, -500).x, -54); // 132 / 2 - 12
});

const BOX = { left: -10, top: -20, width: 100, height: 100, radius: 15, rows: [[0, 0], [1, -50]] };

test("a graph is pulled to its panel's shape, one way only, and not by more than 2.4", () => {
  const nodes = [head(10, -50), { kind: "head", x: null, y: null }];
  const wide = stretch({ nodes, box: BOX }, 2);
  assert.deepEqual(wide.nodes[0], head(20, -50));
  assert.deepEqual(wide.nodes[1], nodes[1]); // has no place, and gets none
  assert.deepEqual([wide.box.left, wide.box.width, wide.box.height], [-20, 200, 100]);
  const tall = stretch({ nodes, box: BOX }, 0.5);
  assert.deepEqual(tall.nodes[0], head(10, -100));
  assert.deepEqual([tall.box.top, tall.box.height], [-40, 200]);
  assert.deepEqual(tall.box.rows, [[0, 0], [1, -100]]);
  assert.equal(stretch({ nodes, box: BOX }, 50).box.width, 240);
  assert.equal(stretch({ nodes, box: BOX }, 1).box.radius, 15);
});

test("the distance of two layers, and of a model with one", () => {
  assert.equal(rowGap(BOX), 50);
  assert.equal(rowGap({ rows: [[0, 0]] }), 80);
});

test("a camera shows some nodes and their neighbours", () => {
  assert.deepEqual(around([head(0, 0), head(100, -40)]), {
    x: 50, y: -20, width: 360, height: 300, // 100 and 40, and 130 on each side
  });
  assert.deepEqual(around([head(7, 8)]), { x: 7, y: 8, width: 260, height: 260 });
});

test("a collapsed group stands in the middle of its nodes, where there is room", () => {
  const nodes = [head(0, 0), head(200, 0), head(400, 0)];
  const { places, supers } = collapse(nodes, [{ name: "pair", members: [0, 1] }], 15);
  assert.deepEqual(supers, [{ kind: "group", name: "pair", members: [0, 1], x: 100, y: 0, w: 64 }]);
  assert.equal(places[0], supers[0]);
  assert.equal(places[1], supers[0]);
  assert.equal(places[2], nodes[2]);
  const [long] = collapse(nodes, [{ name: "x".repeat(60), members: [0, 1] }], 15).supers;
  assert.equal(long.w, 150);
});

test("a collapsed group keeps away from a node in its middle", () => {
  const nodes = [head(0, 0), head(200, 0), head(100, 0)];
  const [group] = collapse(nodes, [{ name: "pair", members: [0, 1] }], 15).supers;
  // 45 and more above or below are as good as the place of a member, of which no node is near.
  assert.ok(Math.abs(group.y) >= 48 || group.x !== 100, `${group.x}, ${group.y}`);
});

test("a group of nodes that are not drawn is not drawn", () => {
  const nodes = [{ kind: "head", x: null, y: null }, head(0, 0)];
  const { places, supers } = collapse(nodes, [{ name: "gone", members: [0] }], 15);
  assert.deepEqual(supers, []);
  assert.equal(places[0], nodes[0]);
});

/** One edge from a node to another. */
function edge(from, to, kind, box = BOX) {
  const model = { slots: [{ kind }], E: 1, sourceOf: [0], targetOf: [1], slotOf: [0] };
  return curves(model, box, [from, to]);
}

test("an edge leaves at the top, enters from below, and is pulled upright at both ends", () => {
  const { bezier, points } = edge(head(0, 0), head(100, -100), "k");
  // From (0, -15) to (100, -85): a rise of 70, so a pull of 0.46 * 70 = 32.2.
  [0, -15, 0, -47.2, 100, -52.8, 100, -85].forEach((v, at) => near(bezier[at], v));
  assert.equal(points.length, 28);
  near(points[0], 0);
  near(points[1], -15);
  near(points[26], 100);
  near(points[27], -85);
});

test("a long edge is pulled no further than 1.25 layers, a short one at least by 14", () => {
  near(edge(head(0, 0), head(100, -500), "k").bezier[3], -15 - 62.5);
  near(edge(head(0, 0), head(100, -50), "k").bezier[3], -15 - 14); // a rise of 20
});

test("an edge up its own column is bent aside", () => {
  const { bezier } = edge(head(0, 0), head(0, -130), "k"); // a rise of 100, two layers
  near(bezier[2], -22); // 16 + 0.06 * 100, to the left for even edges
  near(bezier[4], -22);
  near(edge(head(0, 0), head(0, -80), "k").bezier[2], 0); // a rise of 50 is one layer
});

test("an edge that must run downwards, between groups, leaves and arrives upright all the same", () => {
  const { bezier } = edge(head(0, -100), head(100, 0), "k");
  near(bezier[3], -115 - 40);
  near(bezier[5], 15 + 40);
});

test("an edge at a node without a place has no curve", () => {
  assert.ok(edge(head(0, 0), { kind: "head", x: null, y: null }, "k").bezier.every((v) => v === 0));
  const same = head(0, 0);
  assert.ok(edge(same, same, "k").bezier.every((v) => v === 0));
});

test("the nearest edge within reach", () => {
  const slots = [{ kind: "k" }];
  const nodes = [head(0, 0), head(200, 0), head(0, -400), head(200, -400)];
  const model = { slots, E: 2, sourceOf: [0, 1], targetOf: [2, 3], slotOf: [0, 0] };
  const box = { ...BOX, rows: [[0, 0], [1, -400]] }; // one layer apart: straight up
  const { points } = curves(model, box, nodes);
  assert.equal(nearest(points, [0, 1], 4, -200, 6), 0);
  assert.equal(nearest(points, [0, 1], 195, -200, 6), 1);
  assert.equal(nearest(points, [0, 1], 8, -200, 6), -1); // 8 away
  assert.equal(nearest(points, [1], 4, -200, 6), -1); // the first is not drawn
  assert.equal(nearest(points, [0, 1], 99, -200, 1000), 0);
  assert.equal(nearest(points, [0, 1], 0, -9, 5), -1); // below its start, at y = -15
});
