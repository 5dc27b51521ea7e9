// Shapes of nodes and edges in graph coordinates (y grows downwards).

import look from "./look.js";

/**
 * @typedef {{ kind: string, x: number | null, y: number | null, w?: number, h?: number,
 *   name?: string, members?: number[] }} Place a node or supernode, null where it is not drawn
 * @typedef {{ left: number, top: number, width: number, height: number, radius: number,
 *   rows: number[][], folds?: number[][], stream?: boolean, across?: boolean }} Box
 *   the extent of a graph, a head's radius, [layer, y] of its rows and [first, last, y] of folded
 *   layers, whether edges follow the residual stream at x = 0, and whether that lies on its side
 */

const { bend: BEND, fan: FAN, ports: PORTS, stream: STREAM, stretch: MOST } = look;
const SAMPLES = 14;

/**
 * Width and height of a node in a layout.
 *
 * @param {Place} node
 * @param {Box} box
 */
function extent(node, { radius, across }) {
  if (node.kind === "head") return { w: 2 * radius, h: 2 * radius };
  const { width, height } = (across && STREAM.nodes[node.kind]) || look.nodes[node.kind];
  return { w: width, h: height };
}

/** Distance between two layers. */
export function rowGap({ rows }) {
  return rows.length > 1 ? Math.abs(rows[1][1] - rows[0][1]) : look.rows.gap;
}

/**
 * Where an edge enters a node: q, k and v from left to right below a head.
 *
 * @param {Place} node
 * @param {string} kind
 * @param {number} fromX
 */
export function port(node, kind, fromX) {
  const half = node.h / 2;
  if (node.kind === "head") {
    const radius = node.w / 2;
    const dx = PORTS.head[kind] ?? 0;
    return { x: node.x + dx, y: node.y + Math.sqrt(radius * radius - dx * dx) };
  }
  if (node.kind === "kv") return { x: node.x + PORTS.kv[kind], y: node.y + half };
  return { x: node.x + fan(node, fromX), y: node.y + half };
}

/** The ends are wide, so edges fan out along them instead of meeting in one point. */
function fan(node, otherX) {
  const spread = Math.min(FAN[node.kind] ?? Infinity, node.w / 2 - FAN.margin / (FAN[node.kind] ? 4 : 1));
  return Math.max(-spread, Math.min(spread, FAN.share * (otherX - node.x)));
}

function exit(node, toX) {
  const half = node.h / 2;
  if (node.kind === "head") return { x: node.x, y: node.y - half };
  return { x: node.x + fan(node, toX), y: node.y - half };
}

/**
 * The nodes and their box stretched to a panel of the given aspect (width over height), so that a
 * graph uses the room there is; nodes keep their size.
 *
 * @param {{ nodes: Place[], box: Box }} graph
 * @param {number} aspect
 */
export function stretch({ nodes, box }, aspect) {
  const ratio = aspect / (box.width / box.height);
  const sx = Math.max(1, Math.min(MOST, ratio));
  const sy = Math.max(1, Math.min(MOST, 1 / ratio));
  return {
    nodes: nodes.map((node) =>
      ({ ...node, ...(node.x === null ? {} : { x: node.x * sx, y: node.y * sy }), ...extent(node, box) })),
    box: {
      ...box,
      left: box.left * sx, top: box.top * sy, width: box.width * sx, height: box.height * sy,
      rows: box.rows.map(([layer, y]) => [layer, y * sy]),
      folds: (box.folds ?? []).map(([first, last, y]) => [first, last, y * sy]),
    },
  };
}

/**
 * A laid out graph turned to run from left to right, in place: what is drawn at (x, y) moves to
 * (-y, x), and nodes keep upright letters.
 *
 * @param {Box} box
 * @param {Place[]} places each once
 * @param {Float32Array[]} points pairs of coordinates
 */
export function turn(box, places, points) {
  for (const place of places) {
    if (place.x !== null) [place.x, place.y] = [-place.y, place.x];
    if (place.kind !== "group") [place.w, place.h] = [place.h, place.w];
  }
  for (const array of points) {
    for (let k = 0; k < array.length; k += 2) [array[k], array[k + 1]] = [-array[k + 1], array[k]];
  }
  const { left, top, width, height, rows, folds } = box;
  Object.assign(box, {
    left: -top - height, top: left, width: height, height: width,
    rows: rows.map(([layer, y]) => [layer, -y]),
    folds: folds.map(([first, last, y]) => [first, last, -y]),
  });
}

/**
 * A graph with the MLPs of some layers opened: blocks of the others have no place, and the box is
 * as wide as what is drawn.
 *
 * @param {{ nodes: Place[], box: Box }} graph
 * @param {{ mlpOf: ArrayLike<number> }} model
 * @param {(mlp: number) => boolean} isOpen
 */
export function fold({ nodes, box }, { mlpOf }, isOpen) {
  let right = box.left + box.width;
  const drawn = nodes.map((node, n) => {
    if (mlpOf[n] < 0 || node.x === null) return node;
    if (!isOpen(mlpOf[n])) return { ...node, x: null, y: null };
    right = Math.max(right, node.x + look.blocks.margin);
    return node;
  });
  return { nodes: drawn, box: { ...box, width: right - box.left } };
}

const BESIDE = [0, -15, 15, -30, 30, -45, 45, -60, 60]; // how far a supernode may move from the middle
const ROOM = 48; // above and below a supernode, enough for letters and arrow heads

