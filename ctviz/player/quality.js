// How far a circuit can be trusted, in plain words.

import { percent } from "./dom.js";

const CLOSE = 0.85; // from this faithfulness on, the circuit does nearly what the model does
const HALF = 0.5;
const OVER = 1.15;
const MARGIN = 0.1; // a circuit this little above random ones says nothing

/** { grade, words, lines } for a snapshot: grade is good, fair, poor or none. */
export function quality(model, t) {
  const [faithful, random, error] = model.quality?.[t] ?? [null, null, null];
  if (faithful === null) {
    return { grade: "none", words: "faithfulness not measured", lines: ["Faithfulness not measured at this step"] };
  }
  const lines = [
    `Faithfulness ${percent(faithful, 1)}${error === null ? "" : ` ± ${percent(error, 1)}`}`,
    "The circuit alone is run, and everything outside of it is fed the counterfactual prompt:",
    `it carries ${percent(faithful, 1)} of the difference between all and nothing.`,
  ];
  if (random !== null) lines.push(`Random circuits of its size carry ${percent(random, 1)}.`);
  if (model.provenance?.quality) lines.push(`Source: step ${model.steps[t]}, ${model.provenance.quality}`);
  const share = percent(faithful);
  if (random !== null && faithful - 2 * (error ?? 0) <= random + MARGIN) {
    return { grade: "poor", words: `no better than random circuits: carries ${share}`, lines };
  }
  if (faithful > OVER) {
    return { grade: "fair", words: `carries ${share}: the rest of the model works against it`, lines };
  }
  if (faithful >= CLOSE) return { grade: "good", words: `faithful: carries ${share} of the behaviour`, lines };
  if (faithful >= HALF) return { grade: "fair", words: `partly faithful: carries ${share}`, lines };
  return { grade: "poor", words: `weak: carries only ${share} of the behaviour`, lines };
}
