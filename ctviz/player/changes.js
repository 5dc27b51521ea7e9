// What changed between two snapshots, or differs between two runs: by edge, and in words.
//
// The rule is that of ctviz/runs/changes.py, whose noise band comes with the payload.

import { moment } from "./data.js";

/**
 * @typedef {{ E: number, member: ArrayLike<number>, score: ArrayLike<number>,
 *   error: ArrayLike<number> | null, noiseBand: number }} Compared edges by [snapshot, edge]
 */

/**
 * How an edge changed from snapshot `a` to snapshot `b`: "", if it is in neither circuit, or
 * entered, left, strengthened, weakened, noise (inside the noise band) or same (the errors are not
 * known). One of the opposite sign, both beyond the noise, is "reversed". An edge that entered or left by no more than noise is "entered~" or "left~".
 *
 * @param {Compared} model
 * @param {number} e
 * @param {number} a
 * @param {number} b
 */
export function change(model, e, a, b) {
  const { E, member, score, error, noiseBand } = model;
  const [from, to] = [a * E + e, b * E + e];
  if (!member[from] && !member[to]) return "";
  const moved = score[to] - score[from];
  const band = error ? noiseBand * Math.hypot(error[from], error[to]) : NaN;
  const noisy = Number.isNaN(band) ? null : Math.abs(moved) <= band;
  if (!member[from]) return noisy ? "entered~" : "entered";
  if (!member[to]) return noisy ? "left~" : "left";
  if (noisy === null) return "same";
  if (turned(score, error, noiseBand, from, to)) return "reversed";
  if (noisy) return "noise";
  return Math.abs(score[to]) > Math.abs(score[from]) ? "strengthened" : "weakened";
}

/** Whether two scores have opposite signs, each beyond its own noise. */
function turned(score, error, noiseBand, from, to) {
  if (score[from] < 0 === score[to] < 0) return false;
  return [from, to].every((at) => Math.abs(score[at]) > noiseBand * error[at]);
}

/**
 * Whether an edge that is in both circuits has opposite signs in two runs at a snapshot, each beyond
 * its noise.
 *
 * @param {Compared & { other: Pick<Compared, "member" | "score" | "error"> }} model
 * @param {number} e
 * @param {number} t
 */
export function opposite({ E, member, score, error, noiseBand, other }, e, t) {
  const at = t * E + e;
  if (!member[at] || !other.member[at] || !error || !other.error) return false;
  return turned([score[at], other.score[at]], [error[at], other.error[at]], noiseBand, 0, 1);
}

/**
 * That an edge only strengthened or only weakened over the run, beyond the noise; else "".
 *
 * @param {{ monotone?: number[] }} model
 * @param {number} e
 */
export function monotoneWords(model, e) {
  const course = model.monotone?.[e] ?? 0;
  if (!course) return "";
  return course > 0 ? "only strengthened over the run" : "only weakened over the run";
}

/**
 * The changes of the whole circuit from snapshot `before` to snapshot `now`, counted.
 *
 * @param {Compared & { steps: number[], whole: { kept: number, dropped: number } }} model
 * @param {number} before
 * @param {number} now
 */
export function changeWords(model, before, now) {
  const count = {};
  for (let e = 0; e < model.E; e += 1) {
    const state = change(model, e, before, now);
    count[state] = (count[state] ?? 0) + 1;
  }
  const sum = (...states) => states.reduce((total, state) => total + (count[state] ?? 0), 0);
  const back = before > now; // then what is here and not there has not entered: it is gone by then
  const here = back ? " here" : "";
  const parts = [
    `${sum("entered", "entered~")} ${back ? "gone by then" : "entered"}`,
    `${sum("left", "left~")} ${back ? "not yet here" : "left"}`,
  ];
  if (model.error) {
    parts.push(`${sum("strengthened")} stronger${here}`, `${sum("weakened")} weaker${here}`);
    parts.push(`${sum("reversed")} reversed`, `${sum("noise")} within noise`);
  }
  const { kept, dropped } = model.whole;
  const among = dropped ? ` (among the ${kept} strongest edges of the run)` : "";
  const beside = back ? `before ${moment(model, before)}` : `since ${moment(model, before)}`;
  return `${beside}: ${parts.join(", ")}${among}`;
}

/** How much two runs have in common at snapshot `i`, and how much of that is reversed. */
export function overlapWords(model, i) {
  const { counts, error, other, label } = model;
  const both = other.counts.both[i];
  const [one, two] = [counts.size[i] - both, other.counts.size[i] - both];
  let reversed = 0;
  for (let e = 0; e < model.E; e += 1) if (opposite(model, e, i)) reversed += 1;
  const turned = error && other.error ? ` (${reversed} reversed)` : "";
  return `${both} in both${turned}, ${one} only in ${label}, ${two} only in ${other.label}`;
}
