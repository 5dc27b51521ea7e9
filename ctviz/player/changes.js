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
 * known). An edge that entered or left by no more than noise is "entered~" or "left~".
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
  if (noisy) return "noise";
  return Math.abs(score[to]) > Math.abs(score[from]) ? "strengthened" : "weakened";
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
  const parts = [`${sum("entered", "entered~")} entered`, `${sum("left", "left~")} left`];
  if (model.error) {
    parts.push(`${sum("strengthened")} stronger`, `${sum("weakened")} weaker`);
    parts.push(`${sum("noise")} within noise`);
  }
  const { kept, dropped } = model.whole;
  const among = dropped ? ` (among the ${kept} strongest edges of the run)` : "";
  return `since ${moment(model, before)}: ${parts.join(", ")}${among}`;
}

/** How much two runs have in common at snapshot `i`. */
export function overlapWords({ counts, other, label }, i) {
  const both = other.counts.both[i];
  const [one, two] = [counts.size[i] - both, other.counts.size[i] - both];
  return `${both} in both, ${one} only in ${label}, ${two} only in ${other.label}`;
}
