// The player: one clock, and the panels that follow it.
//
// Streamlit calls the default export when the component appears and again whenever its data or the
// theme change, always with the same parent element; the instance lives with that element. What
// the user is doing (step, zoom, selection, playback) belongs to the instance and not to the data.

import { Clock, nearestSnapshot } from "./clock.js";
import { readTheme } from "./colour.js";
import { Curves } from "./curves.js";
import { changeWords, overlapWords } from "./changes.js";
import { decode } from "./data.js";
import { h, iconButton, prefersStill, setText } from "./dom.js";
import { Graph } from "./graph.js";
import { Groups, plain } from "./groups.js";
import { Heatmap } from "./heatmap.js";
import { Inspector } from "./inspector.js";
import { legend } from "./legend.js";
import { listen } from "./keys.js";
import { SelectionBar } from "./selection.js";
import { findNodes, Toolbar } from "./toolbar.js";
import { source, Tooltip } from "./tooltip.js";
import { Transport } from "./transport.js";
import { loadVis } from "./vis.js";

const players = new WeakMap();
const REPORT_AFTER = 300; // ms without a further change
const PRESENT = ["M3 4h18v12H3zM5 6v8h14V6z", "M8 18h8v2H8z"];
const LEAVE = ["M6.4 5L5 6.4 10.600 12 5 17.600 6.400 19 12 13.400 17.600 19 19 17.600 13.400 12 19 6.400 17.600 5 12 10.600z"];

class Player {
  constructor(parent) {
    this.clock = new Clock({ still: prefersStill() });
    this.nodes = []; // selected, the inspected one first
    this.hovered = -1;
    this.edges = null; // null: as many as the circuit has
    this.marks = "previous";
    this.estimator = "circuit";
    this.heat = "nodes";
    this.whole = false;
    this.groups = new Groups();
    this.keepsGroups = false;
    this.camera = null;
    this.token = null;
    this.following = false;
    this.frameTimes = [];
    this.build(parent);
    this.unlisten = listen(this);
    this.onOutside = (event) => {
      if (this.clock.playing && !event.composedPath().includes(this.root)) this.report({ playing: true });
    };
    document.addEventListener("pointerdown", this.onOutside, true);
  }

  // ---------------------------------------------------------------- building

