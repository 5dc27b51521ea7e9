// The circuit: vis-network keeps the nodes, zoom, pan and hit tests; edges are painted by us below
// its nodes, which is faster than five hundred edge objects and allows ports and glow.

import { h, prefersStill } from "./dom.js";
import { change, monotoneWords } from "./changes.js";
import { estimatorName, moment, shareAt, shortLabel, title } from "./data.js";
import { EdgePainter } from "./edges.js";
import { around, collapse, curves, extent, nearest, rowGap, stretch } from "./geometry.js";
import look from "./look.js";
import { number, percent } from "./numbers.js";

const GUTTER = 62; // room at the left for layer names, in screen pixels
const { faded: FADED, letters: LETTERS, mlp: MLP, outline: OUTLINE } = look.nodes;
const FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif';

const CHANGED = {
  entered: "entered", "entered~": "entered, by no more than the noise,", left: "left",
  "left~": "left, by no more than the noise,", strengthened: "strengthened", weakened: "weakened",
  noise: "unchanged within the noise", same: "in the circuit",
};

export class Graph {
  /** `actions`: select(n), add(n), group(members), hover(n), tooltip(lines, x, y), redraw(). */
  constructor(actions) {
    this.actions = actions;
    this.stage = h("div", { class: "cz-stage", role: "img", "aria-label": "Circuit graph" });
    this.network = null;
    this.groups = [];
    this.whole = false;
    this.hover = { edge: -1 };
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
    this.model = model;
    this.vis = vis;
    this.hover = { edge: -1 };
    this.active = new Uint8Array(model.nodes.length);
    if (!this.network) this.build();
    else this.arrange();
  }

  /** Show nodes that are never in the circuit too, or not. */
  setWhole(whole) {
    if (whole === this.whole) return;
    this.whole = whole;
    if (!this.network) return;
    this.userView = false;
    this.arrange();
  }

  /** Groups of nodes [{name, members, collapsed}]; collapsed ones are drawn as one node. */
  setGroups(groups) {
    this.groups = groups.filter(({ collapsed }) => collapsed);
    if (this.network) this.arrange();
  }

  arrange() {
    if (!this.aspect || !this.userView) this.fit();
    else this.reshape(this.aspect); // the user's own zoom stays
    this.actions.redraw();
  }

