// Metric curves as small multiples on the player's time axis; a click or drag moves the clock.

import { axis } from "./axis.js";
import { h, s, setText } from "./dom.js";
import { number } from "./numbers.js";
import { source } from "./tooltip.js";

const NAMES = {
  metric: "Task metric",
  faithfulness: "Faithfulness",
  heads: "Best head on repeats",
  loss: "Training loss",
  retention: "Forgetting (KL from untuned)",
  grade: "Task grade",
  others: "Other tasks",
  perplexity: "Perplexity",
  drift: "Moved outside of the circuit",
  parts: "Metric by part",
};
/** What a panel is called; what was recorded was not tuned. */
const panelName = (model, key) =>
  (key === "retention" && model.method === "recorded" ? "KL from the first" : NAMES[key] ?? key);
const ZERO_BASED = new Set(["loss", "retention", "drift", "grade", "others", "heads"]);
const COLOURED = new Set(["parts", "heads"]); // each curve has a colour of its own
const COUNTS = new Set(["drift"]);
const PAGE = 4; // small multiples at a time
const PAD = { left: 34, right: 8, top: 6, bottom: 16 };

/** Two to four round numbers inside [low, high]. */
export function ticks(low, high) {
  const span = high - low || 1;
  const rough = span / 3.2;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((v) => v >= rough) ?? power;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * span; v += step) {
    out.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  }
  return out;
}

/** Decimals that ticks `gap` apart need: 0.25 needs two. */
function decimalsFor(gap) {
  const digits = Math.max(0, Math.ceil(-Math.log10(gap) - 1e-9));
  return gap.toExponential().startsWith("2.5") ? digits + 1 : digits;
}

/** The value of a curve at a training step, between its points; NaN inside a gap. */
export function valueAt(curve, step) {
  const { steps, values } = curve;
  if (!steps.length || step < steps[0] || step > steps[steps.length - 1]) return NaN;
  let k = 0;
  while (k < steps.length - 1 && steps[k + 1] <= step) k += 1;
  if (values[k] === null) return NaN;
  if (steps[k] === step || k === steps.length - 1) return values[k];
  if (values[k + 1] === null) return NaN;
  return values[k] + ((values[k + 1] - values[k]) * (step - steps[k])) / (steps[k + 1] - steps[k]);
}

/** A number of a panel; of a faithfulness, what is not seen in thousandths is none. */
const readout = (panel, value) =>
  number(panel === "faithfulness" ? Math.round(value * 1000) / 1000 : value);

export class Curves {
  /** `actions`: seek(step, done), tooltip(lines, x, y). */
  constructor(actions) {
    this.actions = actions;
    this.grid = h("div", { class: "cz-multiples" });
    this.pager = h("div", { class: "cz-toggle", role: "group", "aria-label": "Metrics shown" });
    this.element = h("section", { class: "cz-panel cz-curves", "aria-label": "Metrics" },
      h("header", {}, h("h3", { text: "Over the run" }), this.pager), this.grid);
    this.panels = [];
    this.page = 0;
    new ResizeObserver(() => this.layout()).observe(this.grid);
  }

  setModel(model) {
    this.model = model;
    const groups = new Map();
    for (const curve of model.curves) {
      if (!groups.has(curve.panel)) groups.set(curve.panel, []);
      groups.get(curve.panel).push(curve);
    }
    this.groups = [...groups];
    const pages = Math.ceil(this.groups.length / PAGE);
    if (this.page >= pages) this.page = 0;
    this.pager.hidden = pages < 2;
    this.pager.replaceChildren(...Array.from({ length: pages }, (_, page) => {
      const names = this.groups.slice(page * PAGE, (page + 1) * PAGE).map(([key]) => panelName(this.model, key));
      return h("button", {
        type: "button", text: page ? "more" : "main", title: names.join(", "),
        onclick: () => this.turn(page),
      });
    }));
    this.turn(this.page);
  }

