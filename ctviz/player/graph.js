// The circuit: vis-network keeps the nodes, zoom, pan and hit tests; edges are painted by us below
// its nodes, which is faster than five hundred edge objects and allows ports and glow.

import { h, prefersStill } from "./dom.js";
import { blocksInside, endsOf, shareAt, shortLabel, strongestHeads } from "./data.js";
import { EdgePainter } from "./edges.js";
import { around, collapse, curves, fold, nearest, rowGap, stretch, turn } from "./geometry.js";
import { makeLines } from "./lines.js";
import look from "./look.js";
import { Minimap } from "./minimap.js";
import { percent } from "./numbers.js";
import { pathsOf } from "./paths.js";
import { groupLines, lineLines, nodeLines } from "./said.js";

const NEAR = 1.8; // zoom from which there is room for more beside a node
const DOUBLE = 700; // ms, at most between the two clicks of a double one
const GUTTER = 62; // room at the left for layer names, in screen pixels
const FOOT = 22; // or at the foot
const { faded: FADED, letters: LETTERS, outline: OUTLINE } = look.nodes;
const FONT = '"Source Sans", "Source Sans Pro", system-ui, sans-serif';

export class Graph {
  /** `actions`: select(n), add(n), group(members), unfold(mlp), hover(n), tooltip(lines, x, y),
   * redraw(). */
  constructor(actions) {
    this.actions = actions;
    this.stage = h("div", { class: "cz-stage", role: "group", "aria-label": "Circuit graph" });
    this.minimap = new Minimap({ centre: (x, y) => this.centre(x, y) });
    this.clicks = []; // the last two
    this.network = null;
    this.groups = [];
    this.level = "circuit";
    this.open = new Set();
    this.hover = { line: -1 };
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
    this.hover = { line: -1 };
    this.ends = null;
    this.active = new Uint8Array(model.nodes.length);
    if (!this.network) this.build();
    else this.arrange();
  }

  /** Show the nodes of the circuit's backbone, of all of it, or of the whole model. */
  setLevel(level) {
    if (level === this.level) return;
    this.level = level;
    if (!this.network) return;
    this.userView = false;
    this.arrange();
  }

  /** Show the MLPs of these layers as their blocks, and those of the others as one node each. */
  setOpen(open) {
    if (open.size === this.open.size && [...open].every((layer) => this.open.has(layer))) return;
    this.open = new Set(open);
    if (this.network) this.arrange();
  }

  /** Whether an MLP that is cut is drawn as its blocks. */
  isOpen(mlp) {
    return this.open.has(this.model.nodes[mlp].layer);
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
    const box = model.boxes[this.level];
    const nodes = model.nodes.map(({ name, kind, places }) => {
      const [x, y] = places[this.level] ?? [null, null];
      return { name, kind, x, y };
    });
    const isOpen = (mlp) => this.isOpen(mlp);
    const graph = fold({ nodes, box }, model, isOpen);
    this.placed = stretch(graph, box.across ? 1 / aspect : aspect);
    const { places, supers } = collapse(this.seats(), this.groups);
    for (const [mlp, blocks] of model.blocksOf) {
      if (isOpen(mlp)) continue;
      const apart = new Set(blocks.map((n) => places[n]));
      // An MLP whose blocks are all in one group is drawn as that.
      if (apart.size === 1 && !apart.has(places[mlp])) [places[mlp]] = apart;
    }
    this.places = places;
    this.supers = supers;
    this.lines = makeLines(model, places);
    const { bezier, points } = curves(this.lines, this.placed.box, places);
    if (box.across) turn(this.placed.box, [...this.placed.nodes, ...supers], [bezier, points]);
    this.painter = new EdgePainter(model, bezier, this.lines);
    this.points = points;
    this.litFor = null;
    this.hover = { line: -1 };
    const own = this.placed.nodes;
    const drawn = [...own, ...supers]
      .map((place, id) => ({ place, id }))
      .filter(({ place, id }) => place.x !== null && (id >= own.length || places[id] === place))
      .map(({ place, id }) => ({ id, x: place.x, y: place.y }));
    const key = JSON.stringify(drawn);
    if (key === this.key) return;
    this.key = key;
    this.nodes.clear();
    this.nodes.add(drawn.map((node) => ({ ...node, ctxRenderer: (at) => this.node(at) })));
  }

