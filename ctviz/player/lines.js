// The lines of the graph. Most are one edge each; those of the blocks of an MLP that is drawn as one
// node are joined where they share their other end, and have the sum of what they stand for.

import { change } from "./changes.js";

/**
 * The lines of a graph whose nodes are drawn at some places, in the order of their first edges.
 *
 * `edges` of each line; `lineOf` each edge, -1 for one between nodes in the same place or whose ends
 * are not drawn; and for the curves a source, a target and a slot of each, which are those of its first edge.
 *
 * @param {{ E: number, slots: any[], sourceOf: ArrayLike<number>, targetOf: ArrayLike<number>,
 *   slotOf: ArrayLike<number>, mlpOf: ArrayLike<number> }} model
 * @param {object[]} places where each node is drawn; blocks of a closed MLP share its place
 */
export function makeLines(model, places) {
  const { E, slots, sourceOf, targetOf, slotOf, mlpOf } = model;
  const closed = (n) => mlpOf[n] >= 0 && places[n] === places[mlpOf[n]];
  const known = new Map();
  const edges = [];
  const lineOf = new Int32Array(E).fill(-1);
  for (let e = 0; e < E; e += 1) {
    const [source, target] = [sourceOf[e], targetOf[e]];
    if (places[source] === places[target]) continue;
    if (places[source].x === null || places[target].x === null) continue; // left out of the picture
    const from = closed(source) ? mlpOf[source] : source;
    const key = `${from} ${closed(target) ? `m${mlpOf[target]}` : slotOf[e]}`;
    if (!known.has(key)) {
      known.set(key, edges.length);
      edges.push([]);
    }
    lineOf[e] = known.get(key);
    edges[lineOf[e]].push(e);
  }
  const first = (of) => Int32Array.from(edges, ([e]) => of[e]);
  return {
    E: edges.length, edges, lineOf, slots,
    sourceOf: first(sourceOf), targetOf: first(targetOf), slotOf: first(slotOf),
  };
}

/**
 * What is drawn of the lines at a moment of the clock, for one run: `there` how far a line is in the
 * picture (0 to 1), `mass` the sum of |score| over its edges that are, `sum` that of their scores.
 */
export class Drawn {
  constructor(count) {
    this.there = new Float32Array(count);
    this.mass = new Float32Array(count);
    this.sum = new Float32Array(count);
  }

  clear() {
    this.there.fill(0);
    this.mass.fill(0);
    this.sum.fill(0);
  }

  /** An edge of `value` that is there by `presence`. */
  add(line, value, presence) {
    if (presence > this.there[line]) this.there[line] = presence;
    this.mass[line] += presence * Math.abs(value);
    this.sum[line] += presence * value;
  }

  /** The |score| that the width of a line stands for; while it fades its width follows `there`. */
  size(line) {
    return this.there[line] > 0 ? this.mass[line] / this.there[line] : 0;
  }
}

/**
 * How a line changed from snapshot `a` to `b`, in the words of `change`: entered if none of its edges
 * was in the circuit before, left if none still is. Its score is the sum of |score| over the edges
 * that are in either circuit, its noise the sum of theirs, which it is at most. It is reversed if the
 * sum of their scores is, and larger than the noise of that before and after.
 */
export function lineChange(model, edges, a, b) {
  if (edges.length === 1) return change(model, edges[0], a, b);
  const { E, member, score, error, noiseBand } = model;
  let [before, now, was, is, moved, band] = [false, false, 0, 0, 0, 0];
  const [sums, bands] = [[0, 0], [0, 0]];
  for (const e of edges) {
    const [from, to] = [a * E + e, b * E + e];
    if (!member[from] && !member[to]) continue;
    before ||= Boolean(member[from]);
    now ||= Boolean(member[to]);
    was += Math.abs(score[from]);
    is += Math.abs(score[to]);
    moved += Math.abs(score[to] - score[from]);
    band += error ? noiseBand * Math.hypot(error[from], error[to]) : NaN;
    [from, to].forEach((at, end) => {
      sums[end] += score[at];
      bands[end] += error ? noiseBand * error[at] : NaN;
    });
  }
  if (!before && !now) return "";
  const noisy = Number.isNaN(band) ? null : moved <= band;
  if (!before) return noisy ? "entered~" : "entered";
  if (!now) return noisy ? "left~" : "left";
  if (noisy === null) return "same";
  if (sums[0] * sums[1] < 0 && sums.every((sum, end) => Math.abs(sum) > bands[end])) return "reversed";
  if (noisy) return "noise";
  return is > was ? "strengthened" : "weakened";
}
