// The player: one clock, and the panels that follow it.
//
// Streamlit calls the default export when the component appears and again whenever its data or the
// theme change, always with the same parent element; the instance lives with that element. What
// the user is doing (step, zoom, selection, playback) belongs to the instance and not to the data.

import { Paths } from "./braid.js";
import { Clock, nearestSnapshot } from "./clock.js";
import { readTheme } from "./colour.js";
import { Curves } from "./curves.js";
import { decode, edgesAt, moment } from "./data.js";
import { prefersStill } from "./dom.js";
import { Events } from "./events.js";
import { Graph } from "./graph.js";
import { Groups, plain } from "./groups.js";
import { handle } from "./handle.js";
import { Heatmap } from "./heatmap.js";
import { Inspector } from "./inspector.js";
import { listen, takeOver } from "./keys.js";
import { Matrix } from "./matrix.js";
import { Page } from "./page.js";
import { spoken } from "./said.js";
import { Schedule } from "./schedule.js";
import { SelectionBar } from "./selection.js";
import { Sentence } from "./sentence.js";
import { findNodes, Toolbar } from "./toolbar.js";
import { Tooltip } from "./tooltip.js";
import { Transport } from "./transport.js";
import { loadVis } from "./vis.js";

const players = new WeakMap();
const REPORT_AFTER = 300; // ms without a further change

class Player {
  constructor(parent) {
    this.clock = new Clock({ still: prefersStill() });
    this.nodes = []; // selected, the inspected one first
    this.hovered = -1;
    this.edges = null; // null: as many as the circuit has
    this.marks = "previous";
    this.estimator = "circuit";
    this.map = "redundancy";
    this.heat = "nodes";
    this.level = "auto";
    this.form = "graph";
    this.axis = "auto";
    this.probe = 0; // the stored sentence that is looked at
    this.open = new Set(); // layers whose MLP is drawn as its blocks
    this.groups = new Groups();
    this.keepsGroups = false;
    this.camera = null;
    this.token = null;
    this.following = false;
    this.begun = false;
    this.schedule = new Schedule((now, ms) => this.frame(now, ms));
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
      map: set("map"),
      marks: set("marks"),
      axis: set("axis"),
      level: (level) => this.setLevel(level),
      form: set("form"),
      probe: set("probe"),
      unfold: (mlp) => this.unfold(mlp),
      unfoldAll: (on) => this.unfoldAll(on),
      isOpen: (mlp) => this.open.has(this.model.nodes[mlp].layer),
      seek: (step) => this.seek(step),
      toggle: () => this.toggle(),
      step: (by) => this.go(this.clock.i + by),
      go: (i) => this.go(i),
      big: (by) => this.big(by),
      event: (at) => this.showEvent(this.events.placed[at]),
      speed: (x) => {
        this.clock.speed = x;
        this.redraw();
      },
      loop: () => {
        this.clock.loop = !this.clock.loop;
        this.redraw();
      },
      canGroup: () => this.keepsGroups,
      makeGroup: (name) => this.keepGroups(this.groups.made(name, this.parts(this.nodes)), "add"),
      toggleGroup: (g) => this.changeGroups(this.groups.toggled(g)),
      dropGroup: (g) => this.keepGroups(this.groups.without(g), "drop", this.groups.list[g]),
      link: () => this.inspectLink(),
    };
    this.graph = new Graph(actions);
    this.paths = new Paths(actions);
    this.matrix = new Matrix(actions);
    this.heatmap = new Heatmap(actions);
    this.curves = new Curves(actions);
    this.transport = new Transport(actions);
    this.inspector = new Inspector(actions);
    this.toolbar = new Toolbar(actions);
    this.selection = new SelectionBar(actions);
    this.sentence = new Sentence(actions);
    this.events = new Events(actions);