  build(parent) {
    this.tip = new Tooltip();
    const set = (name) => (value) => {
      this[name] = value;
      this.settle();
    };
    const actions = {
      select: (n) => this.click(n),
      inspect: (n) => this.choose([n, ...this.nodes.filter((other) => other !== n)]),
      add: (n) => this.add(n),
      group: (members) => this.choose(members),
      hover: (n) => this.hover(n),
      find: (text) => this.find(text),
      tooltip: (lines, x, y) => this.tip.show(lines, x, y),
      redraw: () => this.redraw(),
      estimator: set("estimator"),
      heat: set("heat"),
      marks: set("marks"),
      whole: (on) => this.setWhole(on),
      seek: (step) => this.seek(step),
      toggle: () => this.toggle(),
      step: (by) => this.go(this.clock.i + by),
      go: (i) => this.go(i),
      big: (by) => this.big(by),
      speed: (x) => {
        this.clock.speed = x;
        this.redraw();
      },
      loop: () => {
        this.clock.loop = !this.clock.loop;
        this.redraw();
      },
      canGroup: () => this.keepsGroups,
      makeGroup: (name) => this.keepGroups(this.groups.made(name, this.nodes), "add"),
      toggleGroup: (g) => this.changeGroups(this.groups.toggled(g)),
      dropGroup: (g) => this.keepGroups(this.groups.without(g), "drop", this.groups.list[g]),
      link: () => this.inspectLink(),
    };
    this.graph = new Graph(actions);
    this.heatmap = new Heatmap(actions);
    this.curves = new Curves(actions);
    this.transport = new Transport(actions);
    this.inspector = new Inspector(actions);
    this.toolbar = new Toolbar(actions);
    this.selection = new SelectionBar(actions);

    this.heading = h("h2", {});
    this.facts = h("p", { class: "cz-about", tabindex: 0 });
    source(this.facts, actions, () => this.aboutLines());
    this.presentButton = iconButton("Present: large, without controls (F)", PRESENT, () => this.present(true));
    this.leaveButton = iconButton("Leave the presentation (Escape)", LEAVE, () => this.present(false), {
      class: "cz-leave",
    });
    this.bigStep = h("p", { class: "cz-big", "aria-hidden": "true" });
    this.live = h("span", { class: "cz-chip", hidden: true });
    this.slider = h("input", {
      type: "range", min: 1, max: 1, step: 1, "aria-label": "Edges shown",
      oninput: () => this.showEdges(Number(this.slider.value)),
    });
    this.sliderText = h("output", {});
    this.changes = h("p", { class: "cz-changes", "aria-live": "off" });
    this.emptyText = h("span", {});
    this.empty = h("div", { class: "cz-empty", hidden: true }, this.emptyText);
    this.legendHolder = h("div", { class: "cz-legend" });
    this.root = h("div", { class: "cz", style: "visibility:hidden" },
      h("div", { class: "cz-frame" },
        h("header", { class: "cz-title" },
          h("div", {}, this.heading, this.live), this.facts, this.bigStep,
          h("div", { class: "cz-buttons cz-title-buttons" }, this.presentButton), this.leaveButton),
        h("div", { class: "cz-main" },
          h("section", { class: "cz-panel cz-graph", "aria-label": "Circuit" },
            h("header", {},
              h("label", { class: "cz-edges" }, h("span", { text: "Edges shown" }), this.slider, this.sliderText),
              this.changes,
              h("div", { class: "cz-buttons" },
                iconButton("Zoom in", ["M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z"], () => this.graph.zoom(1.25)),
                iconButton("Zoom out", ["M5 11h14v2H5z"], () => this.graph.zoom(0.8)),
                iconButton("Fit the graph", ["M4 4h6v2H6v4H4z", "M14 4h6v6h-2V6h-4z", "M4 14h2v4h4v2H4z", "M18 14h2v6h-6v-2h4z"],
                  () => this.graph.fit()))),
            this.toolbar.element,
            h("div", { class: "cz-stage-holder" }, this.graph.stage, this.empty),
            this.selection.element,
            this.legendHolder),
          h("div", { class: "cz-side" }, this.heatmap.element, this.curves.element,
            this.inspector.element)),
        this.transport.element),
      this.tip.element);
    parent.append(this.root);
    this.expose();
  }

  /** A read-only handle for tests and benchmarks. */
  expose() {
    const { clock } = this;
    const handle = {
      run: () => this.model?.run ?? null,
      frame: () => clock.i + clock.f,
      snapshot: () => clock.i,
      playing: () => clock.playing,
      fps: () => this.fps(),
      selected: () => this.model?.nodes[this.selected]?.name ?? null,
      nodes: () => this.names(),
      hovered: () => this.model?.nodes[this.hovered]?.name ?? null,
      marked: () => {
        const { painter } = this.graph;
        const count = (...lists) => lists.reduce((sum, list) => sum + list.count, 0);
        return {
          entered: count(...painter.entered), left: count(...painter.ghosts),
          stronger: painter.stronger.count, weaker: painter.weaker.count,
          noise: count(painter.faintEntered, painter.faintGhosts),
        };
      },
      view: () => JSON.parse(this.viewText()),
      edges: () => this.shownEdges(),
      drawn: () => this.graph.painter?.drawn.length ?? 0,
      ready: () => Boolean(this.graph.network && this.graph.view),
      nodeAt: (name) => this.graph.where(name),
      scale: () => this.graph.network?.getScale() ?? null,
    };
    Object.defineProperty(this.root, "__ctviz", { value: Object.freeze(handle) });
  }

  // ---------------------------------------------------------------- data in