  /** Where each node is drawn but for groups: blocks of a closed MLP in its place. */
  seats() {
    const { mlpOf } = this.model;
    const { nodes } = this.placed;
    return nodes.map((node, n) => (mlpOf[n] < 0 || this.isOpen(mlpOf[n]) ? node : nodes[mlpOf[n]]));
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
    const drawing = this.stage.firstElementChild; // what has the focus, and with it the keys
    drawing.setAttribute("role", "application");
    drawing.setAttribute("aria-label",
      "Circuit graph. Arrow up and down walk its nodes, left and right its snapshots; Escape lets go");
    this.network.on("beforeDrawing", (ctx) => this.below(ctx));
    this.network.on("click", ({ pointer, event }) => {
      const id = this.network.getNodeAt(pointer.DOM);
      const { shiftKey, ctrlKey, metaKey, timeStamp } = event.srcEvent;
      if (timeStamp === this.doubled) return; // the second one of two
      this.clicks = [this.clicks.at(-1), { id, at: timeStamp }];
      if (id >= this.model.nodes.length) this.actions.group(this.superOf(id).members);
      else if (id !== undefined && (shiftKey || ctrlKey || metaKey)) this.actions.add(id);
      else this.actions.select(id === undefined ? -1 : id);
    });
    this.network.on("doubleClick", ({ event }) => {
      this.doubled = event.srcEvent.timeStamp;
      // The first of its two clicks may have moved the graph: that one says what is meant.
      const [first, last] = this.clicks;
      const { id } = first && last.at - first.at < DOUBLE ? first : last;
      const mlp = this.mlpAt(id);
      if (mlp >= 0) this.actions.unfold(mlp);
    });
    this.network.on("zoom", () => this.touched());
    this.network.on("dragging", () => this.actions.redraw());
    this.network.on("dragEnd", () => this.touched());
    this.size = { w: 0, h: 0 };
    this.resize();
  }

  /** The MLP that a node is, or is a block of, if it can be opened; else -1. */
  mlpAt(id) {
    if (this.model.blocksOf.has(id)) return id;
    return this.model.mlpOf[id] ?? -1;
  }

  touched() {
    this.userView = true;
    this.actions.redraw();
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
    const [gutter, foot] = this.model.boxes[this.level].across ? [0, FOOT] : [GUTTER, 0];
    const [wide, tall] = [w - gutter - 16, t - foot - 20];
    this.reshape(wide / tall);
    const { box } = this.placed;
    const scale = Math.min(wide / box.width, tall / box.height, 1.7);
    const x = box.left + box.width / 2 - Math.max(0, gutter / 2 - 8) / scale;
    const y = box.top + box.height / 2 + foot / 2 / scale;
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
    if (!this.network) return;
    this.view = view;
    this.theme = theme;
    if (!this.size.w || !this.painter || view.form !== "graph") return;
    const { lit, wanted } = this.lit(view);
    this.painter.sort(view, lit, view.level === "backbone" ? wanted : null);
    this.active.fill(0);
    const { sourceOf, targetOf, slots, slotOf, mlpOf } = this.model;
    for (const line of this.painter.drawn) {
      for (const e of this.lines.edges[line]) {
        if (!this.painter.shown[e]) continue;
        this.active[sourceOf[e]] = 1;
        this.active[targetOf[e]] = 1;
        for (const n of slots[slotOf[e]].feeds) this.active[n] = 1;
        for (const n of [sourceOf[e], targetOf[e]]) if (mlpOf[n] >= 0) this.active[mlpOf[n]] = 1;
      }
    }
    this.network.redraw();
    this.minimap.draw(this.places, this.placed.box, this.seen(), theme);
  }

