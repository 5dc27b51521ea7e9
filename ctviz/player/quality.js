// How far a circuit can be trusted, in plain words.

import { moment } from "./data.js";
import { percent } from "./numbers.js";

const CLOSE = 0.85; // from this faithfulness on, the circuit does nearly what the model does
const HALF = 0.5;
const OVER = 1.15;
const BLUR = 0.5; // a standard error from which on a faithfulness says nothing
const MARGIN = 0.1; // a circuit this little above random ones says nothing
const OUTSIDE = {
  counterfactual: "is fed the counterfactual prompt",
  mean: "writes its mean over the examples",
  zero: "writes nothing (zero)",
};

/** Whether a faithfulness is too uncertain to say anything. */
const blurred = (faithful, error) =>
  error !== null && (error > BLUR || 2 * error > Math.max(Math.abs(faithful), BLUR));

/** The curves without the points of faithfulness that say nothing. */
export function readable(curves, steps, quality) {
  if (!quality) return curves;
  const empty = new Set(steps.filter((_, t) => {
    const [faithful, , error] = quality[t];
    return faithful !== null && blurred(faithful, error);
  }));
  const keep = (curve) => curve.values.map((v, at) => (empty.has(curve.steps[at]) ? null : v));
  return curves.map((curve) =>
    (curve.panel === "faithfulness" && !curve.series ? { ...curve, values: keep(curve) } : curve));
}

/**
 * { grade, words, lines } for a snapshot: grade is good, fair, poor or none. With fewer edges drawn
 * than the circuit has, it says that it is about all of them.
 */
export function quality(model, t, drawn = Infinity) {
  const said = judged(model, t);
  const all = model.size[t];
  if (said.grade === "none" || drawn >= all) return said;
  return {
    ...said,
    words: `all ${all} edges: ${said.words}`,
    lines: [...said.lines, `This is about the circuit's ${all} edges, of which ${drawn} are drawn.`],
  };
}

/** What the backbone of a snapshot holds of the scores, and carries of the behaviour if it was measured. */
export function backboneWords({ backbone }, t) {
  const share = backbone.shares[t] ?? null;
  if (share === null) return "";
  const [carried, error] = backbone.alone[t];
  const alone = carried === null || blurred(carried, error) ? ""
    : `; alone it carries ${percent(carried)}${error === null ? "" : ` ± ${percent(error)}`} of the behaviour`;
  return `the backbone: ${percent(share)} of the circuit's |score|${alone}`;
}

function judged(model, t) {
  const [faithful, random, error, low = null, high = null] = model.quality?.[t] ?? [null, null, null];
  if (faithful === null) {
    return { grade: "none", words: "faithfulness not measured", lines: ["Faithfulness not measured at this step"] };
  }
  const source = model.provenance?.quality;
  const from = source ? [`Source: ${moment(model, t)}, ${source}`] : [];
  const value = `Faithfulness ${percent(faithful, 1)}${error === null ? "" : ` ± ${percent(error, 1)}`}`;
  if (blurred(faithful, error)) {
    return {
      grade: "none", words: "faithfulness says nothing at this step",
      lines: [
        value, "At this step the metric hardly differs between the whole model and the fully",
        "corrupted one, so the share of that difference which the circuit carries is not defined.",
        ...from,
      ],
    };
  }
  const lines = [
    value,
    `The circuit alone is run, and everything outside of it ${OUTSIDE[model.ablation]}:`,
    `it carries ${percent(faithful, 1)} of the difference between all and nothing.`,
  ];
  if (random !== null) {
    const range = low === null || low === high ? "" : ` (${percent(low, 1)} to ${percent(high, 1)})`;
    lines.push(`For comparison, ${percent(random, 1)}${range}: ${model.provenance?.random ?? "random circuits of its size"}.`);
  }
  lines.push(...from);
  const share = percent(faithful);
  const sure = faithful - 2 * (error ?? 0);
  if (random !== null && sure <= Math.max(random + MARGIN, high ?? random)) {
    const better = sure <= (high ?? random) ? "no better" : "hardly better";
    return { grade: "poor", words: `${better} than random circuits: carries ${share}`, lines };
  }
  if (faithful > OVER) {
    return { grade: "fair", words: `carries ${share}: the rest of the model works against it`, lines };
  }
  if (faithful >= CLOSE) return { grade: "good", words: `faithful: carries ${share} of the behaviour`, lines };
  if (faithful >= HALF) return { grade: "fair", words: `partly faithful: carries ${share}`, lines };
  return { grade: "poor", words: `weak: carries only ${share} of the behaviour`, lines };
}