  /** Place nodes and edges for a panel of the given aspect. */
  reshape(aspect) {
    this.aspect = aspect;
    const { model } = this;
    const box = this.whole ? model.whole_box : model.box;
    const nodes = this.whole
      ? model.nodes.map((node) => ({ ...node, x: node.wx, y: node.wy })) : model.nodes;
    this.placed = stretch({ nodes, box }, aspect);
    const { places, supers } = collapse(this.placed.nodes, this.groups, box.radius);
    this.places = places;
    this.supers = supers;
    const { bezier, points } = curves(model, this.placed.box, places);
    const hidden = new Uint8Array(model.E);
    for (let e = 0; e < model.E; e += 1) {
      hidden[e] = places[model.sourceOf[e]] === places[model.targetOf[e]] ? 1 : 0;
    }
    this.painter = new EdgePainter(model, bezier, hidden);
    this.points = points;
    const drawn = [...places, ...supers]
      .map((place, id) => ({ place, id }))
      .filter(({ place, id }) => place.x !== null && (place.kind !== "group" || id >= places.length))
      .map(({ place, id }) => ({ id, x: place.x, y: place.y }));
    const key = JSON.stringify(drawn);
    if (key === this.key) return;
    this.key = key;
    this.nodes.clear();
    this.nodes.add(drawn.map((node) => ({ ...node, ctxRenderer: (at) => this.node(at) })));
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
    this.network.on("click", ({ pointer, event }) => {
      const id = this.network.getNodeAt(pointer.DOM);
      const { shiftKey, ctrlKey, metaKey } = event.srcEvent;
      if (id >= this.model.nodes.length) this.actions.group(this.superOf(id).members);
      else if (id !== undefined && (shiftKey || ctrlKey || metaKey)) this.actions.add(id);
      else this.actions.select(id === undefined ? -1 : id);
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

  /** Show some nodes from near by. */
  focus(members) {
    if (!this.network || !this.size.w) return;
    const places = members.map((n) => this.places[n]).filter((place) => place && place.x !== null);
    if (!places.length) return;
    const { x, y, width, height } = around(places);
    const scale = Math.min(this.size.w / width, this.size.h / height, 2.4);
    this.touched();
    const animation = prefersStill() ? false : { duration: 500, easingFunction: "easeInOutQuad" };
    this.network.moveTo({ position: { x, y }, scale, animation });
    this.actions.redraw();
  }

  /** @param {import("./colour.js").Theme} theme */
  draw(view, theme) {
    if (!this.network || !this.size.w || !this.painter) return;
    this.view = view;
    this.theme = theme;
    this.painter.sort(view, this.lit(view));
    this.active.fill(0);
    const { sourceOf, targetOf, slots, slotOf } = this.model;
    for (const e of this.painter.drawn) {
      this.active[sourceOf[e]] = 1;
      this.active[targetOf[e]] = 1;
      for (const n of slots[slotOf[e]].feeds) this.active[n] = 1;
    }
    this.network.redraw();
  }

  /** The edges that touch the hovered node, or else the selected ones; null: all. */
  lit(view) {
    const wanted = view.hovered >= 0 ? [view.hovered] : [...view.selectedSet];
    const key = wanted.join(" ");
    if (this.litFor?.key !== key || this.litFor.model !== this.model) {
      const { touching, E } = this.model;
      let edges = null;
      if (wanted.length === 1) edges = touching[wanted[0]];
      else if (wanted.length) {
        edges = new Uint8Array(E);
        for (const n of wanted) for (let e = 0; e < E; e += 1) edges[e] |= touching[n][e];
      }
      this.litFor = { key, model: this.model, edges };
    }
    return this.litFor.edges;
  }

  /** Layer bands and names, then the edges; called by vis-network before it draws the nodes. */
  below(ctx) {
    if (!this.view) return;
    const { theme, view } = this;
    const scale = this.network.getScale();
    const corner = this.network.DOMtoCanvas({ x: 0, y: 0 });
    const width = this.size.w / scale;
    const { rows } = this.placed.box;
    const gap = rowGap(this.placed.box);
    ctx.save();
    ctx.textBaseline = "middle";
    ctx.font = `${11 / scale}px ${FONT}`;
    rows.forEach(([layer, y], at) => {
      if (at % 2 === 0) {
        ctx.fillStyle = theme.band;
        ctx.fillRect(corner.x, y - look.rows.above * gap, width, gap);
      }
      if (gap * scale < 13 && layer % 5) return;
      ctx.fillStyle = theme.muted;
      ctx.fillText(`layer ${layer}`, corner.x + 12 / scale, y);
    });
    this.hairlines(ctx);
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
  hairlines(ctx) {
    const { model, places: nodes } = this;
    ctx.strokeStyle = !this.view.selectedSet.size ? this.theme.faint : this.theme.line;
    ctx.lineWidth = 1;
    const done = new Set();
    for (const slot of model.slots) {
      const anchor = nodes[slot.node];
      if (anchor.kind !== "kv" || anchor.x === null || done.has(anchor.name)) continue;
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

  superOf(id) {
    return this.supers[id - this.model.nodes.length];
  }

  /** vis-network asks for one node: its box, and a function that draws it. */
  node({ ctx, id, x, y }) {
    const { model, theme, view } = this;
    const isGroup = id >= model.nodes.length;
    const node = isGroup ? this.superOf(id) : model.nodes[id];
    const { w, h: t } = extent(node, model.box.radius);
    const nodeDimensions = { width: w, height: t };
    if (!view) return { drawNode() {}, nodeDimensions };
    if (isGroup) return { drawNode: () => this.supernode(ctx, node, x, y, w, t), nodeDimensions };
    const drawNode = () => {
      const scale = this.network.getScale();
      const chosen = view.selectedSet.has(id);
      const any = view.hovered >= 0 || view.selectedSet.size > 0;
      const far = any && !chosen && view.hovered !== id && !this.active[id];
      const idle = !this.active[id];
      const share = shareAt(model, view.estimator, id, view);
      ctx.globalAlpha = far ? FADED.far : idle ? FADED.idle : 1;
      const shape = () => {
        ctx.beginPath();
        if (node.kind === "head") ctx.arc(x, y, w / 2, 0, 2 * Math.PI);
        else ctx.roundRect(x - w / 2, y - t / 2, w, t, node.kind === "mlp" ? MLP.corner : t / 2);
      };
      if (chosen) {
        ctx.strokeStyle = theme.accentSoft;
        ctx.lineWidth = id === view.selected ? 10 : 6;
        shape();
        ctx.stroke();
      }
      shape();
      ctx.fillStyle = theme.bg;
      ctx.fill(); // hides the edges below, whatever the opacity of the node itself
      ctx.fillStyle = Number.isNaN(share) ? theme.undefinedFill : theme.fill(share);
      ctx.fill();
      const updated = id < model.N && model.T && model.updated[view.shown * model.N + id];
      ctx.strokeStyle = chosen ? theme.accent : updated ? theme.text : theme.faint;
      ctx.lineWidth = chosen ? OUTLINE.chosen : updated ? OUTLINE.updated : OUTLINE.other;
      ctx.stroke();
      if (id === view.hovered && !chosen) {
        ctx.lineWidth = 1.2;
        ctx.strokeStyle = theme.text;
        ctx.beginPath();
        const round = node.kind === "mlp" ? MLP.corner + 3 : t / 2 + 3.5;
        ctx.roundRect(x - w / 2 - 3.5, y - t / 2 - 3.5, w + 7, t + 7, round);
        ctx.stroke();
      }
      const size = LETTERS[node.kind] - (node.kind === "head" && node.unit > 9 ? 1.5 : 0);
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

  /** A collapsed group: one box with its name, filled by the mean redundancy of its nodes. */
  supernode(ctx, node, x, y, w, t) {
    const { model, theme, view } = this;
    const chosen = node.members.some((n) => view.selectedSet.has(n));
    const active = node.members.some((n) => this.active[n]);
    const shares = node.members
      .map((n) => shareAt(model, view.estimator, n, view)).filter((share) => !Number.isNaN(share));
    const share = shares.length ? shares.reduce((a, b) => a + b, 0) / shares.length : NaN;
    ctx.globalAlpha = active || chosen ? 1 : 0.4;
    ctx.beginPath();
    ctx.roundRect(x - w / 2, y - t / 2, w, t, 9);
    ctx.fillStyle = theme.bg;
    ctx.fill();
    ctx.fillStyle = Number.isNaN(share) ? theme.undefinedFill : theme.fill(share);
    ctx.fill();
    ctx.strokeStyle = chosen ? theme.accent : theme.text;
    ctx.lineWidth = chosen ? 2.4 : 1.4;
    ctx.stroke();
    ctx.strokeRect(x - w / 2 + 6, y + t / 2 + 2.5, w - 12, 0);
    ctx.font = `600 11.5px ${FONT}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = Number.isNaN(share) ? theme.text : theme.label(share);
    ctx.fillText(node.name.length > 18 ? `${node.name.slice(0, 17)}…` : node.name, x, y + 0.5);
    ctx.globalAlpha = 1;
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
    const group = id >= this.model.nodes.length ? this.superOf(id) : null;
    const node = id === undefined || group ? -1 : id;
    let edge = -1;
    if (id === undefined) {
      const { x, y } = this.network.DOMtoCanvas(at);
      edge = nearest(this.points, this.painter.drawn, x, y, 6 / this.network.getScale());
    }
    this.stage.style.cursor = id !== undefined ? "pointer" : "";
    if (edge !== this.hover.edge) {
      this.hover = { edge };
      this.actions.redraw();
    }
    this.actions.hover(node);
    let lines = null;
    if (group) lines = groupLines(this.model, group, this.view);
    else if (node >= 0) lines = nodeLines(this.model, node, this.view);
    else if (edge >= 0) lines = this.edgeLines(edge);
    this.actions.tooltip(lines, event.clientX, event.clientY);
  }

  onLeave() {
    this.actions.tooltip(null);
    this.hover = { edge: -1 };
    this.actions.hover(-1);
  }

  edgeLines(e) {
    const { model, view } = this;
    const { E, other } = model;
    const t = view.shown;
    const lines = [model.edgeName(e)];
    const score = (source, at, label) => {
      if (!source.member[at * E + e]) return `${label}: not in the circuit`;
      const value = number(source.score[at * E + e], { sign: true });
      const error = source.error ? ` ± ${number(source.error[at * E + e])}` : "";
      return `${label} ${value}${error}, rank ${source.rank[at * E + e] + 1} of ${source.counts.size[at]}`;
    };
    if (other) {
      lines.push(score(model, t, `${model.label}: score`), score(other, t, `${other.label}: score`));
    } else {
      const now = model.score[t * E + e];
      const course = monotoneWords(model, e);
      if (course) lines.push(course);
      lines.push(score(model, t, "score"));
      lines.push(now < 0 ? "works against the behaviour" : "supports the behaviour");
      if (view.base >= 0) {
        const was = number(model.score[view.base * E + e], { sign: true });
        const state = CHANGED[change(model, e, view.base, t)] ?? "";
        lines.push(`${state} since ${moment(model, view.base)}, where its score was ${was}`);
      }
    }
    if (model.provenance?.scores) lines.push(`Source: ${moment(model, t)}, ${model.provenance.scores}`);
    return lines;
  }

  /** Client coordinates of a node, for tests. */
  where(name) {
    const n = this.model?.index.get(name);
    const node = n === undefined
      ? this.supers?.find((place) => place.name === name) : this.places?.[n];
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
    lines.push(`redundancy (${estimatorName(model, key)}) ${percent(share, 1)}: needs ${d} of ${node.degree} inputs`);
  }
  if (model.updated[view.shown * model.N + n]) lines.push("its parameters were updated at this step");
  if (model.provenance?.redundancy) {
    lines.push(`Source: ${moment(model, view.shown)}, ${model.provenance.redundancy}`);
  }
  return lines;
}

function groupLines(model, { name, members }, view) {
  const names = members.map((n) => model.nodes[n].name);
  const lines = [name, `${members.length} nodes: ${names.join(", ")}`];
  let inside = 0;
  const within = new Set(members);
  for (let e = 0; e < model.E; e += 1) {
    if (!model.member[view.shown * model.E + e]) continue;
    if (within.has(model.sourceOf[e]) && within.has(model.targetOf[e])) inside += 1;
  }
  lines.push(`${inside} edges of the circuit run inside the group`, "Click to select its nodes");
  return lines;
}