  /** The part of the graph that the panel shows. */
  seen() {
    const { x: left, y: top } = this.network.DOMtoCanvas({ x: 0, y: 0 });
    const scale = this.network.getScale();
    return { left, top, width: this.size.w / scale, height: this.size.h / scale };
  }

  /** Put a place into the middle of the panel. */
  centre(x, y) {
    this.touched();
    this.network.moveTo({ position: { x, y }, animation: false });
    this.actions.redraw();
  }

  /**
   * The edges that are wanted, those that touch the hovered node, or else the selected ones and what
   * lies on the strongest paths through the inspected one; and the lines that have any. null: all.
   */
  lit(view) {
    const nodes = view.hovered >= 0 ? [view.hovered] : [...view.selectedSet];
    const key = `${view.i} ${nodes.join(" ")}`;
    if (this.litFor?.key !== key) {
      const { model, lines } = this;
      const wanted = nodes.length ? new Uint8Array(model.E) : null;
      for (const n of nodes) {
        for (let e = 0; e < model.E; e += 1) wanted[e] |= model.touching[n][e];
      }
      const inspected = view.hovered < 0 && nodes.length && nodes[0] < model.N ? nodes[0] : -1;
      const paths = inspected >= 0 && model.T && !model.other ? pathsOf(model, view.i, inspected) : [];
      for (const e of paths) wanted[e] = 1;
      const lit = wanted && Uint8Array.from(lines.edges, (edges) => (edges.some((e) => wanted[e]) ? 1 : 0));
      this.litFor = { key, lit, wanted };
    }
    return this.litFor;
  }

  /** Layer bands and names, then the edges; called by vis-network before it draws the nodes. */
  below(ctx) {
    if (!this.view || !this.placed) return;
    const { theme, view } = this;
    const scale = this.network.getScale();
    ctx.save();
    this.layers(ctx, scale);
    this.hairlines(ctx);
    this.frames(ctx);
    const since = view.now - view.arrived;
    // Bright on arrival, then a quiet mark for as long as this snapshot is shown.
    const glow = view.f > 0 ? view.f : 0.4 + 0.6 * Math.exp(-since / 320);
    this.painter.paint(ctx, theme, { glow, ghost: view.f > 0 ? 1 - view.f : 1, scale });
    if (this.hover.line >= 0) this.outline(ctx, this.hover.line);
    ctx.restore();
  }

  /** The layers' bands and names, the residual stream, and how many layers are folded where. */
  layers(ctx, scale) {
    const { theme } = this;
    const { box } = this.placed;
    const { rows, folds, across, stream } = box;
    const corner = this.network.DOMtoCanvas({ x: 0, y: 0 });
    const [width, height] = [this.size.w / scale, this.size.h / scale];
    const gap = rowGap(box);
    const foot = corner.y + height - FOOT / 2 / scale;
    ctx.textBaseline = "middle";
    ctx.font = `${11 / scale}px ${FONT}`;
    ctx.textAlign = across ? "center" : "left";
    const narrow = gap * scale < (across ? 18 : 13);
    rows.forEach(([layer, at], k) => {
      if (k % 2 === 0) {
        ctx.fillStyle = theme.band;
        if (across) ctx.fillRect(at - gap / 2, corner.y, gap, height);
        else ctx.fillRect(corner.x, at - look.rows.above * gap, width, gap);
      }
      if (narrow && layer % 5) return;
      ctx.fillStyle = theme.muted;
      const name = across && gap * scale < 50 ? String(layer) : `layer ${layer}`;
      if (across) ctx.fillText(name, at, foot);
      else ctx.fillText(name, corner.x + 12 / scale, at);
    });
    if (across && gap * scale < 50 && rows.length) {
      ctx.fillStyle = theme.muted;
      ctx.fillText("layer", 0, foot); // below the input
    }
    if (stream) this.residual(ctx, box);
    for (const [first, last, at] of folds) {
      const name = first === last ? "1" : String(last - first + 1);
      ctx.fillStyle = theme.faint;
      if (across) ctx.fillText(`+${name}`, at, corner.y + FOOT / 2 / scale);
      else ctx.fillText(`+ ${name} ${name === "1" ? "layer" : "layers"}`, corner.x + 12 / scale, at);
      ctx.strokeStyle = theme.faint;
      ctx.lineWidth = 1 / scale;
      ctx.setLineDash([2 / scale, 4 / scale]);
      ctx.beginPath();
      if (across) {
        ctx.moveTo(at, corner.y + FOOT / scale);
        ctx.lineTo(at, foot - FOOT / 2 / scale);
      } else {
        ctx.moveTo(corner.x + GUTTER / scale, at);
        ctx.lineTo(corner.x + width, at);
      }
      ctx.stroke();
      ctx.setLineDash([]);
    }
    ctx.textAlign = "left";
  }