  turn(page) {
    this.page = page;
    [...this.pager.children].forEach((button, at) =>
      button.setAttribute("aria-pressed", String(at === page)));
    const shown = this.groups.slice(page * PAGE, (page + 1) * PAGE);
    this.panels = shown.map(([key, curves]) => this.panel(key, curves));
    this.grid.replaceChildren(...this.panels.map((panel) => panel.element));
    this.grid.dataset.count = this.panels.length;
    this.layout();
  }

  panel(key, curves) {
    const { model } = this;
    const readouts = curves.map(() => h("b", {}));
    const svg = s("svg", { class: "cz-plot", "aria-hidden": "true" });
    const names = curves.map((curve, at) =>
      h("span", {
        class: curve.kind === "reference" ? "cz-ref" : "cz-main-line",
        style: this.styleOf(curve),
      },
        ...(curves.length > 1 || !NAMES[key] ? [h("i"), h("span", { text: curve.label })] : []),
        readouts[at]),
    );
    const title = panelName(this.model, key);
    const caption = h("figcaption", { tabindex: 0 },
        h("strong", { text: title }), ...names,
        key === "metric" ? h("small", { text: model.metric }) : null);
    source(caption, this.actions, () => this.lines(key, curves));
    const element = h("figure", { class: "cz-multiple", "data-panel": key }, caption, svg);
    const seek = (event, done) => {
      const box = svg.getBoundingClientRect();
      const share = (event.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
      const { steps } = this.model;
      if (!steps.length) return;
      this.actions.seek(axis(steps).step(Math.max(0, Math.min(1, share))), done);
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      seek(event, false);
    });
    svg.addEventListener("pointermove", (event) => event.buttons && seek(event, false));
    svg.addEventListener("pointerup", (event) => seek(event, true));
    return { key, curves, svg, element, readouts };
  }

  /** What stands in a panel's caption, with where each number comes from. */
  lines(key, curves) {
    const step = this.model.steps[this.view?.shown ?? 0];
    const lines = [`${panelName(this.model, key)} at step ${step}`];
    if (key === "metric") lines.push(this.model.metric);
    for (const curve of curves) {
      lines.push(`${curve.label}: ${readout(key, valueAt(curve, step))}`);
      if (curve.note) lines.push(`Source: ${curve.note}`);
    }
    return lines.filter((line, at) => lines.indexOf(line) === at);
  }

  layout() {
    if (!this.model) return;
    for (const panel of this.panels) this.plot(panel);
    this.drawn = null;
    if (this.view) this.draw(this.view);
  }

  plot(panel) {
    const { svg, curves } = panel;
    const w = svg.clientWidth;
    const t = svg.clientHeight;
    panel.width = w;
    svg.replaceChildren();
    if (w < 40 || t < 30) return;
    svg.setAttribute("viewBox", `0 0 ${w} ${t}`);
    const values = curves.flatMap((curve) => curve.values).filter((v) => v !== null);
    const { steps } = this.model;
    const first = steps[0] ?? 0;
    const last = Math.max(steps[steps.length - 1] ?? 1, first + 1e-9);
    const [low, high] = limits(panel.key, values);
    const { log, share } = axis(steps);
    const x = (step) => PAD.left + share(step) * (w - PAD.left - PAD.right);
    const y = (value) => PAD.top + ((high - value) / (high - low)) * (t - PAD.top - PAD.bottom);
    Object.assign(panel, { x, y });

    svg.append(...rules(low, high, y, w));
    for (const [step, anchor] of [[first, "start"], [last, "end"]]) {
      if (step === last && steps.length < 2) continue;
      const label = s("text", { class: "cz-tick", x: x(step), y: t - 3, "text-anchor": anchor });
      const end = `${Math.round(step)}${log ? " (log)" : ""}`;
      label.textContent = step === first ? `step ${step}` : end;
      svg.append(label);
    }
    for (const curve of [...curves].reverse()) {
      const kind = curve.kind === "reference" ? "cz-ref-path" : "cz-path";
      const style = this.styleOf(curve);
      svg.append(s("path", { class: kind, d: path(curve, x, y), style }));
    }
    if (!values.length) {
      const label = s("text", { class: "cz-tick cz-halo", x: w / 2, y: t / 2, "text-anchor": "middle" });
      label.textContent = "not measured";
      svg.append(label);
    }
    panel.head = s("line", { class: "cz-head", y1: PAD.top - 4, y2: t - PAD.bottom });
    panel.dots = curves.map((curve) =>
      s("circle", {
        class: curve.kind === "reference" ? "cz-dot cz-dot-ref" : "cz-dot", r: 3,
        style: this.styleOf(curve),
      }),
    );
    if (steps.length) svg.append(panel.head, ...panel.dots);
  }

