// What the marks of the graph mean.

import { h, number, s } from "./dom.js";

function sample(...shapes) {
  return s("svg", { viewBox: "0 0 30 18", "aria-hidden": "true" }, ...shapes);
}

const line = (kind, extra = {}) =>
  s("line", { class: kind, x1: 2, x2: 28, y1: 9, y2: 9, "stroke-width": 3, ...extra });

function item(text, icon, title) {
  return h("span", { class: "cz-legend-item", title }, icon, h("span", { text }));
}

export function legend({ widest }) {
  const letters = ["q", "k", "v"].map((letter, at) => {
    const text = s("text", { x: 7 + 8 * at, y: 17, class: "cz-l-letter" });
    text.textContent = letter;
    return text;
  });
  return [
    item("supports", sample(line("cz-l-plus")), "Positive score: corrupting this edge alone lowers the metric"),
    item("works against", sample(line("cz-l-minus")), "Negative score: corrupting this edge alone raises the metric"),
    item(`|score|, widest ≥ ${number(widest)}`, sample(s("path", { class: "cz-l-wedge", d: "M2 9L28 5V13Z" })), "The wider, the stronger"),
    item("entered", sample(line("cz-l-glow", { "stroke-width": 10 }), line("cz-l-plus", { "stroke-width": 2 })), "In the circuit now, not at the snapshot shown before"),
    item("left", sample(line("cz-l-plus cz-l-dots", { "stroke-width": 1.5 })), "In the circuit at the snapshot shown before, not now"),
    item("query, key, value", sample(s("path", { class: "cz-l-head", d: "M5 1A10 10 0 0 0 25 1" }), ...letters), "An edge enters a head at its left for the query, in the middle for the key, at its right for the value"),
    item("parameters updated", sample(s("circle", { class: "cz-l-ring", cx: 15, cy: 9, r: 6.5 })), "This step changed parameters that the node owns"),
  ];
}