  /**
   * The residual stream, from the input to the logits.
   * @param {any} ctx
   * @param {import("./geometry.js").Box} box
   */
  residual(ctx, { left, top, width, height, across }) {
    ctx.strokeStyle = this.theme.line;
    ctx.lineWidth = look.stream.width;
    ctx.globalAlpha = 0.45;
    ctx.beginPath();
    if (across) {
      ctx.moveTo(left + 20, 0);
      ctx.lineTo(left + width - 20, 0);
    } else {
      ctx.moveTo(0, top + 20);
      ctx.lineTo(0, top + height - 20);
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  outline(ctx, line) {
    ctx.strokeStyle = this.theme.text;
    ctx.globalAlpha = 0.75;
    ctx.lineWidth = 1.4 / this.network.getScale();
    this.painter.stroke(ctx, { items: [line], count: 1 });
    ctx.globalAlpha = 1;
  }

  /** Around each open MLP and its blocks. */
  frames(ctx) {
    const { model, places, theme } = this;
    ctx.strokeStyle = theme.faint;
    ctx.fillStyle = theme.bg;
    ctx.lineWidth = 1;
    for (const [mlp, blocks] of model.blocksOf) {
      const { x, y } = places[mlp];
      if (x === null || !this.isOpen(mlp)) continue;
      const ends = [places[mlp], ...blocks.map((n) => places[n]).filter((at) => at.kind === "block")];
      const drawn = ends.filter((at) => at.x !== null);
      const right = Math.max(...drawn.map((at) => at.x + at.w / 2));
      const foot = Math.max(...drawn.map((at) => at.y + at.h / 2));
      const { w, h: t } = places[mlp];
      ctx.beginPath();
      ctx.roundRect(x - w / 2 - 6, y - t / 2 - 6, right - x + w / 2 + 12, foot - y + t / 2 + 12, 9);
      ctx.fill();
      ctx.stroke();
    }
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
        if (this.placed.box.across) {
          ctx.moveTo(anchor.x + 4, anchor.y);
          ctx.lineTo(head.x - head.w / 2, head.y);
        } else {
          ctx.moveTo(anchor.x, anchor.y - 4);
          ctx.lineTo(head.x, head.y + head.w / 2);
        }
        ctx.stroke();
      }
    }
  }

  superOf(id) {
    return this.supers[id - this.model.nodes.length];
  }

  /** vis-network asks for one node: its box, and a function that draws it. */
  node({ ctx, id, x, y }) {
    const { model, view } = this;
    const isGroup = id >= model.nodes.length;
    const node = isGroup ? this.superOf(id) : model.nodes[id];
    const { w, h: t } = isGroup ? node : this.placed.nodes[id];
    const nodeDimensions = { width: w, height: t };
    if (!view) return { drawNode() {}, nodeDimensions };
    const drawNode = () => {
      if (isGroup) this.supernode(ctx, node, x, y, w, t);
      else this.single(ctx, id, x, y, w, t);
    };
    return { drawNode, nodeDimensions };
  }

