// The player: one clock, and the panels that follow it.
//
// Streamlit calls the default export when the component appears and again whenever its data or the
// theme change, always with the same parent element; the instance lives with that element. What
// the user is doing (step, zoom, selection, playback) belongs to the instance and not to the data.

import { Clock } from "./clock.js";
import { readTheme } from "./colour.js";
import { Curves } from "./curves.js";
import { decode } from "./data.js";
import { h, iconButton, setText } from "./dom.js";
import { Graph } from "./graph.js";
import { Heatmap } from "./heatmap.js";
import { Inspector } from "./inspector.js";
import { legend } from "./legend.js";
import { listen } from "./keys.js";
import { Tooltip } from "./tooltip.js";
import { Transport } from "./transport.js";
import { loadVis } from "./vis.js";

const players = new WeakMap();
const REPORT_AFTER = 300; // ms without a further change

class Player {
  constructor(parent) {
    this.clock = new Clock();
    this.selected = -1;
    this.edges = null; // null: as many as the circuit has
    this.estimator = "circuit";
    this.token = null;
    this.following = false;
    this.frameTimes = [];
    this.build(parent);
    this.unlisten = listen(this);
  }

  // ---------------------------------------------------------------- building

  build(parent) {
    this.tip = new Tooltip();
    const actions = {
      select: (n) => this.select(n === this.selected ? -1 : n),
      tooltip: (lines, x, y) => this.tip.show(lines, x, y),
      redraw: () => this.redraw(),
      estimator: (key) => {
        this.estimator = key;
        this.redraw();
      },
      seek: (step) => this.seek(step),
      toggle: () => this.toggle(),
      step: (by) => this.go(this.clock.i + by),
      go: (i) => this.go(i),
      speed: (x) => {
        this.clock.speed = x;
        this.redraw();
      },
      loop: () => {
        this.clock.loop = !this.clock.loop;
        this.redraw();
      },
    };
    this.graph = new Graph(actions);
    this.heatmap = new Heatmap(actions);
    this.curves = new Curves(actions);
    this.transport = new Transport(actions);
    this.inspector = new Inspector(actions);

    this.heading = h("h2", {});
    this.facts = h("p", { class: "cz-about" });
    this.live = h("span", { class: "cz-chip", hidden: true });
    this.slider = h("input", {
      type: "range", min: 1, max: 1, step: 1, "aria-label": "Edges shown",
      oninput: () => this.showEdges(Number(this.slider.value)),
    });
    this.sliderText = h("output", {});
    this.changes = h("p", { class: "cz-changes", "aria-live": "off" });
    this.emptyText = h("span", {});
    this.empty = h("div", { class: "cz-empty", hidden: true }, this.emptyText);
    this.hint = h("p", {
      class: "cz-note cz-hint",
      text: "Click a node to see its edges, scores and redundancy over time.",
    });
    this.legendHolder = h("div", { class: "cz-legend" });
    this.root = h("div", { class: "cz", style: "visibility:hidden" },
      h("div", { class: "cz-frame" },
        h("header", { class: "cz-title" },
          h("div", {}, this.heading, this.live), this.facts),
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
            h("div", { class: "cz-stage-holder" }, this.graph.stage, this.empty),
            this.legendHolder),
          h("div", { class: "cz-side" }, this.heatmap.element, this.curves.element, this.hint,
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
      const first = this.token === null;
      this.token = view.token;
      this.apply(view, first);
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
    } catch (error) {
      this.say(`The graph cannot be drawn: ${error.message}`);
    }
    this.redraw();
  }

  setModel(model) {
    const before = this.model;
    const name = before?.nodes[this.selected]?.name;
    const follow = before && this.following && !this.clock.playing;
    this.model = model;
    this.clock.resize(model.T);
    if (follow || (!before && model.state === "running")) {
      this.clock.go(model.T - 1, { forget: !before });
      this.following = true;
    }
    this.selected = name === undefined ? -1 : (model.index.get(name) ?? -1);

    setText(this.heading, model.title || model.run);
    const about = [model.model, model.task, model.method, model.source];
    setText(this.facts, about.filter(Boolean).join(" · "));
    this.facts.title = `Scores in units of ${model.metric}.`;
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
    this.inspector.setModel(model);
    this.inspector.select(this.selected);
  }

  say(text) {
    this.empty.hidden = !text;
    setText(this.emptyText, text);
  }

  /** What the page asks for: a step, a node, a number of edges; None leaves it as it is. */
  apply({ step, node, edges }, first) {
    const { model } = this;
    if (step !== null && step !== undefined && model.T) {
      this.clock.playing = false;
      this.clock.go(nearestSnapshot(model.steps, step), { forget: true });
      this.following = this.atEnd();
    }
    if (edges !== null && edges !== undefined) this.showEdges(edges, { quiet: true });
    if (node !== null && node !== undefined) this.setSelected(model.index.get(node) ?? -1);
    else if (!first) this.setSelected(-1);
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

  setSelected(n) {
    this.selected = n;
    this.inspector.select(n);
  }

  select(n) {
    this.setSelected(n);
    this.tip.show(null);
    this.settle();
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
      node: model.nodes[this.selected]?.name ?? null,
      edges: this.edges,
    });
  }

