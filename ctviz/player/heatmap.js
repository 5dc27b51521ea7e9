// A map of the nodes under the same clock, as one of three pictures: nodes (layers upwards, heads
// across, then the MLP), the same with each head's query, key and value apart, and nodes over all
// snapshots. It is of their redundancy (of two runs, of the difference), or of something else (maps).

import { fitCanvas, h, setText } from "./dom.js";
import { estimatorName, moment, title } from "./data.js";
import { nodeLines } from "./said.js";
import { Cells } from "./heatcells.js";
import { Steps } from "./heatsteps.js";
import { MAPS, TITLES, differenceLegend, ofHeads, offered, otherMap, shareLegend, whyNot } from "./maps.js";
import { percent } from "./numbers.js";

const VIEWS = { nodes: "nodes", qkv: "q k v", steps: "over steps" };
const INPUTS = ["query", "key", "value"];
const EXPLAIN = {
  circuit: () => "Share of a node's incoming edges that lie outside the circuit.",
  mass: (model) =>
    `Share of a node's incoming edges not needed to carry ${model.mass.slice(5)} of its total |score|.`,
};
const MEANS = { // of an estimator: which inputs it counts as needed
  circuit: () => "A node needs those of its inputs that are edges of the circuit",
  mass: (model) => `A node needs the fewest of its inputs that carry ${model.mass.slice(5)} of its mass, the sum of |score| over all of them`,
};
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Heatmap {
  /** `actions`: select(n), add(n), hover(n), go(i), tooltip(lines, x, y), redraw(), estimator(key),
   * heat(key), map(key). */
  constructor(actions) {
    this.actions = actions;
    this.canvas = h("canvas", {
      class: "cz-cells", tabindex: 0, role: "application", "aria-roledescription": "heatmap",
    });
    this.sheet = document.createElement("canvas"); // the cells without what marks them
    this.spoken = h("p", { class: "cz-unseen", "aria-live": "polite" });
    this.holder = h("div", { class: "cz-holder" }, this.canvas);
    this.views = h("div", { class: "cz-toggle", role: "group", "aria-label": "Heatmap of" });
    this.toggle = h("div", {
      class: "cz-toggle", role: "group", "aria-label": "Redundancy estimator",
    });
    this.of = h("div", { class: "cz-toggle", role: "group", "aria-label": "Map of" });
    this.does = h("div", { class: "cz-toggle", role: "group", "aria-label": "Map of what heads do" });
    this.title = h("h3", {});
    this.explain = h("p", { class: "cz-note" });
    this.legend = h("div", { class: "cz-legend-bar" });
    this.element = h(
      "section", { class: "cz-panel cz-heat", "aria-label": "Map of the nodes" },
      h("header", {}, this.title, this.does, this.of, this.views, this.toggle),
      this.explain, this.holder, this.spoken, this.legend,
    );
    this.size = { w: 0, h: 0 };
    this.cell = -1; // under the pointer, or where the arrow keys have gone
    this.byKey = false;
    const { canvas } = this;
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerleave", () => this.forget());
    canvas.addEventListener("blur", () => this.forget());
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("click", (event) => {
      const cell = this.layout?.at(...this.place(event)) ?? -1;
      if (cell >= 0) this.choose(cell, event);
    });
    new ResizeObserver(() => {
      this.size = { w: this.holder.clientWidth, h: this.holder.clientHeight };
      this.arranged = null;
      this.actions.redraw();
    }).observe(this.holder);
  }

  setModel(model) {
    this.model = model;
    this.arranged = null;
    const heads = model.nodes.map((_, n) => n).filter((n) => model.nodes[n].kind === "head");
    this.heads = new Map(heads.map((n, at) => [n, at])); // rows of model.split
    this.views.replaceChildren(...Object.entries(VIEWS).map(([key, text]) => {
      const missing = key === "qkv" && !this.splits();
      return h("button", {
        type: "button", "data-key": key, text, disabled: missing,
        title: missing ? whyNot(model, key) : null,
        onclick: () => this.actions.heat(key),
      });
    }));
    this.toggle.replaceChildren(...model.estimators.map((key) =>
      h("button", {
        type: "button", "data-key": key, text: estimatorName(model, key), title: MEANS[key]?.(model),
        onclick: () => this.actions.estimator(key),
      })));
    const maps = offered(model);
    this.maps = new Map(maps.map((key) => [key, otherMap(model, key)]));
    const buttons = maps.map((key) => {
      const missing = key !== "redundancy" && !this.maps.get(key);
      return h("button", {
        type: "button", "data-key": key, text: MAPS[key], disabled: missing,
        title: missing ? whyNot(model, key) : TITLES[key],
        onclick: () => this.actions.map(key),
      });
    });
    this.of.replaceChildren(...buttons.filter((_, at) => !ofHeads(maps[at])));
    this.does.replaceChildren(...buttons.filter((_, at) => ofHeads(maps[at])));
    this.does.hidden = !this.does.children.length;
  }

  /** Whether a picture of a map can be drawn. */
  draws(map, heat) {
    const other = this.maps.get(map);
    if (heat === "qkv") return !other && this.splits();
    return heat !== "steps" || !other || other.steps;
  }

  /** Whether queries, keys and values are known by themselves; of a difference they are not. */
  splits() {
    return Boolean(this.model.split) && !this.model.other;
  }

  // ---------------------------------------------------------------- values

  /** What a cell shows at snapshot t: redundancy of a node (part < 0) or of an input of a head, or
   * how much more redundant it is in the other run. NaN where it is undefined. */
  value(n, part, t) {
    const { model, estimator } = this;
    if (this.other) return this.other.value(n, part, t);
    if (part >= 0) return this.input(estimator, n, part, t);
    const of = ({ redundancy }) => redundancy[estimator]?.[t * model.N + n] ?? NaN;
    return model.other ? of(model.other) - of(model) : of(model);
  }

  /** Redundancy of a head's query, key or value by itself. */
  input(estimator, n, part, t) {
    const row = t * this.heads.size + this.heads.get(n);
    return this.model.split[estimator]?.[row * 3 + part] ?? NaN;
  }

  /** The same between two snapshots, as the clock is. */
  between(n, part, { i, j, f }) {
    const a = this.value(n, part, i);
    return f > 0 && (this.other?.smooth ?? true) ? a + (this.value(n, part, j) - a) * f : a;
  }

  colour(value) {
    const { theme } = this;
    if (Number.isNaN(value)) return theme.undefinedFill;
    if (this.other) return this.other.colour(value, this);
    return this.model.other ? this.diverging(value) : theme.fill(value);
  }

  diverging(value) {
    const at = Math.round(Math.sign(value) * Math.sqrt(Math.min(1, Math.abs(value))) * 100);
    return this.differences[at + 100];
  }

  // ---------------------------------------------------------------- drawing

  /** @param {import("./colour.js").Theme} theme */
  draw(view, theme) {
    const { model } = this;
    if (!model || !this.size.w || this.size.h < 20) return;
    const map = this.maps.get(view.map) ? view.map : "redundancy";
    const heat = this.draws(map, view.heat) ? view.heat : "nodes";
    const key = `${map} ${heat} ${view.estimator} ${window.devicePixelRatio}`;
    const fresh = this.arranged !== key || this.theme !== theme;
    this.view = view;
    this.map = map;
    this.other = this.maps.get(map); // what is drawn instead of redundancy
    if (fresh) this.arrange(heat, view, theme, key);
    const chosen = [...view.selectedSet];
    const marks = [view.selected, view.hovered, this.cell, ...chosen].join(" ");
    const moment = `${view.i} ${view.f} ${marks}`;
    if (!fresh && moment === this.moment) return;
    this.moment = moment;

    const { layout, sheet } = this;
    if (this.other) setText(this.explain, this.other.explain(view.shown));
    layout.paint(this, view, fresh);
    const ctx = fitCanvas(this.canvas, layout.width, layout.height);
    ctx.clearRect(0, 0, layout.width, layout.height);
    ctx.drawImage(sheet, 0, 0, layout.width, layout.height);
    layout.marks(ctx, view, theme);
    const outline = (box, style, width) => {
      if (!box) return;
      ctx.strokeStyle = style;
      ctx.lineWidth = box.h < 5 ? 1 : width; // around a thin row and not over it
      ctx.strokeRect(box.x - 0.5, box.y - 0.5, box.w + 1, box.h + 1);
    };
    if (view.hovered >= 0 && !view.selectedSet.has(view.hovered)) {
      outline(layout.row(view.hovered), theme.muted, 1);
    }
    for (const n of chosen) outline(layout.row(n), theme.accent, n === view.selected ? 2 : 1.2);
    if (this.cell >= 0) outline(layout.box(this.cell), theme.text, this.byKey ? 2 : 1.2);
  }

  /** @param {import("./colour.js").Theme} theme */
  arrange(heat, view, theme, key) {
    this.theme = theme;
    this.estimator = view.estimator;
    this.arranged = key;
    const held = this.cell >= 0 && this.heat === heat ? this.layout.cell(this.cell) : null;
    if (!held) this.forget();
    const split = this.other?.split || heat === "qkv";
    this.layout = new (heat === "steps" ? Steps : Cells)(this.model, this.size, split);
    if (held) this.cell = this.layout.find(held);
    this.heat = heat;
    this.element.dataset.heat = heat;
    fitCanvas(this.sheet, this.layout.width, this.layout.height);
    this.differences = differences(theme, this.model.other ? theme.pair : theme.sign);
    const { map } = this;
    for (const [buttons, on] of [[this.views, heat], [this.toggle, view.estimator], [this.of, map], [this.does, map]]) {
      for (const button of buttons.children) {
        button.setAttribute("aria-pressed", String(button.dataset.key === on));
      }
    }
    setText(this.title, TITLES[map]);
    this.element.dataset.map = map;
    this.toggle.hidden = map !== "redundancy";
    for (const button of this.views.children) {
      button.disabled = !this.draws(map, button.dataset.key);
    }
    const { other } = this.model;
    const legend = other ? differenceLegend(this.model) : shareLegend();
    this.legend.replaceChildren(...(this.other?.legend() ?? legend));
    const what = other ? `Difference: ${other.label} minus ${this.model.label}. ` : "";
    const order = heat === "qkv" ? " In each head: query, key, value." : "";
    setText(this.explain, what + (EXPLAIN[view.estimator]?.(this.model) ?? "") + order);
    this.label();
  }

  // ---------------------------------------------------------------- words

  /** What the tooltip says about a cell. */
  lines(cell) {
    const { model, layout } = this;
    const { n, part = -1 } = layout.cell(cell);
    const t = layout.cell(cell).t ?? this.view.shown;
    if (this.other) return this.other.lines(n, t);
    if (part < 0 && !model.other) {
      const lines = nodeLines(model, n, { ...this.view, shown: t });
      if (this.heat === "steps") lines[0] += `, ${moment(model, t)}`;
      return lines;
    }
    const node = model.nodes[n];
    const name = `${node.name} · ${title(node)}`;
    const lines = part < 0 ? [`${name}, ${moment(model, t)}`] : [`${name}: ${INPUTS[part]}`];
    for (const key of model.estimators) {
      lines.push(...(part < 0 ? this.compared(key, n, t) : this.inputLines(key, n, part, t)));
    }
    if (model.provenance?.redundancy) {
      lines.push(`Source: ${moment(model, t)}, ${model.provenance.redundancy}`);
    }
    return lines;
  }

  inputLines(key, n, part, t) {
    const share = this.input(key, n, part, t);
    if (Number.isNaN(share)) return [];
    const degree = this.model.nodes[n].degree / 3; // query, key and value read the same sources
    const d = Math.round((1 - share) * degree);
    const name = estimatorName(this.model, key);
    return [`redundancy (${name}) ${percent(share, 1)}: needs ${d} of ${degree} inputs`];
  }

  compared(key, n, t) {
    const { model } = this;
    const [here, there] = [model, model.other].map(
      (run) => run.redundancy[key]?.[t * model.N + n] ?? NaN,
    );
    if (Number.isNaN(here) && Number.isNaN(there)) return [];
    const { label } = model;
    return [
      `redundancy (${estimatorName(this.model, key)})`,
      `${label}: ${percent(here, 1)}, ${model.other.label}: ${percent(there, 1)}`,
    ];
  }

  /** Name of the whole for a screen reader, with the cell that the arrow keys have gone to. */
  label(words = "") {
    const picture = this.heat === "steps" ? "nodes over snapshots" : "nodes by layer";
    const how = "arrow keys move, Enter selects, Shift Enter adds to the selection";
    this.canvas.setAttribute(
      "aria-label", `Heatmap of ${TITLES[this.map].toLowerCase()}, ${picture}; ${how}${words ? `. ${words}` : ""}`,
    );
  }

  // ---------------------------------------------------------------- what the user does

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  onMove(event) {
    if (!this.layout || !this.view) return;
    const cell = this.layout.at(...this.place(event));
    this.canvas.style.cursor = cell >= 0 ? "pointer" : "";
    if (cell !== this.cell || this.byKey) this.point(cell, { byKey: false });
    this.actions.tooltip(cell < 0 ? null : this.lines(cell), event.clientX, event.clientY);
  }

  point(cell, { byKey }) {
    this.cell = cell;
    this.byKey = byKey;
    this.actions.hover(cell < 0 ? -1 : this.layout.cell(cell).n);
    this.actions.redraw();
  }

  forget() {
    if (this.cell < 0) return;
    this.cell = -1;
    this.byKey = false;
    setText(this.spoken, "");
    this.label();
    this.actions.hover(-1);
    this.actions.tooltip(null);
    this.actions.redraw();
  }

  onKey(event) {
    if (!this.layout?.count || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = MOVES[event.key];
    if (by) {
      const { layout } = this;
      const to = this.cell < 0 ? layout.start(this.view) : layout.move(this.cell, ...by);
      this.point(to, { byKey: true });
      this.tell(to);
    } else if (event.key === "Enter" && this.cell >= 0) this.choose(this.cell, event);
    else return;
    event.preventDefault(); // the clock follows the arrow keys everywhere else
  }

  /** Say what a cell holds: beside it, and to a screen reader. */
  tell(cell) {
    const lines = this.lines(cell);
    const words = lines.filter((line) => !line.startsWith("Source: ")).join(". ");
    setText(this.spoken, words);
    this.label(words);
    const { x, y, w, h: height } = this.layout.box(cell);
    this.holder.scrollTop = Math.min(
      y, Math.max(this.holder.scrollTop, y + height - this.size.h + 24),
    );
    const { left, top } = this.canvas.getBoundingClientRect();
    this.actions.tooltip(lines, left + x + w - 8, top + y + height - 8);
  }

  choose(cell, event) {
    const { n, t } = this.layout.cell(cell);
    const elsewhere = t !== undefined && t !== this.view.i;
    if (elsewhere) this.actions.go(t);
    if (event.shiftKey || event.ctrlKey || event.metaKey) this.actions.add(n);
    else if (!elsewhere || n !== this.view.selected) this.actions.select(n);
    if (this.byKey) this.tell(cell);
  }
}

/**
 * 201 colours from the second of two over the page's own to the first.
 * @param {import("./colour.js").Theme} theme
 * @param {string[]} ends
 */
function differences(theme, ends) {
  const rgb = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  const page = rgb(theme.bg);
  const [first, other] = ends.map(rgb);
  return Array.from({ length: 201 }, (_, k) => {
    const end = k < 100 ? other : first;
    const share = 0.04 + 0.96 * (Math.abs(k - 100) / 100);
    return `rgb(${page.map((v, c) => Math.round(v + (end[c] - v) * share)).join(",")})`;
  });
}