  async update({ data, setStateValue, vis }) {
    this.setStateValue = setStateValue;
    const { payload, view } = data;
    this.keepsGroups = Boolean(data.groups);
    this.links = Boolean(data.links);
    this.theme = readTheme(this.root);
    for (const [name, value] of Object.entries(this.theme.variables)) {
      this.root.style.setProperty(name, value);
    }
    const text = JSON.stringify(payload);
    if (text !== this.payloadText) {
      this.payloadText = text;
      this.setModel(decode(payload));
    }
    if (view.token !== this.token) {
      this.token = view.token;
      this.apply(view);
    }
    try {
      this.vis ??= vis ?? null;
      if (!this.vis) {
        this.redraw(); // the other panels need not wait
        this.vis = await loadVis();
        if (this.gone) return;
      }
      // No frame may come between the new data and the new graph.
      if (this.graph.model !== this.model) this.graph.setModel(this.model, this.vis);
      this.graph.setWhole(this.whole);
      this.graph.setGroups(this.groups.list);
      if (data.camera !== undefined && data.camera !== this.camera) {
        this.camera = data.camera;
        this.look(data.camera);
      }
    } catch (error) {
      this.say(`The graph cannot be drawn: ${error.message}`);
    }
    this.redraw();
  }

  setModel(model) {
    const before = this.model;
    const names = this.names();
    const follow = before && this.following && !this.clock.playing;
    this.model = model;
    this.clock.resize(model.T);
    if (follow || (!before && model.state === "running")) {
      this.clock.go(model.T - 1, { forget: !before });
      this.following = true;
    }
    this.nodes = this.indices(names);
    this.hovered = -1;
    this.groups = Groups.of(model, this.groups);

    setText(this.heading, model.title || model.run);
    const about = [model.model, model.task, model.method, model.source];
    setText(this.facts, about.filter(Boolean).join(" · "));
    this.legendHolder.replaceChildren(...legend(model));
    const words = { running: "live", failed: "failed", cancelled: "cancelled", interrupted: "interrupted" };
    this.live.hidden = !words[model.state];
    this.live.dataset.state = model.state;
    setText(this.live, words[model.state] ?? "");
    const most = Math.max(1, model.maxEdges);
    this.slider.max = most;
    this.slider.disabled = model.maxEdges < 1;
    this.slider.value = this.shownEdges();
    if (!model.T) {
      this.say(model.state === "running" ? "Waiting for the first snapshot …" : "This run has no snapshots.");
    } else if (!model.maxEdges) this.say("No edge is in the circuit.");
    else this.say("");
    this.heatmap.setModel(model);
    this.curves.setModel(model);
    this.transport.setModel(model);
    this.toolbar.setModel(model);
    this.inspector.setModel(model);
    this.inspector.select(this.selected);
  }

  say(text) {
    this.empty.hidden = !text;
    setText(this.emptyText, text);
  }

  aboutLines() {
    const { model } = this;
    return [
      `run ${model.run}`, `Scores in units of ${model.metric}.`,
      ...(model.provenance?.scores ? [`Source: ${model.provenance.scores}`] : []),
    ];
  }

  /** What the page asks for; a step or a number of edges that is not given stays as it is. */
  apply({ step, nodes, edges, marks, estimator, heat, whole }) {
    const { model } = this;
    if (step !== null && step !== undefined && model.T) {
      this.clock.playing = false;
      this.clock.go(nearestSnapshot(model.steps, step), { forget: true });
      this.following = this.atEnd();
    }
    if (edges !== null && edges !== undefined) this.showEdges(edges, { quiet: true });
    else this.showEdges(Infinity, { quiet: true });
    Object.assign(this, { marks, estimator, heat, whole });
    this.setNodes(this.indices(nodes));
    // A link to a node that is never in the circuit shows the whole model.
    if (this.nodes.some((n) => model.nodes[n].x === null)) this.whole = true;
    clearTimeout(this.timer);
    this.reported = this.viewText();
  }

  // ---------------------------------------------------------------- what the user does

  atEnd() {
    return this.model.T > 0 && this.clock.i === this.model.T - 1;
  }

  toggle() {
    if (this.clock.playing) this.clock.pause();
    else this.clock.play();
    this.settle();
  }

  go(i) {
    this.clock.playing = false;
    this.clock.go(Math.min(i, this.model.T - 1));
    this.settle();
  }

  seek(step) {
    this.go(nearestSnapshot(this.model.steps, step));
  }

  showEdges(n, { quiet = false } = {}) {
    const most = Math.max(1, this.model.maxEdges);
    const value = Math.max(1, Math.min(most, Math.round(n)));
    this.edges = value === most ? null : value;
    this.slider.value = value;
    if (!quiet) this.settle();
  }

