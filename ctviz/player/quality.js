// How far a circuit can be trusted, in plain words. What is said is decided in ctviz/runs/trust.py.

import { moment } from "./data.js";
import { percent } from "./numbers.js";

const OUTSIDE = {
  counterfactual: "is fed the counterfactual prompt",
  mean: "writes its mean over the examples",
  zero: "writes nothing (zero)",
};

/**
 * { state, grade, words, lines } for a snapshot: grade is good, fair, poor or none. With fewer edges
 * drawn than the circuit has, it says that it is about all of them.
 */
export function quality(model, t, drawn = Infinity) {
  const [state, grade, words, why] = model.trust?.[t] ?? ["unmeasured", "none", "faithfulness not measured", ""];
  const lines = why ? sentences(why) : [];
  if (state === "unmeasured") return { state, grade, words, lines: ["Faithfulness not measured at this step"] };
  const found = numbers(model, t);
  const source = model.provenance?.quality;
  const from = source ? [`Source: ${moment(model, t)}, ${source}`] : [];
  const all = model.size[t];
  if (state === "undefined") return { state, grade, words, lines: [found[0], ...lines, ...from] };
  const part = drawn < all;
  return {
    state, grade,
    words: part && grade !== "none" ? `all ${all} edges: ${words}` : words,
    lines: [
      ...found, ...lines, ...from,
      ...(part ? [`This is about the circuit's ${all} edges, of which ${drawn} are drawn.`] : []),
    ],
  };
}

/** What the backbone of a snapshot holds of the scores, and carries of the behaviour if it was measured. */
export function backboneWords({ backbone }, t) {
  const share = backbone.shares[t] ?? null;
  if (share === null) return "";
  const alone = backbone.alone[t] ? `; alone it carries ${backbone.alone[t]} of the behaviour` : "";
  return `the backbone: ${percent(share)} of the circuit's |score|${alone}`;
}

/** The numbers behind it, in lines of a tooltip. */
function numbers(model, t) {
  const [faithful, random, error, low = null, high = null] = model.quality[t];
  const lines = [
    `Faithfulness ${percent(faithful, 1)}${error === null ? "" : ` ± ${percent(error, 1)}`}`,
    `The circuit alone is run, and everything outside of it ${OUTSIDE[model.ablation]}:`,
    `it carries ${percent(faithful, 1)} of the difference between all and nothing.`,
  ];
  if (random !== null) {
    const range = low === null || low === high ? "" : ` (${percent(low, 1)} to ${percent(high, 1)})`;
    lines.push(`For comparison, ${percent(random, 1)}${range}: ${model.provenance?.random ?? "random circuits of its size"}.`);
  }
  return lines;
}

/** A text in lines of a tooltip, broken between words. */
function sentences(text) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length > 84) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