  single(ctx, id, x, y, w, t) {
    const { model, theme, view } = this;
    const node = model.nodes[id];
    const scale = this.network.getScale();
    const blocks = model.blocksOf.get(id);
    const closed = blocks && !this.isOpen(id);
    const chosen = view.selectedSet.has(id);
    const within = closed && blocks.some((n) => view.selectedSet.has(n) || n === view.hovered);
    const any = view.hovered >= 0 || view.selectedSet.size > 0;
    const far = any && !chosen && !within && view.hovered !== id && !this.active[id];
    const idle = !this.active[id];
    const share = blocks && !closed ? NaN : shareAt(model, view.estimator, id, view);
    const corner = look.nodes[node.kind]?.corner ?? t / 2;
    ctx.globalAlpha = far ? FADED.far : idle ? FADED.idle : 1;
    const shape = (by = 0) => {
      ctx.beginPath();
      if (node.kind === "head") ctx.arc(x, y, w / 2, 0, 2 * Math.PI);
      else ctx.roundRect(x - w / 2 + by, y - t / 2 - by, w, t, corner);
    };
    if (chosen || within) {
      ctx.strokeStyle = theme.accentSoft;
      ctx.lineWidth = id === view.selected ? 10 : 6;
      shape();
      ctx.stroke();
    }
    const updated = model.T && (blocks ?? [id]).some((n) => (
      n < model.N && model.updated[view.shown * model.N + n]));
    const stroke = () => {
      ctx.strokeStyle = chosen ? theme.accent : updated ? theme.text : theme.faint;
      ctx.lineWidth = chosen ? OUTLINE.chosen : updated ? OUTLINE.updated : OUTLINE.other;
      ctx.stroke();
    };
    for (const by of closed ? [3.5, 0] : [0]) { // a closed MLP is a pile
      shape(by);
      ctx.fillStyle = theme.bg;
      ctx.fill(); // hides the edges below, whatever the opacity of the node itself
      ctx.fillStyle = Number.isNaN(share) ? theme.undefinedFill : theme.fill(share);
      ctx.fill();
      stroke();
    }
    if (id === view.hovered && !chosen) {
      ctx.lineWidth = 1.2;
      ctx.strokeStyle = theme.text;
      ctx.beginPath();
      ctx.roundRect(x - w / 2 - 3.5, y - t / 2 - 3.5, w + 7, t + 7, corner + 3);
      ctx.stroke();
    }
    const ink = far || Number.isNaN(share) ? theme.text : theme.label(share);
    const write = (text, size, by) => {
      if (size * scale < 5.5) return;
      ctx.font = `600 ${size}px ${FONT}`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillStyle = ink;
      if (t <= 2 * w) {
        ctx.fillText(text, x, y + by);
        return;
      }
      ctx.save(); // along a node that stands on end
      ctx.translate(x, y);
      ctx.rotate(-Math.PI / 2);
      ctx.fillText(text, 0, by);
      ctx.restore();
    };
    const size = this.letters(node);
    if (closed && model.T) {
      write("MLP", size - 2, -5);
      write(`${this.inside(id)}/${blocks.length}`, size - 2, 5.5);
    } else write(shortLabel(node), size, 0.5);
    if (node.kind === "head" && view.f === 0) this.badge(ctx, id, x + 0.48 * w, y - 0.48 * t);
    if (scale >= NEAR && view.f === 0) this.beside(ctx, node, x, y, t);
    if (node.kind === "head" && !idle && scale >= 1.15) this.ports(ctx, x, y, w / 2);
    ctx.globalAlpha = 1;
  }

