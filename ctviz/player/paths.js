// Paths through the circuit. A path is as strong as its weakest edge, by |score|; the strongest ones
// are found one after the other, each in what those before it have left of the edges.

/**
 * @typedef {{ E: number, N: number, nodes: { kind: string }[], slots: { feeds: number[] }[],
 *   member: ArrayLike<number>, score: ArrayLike<number>, sourceOf: ArrayLike<number>,
 *   slotOf: ArrayLike<number> }} Walked edges by [snapshot, edge]
 * @typedef {{ edges: number[], strength: number }} Route edges from first to last, and how much of
 *   their |score| it takes
 */

/**
 * The edges of the circuit at snapshot `t` with their sizes, by the node that they arrive at. A
 * shared key or value slot feeds several nodes, and its edges arrive at each.
 *
 * @param {Walked} model
 * @param {number} t
 */
export function arrivals(model, t) {
  const { E, member, score, slots, slotOf } = model;
  const into = new Map();
  const size = new Float64Array(E);
  for (let e = 0; e < E; e += 1) {
    if (!member[t * E + e]) continue;
    size[e] = Math.abs(score[t * E + e]);
    for (const n of slots[slotOf[e]].feeds) {
      if (into.has(n)) into.get(n).push(e);
      else into.set(n, [e]);
    }
  }
  return { into, size };
}

/**
 * The strongest path from one node to another, or null if the circuit has none.
 *
 * Nodes come in the order of the model, so that one pass over them is enough.
 *
 * @param {Walked} model
 * @param {ReturnType<typeof arrivals>} edges
 * @param {number} from
 * @param {number} to
 * @returns {Route | null}
 */
export function strongest(model, { into, size }, from, to) {
  const best = new Float64Array(model.N);
  const last = new Int32Array(model.N).fill(-1);
  best[from] = Infinity;
  for (let n = from + 1; n <= to; n += 1) {
    for (const e of into.get(n) ?? []) {
      const through = Math.min(best[model.sourceOf[e]], size[e]);
      if (through <= best[n]) continue;
      best[n] = through;
      last[n] = e;
    }
  }
  if (last[to] < 0) return null;
  const edges = [];
  for (let n = to; n !== from; n = model.sourceOf[last[n]]) edges.unshift(last[n]);
  return { edges, strength: best[to] };
}

/**
 * Up to `count` of the strongest paths from the input to the logits at snapshot `t`, each in what is
 * left of the edges by those before: how much it takes is not counted twice.
 *
 * @param {Walked} model
 * @param {number} t
 * @param {number} count
 * @returns {Route[]}
 */
export function strongestPaths(model, t, count) {
  const left = arrivals(model, t);
  const [input, logits] = ends(model);
  const found = [];
  while (found.length < count) {
    const path = strongest(model, left, input, logits);
    if (!path) break;
    found.push(path);
    for (const e of path.edges) left.size[e] -= path.strength;
  }
  return found;
}

/**
 * The strongest paths that bring a node its input and its output to the logits, as edges; of a part
 * that the circuit does not have, none.
 *
 * @param {Walked} model
 * @param {number} t
 * @param {number} n
 */
export function pathsOf(model, t, n) {
  const all = arrivals(model, t);
  const [input, logits] = ends(model);
  const before = n > input ? strongest(model, all, input, n) : null;
  const after = n < logits ? strongest(model, all, n, logits) : null;
  return [...(before?.edges ?? []), ...(after?.edges ?? [])];
}

/** The nodes where every path begins and ends. */
function ends({ nodes, N }) {
  const at = (kind) => nodes.findIndex((node, n) => n < N && node.kind === kind);
  return [at("input"), at("logits")];
}
