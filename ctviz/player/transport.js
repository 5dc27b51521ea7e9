// Play, step, scrub: the bar that moves the clock.

import { AXES, axis } from "./axis.js";
import { moment } from "./data.js";
import { fitCanvas, h, iconButton, setText, turnInto } from "./dom.js";
import { near, placed } from "./happened.js";

const ICON = {
  play: ["M8 5.5v13l10.5-6.5z"],
  pause: ["M7 5.5h3.6v13H7z", "M13.4 5.5H17v13h-3.6z"],
  back: ["M15.5 6v12L8 12z"],
  forth: ["M8.5 6v12l7.5-6z"],
  first: ["M6 6h2.2v12H6z", "M18 6v12l-8-6z"],
  last: ["M15.8 6H18v12h-2.2z", "M6 6v12l8-6z"],
  next: ["M4 6.500v11L11 12z", "M11 6.500v11L18 12z", "M18.500 6H20.500v12h-2z"],
  loop: ["M17 3.5l3.5 3.5L17 10.500V8H8a4 4 0 0 0-4 4H2a6 6 0 0 1 6-6h9z",
    "M7 20.500L3.500 17 7 13.500V16h9a4 4 0 0 0 4-4h2a6 6 0 0 1-6 6H7z"],
};
const SPEEDS = [0.5, 1, 2, 4];
const THUMB = 14; // width of the range's thumb, also in the style sheet
const MARK = 6; // height of an event's mark above the bars

export class Transport {
  /** `actions`: toggle(), step(by), go(i), big(by), speed(x), loop(), axis(kind), tooltip(lines, x, y). */
  constructor(actions) {
    this.actions = actions;
    this.play = iconButton("Play", ICON.play, () => actions.toggle(), { class: "cz-play" });
    this.first = iconButton("First snapshot", ICON.first, () => actions.go(0, true));
    this.back = iconButton("One snapshot back", ICON.back, () => actions.step(-1));
    this.forth = iconButton("One snapshot forward", ICON.forth, () => actions.step(1));
    this.last = iconButton("Last snapshot", ICON.last, () => actions.go(Infinity, true));
    this.next = iconButton("Next big change", ICON.next, () => actions.big(1), {
      title: "Next big change of the circuit (N; P goes back)",
    });
    this.loop = iconButton("Loop", ICON.loop, () => actions.loop(), { class: "cz-loop" });
    this.step = h("b", {});
    this.mark = h("em", { class: "cz-mark" });
    this.count = h("span", {});
    this.label = h("div", { class: "cz-step" }, this.step, h("div", {}, this.count, this.mark));
    this.range = h("input", {
      type: "range", min: 0, max: 0, step: 1, value: 0, class: "cz-scrub", "aria-label": "Snapshot",
      oninput: () => actions.go(this.nearest(this.range.value / this.range.max), false),
      onchange: () => actions.go(this.nearest(this.range.value / this.range.max), true),
    });
    this.map = h("canvas", { class: "cz-map" });
    this.mapHolder = h("div", {
      class: "cz-map-holder",
      onclick: (event) => {
        const [found] = this.eventsAt(event);
        actions.go(found?.at ?? this.nearest(this.shareAt(event)), true);
      },
      onpointermove: (event) => {
        const found = this.eventsAt(event);
        const lines = found.length
          ? [moment(this.model, found[0].at), ...found.flatMap(({ text, numbers }) => [text, numbers])]
          : ["How much of the circuit turned over at each snapshot",
            "A bar is 1 − overlap (Jaccard) with the one before; dark bars are big changes, triangles events."];
        actions.tooltip(lines, event.clientX, event.clientY);
      },
      onpointerleave: () => actions.tooltip(null),
    }, this.map);
    this.speeds = h("div", { class: "cz-toggle", role: "group", "aria-label": "Playback speed" },
      ...SPEEDS.map((x) => h("button", {
        type: "button", "data-speed": x, text: `${x}×`, onclick: () => actions.speed(x),
      })));
    this.axes = h("select", {
      "aria-label": "Step axis",
      title: "How the training steps are spread here, over the curves and in the inspector",
      onchange: () => actions.axis(this.axes.value),
    }, ...Object.entries(AXES).map(([key, text]) => h("option", { value: key, text })));
    this.axisLabel = h("label", { class: "cz-axis" }, h("span", { text: "step axis" }), this.axes);
    this.element = h("section", { class: "cz-transport", "aria-label": "Playback" },
      h("div", { class: "cz-buttons" },
        this.first, this.back, this.play, this.forth, this.last, this.next),
      h("div", { class: "cz-track" },
        h("div", { class: "cz-map-row" }, this.mapHolder), this.range),
      this.label,
      h("div", { class: "cz-buttons" }, this.axisLabel, this.speeds, this.loop),
    );
    new ResizeObserver(() => this.drawMap()).observe(this.mapHolder);
  }