  /** The rank of one of the three strongest heads of the snapshot. */
  badge(ctx, id, x, y) {
    const { model, theme, view } = this;
    if (this.strong?.shown !== view.shown || this.strong.model !== model) {
      this.strong = { shown: view.shown, model, of: model.T && !model.other ? strongestHeads(model, view.shown, 3) : [] };
    }
    const rank = this.strong.of.indexOf(id);
    if (rank < 0) return;
    const radius = Math.max(5.5, 5 / this.network.getScale());
    ctx.globalAlpha = 1;
    ctx.fillStyle = theme.text;
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 2 * Math.PI);
    ctx.fill();
    ctx.font = `700 ${1.5 * radius}px ${FONT}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = theme.bg;
    ctx.fillText(String(rank + 1), x, y + 0.5);
  }

  /** What there is room for from near by: a node's name and its redundancy. */
  beside(ctx, node, x, y, t) {
    if (node.kind === "input" || node.kind === "logits") return;
    const { model, theme, view } = this;
    const share = shareAt(model, view.estimator, model.index.get(node.name), view);
    const said = Number.isNaN(share) ? node.name : `${node.name} ${percent(share)}`;
    ctx.font = `500 5.5px ${FONT}`;
    ctx.textAlign = "center";
    ctx.fillStyle = theme.muted;
    ctx.fillText(said, x, y + t / 2 + 5);
  }

  /** How large the letters inside a node are. */
  letters({ kind, unit }) {
    const small = kind === "head" && unit > 9 ? 1.5 : 0;
    const turned = this.placed.box.across && look.stream.nodes[kind];
    return (turned ? look.stream.nodes.letters : LETTERS[kind] ?? 0) - small;
  }

  /** How many blocks of an MLP are in the circuit of the shown snapshot. */
  inside(mlp) {
    const { shown } = this.view;
    if (this.ends?.shown !== shown) this.ends = { shown, of: endsOf(this.model, shown) };
    return blocksInside(this.model, mlp, shown, this.ends.of).length;
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
    let line = -1;
    if (id === undefined) {
      const { x, y } = this.network.DOMtoCanvas(at);
      line = nearest(this.points, this.painter.drawn, x, y, 6 / this.network.getScale());
    }
    this.stage.style.cursor = id !== undefined ? "pointer" : "";
    if (line !== this.hover.line) {
      this.hover = { line };
      this.actions.redraw();
    }
    this.actions.hover(node);
    let said = null;
    if (group) said = groupLines(this.model, group, this.view);
    else if (node >= 0) {
      said = nodeLines(this.model, node, this.view);
      const mlp = this.mlpAt(node);
      if (mlp >= 0) said.push(`Double-click: ${this.isOpen(mlp) ? "close" : "open"} it (key O)`);
    } else if (line >= 0) said = lineLines(this.model, this.lines.edges[line], this.view, this.painter.shown);
    this.actions.tooltip(said, event.clientX, event.clientY);
  }

  onLeave() {
    this.actions.tooltip(null);
    this.hover = { line: -1 };
    this.actions.hover(-1);
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

  /** The curves of the drawn edges and the boxes of the nodes with the size of their letters, in
   * pixels of the screen, for benchmarks. */
  onScreen() {
    const scale = this.network.getScale();
    const point = (x, y) => Object.values(this.network.canvasToDOM({ x, y }));
    const { bezier, drawn } = this.painter;
    const curves = drawn.map((line) => [0, 2, 4, 6].flatMap((k) => (
      point(bezier[8 * line + k], bezier[8 * line + k + 1]))));
    const seen = new Set(this.places.filter(({ x, kind }) => x !== null && kind !== "kv"));
    const nodes = [...seen].map(({ kind, x, y, w, h }) => {
      const [left, top] = point(x - w / 2, y - h / 2);
      return { left, top, width: w * scale, height: h * scale, letters: this.letters({ kind, unit: 0 }) * scale };
    });
    return { curves, nodes, pixels: this.size.w * this.size.h };
  }

  destroy() {
    this.network?.destroy();
    this.network = null;
  }
}