  /** The colour of a run, where there are several, or of a part of the model. */
  styleOf(curve) {
    const { curves } = this.model;
    const many = curves.some(({ series }) => series > 0);
    if (!many && (!COLOURED.has(curve.panel) || curve.kind === "reference")) return null;
    const parts = curves.filter(({ panel }) => panel === curve.panel);
    return `--cz-series:var(--cz-series-${many ? curve.series : parts.indexOf(curve)})`;
  }

  draw(view) {
    this.view = view;
    const { steps } = this.model;
    if (!steps.length) return;
    const step = steps[view.i] + (steps[view.j] - steps[view.i]) * view.f;
    if (step === this.drawn) return;
    this.drawn = step;
    for (const panel of this.panels) {
      if (!panel.x || !panel.head) continue;
      const [from, to] = [view.i, view.j].map((at) => panel.x(steps[at]));
      const at = from + (to - from) * view.f;
      panel.head.setAttribute("transform", `translate(${at.toFixed(2)} 0)`);
      panel.curves.forEach((curve, k) => {
        const value = valueAt(curve, step);
        const dot = panel.dots[k];
        dot.style.display = Number.isNaN(value) ? "none" : "";
        if (!Number.isNaN(value)) {
          dot.setAttribute("transform", `translate(${at.toFixed(2)} ${panel.y(value).toFixed(2)})`);
        }
        setText(panel.readouts[k], readout(panel.key, valueAt(curve, steps[view.shown])));
      });
    }
  }
}

/** The values at the foot and at the top of a panel. */
function limits(key, values) {
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  if (key === "faithfulness") [low, high] = [Math.min(low, 0), Math.max(high, 1)];
  if (ZERO_BASED.has(key)) low = Math.min(low, 0);
  if (high - low < 1e-9) [low, high] = COUNTS.has(key) ? [0, 1] : [low - 0.5, high + 0.5];
  const room = 0.06 * (high - low);
  return [low - (low < 0 || low > 0 ? room : 0), high + room];
}

/** Lines across a panel of width `w` at round values, with those values at their left. */
function rules(low, high, y, w) {
  const marks = ticks(low, high);
  const gap = marks.length > 1 ? marks[1] - marks[0] : 1;
  const decimals = decimalsFor(gap);
  return marks.flatMap((tick) => {
    const kind = tick === 0 && low < 0 && high > 0 ? "cz-zero" : "cz-rule";
    const line = s("line", { class: kind, x1: PAD.left, x2: w - PAD.right, y1: y(tick), y2: y(tick) });
    const text = s("text", { class: "cz-tick", x: PAD.left - 5, y: y(tick) + 3.5, "text-anchor": "end" });
    text.textContent = decimals > 3 || Math.abs(tick) >= 1e5
      ? number(tick) : tick.toFixed(decimals).replace("-", "−");
    return [line, text];
  });
}

function path(curve, x, y) {
  let d = "";
  let pen = false;
  curve.steps.forEach((step, k) => {
    const value = curve.values[k];
    if (value === null) {
      pen = false;
      return;
    }
    d += `${pen ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  });
  return d;
}
