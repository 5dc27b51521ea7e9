// What of the difference between two runs, or two steps of a run, is noise. The rule is that of
// ctviz/runs/changes.py: two standard errors of the difference over examples.

/**
 * @typedef {{ E: number, member: ArrayLike<number>, score: ArrayLike<number>,
 *   error: ArrayLike<number> | null, noiseBand: number, other: { member: ArrayLike<number>,
 *   score: ArrayLike<number>, error: ArrayLike<number> | null, oneUnit: boolean } }} Pair
 */

/**
 * Whether the scores of an edge that is in either circuit differ by no more than noise; null where
 * that is not known, as between scores in different units.
 *
 * @param {Pair} model
 * @param {number} e
 * @param {number} t
 */
export function alikeByNoise({ E, member, score, error, noiseBand, other }, e, t) {
  const at = t * E + e;
  if (!error || !other.error || !other.oneUnit || !(member[at] || other.member[at])) return null;
  const band = noiseBand * Math.hypot(error[at], other.error[at]);
  return Number.isNaN(band) ? null : Math.abs(other.score[at] - score[at]) <= band;
}

/**
 * How many edges differ between the two at snapshot `i` by no more than noise; "" if not known.
 *
 * @param {Pair} model
 * @param {number} i
 */
export function noiseWords(model, i) {
  const alike = Array.from({ length: model.E }, (_, e) => alikeByNoise(model, e, i));
  if (alike.every((one) => one === null)) return "";
  return `; ${alike.filter(Boolean).length} of these differ by no more than the noise`;
}

/**
 * Whether a line stands for edges that only one of the two has, and all of them by no more than
 * noise.
 *
 * @param {Pair} model
 * @param {ArrayLike<number>} edges
 * @param {number} t
 */
export function onlyByNoise(model, edges, t) {
  const { E, member, other } = model;
  const there = Array.from(edges).filter((e) => member[t * E + e] || other.member[t * E + e]);
  const apart = there.every((e) => member[t * E + e] !== other.member[t * E + e]);
  return there.length > 0 && apart && there.every((e) => alikeByNoise(model, e, t) === true);
}