  report() {
    if (this.clock.playing || this.gone) return;
    const text = this.viewText();
    if (text === this.reported) return;
    this.reported = text;
    this.setStateValue("view", JSON.parse(text));
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
    const view = {
      i: clock.i, j: clock.j, f: clock.f, shown: clock.i, previous: clock.previous,
      arrived: clock.arrived, now: performance.now(), playing: clock.playing, speed: clock.speed,
      loop: clock.loop, edges: this.shownEdges(), selected: this.selected, estimator: this.estimator,
    };
    this.describe(view);
    this.graph.draw(view, this.theme);
    this.heatmap.draw(view, this.theme);
    this.curves.draw(view);
    this.transport.draw(view, this.theme);
    this.inspector.draw(view, this.theme);
    const glowing = clock.previous >= 0 && view.now - clock.arrived < 1200;
    if (clock.playing || glowing) {
      this.lastFrame = now;
      this.redraw();
    } else this.lastFrame = 0;
  }

  describe(view) {
    const { model } = this;
    this.root.classList.toggle("cz-playing", view.playing);
    this.hint.hidden = this.selected >= 0;
    const inside = model.T ? model.size[view.i] : 0;
    const all = model.whole.edges.toLocaleString("en-US");
    setText(this.sliderText, model.T ? `${Math.min(view.edges, inside)} of ${inside}` : "–");
    this.sliderText.title = `The circuit has ${inside} of the model's ${all} edges.`;
    const { dropped } = model.whole;
    let words = `of ${all} in the model${dropped ? `; ${dropped} weak ones are not in this view` : ""}`;
    if (view.previous >= 0 && view.previous !== view.i) {
      const { entered, left } = this.compare(view.previous, view.i);
      const change = entered || left ? `${entered} entered, ${left} left` : "no edge entered or left";
      words = `since step ${model.steps[view.previous]}: ${change}`;
    }
    setText(this.changes, words);
  }

  compare(before, now) {
    const key = `${before} ${now}`;
    if (this.compared?.key !== key || this.compared.model !== this.model) {
      const { E, member } = this.model;
      let entered = 0;
      let left = 0;
      for (let e = 0; e < E; e += 1) {
        const was = member[before * E + e];
        const is = member[now * E + e];
        if (is && !was) entered += 1;
        else if (was && !is) left += 1;
      }
      this.compared = { key, model: this.model, entered, left };
    }
    return this.compared;
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
    this.graph.destroy();
    this.root.remove();
  }
}

function nearestSnapshot(steps, step) {
  let best = 0;
  steps.forEach((value, i) => {
    if (Math.abs(value - step) < Math.abs(steps[best] - step)) best = i;
  });
  return best;
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
