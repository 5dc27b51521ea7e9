// What the marks of the graph mean.

import { h, s } from "./dom.js";
import { number } from "./numbers.js";

function sample(...shapes) {
  return s("svg", { viewBox: "0 0 30 18", "aria-hidden": "true" }, ...shapes);
}

/** A disc, its left half in the one colour, its right half in the other. */
const disc = (left, right) => [
  s("path", { class: `${left} cz-l-half`, d: "M15 4A5 5 0 0 0 15 14Z" }),
  s("path", { class: `${right} cz-l-half`, d: "M15 4A5 5 0 0 1 15 14Z" }),
  s("circle", { class: "cz-l-disc", cx: 15, cy: 9, r: 5 }),
];

const line = (kind, extra = {}) =>
  s("line", { class: kind, x1: 2, x2: 28, y1: 9, y2: 9, "stroke-width": 3, ...extra });

function item(text, icon, title) {
  return h("span", { class: "cz-legend-item", title }, icon, h("span", { text }));
}

export function legend({ widest, other, label, noiseBand }) {
  const letters = ["q", "k", "v"].map((letter, at) => {
    const text = s("text", { x: 7 + 8 * at, y: 17, class: "cz-l-letter" });
    text.textContent = letter;
    return text;
  });
  const enters = item("query, key, value", sample(s("path", { class: "cz-l-head", d: "M5 1A10 10 0 0 0 25 1" }), ...letters), "An edge enters a head at its left for the query, in the middle for the key, at its right for the value");
  const one = s("text", { x: 15, y: 12.5, class: "cz-l-rank" });
  one.textContent = "1";
  const wedge = item("|score|", sample(s("path", { class: "cz-l-wedge", d: "M2 9L28 5V13Z" })), `The wider, the stronger; from ${number(widest)} on all are as wide`);
  if (other) {
    return [
      item(`only in ${label}`, sample(line("cz-l-first")), "In the first one's circuit only"),
      item(`only in ${other.label}`, sample(line("cz-l-other")), "In the other one's circuit only"),
      item("noise", sample(line("cz-l-first", { "stroke-width": 3.5 }), line("cz-l-cut", { "stroke-width": 5 })), `Only in one of the two, but the scores differ by no more than the noise: ${noiseBand} standard errors of the difference over examples`),
      item("in both", sample(line("cz-l-both")), "In both circuits"),
      item("reversed", sample(line("cz-l-both"), ...disc("cz-l-plus", "cz-l-minus")), "In both circuits with opposite signs, each beyond the noise: it supports the behaviour in one and works against it in the other. Left half: the first one's sign, right half: the other's"),
      wedge, enters,
    ];
  }
  return [
    item("supports", sample(line("cz-l-plus")), "Positive score: corrupting this edge alone lowers the metric"),
    item("works against", sample(line("cz-l-minus")), "Negative score: corrupting this edge alone raises the metric"),
    wedge,
    item("entered", sample(line("cz-l-glow", { "stroke-width": 10 }), line("cz-l-plus", { "stroke-width": 2 })), "In the circuit now, not at the snapshot it is compared with"),
    item("left", sample(line("cz-l-plus cz-l-dots", { "stroke-width": 1.5 })), "In the circuit at the snapshot it is compared with, not now"),
    item("stronger", sample(line("cz-l-seam", { "stroke-width": 5.5 }), line("cz-l-plus")), `|score| grew by more than the noise: ${noiseBand} standard errors of the difference over examples`),
    item("weaker", sample(line("cz-l-plus", { "stroke-width": 3.5 }), line("cz-l-cut", { "stroke-width": 5 })), `|score| shrank by more than the noise: ${noiseBand} standard errors of the difference over examples`),
    item("reversed", sample(line("cz-l-minus"), ...disc("cz-l-plus", "cz-l-minus")), `Its score has the other sign, before and now beyond ${noiseBand} of its standard errors. Left half: the sign that it had, right half: the one it has`),
    item("noise", sample(line("cz-l-noise cz-l-dots", { "stroke-width": 1.2 })), "Entered or left by no more than the noise; an edge without any mark changed by no more than it"),
    enters,
    item("strongest heads", sample(s("circle", { class: "cz-l-badge", cx: 15, cy: 9, r: 7 }), one), "The three heads whose edges into the circuit have the largest sums of |score| at this snapshot"),
    item("parameters updated", sample(s("circle", { class: "cz-l-ring", cx: 15, cy: 9, r: 6.5 })), "This step changed parameters that the node owns"),
  ];
}