  shownEdges() {
    return Math.min(this.edges ?? Infinity, Math.max(1, this.model?.maxEdges ?? 1));
  }

  get selected() {
    return this.nodes.length ? this.nodes[0] : -1;
  }

  names() {
    return this.nodes.map((n) => this.model.nodes[n].name);
  }

  indices(names) {
    return (names ?? []).map((name) => this.model.index.get(name)).filter((n) => n !== undefined);
  }

  setNodes(nodes) {
    this.nodes = nodes;
    this.inspector.select(this.selected);
  }

  /** Select these nodes; the first is inspected. */
  choose(nodes) {
    this.setNodes(nodes);
    if (nodes.some((n) => this.model.nodes[n].x === null)) this.setWhole(true);
    this.tip.show(null);
    this.settle();
  }

  select(n) {
    this.choose(n < 0 ? [] : [n]);
  }

  /** A click on a node, or with -1 beside all of them. */
  click(n) {
    if (n >= 0 && this.inspector.pinned) this.add(n);
    else this.select(n === this.selected && this.nodes.length === 1 ? -1 : n);
  }

  /** Put a node into the selection, or take it out. */
  add(n) {
    const rest = this.nodes.filter((other) => other !== n);
    this.choose(rest.length < this.nodes.length ? rest : [n, ...this.nodes]);
  }

  hover(n) {
    if (n === this.hovered) return;
    this.hovered = n;
    this.redraw();
  }

  find(text) {
    const found = findNodes(this.model, text);
    if (!found.length) return false;
    this.choose(found);
    if (found.length === 1) this.graph.focus(found);
    return true;
  }

  /** Escape: leave the presentation, or let go of the selection. */
  clear() {
    this.tip.show(null);
    if (this.presenting) this.present(false);
    else if (this.nodes.length) this.select(-1);
    else return false;
    return true;
  }

  setWhole(on) {
    this.whole = on;
    this.graph.setWhole(on);
    this.settle();
  }

  /** Jump to the next big change, or with -1 to the last one; past the end from the start. */
  big(by) {
    const { clock, model } = this;
    const found = clock.find(model.big, by);
    const wrapped = by > 0 ? model.big.indexOf(true) : model.big.lastIndexOf(true);
    if (found !== null || wrapped >= 0) this.go(found ?? wrapped);
  }

  look(camera) {
    if (!camera) return;
    if (camera === "all") this.graph.fit();
    else this.graph.focus(this.indices(camera.split(",")));
  }

  present(on) {
    if (on === Boolean(this.presenting)) return;
    this.presenting = on;
    this.root.classList.toggle("cz-present", on);
    const { root } = this;
    if (on) root.requestFullscreen?.().catch(() => {}); // it fills the window all the same
    else if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
    this.redraw();
  }

  inspectLink() {
    if (!this.links || this.selected < 0 || !this.model.T) return null;
    const { name } = this.model.nodes[this.selected];
    const step = this.model.steps[this.clock.i];
    return `inspect?${new URLSearchParams({ run: this.model.run, step, node: name })}`;
  }

  changeGroups(groups) {
    this.groups = groups;
    this.graph.setGroups(groups.list);
    this.redraw();
  }

  /** A change that is kept with the run; the page applies it to the groups as they are then. */
  keepGroups(groups, what, group = groups.list.at(-1)) {
    this.changeGroups(groups);
    this.setStateValue("groups", { [what]: plain(group, this.model), at: Date.now() });
  }

  /** Select the next node of the circuit, in the order of the model. */
  walk(by) {
    const near = this.model.nodes.map((_, n) => n).filter((n) => this.inCircuit(n));
    if (!near.length) return;
    const at = near.indexOf(this.selected);
    const next = at < 0 ? (by > 0 ? 0 : near.length - 1) : at + by;
    if (next >= 0 && next < near.length) this.select(near[next]);
  }

  inCircuit(n) {
    const { E, member, touching } = this.model;
    for (let e = 0; e < E; e += 1) if (touching[n][e] && member[this.clock.i * E + e]) return true;
    return false;
  }

