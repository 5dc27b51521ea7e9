// The circuit: vis-network keeps the nodes, zoom, pan and hit tests; edges are painted by us below
// its nodes, which is faster than five hundred edge objects and allows ports and glow.

import { h, number, percent } from "./dom.js";
import { shareAt, shortLabel, title } from "./data.js";
import { EdgePainter } from "./edges.js";
import { curves, extent, nearest, stretch } from "./geometry.js";

const GUTTER = 62; // room at the left for layer names, in screen pixels
const FONT_SIZE = { head: 12.5, mlp: 11, kv: 8, input: 13, logits: 13 };
const FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif';

export class Graph {
  /** `actions`: select(n), tooltip(lines, x, y), redraw(). */
  constructor(actions) {
    this.actions = actions;
    this.stage = h("div", { class: "cz-stage", role: "img", "aria-label": "Circuit graph" });
    this.network = null;
    this.hover = { node: -1, edge: -1 };
    this.active = null;
    this.size = { w: 0, h: 0 };
    this.stage.addEventListener("pointermove", (event) => this.onMove(event));
    this.stage.addEventListener("pointerleave", () => this.onLeave());
    // The wheel scrolls the page until the graph has been clicked.
    this.stage.addEventListener("focusin", () => this.setWheel(true));
    this.stage.addEventListener("focusout", () => this.setWheel(false));
    this.stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: true });
    new ResizeObserver(() => this.resize()).observe(this.stage);
  }

  setModel(model, vis) {
    const before = this.network && this.model;
    const places = (m) => JSON.stringify(m.nodes.map((node) => [node.name, node.x, node.y]));
    const moved = !before || places(before) !== places(model);
    this.model = model;
    this.vis = vis;
    this.hover = { node: -1, edge: -1 };
    this.active = new Uint8Array(model.nodes.length);
    if (!this.network) this.build();
    else if (!this.aspect || (moved && !this.userView)) this.fit();
    else this.reshape(this.aspect, moved); // the user's own zoom stays
  }

  /** Place nodes and edges for a panel of the given aspect. */
  reshape(aspect, moved = true) {
    this.aspect = aspect;
    this.placed = stretch(this.model, aspect);
    const { bezier, points } = curves(this.model, this.placed);
    this.painter = new EdgePainter(this.model, bezier);
    this.points = points;
    if (!moved) return;
    this.nodes.clear();
    this.nodes.add(
      this.placed.nodes
        .map(({ x, y }, id) => ({ id, x, y, ctxRenderer: (at) => this.node(at) }))
        .filter(({ x }) => x !== null),
    );
  }

  build() {
    this.nodes = new this.vis.DataSet([]);
    this.network = new this.vis.Network(
      this.stage,
      { nodes: this.nodes, edges: new this.vis.DataSet([]) },
      {
        autoResize: false,
        physics: false,
        layout: { improvedLayout: false },
        nodes: { shape: "custom", fixed: true, chosen: false },
        interaction: {
          dragNodes: false, hover: false, selectable: false, multiselect: false, zoomView: false,
          tooltipDelay: 1e9, keyboard: false,
        },
      },
    );
    this.network.on("beforeDrawing", (ctx) => this.below(ctx));
    this.network.on("click", ({ pointer }) => {
      const id = this.network.getNodeAt(pointer.DOM);
      this.actions.select(id === undefined ? -1 : id);
    });
    this.network.on("zoom", () => this.touched());
    this.network.on("dragEnd", () => this.touched());
    this.size = { w: 0, h: 0 };
    this.resize();
  }

  touched() {
    this.userView = true;
  }

  onWheel(event) {
    if (this.wheel) return;
    this.actions.tooltip(["Click the graph to zoom with the wheel"], event.clientX, event.clientY);
  }

  setWheel(on) {
    this.wheel = on;
    this.network?.setOptions({ interaction: { zoomView: on } });
  }

  resize() {
    const w = this.stage.clientWidth;
    const t = this.stage.clientHeight;
    if (!this.network || !w || !t) return;
    if (w === this.size.w && t === this.size.h) return;
    this.size = { w, h: t };
    this.network.setSize(`${w}px`, `${t}px`);
    if (!this.userView) this.fit();
    else this.actions.redraw();
  }

  fit() {
    const { w, h: t } = this.size;
    if (!w) return;
    this.userView = false;
    this.reshape((w - GUTTER - 16) / (t - 20));
    const { box } = this.placed;
    const scale = Math.min((w - GUTTER - 16) / box.width, (t - 20) / box.height, 1.7);
    const x = box.left + box.width / 2 - GUTTER / 2 / scale + 8 / scale;
    const y = box.top + box.height / 2;
    this.network.moveTo({ position: { x, y }, scale, animation: false });
    this.actions.redraw();
  }

  zoom(factor) {
    if (!this.network) return;
    this.touched();
    this.network.moveTo({ scale: this.network.getScale() * factor, animation: false });
    this.actions.redraw();
  }

  draw(view, theme) {
    if (!this.network || !this.size.w || !this.painter) return;
    this.view = view;
    this.theme = theme;
    this.painter.sort(view);
    this.active.fill(0);
    const { sourceOf, targetOf, slots, slotOf } = this.model;
    for (const e of this.painter.drawn) {
      this.active[sourceOf[e]] = 1;
      this.active[targetOf[e]] = 1;
      for (const n of slots[slotOf[e]].feeds) this.active[n] = 1;
    }
    this.network.redraw();
  }

  /** Layer bands and names, then the edges; called by vis-network before it draws the nodes. */
  below(ctx) {
    if (!this.view) return;
    const { theme, view } = this;
    const scale = this.network.getScale();
    const corner = this.network.DOMtoCanvas({ x: 0, y: 0 });
    const width = this.size.w / scale;
    const { rows } = this.placed.box;
    const gap = rows.length > 1 ? Math.abs(rows[1][1] - rows[0][1]) : 80;
    ctx.save();
    ctx.textBaseline = "middle";
    ctx.font = `${11 / scale}px ${FONT}`;
    rows.forEach(([layer, y], at) => {
      if (at % 2 === 0) {
        ctx.fillStyle = theme.band;
        ctx.fillRect(corner.x, y - 0.62 * gap, width, gap);
      }
      if (gap * scale < 13 && layer % 5) return;
      ctx.fillStyle = theme.muted;
      ctx.fillText(`layer ${layer}`, corner.x + 12 / scale, y);
    });
    this.groups(ctx);
    const since = view.now - view.arrived;
    // Bright on arrival, then a quiet mark for as long as this snapshot is shown.
    const glow = view.f > 0 ? view.f : 0.4 + 0.6 * Math.exp(-since / 320);
    this.painter.paint(ctx, theme, { glow, ghost: view.f > 0 ? 1 - view.f : 1, scale });
    if (this.hover.edge >= 0) this.outline(ctx, this.hover.edge);
    ctx.restore();
  }

  outline(ctx, e) {
    ctx.strokeStyle = this.theme.text;
    ctx.globalAlpha = 0.75;
    ctx.lineWidth = 1.4 / this.network.getScale();
    this.painter.stroke(ctx, { items: [e], count: 1 });
    ctx.globalAlpha = 1;
  }

  /** Hairlines from a shared key/value head to the heads that it serves. */
  groups(ctx) {
    const { model } = this;
    const { nodes } = this.placed;
    ctx.strokeStyle = this.view.selected < 0 ? this.theme.faint : this.theme.line;
    ctx.lineWidth = 1;
    const done = new Set();
    for (const slot of model.slots) {
      const anchor = nodes[slot.node];
      if (anchor.kind !== "kv" || done.has(anchor.name)) continue;
      done.add(anchor.name);
      for (const n of slot.feeds) {
        const head = nodes[n];
        if (head.x === null) continue;
        ctx.beginPath();
        ctx.moveTo(anchor.x, anchor.y - 4);
        ctx.lineTo(head.x, head.y + model.box.radius);
        ctx.stroke();
      }
    }
  }

  /** vis-network asks for one node: its box, and a function that draws it. */
  node({ ctx, id, x, y }) {
    const { model, theme, view } = this;
    const node = model.nodes[id];
    const { w, h: t } = extent(node, model.box.radius);
    const nodeDimensions = { width: w, height: t };
    if (!view) return { drawNode() {}, nodeDimensions };
    const drawNode = () => {
      const scale = this.network.getScale();
      const far = view.selected >= 0 && view.selected !== id && !this.active[id];
      const idle = !this.active[id];
      const share = shareAt(model, view.estimator, id, view);
      ctx.globalAlpha = far ? 0.22 : idle ? 0.5 : 1;
      const shape = () => {
        ctx.beginPath();
        if (node.kind === "head") ctx.arc(x, y, w / 2, 0, 2 * Math.PI);
        else ctx.roundRect(x - w / 2, y - t / 2, w, t, node.kind === "mlp" ? 6 : t / 2);
      };
      if (id === view.selected) {
        ctx.strokeStyle = theme.accentSoft;
        ctx.lineWidth = 9;
        shape();
        ctx.stroke();
      }
      shape();
      ctx.fillStyle = theme.bg;
      ctx.fill(); // hides the edges below, whatever the opacity of the node itself
      ctx.fillStyle = Number.isNaN(share) ? theme.undefinedFill : theme.fill(share);
      ctx.fill();
      const updated = id < model.N && model.T && model.updated[view.shown * model.N + id];
      ctx.strokeStyle = id === view.selected ? theme.accent : updated ? theme.text : theme.faint;
      ctx.lineWidth = id === view.selected ? 2 : updated ? 1.6 : 0.9;
      ctx.stroke();
      if (id === this.hover.node && id !== view.selected) {
        ctx.lineWidth = 1.2;
        ctx.strokeStyle = theme.text;
        ctx.beginPath();
        const round = node.kind === "mlp" ? 9 : t / 2 + 3.5;
        ctx.roundRect(x - w / 2 - 3.5, y - t / 2 - 3.5, w + 7, t + 7, round);
        ctx.stroke();
      }
      const size = FONT_SIZE[node.kind] - (node.kind === "head" && node.unit > 9 ? 1.5 : 0);
      if (size * scale >= 5.5) {
        ctx.font = `600 ${size}px ${FONT}`;
        ctx.textAlign = "center";
        ctx.textBaseline = "middle";
        ctx.fillStyle = far || Number.isNaN(share) ? theme.text : theme.label(share);
        ctx.fillText(shortLabel(node), x, y + 0.5);
      }
      if (node.kind === "head" && !idle && scale >= 1.15) this.ports(ctx, x, y, w / 2);
      ctx.globalAlpha = 1;
    };
    return { drawNode, nodeDimensions };
  }

  ports(ctx, x, y, radius) {
    ctx.font = `500 7px ${FONT}`;
    ctx.fillStyle = this.theme.muted;
    for (const [letter, dx] of [["q", -15], ["v", 15]]) ctx.fillText(letter, x + dx, y + radius - 2);
  }

  onMove(event) {
    if (!this.view || !this.network) return;
    const box = this.stage.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    const id = this.network.getNodeAt(at);
    const node = id === undefined ? -1 : id;
    let edge = -1;
    if (node < 0) {
      const { x, y } = this.network.DOMtoCanvas(at);
      edge = nearest(this.points, this.painter.drawn, x, y, 6 / this.network.getScale());
    }
    this.stage.style.cursor = node >= 0 ? "pointer" : "";
    if (node !== this.hover.node || edge !== this.hover.edge) {
      this.hover = { node, edge };
      this.actions.redraw();
    }
    if (node >= 0) this.actions.tooltip(this.nodeLines(node), event.clientX, event.clientY);
    else if (edge >= 0) this.actions.tooltip(this.edgeLines(edge), event.clientX, event.clientY);
    else this.actions.tooltip(null);
  }

  onLeave() {
    this.actions.tooltip(null);
    if (this.hover.node < 0 && this.hover.edge < 0) return;
    this.hover = { node: -1, edge: -1 };
    this.actions.redraw();
  }

  nodeLines(n) {
    return nodeLines(this.model, n, this.view);
  }

  edgeLines(e) {
    const { model, view } = this;
    const t = view.shown;
    const now = model.score[t * model.E + e];
    const lines = [model.edgeName(e), `score ${number(now, { sign: true })}`];
    lines.push(now < 0 ? "works against the behaviour" : "supports the behaviour");
    lines.push(`rank ${model.rank[t * model.E + e] + 1} of ${model.size[t]} in the circuit`);
    if (view.previous >= 0 && !model.member[view.previous * model.E + e]) {
      lines.push(`entered after step ${model.steps[view.previous]}`);
    }
    return lines;
  }

  /** Client coordinates of a node, for tests. */
  where(name) {
    const node = this.placed?.nodes[this.model.index.get(name)];
    if (!node || node.x === null || !this.network) return null;
    const at = this.network.canvasToDOM({ x: node.x, y: node.y });
    const box = this.stage.getBoundingClientRect();
    return { x: box.left + at.x, y: box.top + at.y };
  }

  destroy() {
    this.network?.destroy();
    this.network = null;
  }
}

/** What a tooltip says about a node, in the graph and in the heatmap. */
export function nodeLines(model, n, view) {
  const node = model.nodes[n];
  const lines = [`${node.name} · ${title(node)}`];
  if (n >= model.N || !model.T) return lines;
  for (const key of model.estimators) {
    const share = model.redundancy[key][view.shown * model.N + n];
    if (Number.isNaN(share)) continue;
    const d = Math.round((1 - share) * node.degree);
    const label = key === "mass" ? "mass 90 %" : key;
    lines.push(`redundancy (${label}) ${percent(share, 1)}: needs ${d} of ${node.degree} inputs`);
  }
  if (model.updated[view.shown * model.N + n]) lines.push("its parameters were updated at this step");
  return lines;
}