    this.page = new Page(this, actions);
    this.root = this.page.root;
    parent.append(this.root);
    Object.defineProperty(this.root, "__ctviz", { value: handle(this) });
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
      const model = await decode(payload);
      if (this.gone) return;
      this.setModel(model);
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
      this.graph.setLevel(this.detail);
      this.graph.setOpen(this.open);
      this.graph.setGroups(this.groups.list);
      if (data.camera !== undefined && data.camera !== this.camera) {
        this.camera = data.camera;
        this.look(data.camera);
      }
    } catch (error) {
      this.page.say(`The graph cannot be drawn: ${error.message}`);
    }
    if (!this.begun) takeOver(this.root);
    this.begun = true;
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

    this.page.setModel(model);
    this.page.slider.value = String(this.shownEdges());
    this.paths.setModel(model);
    this.matrix.setModel(model);
    this.heatmap.setModel(model);
    this.curves.setModel(model);
    this.transport.setModel(model);
    this.toolbar.setModel(model);
    this.sentence.setModel(model);
    this.events.setModel(model);
    this.probe = Math.min(this.probe, Math.max(0, model.probes.length - 1));
    this.inspector.setModel(model);
    this.inspector.select(this.selected);
  }

  /** What the page asks for; a step or a number of edges that is not given stays as it is. */
  apply({ step, nodes, edges, marks, estimator, heat, map, level, form, axis, probe, open }) {
    const { model } = this;
    if (step !== null && step !== undefined && model.T) {
      this.clock.playing = false;
      this.clock.go(nearestSnapshot(model.steps, step), { forget: true });
      this.following = this.atEnd();
    }
    if (edges !== null && edges !== undefined) this.showEdges(edges, { quiet: true });
    else this.showEdges(Infinity, { quiet: true });
    Object.assign(this, { marks, estimator, heat, map, level, form, axis, open: new Set(open) });
    if (model.probes.length) this.probe = Math.min(probe, model.probes.length - 1);
    this.setNodes(this.indices(nodes));
    this.level = this.levelFor(this.nodes);
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
    this.page.slider.value = String(value);
    // More than the backbone has is more than the backbone.
    if (!quiet && this.detail === "backbone") this.setLevel("circuit");
    if (!quiet) this.settle();
  }

  /** How many edges are shown of the circuit at this snapshot, if it has as many. */
  shownEdges() {
    if (!this.model?.T) return 1;
    const view = { level: this.detail, most: this.edges ?? Infinity };
    return Math.min(edgesAt(this.model, view, this.clock.i), Math.max(1, this.model.maxEdges));
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
    if (this.levelFor(nodes) !== this.level) this.setLevel(this.levelFor(nodes));
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
    else if (this.events.open(false)) return true;
    else if (this.nodes.length) this.select(-1);
    else return false;
    return true;
  }

  /** Show the circuit's backbone, all of it, or with it the nodes of the whole model. */
  setLevel(level) {
    this.level = level;
    this.graph.setLevel(this.detail);
    this.settle();
  }

  /** The level of detail that is drawn: a circuit too large to be read whole begins as its backbone. */
  get detail() {
    return this.level === "auto" ? this.model.level : this.level;
  }

  /** The level at which these nodes are all drawn, the present one if it can be; a block is where its
   * closed MLP is. */
  levelFor(nodes) {
    const { mlpOf, nodes: all } = this.model;
    const away = (level) => nodes.some((n) => {
      const closed = mlpOf[n] >= 0 && !this.open.has(all[n].layer);
      return all[closed ? mlpOf[n] : n].places[level] === null;
    });
    if (!away(this.detail)) return this.level;
    return away("circuit") ? "model" : "circuit";
  }

  /** Nodes with the blocks of each MLP that is cut in its stead. */
  parts(nodes) {
    return [...new Set(nodes.flatMap((n) => this.model.blocksOf.get(n) ?? [n]))];
  }

  setOpen(layers) {
    this.open = new Set(layers);
    this.graph.setOpen(this.open);
    this.settle();
  }

  /** Open an MLP into its blocks, or close it. */
  unfold(mlp) {
    const { layer } = this.model.nodes[mlp];
    const rest = [...this.open].filter((other) => other !== layer);
    const opens = rest.length === this.open.size;
    this.setOpen(opens ? [...rest, layer] : rest);
    this.choose([mlp]);
    this.page.tell(`The MLP of layer ${layer} is ${opens ? "open" : "closed"}`);
  }

  /** Open or close all of them. */
  unfoldAll(on) {
    const { blocksOf, nodes } = this.model;
    this.setOpen(on ? [...blocksOf.keys()].map((mlp) => nodes[mlp].layer) : []);
    this.page.tell(`All MLPs are ${on ? "open" : "closed"}`);
  }

  /** Key O: open or close the MLP that is selected, or whose block is; without one all of them. */
  unfoldSelected() {
    const { blocksOf, mlpOf } = this.model;
    if (!blocksOf.size) return false;
    const n = this.selected;
    const mlp = blocksOf.has(n) ? n : (mlpOf[n] ?? -1);
    if (mlp >= 0) this.unfold(mlp);
    else this.unfoldAll(this.open.size === 0);
    return true;
  }

  /** Jump to the next big change, or with -1 to the last one; past the end from the start. */
  big(by) {
    const { clock, model } = this;
    const found = clock.find(model.big, by);
    const wrapped = by > 0 ? model.big.indexOf(true) : model.big.lastIndexOf(true);
    if (found !== null || wrapped >= 0) this.go(found ?? wrapped);
  }

  /** Go to an event, and select the head that it is about. */
  showEvent({ at, node }) {
    this.go(at);
    if (node) this.choose(this.indices([node]));
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

  /** Select the next drawn node of the circuit, in the order of the model. */
  walk(by) {
    const { nodes, mlpOf } = this.model;
    const drawn = (n) => (mlpOf[n] >= 0 && !this.open.has(nodes[n].layer) ? mlpOf[n] : n);
    const inside = nodes.map((_, n) => n).filter((n) => nodes[n].kind !== "mlp" || n < this.model.N);
    const near = [...new Set(inside.filter((n) => this.inCircuit(n)).map(drawn))];
    if (!near.length) return;
    const at = near.indexOf(drawn(this.selected));
    const next = at < 0 ? (by > 0 ? 0 : near.length - 1) : at + by;
    if (next < 0 || next >= near.length) return;
    this.select(near[next]);
    this.page.tell(spoken(this.model, near[next], this.clock.i));
  }

  /** Say the snapshot that is shown, and the selected node there. */
  tellMoment() {
    const { model, clock, selected } = this;
    if (!model.T) return;
    const about = selected < 0 ? "" : `. ${spoken(model, selected, clock.i)}`;
    this.page.tell(`${moment(model, clock.i)}${about}`);
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
      map: this.map,
      level: this.level,
      form: this.form,
      axis: this.axis,
      probe: this.probe,
      open: [...this.open].sort((a, b) => a - b),
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
    this.schedule.request();
  }

  frame(now, ms) {
    if (!this.model) return;
    const { clock } = this;
    const wasPlaying = clock.playing;
    clock.tick(ms);
    if (wasPlaying && !clock.playing) this.settle();
    const view = this.moment();
    this.page.draw(view);
    this.graph.draw(view, this.theme);
    this.paths.draw(view);
    this.matrix.draw(view, this.theme);
    this.heatmap.draw(view, this.theme);
    this.curves.draw(view);
    this.transport.draw(view, this.theme);
    this.toolbar.draw(view);
    this.selection.draw(view, this.model, this.groups.list);
    this.sentence.draw(view, this.probe);
    this.events.draw(view);
    this.inspector.draw(view, this.theme);
    const glowing = view.base >= 0 && view.now - clock.arrived < 1200;
    this.schedule.after(now, { again: clock.playing || glowing, playing: wasPlaying });
  }

  /** What every panel draws: the clock's place, what is shown of it, and what is chosen. */
  moment() {
    const { clock } = this;
    const base = this.marks === "start" ? (clock.i > 0 ? 0 : -1) : clock.previous;
    return {
      i: clock.i, j: clock.j, f: clock.f, shown: clock.i, base: this.model.other ? -1 : base,
      arrived: clock.arrived, now: performance.now(), playing: clock.playing, speed: clock.speed,
      loop: clock.loop, form: this.form, level: this.detail, most: this.edges ?? Infinity, edges: this.shownEdges(), selected: this.selected, hovered: this.hovered,
      selectedSet: new Set(this.nodes), estimator: this.estimator, heat: this.heat,
      map: this.map, marks: this.marks, axis: this.axis, probe: this.probe, open: this.open,
    };
  }

  destroy() {
    this.gone = true;
    this.schedule.end();
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
  // One after the other: an update waits for its data to be decoded.
  player.updated = Promise.resolve(player.updated).catch(() => {}).then(() => player.update(component));
  return () => {
    player.destroy();
    players.delete(parentElement);
  };
}