/** How far a supernode is from the nearest node above or below it that is not its own, at most ROOM. */
function clearance(place, nodes, members) {
  let least = ROOM;
  nodes.forEach((node, n) => {
    if (node.x === null || members.includes(n)) return;
    if (Math.abs(node.x - place.x) > place.w / 2 + node.w / 2) return;
    least = Math.min(least, Math.abs(node.y - place.y));
  });
  return least;
}

/**
 * A supernode for each collapsed group, where there is room: near the middle of its nodes, or in
 * the place of one of them, which are not drawn themselves; and for each node the place
 * where it is drawn: its own, or that of its group.
 *
 * @param {Place[]} nodes
 * @param {{ name: string, members: number[] }[]} groups
 */
export function collapse(nodes, groups) {
  const places = [...nodes];
  const supers = groups.map(({ name, members }) => {
    const at = members.map((n) => nodes[n]).filter(({ x }) => x !== null);
    if (!at.length) return null;
    const mean = (key) => at.reduce((sum, node) => sum + node[key], 0) / at.length;
    const w = Math.max(64, Math.min(150, 24 + 7 * name.length));
    const place = { kind: "group", name, members, x: mean("x"), y: mean("y"), w, h: 26 };
    const tried = [...BESIDE.map((by) => ({ x: place.x, y: place.y + by })), ...at];
    const room = tried.map(({ x, y }) => clearance({ ...place, x, y }, nodes, members));
    const { x, y } = tried[room.indexOf(Math.max(...room))];
    Object.assign(place, { x, y });
    for (const n of members) places[n] = place;
    return place;
  });
  return { places, supers: supers.filter((place) => place) };
}

/**
 * The part of the graph that a camera shows for some nodes: centre, width and height.
 *
 * @param {{ x: number, y: number }[]} places
 */
export function around(places) {
  const xs = places.map(({ x }) => x);
  const ys = places.map(({ y }) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const room = 130; // neighbours stay in the picture
  return {
    x: (left + right) / 2, y: (top + bottom) / 2,
    width: right - left + 2 * room, height: bottom - top + 2 * room,
  };
}

/** An edge that runs up its own column would pass behind the nodes there: bend it aside. */
function aside(a, b, rise, gap, e) {
  const near = Math.abs(a - b) < BEND.near && rise > BEND.far * gap;
  const by = Math.min(BEND.most, BEND.side + BEND.aside * rise);
  const side = near ? ((e & 1) * 2 - 1) * by : 0;
  return [a + side, b + side];
}

/** An edge goes to the residual stream, along it and out: the nearer the farther it has to go. */
function along(a, b, rise, gap) {
  const share = STREAM.pull * Math.max(0, Math.min(1, rise / (STREAM.full * gap)));
  const lane = Math.max(-STREAM.lane, Math.min(STREAM.lane, (a + b) / 8));
  return [a + share * (lane - a), b + share * (lane - b)];
}

/**
 * Bezier curves of all edges: 8 numbers each, and points along them for hit tests.
 *
 * @param {{ slots: any[], E: number, sourceOf: ArrayLike<number>, targetOf: ArrayLike<number>, slotOf: ArrayLike<number> }} model
 * @param {Box} box
 * @param {Place[]} nodes
 */
export function curves(model, box, nodes) {
  const { slots, E } = model;
  const gap = rowGap(box);
  const bezier = new Float32Array(E * 8);
  const points = new Float32Array(E * 2 * SAMPLES);
  for (let e = 0; e < E; e += 1) {
    const from = nodes[model.sourceOf[e]];
    const to = nodes[model.targetOf[e]];
    if (from.x === null || to.x === null || from === to) continue;
    const a = exit(from, to.x);
    const b = port(to, slots[model.slotOf[e]].kind, from.x);
    const rise = a.y - b.y;
    // Between groups that overlap in depth an edge may have to run downwards.
    const pull = rise < 0
      ? BEND.down : Math.max(BEND.least, Math.min(BEND.share * rise, BEND.gaps * gap));
    const [ax, bx] = box.stream ? along(a.x, b.x, rise, gap) : aside(a.x, b.x, rise, gap, e);
    const c = [a.x, a.y, ax, a.y - pull, bx, b.y + pull, b.x, b.y];
    bezier.set(c, e * 8);
    for (let k = 0; k < SAMPLES; k += 1) {
      const t = k / (SAMPLES - 1);
      const u = 1 - t;
      const w = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
      const at = (e * SAMPLES + k) * 2;
      points[at] = w[0] * c[0] + w[1] * c[2] + w[2] * c[4] + w[3] * c[6];
      points[at + 1] = w[0] * c[1] + w[1] * c[3] + w[2] * c[5] + w[3] * c[7];
    }
  }
  return { bezier, points };
}

/**
 * The drawn edge nearest to (x, y) within `reach`, or -1.
 *
 * @param {Float32Array} points
 * @param {number[]} drawn
 * @param {number} x
 * @param {number} y
 * @param {number} reach
 */
export function nearest(points, drawn, x, y, reach) {
  let best = -1;
  let least = reach * reach;
  for (const e of drawn) {
    const start = e * SAMPLES * 2;
    for (let k = 0; k < SAMPLES - 1; k += 1) {
      const at = start + 2 * k;
      const dx = points[at + 2] - points[at];
      const dy = points[at + 3] - points[at + 1];
      const along = (x - points[at]) * dx + (y - points[at + 1]) * dy;
      const share = Math.max(0, Math.min(1, along / (dx * dx + dy * dy || 1)));
      const ex = points[at] + share * dx - x;
      const ey = points[at + 1] + share * dy - y;
      const distance = ex * ex + ey * ey;
      if (distance < least) {
        least = distance;
        best = e;
      }
    }
  }
  return best;
}
