// Places and curves, by hand, in units of the layout (y grows downwards).

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  around, collapse, curves, fold, nearest, port, rowGap, stretch, turn,
} from "../../ctviz/player/geometry.js";

const near = (a, b, within = 1e-4) => assert.ok(Math.abs(a - b) <= within, `${a} is not ${b}`);
const head = (x, y, radius = 15) => ({ kind: "head", x, y, w: 2 * radius, h: 2 * radius });
const mlp = (x, y) => ({ kind: "mlp", x, y, w: 42, h: 22 });

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
  const sizes = (box) => {
    const nodes = ["head", "mlp", "kv", "logits"].map((kind) => ({ kind, x: 0, y: 0 }));
    return stretch({ nodes, box: { ...BOX, ...box } }, 1).nodes.map(({ w, h }) => [w, h]);
  };
  assert.deepEqual(sizes({}), [[30, 30], [42, 22], [24, 11], [132, 26]]);
  // On its side a layer is narrow, so an MLP is: 21 across the stream, 27 along it.
  assert.deepEqual(sizes({ radius: 13, across: true }), [[26, 26], [21, 27], [24, 11], [132, 26]]);
});

test("a graph on its side runs from left to right, with what was at the left above", () => {
  const places = [mlp(46, -60), head(-42, -60), { kind: "kv", x: null, y: null, w: 24, h: 11 }];
  const box = { ...BOX, folds: [[2, 4, -90]] };
  const points = new Float32Array([1, -2, 3, -4]);
  turn(box, places, [points]);
  assert.deepEqual(places.map(({ x, y, w, h }) => [x, y, w, h]), [
    [60, 46, 22, 42], [60, -42, 30, 30], [null, null, 11, 24],
  ]);
  assert.deepEqual([...points], [2, 1, 4, 3]);
  // From -20 to 80 upwards is from -80 to 20 to the right.
  assert.deepEqual(box, {
    left: -80, top: -10, width: 100, height: 100, radius: 15, rows: [[0, -0], [1, 50]],
    folds: [[2, 4, 90]],
  });
});

test("edges of a large model follow the residual stream, a short one hardly", () => {
  const stream = { ...BOX, stream: true };
  const [a, b] = [head(-200, 0), head(-200, -600)];
  const far = edge(a, b, "q", stream).bezier;
  // Six rows or more: 70 % of the way to the lane at -40 from x = -200, and from the port at -208.
  near(far[2], -200 + 0.7 * 160);
  near(far[4], -208 + 0.7 * 168);
  const short = edge(a, head(-200, -80), "q", stream).bezier;
  // From -15 up to -80 + sqrt(225 - 64), of the six rows of 50 from which the pull is full.
  near(short[2], -200 + 0.7 * (((80 - 15) - Math.sqrt(161)) / 300) * 160);
});

test("q, k and v enter a head from left to right, on its circle", () => {
  const places = ["q", "k", "v"].map((kind) => port(head(100, 50, 10), kind, 0));
  assert.deepEqual(places.map(({ x }) => x), [92, 100, 108]);
  near(places[0].y, 50 + 6); // sqrt(100 - 64)
  near(places[1].y, 50 + 10);
  near(places[2].y, 50 + 6);
});

test("a shared key/value head has k at its left and v at its right", () => {
  const node = { kind: "kv", x: 0, y: 0, w: 24, h: 11 };
  assert.deepEqual(port(node, "k", 0), { x: -6, y: 5.5 });
  assert.deepEqual(port(node, "v", 0), { x: 6, y: 5.5 });
});

test("edges fan out along a wide end, within its width", () => {
  assert.deepEqual(port(mlp(0, 0), "mlp", 50), { x: 11, y: 11 }); // 0.22 * 50
  assert.equal(port(mlp(0, 0), "mlp", 500).x, 14);
  const logits = { kind: "logits", x: 0, y: 0, w: 132, h: 26 };
  assert.equal(port(logits, "logits", -500).x, -54); // 132 / 2 - 12
});

const BOX = { left: -10, top: -20, width: 100, height: 100, radius: 15, rows: [[0, 0], [1, -50]] };

test("a graph is pulled to its panel's shape, one way only, and not by more than 2.4", () => {
  const nodes = [head(10, -50), { kind: "head", x: null, y: null }];
  const wide = stretch({ nodes, box: BOX }, 2);
  assert.deepEqual(wide.nodes[0], head(20, -50));
  assert.equal(wide.nodes[1].x, null); // has no place, and gets none
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
  const { places, supers } = collapse(nodes, [{ name: "pair", members: [0, 1] }]);
  assert.deepEqual(supers, [{ kind: "group", name: "pair", members: [0, 1], x: 100, y: 0, w: 64, h: 26 }]);
  assert.equal(places[0], supers[0]);
  assert.equal(places[1], supers[0]);
  assert.equal(places[2], nodes[2]);
  const [long] = collapse(nodes, [{ name: "x".repeat(60), members: [0, 1] }]).supers;
  assert.equal(long.w, 150);
});

test("a collapsed group keeps away from a node in its middle", () => {
  const nodes = [head(0, 0), head(200, 0), head(100, 0)];
  const [group] = collapse(nodes, [{ name: "pair", members: [0, 1] }]).supers;
  // 45 and more above or below are as good as the place of a member, of which no node is near.
  assert.ok(Math.abs(group.y) >= 48 || group.x !== 100, `${group.x}, ${group.y}`);
});

test("a group of nodes that are not drawn is not drawn", () => {
  const nodes = [{ kind: "head", x: null, y: null }, head(0, 0)];
  const { places, supers } = collapse(nodes, [{ name: "gone", members: [0] }]);
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
