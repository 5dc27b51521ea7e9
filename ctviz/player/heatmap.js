// Node redundancy of the whole model at the shown step: layers upwards, heads across, then the MLP.

import { legendAt } from "./colour.js";
import { fitCanvas, h, percent, setText } from "./dom.js";
import { shareAt } from "./data.js";
import { nodeLines } from "./graph.js";

const LEFT = 44; // room for the layer names
const BOTTOM = 16; // and for the heads'
const EXPLAIN = {
  circuit: "Share of a node's incoming edges that lie outside the circuit.",
  mass: "Share of a node's incoming edges not needed to carry 90 % of its total |score|.",
};

export class Heatmap {
  /** `actions`: select(n), tooltip(lines, x, y), redraw(), estimator(key). */
  constructor(actions) {
    this.actions = actions;
    this.canvas = h("canvas", { class: "cz-cells", role: "img" });
    this.holder = h("div", { class: "cz-holder" }, this.canvas);
    this.toggle = h("div", { class: "cz-toggle", role: "group", "aria-label": "Redundancy estimator" });
    this.explain = h("p", { class: "cz-note" });
    this.element = h(
      "section", { class: "cz-panel cz-heat", "aria-label": "Redundancy" },
      h("header", {}, h("h3", { text: "Node redundancy" }), this.toggle),
      this.explain,
      this.holder,
      h("div", { class: "cz-legend-bar" },
        h("span", { text: "needs all its inputs" }),
        h("div", {}, h("i"), ...[0, 0.5, 0.9, 1].map((share) =>
          h("span", { text: percent(share), style: `left:${100 * legendAt(share)}%` }))),
        h("span", { text: "needs none" })),
    );
    this.size = { w: 0, h: 0 };
    this.hover = -1;
    this.canvas.addEventListener("pointermove", (event) => this.onMove(event));
    this.canvas.addEventListener("pointerleave", () => this.onLeave());
    this.canvas.addEventListener("click", (event) => {
      const n = this.at(event);
      if (n >= 0) this.actions.select(n);
    });
    new ResizeObserver(() => {
      this.size = { w: this.holder.clientWidth, h: this.holder.clientHeight };
      this.actions.redraw();
    }).observe(this.holder);
  }

  setModel(model) {
    this.model = model;
    this.toggle.replaceChildren(
      ...model.estimators.map((key) =>
        h("button", {
          type: "button", "data-key": key, text: key === "mass" ? "mass 90 %" : key,
          onclick: () => this.actions.estimator(key),
        }),
      ),
    );
    this.canvas.setAttribute(
      "aria-label", "Heatmap of node redundancy; select nodes in the graph for the same numbers",
    );
  }

  /** Geometry of the grid for the present size. */
  grid() {
    const { layers, heads } = this.model.shape;
    const { w, h: t } = this.size;
    const columns = heads + 1.35; // the MLP column is set apart
    const rows = layers + 1.25; // and so is the row of the logits
    const cw = Math.min(64, (w - LEFT) / columns);
    const ch = Math.min(34, (t - BOTTOM) / rows);
    return { cw, ch, layers, heads, gap: Math.min(cw, ch) > 9 ? 2 : Math.min(cw, ch) > 5 ? 1 : 0.5 };
  }

  cell(node) {
    const { cw, ch, layers, heads, gap } = this.grid();
    if (node.kind === "logits") return { x: LEFT, y: 0, w: (heads + 1.35) * cw - gap, h: ch - gap };
    const y = (layers - 1 - node.layer + 1.25) * ch;
    const x = LEFT + (node.kind === "mlp" ? (heads + 0.35) * cw : node.unit * cw);
    return { x, y, w: cw - gap, h: ch - gap };
  }

  draw(view, theme) {
    const { model } = this;
    if (!model || !this.size.w || this.size.h < 20) return;
    this.view = view;
    for (const button of this.toggle.children) {
      button.setAttribute("aria-pressed", String(button.dataset.key === view.estimator));
    }
    setText(this.explain, EXPLAIN[view.estimator] ?? "");
    const ctx = fitCanvas(this.canvas, this.size.w, this.size.h);
    ctx.clearRect(0, 0, this.size.w, this.size.h);
    const { cw, ch, layers, heads } = this.grid();
    for (let n = 0; n < model.N; n += 1) {
      const node = model.nodes[n];
      if (node.kind === "input") continue;
      const { x, y, w, h: t } = this.cell(node);
      const share = shareAt(model, view.estimator, n, view);
      const missing = Number.isNaN(share);
      ctx.fillStyle = missing ? theme.undefinedFill : theme.fill(share);
      ctx.fillRect(x, y, w, t);
      // Without an outline a fully redundant cell would vanish into the page.
      ctx.strokeStyle = theme.line;
      ctx.lineWidth = 1;
      if (w > 6 && t > 6) ctx.strokeRect(x + 0.5, y + 0.5, w - 1, t - 1);
      if (n === view.selected || n === this.hover) {
        ctx.strokeStyle = n === view.selected ? theme.accent : theme.text;
        ctx.lineWidth = n === view.selected ? 2 : 1.2;
        ctx.strokeRect(x - 0.5, y - 0.5, w + 1, t + 1);
      }
    }
    this.labels(ctx, theme, cw, ch, layers, heads);
  }

  labels(ctx, theme, cw, ch, layers, heads) {
    ctx.font = '11px "Source Sans", "Source Sans Pro", system-ui, sans-serif';
    ctx.fillStyle = theme.muted;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    const every = ch >= 11 ? 1 : Math.ceil(13 / ch);
    for (let layer = 0; layer < layers; layer += every) {
      const y = (layers - 1 - layer + 1.25) * ch + ch / 2;
      ctx.fillText(every === 1 && ch > 14 ? `layer ${layer}` : String(layer), LEFT - 7, y);
    }
    ctx.fillText("logits", LEFT - 7, Math.max(6, ch / 2));
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    const y = (layers + 1.25) * ch + 11;
    const skip = cw >= 20 ? 1 : Math.ceil(22 / cw);
    for (let head = 0; head < heads; head += skip) {
      ctx.fillText(`h${head}`, LEFT + (head + 0.5) * cw - 1, y);
    }
    ctx.fillText("MLP", LEFT + (heads + 0.35 + 0.5) * cw - 1, y);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top;
    if (!this.model) return -1;
    for (let n = 0; n < this.model.N; n += 1) {
      if (this.model.nodes[n].kind === "input") continue;
      const c = this.cell(this.model.nodes[n]);
      if (x >= c.x && x < c.x + c.w && y >= c.y && y < c.y + c.h) return n;
    }
    return -1;
  }

  onMove(event) {
    const n = this.at(event);
    this.canvas.style.cursor = n >= 0 ? "pointer" : "";
    if (n !== this.hover) {
      this.hover = n;
      this.actions.redraw();
    }
    if (n < 0 || !this.view) this.actions.tooltip(null);
    else this.actions.tooltip(nodeLines(this.model, n, this.view), event.clientX, event.clientY);
  }

  onLeave() {
    this.hover = -1;
    this.actions.tooltip(null);
    this.actions.redraw();
  }
}
