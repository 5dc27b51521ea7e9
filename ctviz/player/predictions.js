// What the model says next on a stored sentence: bars between two snapshots, and how likely the
// answer and the word that it competes with are.

import { percent } from "./numbers.js";

/**
 * @typedef {{ answer: string, foil: string, predictions: [string, number][][],
 *   chances: (number | null)[][] }} Said
 */

/** Likeliest next tokens, each with a key of its own: two tokens may be written alike. */
function keyed(top) {
  const seen = new Map();
  return (top ?? []).map(([token, p], place) => {
    const count = seen.get(token) ?? 0;
    seen.set(token, count + 1);
    return { key: `${token} ${count}`, token, p, place };
  });
}

/**
 * The bars on the way from snapshot `i` to `j`, `f` of it done: { key, token, p, place, seen }.
 * A token that is stored at both moves from the one number to the other; one that is stored at one
 * of them alone keeps its number and fades, as the other is not known: `seen` goes from 0 to 1.
 *
 * @param {Said} probe
 * @param {number} i
 * @param {number} j
 * @param {number} f
 */
export function bars(probe, i, j, f) {
  const from = keyed(probe.predictions[i]);
  if (f <= 0 || i === j) return from.map((bar) => ({ ...bar, seen: 1 }));
  const to = new Map(keyed(probe.predictions[j]).map((bar) => [bar.key, bar]));
  const between = from.map((bar) => {
    const other = to.get(bar.key);
    to.delete(bar.key);
    if (!other) return { ...bar, seen: 1 - f };
    const way = (a, b) => a + (b - a) * f;
    return { ...bar, p: way(bar.p, other.p), place: way(bar.place, other.place), seen: 1 };
  });
  return [...between, ...[...to.values()].map((bar) => ({ ...bar, seen: f }))];
}

/** A probability as people read it: small ones with a digit more. */
export function likely(p) {
  if (p < 0.0005) return "under 0.1 %";
  return percent(p, p < 0.0995 ? 1 : 0);
}

/** A word as it is shown: its blank in front is of the model's spelling. */
export const word = (token) => token.replace(/\n/g, "⏎").trim() || "␣";

/**
 * Of the answer (0) or the word that it competes with (1): how likely it was at the first snapshot
 * and is at snapshot `t`, in words. What is not stored is not known, and said to be so.
 *
 * @param {Said} probe
 * @param {0 | 1} which
 * @param {number} t
 */
export function chance(probe, which, t) {
  const said = (at) => {
    const p = probe.chances[at]?.[which] ?? null;
    return p === null ? `not among the ${probe.predictions[at]?.length ?? 0} likeliest` : likely(p);
  };
  return t > 0 ? { first: said(0), now: said(t) } : { first: "", now: said(t) };
}

/**
 * Weights of attention from the last token to each, 0 to 1, between two snapshots; null without.
 *
 * @param {{ weights: ArrayLike<number>, width: number, n: number } | null} maps
 */
export function lastRow(maps, i, j, f) {
  if (!maps) return null;
  const { weights, width, n } = maps;
  const begin = (n * (n - 1)) / 2;
  return Array.from({ length: n }, (_, k) => {
    const [a, b] = [i, j].map((t) => weights[t * width + begin + k]);
    return (a + (b - a) * f) / 255;
  });
}