  /** After a change by the user: draw, and tell the page once things are quiet. */
  settle() {
    if (!this.clock.playing) this.following = this.atEnd();
    this.redraw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.report(), REPORT_AFTER);
  }

  viewText() {
    const { model, clock } = this;
    return JSON.stringify({
      step: model.T ? model.steps[clock.i] : null,
      nodes: this.names(),
      edges: this.edges,
      marks: this.marks,
      estimator: this.estimator,
      heat: this.heat,
      whole: this.whole,
    });
  }

  /** Tell the page where the user is: when things rest, or when something else is clicked. */
  report({ playing = false } = {}) {
    if ((this.clock.playing && !playing) || this.gone) return;
    const text = this.viewText();
    if (text === this.reported) return;
    this.reported = text;
    this.setStateValue("view", { ...JSON.parse(text), token: this.token });
  }

  // ---------------------------------------------------------------- drawing

  redraw() {
    if (this.pending || this.gone) return;
    this.pending = true;
    requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.pending = false;
    if (this.gone || !this.model) return;
    const { clock } = this;
    const wasPlaying = clock.playing;
    clock.tick(this.lastFrame ? now - this.lastFrame : 16);
    if (wasPlaying && !clock.playing) this.settle();
    this.measure(now, wasPlaying);
    const base = this.marks === "start" ? (clock.i > 0 ? 0 : -1) : clock.previous;
    const view = {
      i: clock.i, j: clock.j, f: clock.f, shown: clock.i, base: this.model.other ? -1 : base,
      arrived: clock.arrived, now: performance.now(), playing: clock.playing, speed: clock.speed,
      loop: clock.loop, edges: this.shownEdges(), selected: this.selected, hovered: this.hovered,
      selectedSet: new Set(this.nodes), estimator: this.estimator, heat: this.heat,
      marks: this.marks, whole: this.whole,
    };
    this.describe(view);
    this.graph.draw(view, this.theme);
    this.heatmap.draw(view, this.theme);
    this.curves.draw(view);
    this.transport.draw(view, this.theme);
    this.toolbar.draw(view);
    this.selection.draw(view, this.model, this.groups.list);
    this.inspector.draw(view, this.theme);
    const glowing = view.base >= 0 && view.now - clock.arrived < 1200;
    if (clock.playing || glowing) {
      this.lastFrame = now;
      this.redraw();
    } else this.lastFrame = 0;
  }

  describe(view) {
    const { model } = this;
    this.root.classList.toggle("cz-playing", view.playing);
    setText(this.bigStep, model.T ? `step ${model.steps[view.i]}` : "");
    const inside = model.T ? model.counts.size[view.i] : 0;
    const all = model.whole.edges.toLocaleString("en-US");
    setText(this.sliderText, model.T ? `${Math.min(view.edges, inside)} of ${inside}` : "–");
    this.sliderText.title = `The circuit has ${inside} of the model's ${all} edges.`;
    const { dropped } = model.whole;
    let words = `of ${all} in the model${dropped ? `; ${dropped} weak ones are not in this view` : ""}`;
    const marked = view.base >= 0 && view.base !== view.i;
    if (model.other || marked) {
      const key = `${view.base} ${view.i}`;
      if (this.said?.key !== key || this.said.model !== model) {
        const text = model.other ? overlapWords(model, view.i) : changeWords(model, view.base, view.i);
        this.said = { key, model, text };
      }
      words = this.said.text;
    }
    if (model.other?.note) words = `${words}. ${model.other.note}`;
    setText(this.changes, words);
    this.changes.title = words;
  }

  measure(now, playing) {
    if (!playing) {
      this.frameTimes.length = 0;
      return;
    }
    this.frameTimes.push(now);
    if (this.frameTimes.length > 121) this.frameTimes.shift();
  }

  /** Frames a second over the last two seconds or so of playback. */
  fps() {
    const { frameTimes: times } = this;
    if (times.length < 2) return 0;
    return ((times.length - 1) * 1000) / (times[times.length - 1] - times[0]);
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
    this.unlisten();
    document.removeEventListener("pointerdown", this.onOutside, true);
    this.graph.destroy();
    this.root.remove();
  }
}

export default function mount(component) {
  const { parentElement } = component;
  let player = players.get(parentElement);
  if (!player) {
    player = new Player(parentElement);
    players.set(parentElement, player);
  }
  player.update(component);
  return () => {
    player.destroy();
    players.delete(parentElement);
  };
}