  setModel(model) {
    this.model = model;
    this.marks = placed(model.events);
    this.spread(this.kind ?? "auto");
    this.axes.disabled = model.T < 3;
    this.range.max = Math.max(0, model.T - 1);
    this.range.disabled = model.T < 2;
    for (const button of [this.play, this.first, this.back, this.forth, this.last]) {
      button.disabled = model.T < 2;
    }
    this.next.disabled = !model.big.includes(true);
    this.drawMap();
  }

  /** Where the snapshots stand, from 0 to 1: evenly, unless a person asks for another axis. */
  spread(kind) {
    const { steps, T } = this.model;
    this.kind = kind;
    const { share } = axis(steps, kind === "auto" ? "even" : kind);
    this.places = T > 1 ? steps.map(share) : steps.map(() => 0);
    this.range.step = kind === "auto" || kind === "even" ? "1" : "any";
    this.axes.value = kind;
  }

  /** The place on the clock, 0 to 1, that a pointer is over. */
  shareAt(event) {
    const box = this.map.getBoundingClientRect();
    return (event.clientX - box.left - THUMB / 2) / (box.width - THUMB);
  }

  /** The events whose mark a pointer is over. */
  eventsAt(event) {
    const reach = MARK / (this.map.getBoundingClientRect().width - THUMB);
    return near(this.marks, this.places, this.shareAt(event), reach);
  }

  /** The snapshot that stands nearest to a place. */
  nearest(share) {
    const distance = this.places.map((place) => Math.abs(place - share));
    return distance.indexOf(Math.min(...distance));
  }

  /** @param {import("./colour.js").Theme} theme */
  draw(view, theme) {
    const { model } = this;
    const redraw = theme !== this.theme || view.axis !== this.kind;
    if (view.axis !== this.kind) this.spread(view.axis);
    this.theme = theme;
    this.view = view;
    if (redraw || view.i !== this.mapAt) this.drawMap();
    if (view.playing) turnInto(this.play, "Pause", ICON.pause);
    else turnInto(this.play, "Play", ICON.play);
    for (const button of this.speeds.children) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.speed) === view.speed));
    }
    this.loop.setAttribute("aria-pressed", String(view.loop));
    if (!model.T) {
      setText(this.step, "no snapshot yet");
      setText(this.count, "");
      setText(this.mark, "");
      return;
    }
    const [from, to] = [this.places[view.i], this.places[view.j]];
    const value = String(Number((from * (model.T - 1)).toFixed(4)));
    if (this.range.value !== value) this.range.value = value;
    const share = from + (to - from) * view.f;
    this.range.style.setProperty("--cz-at", share.toFixed(4));
    const where = moment(model, view.i) + (model.names.length ? "" : ` of ${model.steps[model.T - 1]}`);
    this.range.setAttribute("aria-valuetext", where);
    setText(this.step, where);
    const transit = view.f > 0.02 && view.f < 0.98;
    setText(this.mark, transit ? "between snapshots" : "");
    setText(this.count, `snapshot ${view.i + 1} of ${model.T}`);
  }

  drawMap() {
    const { model, theme } = this;
    if (!model || !theme) return;
    const w = this.mapHolder.clientWidth;
    const t = this.mapHolder.clientHeight;
    if (!w || !t) return;
    const ctx = fitCanvas(this.map, w, t);
    ctx.clearRect(0, 0, w, t);
    const largest = model.churn.reduce((a, b) => Math.max(a, b), 0.05);
    const span = w - THUMB;
    const room = this.marks.length ? MARK + 1 : 0;
    const bar = Math.max(1, Math.min(8, span / Math.max(1, model.T) - 1));
    this.mapAt = this.view?.i;
    for (let i = 1; i < model.T; i += 1) {
      const x = THUMB / 2 + this.places[i] * span;
      const size = Math.max(1, (model.churn[i] / largest) * (t - 1 - room));
      ctx.fillStyle = i === this.view?.i ? theme.accent : model.big[i] ? theme.muted : theme.line;
      ctx.fillRect(x - bar / 2, t - size, bar, size);
    }
    for (const { at } of this.marks) {
      const x = THUMB / 2 + this.places[at] * span;
      ctx.fillStyle = at === this.view?.i ? theme.accent : theme.text;
      ctx.beginPath();
      ctx.moveTo(x - MARK / 2 - 0.5, 0);
      ctx.lineTo(x + MARK / 2 + 0.5, 0);
      ctx.lineTo(x, MARK);
      ctx.fill();
    }
  }
}
