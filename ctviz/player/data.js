// The payload as arrays that can be drawn: decoding, ranking, and looking things up.

import look from "./look.js";

function bytes(text) {
  const raw = atob(text);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) out[i] = raw.charCodeAt(i);
  return out;
}

async function inflate(text) {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Series of T snapshots as 16-bit codes [T, n]: differences, their low bytes in front of the high. */
async function series(text, T) {
  if (!T) return new Uint16Array(0);
  const planes = await inflate(text);
  const count = planes.length / 2;
  const width = count / T;
  const out = new Uint16Array(count); // it wraps around, as the differences do
  for (let k = 0; k < count; k += 1) {
    out[k] = planes[k] + 256 * planes[count + k] + (k < width ? 0 : out[k - width]);
  }
  return out;
}

/** bool [T, width], one byte each; every snapshot starts on a byte of the packed text. */
function bits(text, count, width) {
  const packed = bytes(text);
  const stride = Math.ceil(width / 8);
  const out = new Uint8Array(count * width);
  for (let t = 0; t < count; t += 1) {
    for (let i = 0; i < width; i += 1) {
      out[t * width + i] = (packed[t * stride + (i >> 3)] >> (i & 7)) & 1;
    }
  }
  return out;
}

const UNDEFINED = 65535;
const MISSING = -32768;
const BIG = 0.5; // share of the run's largest turnover from which a change is a big one

/** Everything known about the run, indexed by snapshot t, edge e and node n. */
export async function decode(payload) {
  const T = payload.steps.length;
  const E = payload.edges.length;
  const nodes = payload.nodes;
  const { layers, heads, blocks } = payload.shape;
  const N = 2 + layers * (heads + blocks); // behind them shared heads, and MLPs that are cut
  const { blocksOf, mlpOf } = cutMlps(nodes, N);

  const score = await scaled(payload, T, E);
  const member = bits(payload.member, T, E);
  const error = payload.errors ? await readErrors(payload.errors, T, E) : null;
  const updated = bits(payload.updated, T, N);

  const redundancy = await allShares(payload.redundancy, T);
  const { rank, size, sizes } = ranking(score, member, T, E);
  sizes.sort((a, b) => a - b);
  // The widest line stands for this |score|: a high quantile, so that one outlier does not make
  // every other edge a hairline.
  const widest = sizes.length ? sizes[Math.floor(look.edges.quantile * (sizes.length - 1))] || 1 : 1;

  const { counts } = payload; // of the whole circuit, whatever was sent of it
  const turned = ({ size, entered, left }, t) => {
    const either = size[t] + left[t];
    return either ? (entered[t] + left[t]) / either : 0;
  };
  const churn = Float32Array.from({ length: T }, (_, t) =>
    Math.max(turned(counts, t), payload.other ? turned(payload.other.counts, t) : 0));

  const sourceOf = Int32Array.from(payload.edges, (edge) => edge[0]);
  const slotOf = Int32Array.from(payload.edges, (edge) => edge[1]);
  const targetOf = Int32Array.from(payload.edges, (edge) => payload.slots[edge[1]].node);
  const index = new Map(nodes.map((node, i) => [node.name, i]));
  const touching = nodes.map(() => new Uint8Array(E)); // [node][edge]
  for (let e = 0; e < E; e += 1) {
    touching[sourceOf[e]][e] = 1;
    touching[targetOf[e]][e] = 1;
    for (const n of payload.slots[slotOf[e]].feeds) touching[n][e] = 1;
    for (const end of [sourceOf[e], targetOf[e]]) if (mlpOf[end] >= 0) touching[mlpOf[end]][e] = 1;
  }

  const estimators = ["circuit", "mass"].filter((key) => redundancy[key]);
  const most = churn.reduce((a, b) => Math.max(a, b), 0);
  const model = {
    ...payload, noiseBand: payload.noise_band, T, E, N, score, member, error, updated, redundancy, rank, size, widest, churn,
    sourceOf, slotOf, targetOf, index, touching, estimators, blocksOf, mlpOf,
    split: Object.keys(payload.split ?? {}).length ? await allShares(payload.split, T) : null,
    big: Array.from(churn, (share) => share > 0 && share >= BIG * most),
    hasMore: nodes.some(({ places }) => places.circuit === null),
    large: payload.level === "backbone",
    edgeName: (e) => `${nodes[sourceOf[e]].name} → ${payload.slots[slotOf[e]].name}`,
    maxEdges: size.reduce((a, b) => Math.max(a, b), 0),
    attribution: await Promise.all(payload.probes.map((probe) => attributions(probe, T))),
    maps: payload.other ? {} : await allMaps(payload.maps, nodes, N, T),
    attention: attentionReader(payload, T),
  };
  if (payload.other) {
    const otherScore = await scaled(payload.other, T, E);
    const otherMember = bits(payload.other.member, T, E);
    const ranks = ranking(otherScore, otherMember, T, E);
    model.other = {
      backbone: payload.other.backbone,
      label: payload.other.label, note: payload.other.note, oneUnit: payload.other.one_unit, counts: payload.other.counts,
      error: payload.other.errors ? await readErrors(payload.other.errors, T, E) : null,
      score: otherScore, member: otherMember, rank: ranks.rank,
      size: ranks.size, redundancy: await allShares(payload.other.redundancy, T),
    };
    model.maxEdges = Math.max(model.maxEdges, ranks.size.reduce((a, b) => Math.max(a, b), 0));
  }
  return model;
}

/** The blocks of each MLP that is cut, by its node, and the MLP of each node, -1 of most. */
function cutMlps(nodes, N) {
  const blocksOf = new Map();
  const byLayer = new Map();
  nodes.forEach(({ kind, layer }, n) => {
    if (n < N || kind !== "mlp") return;
    blocksOf.set(n, []);
    byLayer.set(layer, n);
  });
  const mlpOf = Int32Array.from(nodes, ({ kind, layer }, n) => {
    if (kind !== "block") return -1;
    blocksOf.get(byLayer.get(layer)).push(n);
    return byLayer.get(layer);
  });
  return { blocksOf, mlpOf };
}

async function scaled(source, T, E) {
  const integers = new Int16Array((await series(source.scores, T)).buffer);
  const score = new Float32Array(T * E);
  for (let t = 0; t < T; t += 1) {
    for (let e = 0; e < E; e += 1) score[t * E + e] = integers[t * E + e] * source.scales[t];
  }
  return score;
}

/** Standard errors [T, E], as shares of the snapshot's largest; NaN where it is not known. */
async function readErrors({ codes, largest }, T, E) {
  return Float32Array.from(await series(codes, T), (v, at) =>
    (v === UNDEFINED ? NaN : (largest[Math.floor(at / E)] * v) / (UNDEFINED - 1)));
}

async function allShares(texts, T) {
  const read = async ([key, text]) => {
    const shares = await series(text, T);
    return [key, Float32Array.from(shares, (v) => (v === UNDEFINED ? NaN : v / (UNDEFINED - 1)))];
  };
  return Object.fromEntries(await Promise.all(Object.entries(texts).map(read)));
}

/** rank[t, e]: place of an edge among the circuit's edges of that snapshot, by |score|. */
function ranking(score, member, T, E) {
  const rank = new Uint16Array(T * E).fill(65535);
  const size = new Uint16Array(T);
  const sizes = [];
  for (let t = 0; t < T; t += 1) {
    const inside = [];
    for (let e = 0; e < E; e += 1) if (member[t * E + e]) inside.push(e);
    inside.sort((a, b) => Math.abs(score[t * E + b]) - Math.abs(score[t * E + a]) || a - b);
    inside.forEach((e, place) => {
      rank[t * E + e] = place;
      sizes.push(Math.abs(score[t * E + e]));
    });
    size[t] = inside.length;
  }
  return { rank, size, sizes };
}

/** What is known of all nodes beside their redundancy: values [T, N], and the largest but that of
 * the input, which has no cell. */
async function allMaps(maps, nodes, N, T) {
  return Object.fromEntries(await Promise.all(Object.entries(maps ?? {}).map(async ([key, packed]) => {
    const values = await attributions(packed, T);
    const largest = values.reduce(
      (a, v, at) => (nodes[at % N].kind !== "input" && Math.abs(v) > a ? Math.abs(v) : a), 0,
    );
    return [key, { values, largest }];
  })));
}

async function attributions(probe, T) {
  const integers = new Int16Array((await series(probe.attribution, T)).buffer);
  return Float32Array.from(integers, (v) => (v === MISSING ? NaN : v * probe.attribution_scale));
}

/** Reads one head's attention when it is first asked for: bytes [T, lower triangle]. */
function attentionReader(payload, T) {
  const cache = new Map();
  return async (p, name) => {
    const probe = payload.probes[p];
    const text = probe && probe.attention[name];
    if (!text || !T) return null;
    const key = `${p} ${name}`;
    if (!cache.has(key)) {
      const weights = await inflate(text);
      const width = weights.length / T;
      for (let i = width; i < weights.length; i += 1) weights[i] += weights[i - width];
      cache.set(key, { weights, width, n: probe.tokens.length });
    }
    return cache.get(key);
  };
}

/**
 * How many edges of a circuit are drawn at snapshot `t`, strongest first: of its backbone or of all,
 * but `most` at most. `run` is the model, or the other run of a comparison.
 */
export function edgesAt(run, { level, most }, t) {
  return Math.min(most, (level === "backbone" ? run.backbone.sizes : run.size)[t] ?? 0);
}

/** What a snapshot is called: by its step, or by its name where the series has names. */
export function moment(model, i) {
  return model.names?.[i] || `step ${model.steps[i]}`;
}

/** How an estimator of redundancy is called: the mass with its share. */
export function estimatorName(model, key) {
  return key === "mass" ? model.mass : key;
}

/**
 * Redundancy of a node between two snapshots; NaN where it is undefined at either. Of an MLP that is
 * cut the mean over its blocks: all have as many inputs, so it is that of all of these together.
 */
export function shareAt(model, estimator, n, view) {
  const values = model.redundancy[estimator];
  const blocks = model.blocksOf.get(n);
  if (blocks) {
    return blocks.reduce((sum, b) => sum + shareAt(model, estimator, b, view), 0) / blocks.length;
  }
  if (!values || n >= model.N || !model.T) return NaN;
  const a = values[view.i * model.N + n];
  return view.f > 0 ? a + (values[view.j * model.N + n] - a) * view.f : a;
}

/**
 * The heads whose edges out of them in a snapshot's circuit have the largest sums of |score|,
 * strongest first; as `ctviz/views/outcome.py` finds the first of them.
 */
export function strongestHeads({ E, member, nodes, score, sourceOf }, t, count) {
  const sums = new Map();
  for (let e = 0; e < E; e += 1) {
    const n = sourceOf[e];
    if (!member[t * E + e] || nodes[n].kind !== "head") continue;
    sums.set(n, (sums.get(n) ?? 0) + Math.abs(score[t * E + e]));
  }
  const order = [...sums].filter(([, sum]) => sum > 0).sort(([a, x], [b, y]) => y - x || a - b);
  return order.slice(0, count).map(([n]) => n);
}

/** The nodes that the edges of a snapshot's circuit begin and are drawn to end at, a byte each. */
export function endsOf(model, t) {
  const { E, member, sourceOf, targetOf } = model;
  const ends = new Uint8Array(model.nodes.length);
  for (let e = 0; e < E; e += 1) {
    if (member[t * E + e]) ends[sourceOf[e]] = ends[targetOf[e]] = 1;
  }
  return ends;
}

/** The blocks of an MLP that is cut which the circuit of a snapshot touches. */
export function blocksInside(model, mlp, t, ends = endsOf(model, t)) {
  return model.blocksOf.get(mlp).filter((n) => ends[n]);
}

/** What a node is called in a sentence. */
export function title(node) {
  if (node.kind === "head") return `Head ${node.unit}, layer ${node.layer}`;
  if (node.kind === "kv") return `Shared key/value head ${node.unit}, layer ${node.layer}`;
  if (node.kind === "block") return `Block ${node.unit} of the MLP, layer ${node.layer}`;
  if (node.kind === "mlp") return `MLP, layer ${node.layer}`;
  return node.kind === "input" ? "Input: the embeddings" : "Logits: the prediction";
}

/** What a node is called inside the graph, where its layer is written at the left. */
export function shortLabel(node) {
  if (node.kind === "head") return `h${node.unit}`;
  if (node.kind === "block") return `b${node.unit}`;
  if (node.kind === "mlp") return "MLP";
  return node.kind === "kv" ? "kv" : node.kind;
}
