// The player's page: where its panels stand, its heading, the edges slider, and what it says.

import { noiseWords } from "./beside.js";
import { edgesAt, moment } from "./data.js";
import { changeWords, overlapWords } from "./changes.js";
import { h, iconButton, setText } from "./dom.js";
import { legend } from "./legend.js";
import { percent } from "./numbers.js";
import { backboneWords } from "./quality.js";
import { source } from "./tooltip.js";

const PRESENT = ["M3 4h18v12H3zM5 6v8h14V6z", "M8 18h8v2H8z"];
const LEAVE = ["M6.4 5L5 6.4 10.600 12 5 17.600 6.400 19 12 13.400 17.600 19 19 17.600 13.400 12 19 6.400 17.600 5 12 10.600z"];
const STATES = { running: "live", failed: "failed", cancelled: "cancelled", interrupted: "interrupted" };

export class Page {
  /** Around the panels of a player; `actions`: tooltip(lines, x, y). */
  constructor(player, actions) {
    const {
      curves, events, graph, heatmap, inspector, matrix, paths, selection, sentence, tip, toolbar, transport,
    } = player;
    this.heading = h("h2", {});
    this.facts = h("p", { class: "cz-about", tabindex: 0 });
    source(this.facts, actions, () => (this.model ? aboutLines(this.model) : []));
    this.presentButton = iconButton("Present: large, without controls (F)", PRESENT, () => player.present(true));
    this.leaveButton = iconButton("Leave the presentation (Escape)", LEAVE, () => player.present(false), {
      class: "cz-leave",
    });
    this.bigStep = h("p", { class: "cz-big", "aria-hidden": "true" });
    this.live = h("span", { class: "cz-chip", hidden: true });
    this.slider = h("input", {
      type: "range", min: 1, max: 1, step: 1, "aria-label": "Edges shown",
      oninput: () => player.showEdges(Number(this.slider.value)),
    });
    this.sliderText = h("output", {});
    this.near = iconButton("Fit the selection",
      ["M4 4h6v2H6v4H4z", "M14 4h6v6h-2V6h-4z", "M4 14h2v4h4v2H4z", "M18 14h2v6h-6v-2h4z", "M9 9h6v6H9z"],
      () => graph.focus([...player.nodes]));
    this.changes = h("p", { class: "cz-changes", "aria-live": "off" });
    this.emptyText = h("span", {});
    this.empty = h("div", { class: "cz-empty", hidden: true }, this.emptyText);
    this.told = h("p", { class: "cz-unseen", "aria-live": "polite" });
    transport.label.after(events.element);
    this.legendHolder = h("div", { class: "cz-legend" });
    this.root = h("div", { class: "cz", tabindex: -1, style: "visibility:hidden" },
      h("div", { class: "cz-frame" },
        h("header", { class: "cz-title" },
          h("div", {}, this.heading, this.live), this.facts, this.bigStep,
          h("div", { class: "cz-buttons cz-title-buttons" }, this.presentButton), this.leaveButton),
        sentence.element,
        h("div", { class: "cz-main" },
          h("section", { class: "cz-panel cz-graph", "aria-label": "Circuit" },
            h("header", {},
              h("label", { class: "cz-edges" }, h("span", { text: "Edges shown" }), this.slider, this.sliderText),
              this.changes,
              h("div", { class: "cz-buttons" },
                iconButton("Zoom in", ["M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z"], () => graph.zoom(1.25)),
                iconButton("Zoom out", ["M5 11h14v2H5z"], () => graph.zoom(0.8)),
                iconButton("Fit the graph", ["M4 4h6v2H6v4H4z", "M14 4h6v6h-2V6h-4z", "M4 14h2v4h4v2H4z", "M18 14h2v6h-6v-2h4z"],
                  () => graph.fit()),
                this.near)),
            toolbar.element,
            h("div", { class: "cz-stage-holder" }, graph.stage, graph.minimap.element, paths.element, matrix.element, this.empty, this.told),
            selection.element,
            this.legendHolder),
          h("div", { class: "cz-side" }, heatmap.element, curves.element,
            inspector.element)),
        transport.element),
      tip.element);
  }

  setModel(model) {
    this.model = model;
    setText(this.heading, model.title || model.run);
    const about = [model.model, model.task, model.method, model.source];
    setText(this.facts, about.filter(Boolean).join(" · "));
    this.legendHolder.replaceChildren(...legend(model));
    this.live.hidden = !STATES[model.state];
    this.live.dataset.state = model.state;
    setText(this.live, STATES[model.state] ?? "");
    this.slider.max = Math.max(1, model.maxEdges);
    this.slider.disabled = model.maxEdges < 1;
    if (!model.T) {
      this.say(model.state === "running" ? "Waiting for the first snapshot …" : "This run has no snapshots.");
    } else if (!model.maxEdges) this.say("No edge is in the circuit.");
    else this.say("");
  }

  /** A sentence in the place of the graph, or with "" none. */
  say(text) {
    this.empty.hidden = !text;
    setText(this.emptyText, text);
  }

  /** A sentence for a screen reader. */
  tell(text) {
    setText(this.told, text);
  }

  draw(view) {
    const { model } = this;
    this.root.classList.toggle("cz-playing", view.playing);
    this.root.dataset.form = view.form;
    this.near.disabled = !view.selectedSet.size;
    setText(this.bigStep, model.T ? moment(model, view.i) : "");
    const inside = model.T ? model.counts.size[view.i] : 0;
    const all = model.whole.edges.toLocaleString("en-US");
    const at = String(view.edges);
    if (this.slider.value !== at) this.slider.value = at;
    const share = view.level === "backbone" && !model.other ? model.backbone.shares[view.i] ?? null : null;
    const held = share === null ? "" : ` · ${percent(share)} of |score|`;
    const shown = [model, model.other].filter(Boolean).map((run) => {
      const size = run.counts.size[view.i];
      return `${Math.min(edgesAt(run, view, view.i), size)} of ${size}`;
    });
    const counts = [...new Set(shown)].join(" and "); // of two circuits once, if it is the same
    setText(this.sliderText, model.T ? `${counts}${held}` : "–");
    this.sliderText.title = `The circuit has ${inside} of the model's ${all} edges.`;
    const words = this.words(view, all);
    setText(this.changes, words);
    this.changes.title = words;
  }

  /** What changed since the snapshot that is compared with or, without one, how large the model is. */
  words(view, all) {
    const { model } = this;
    const { dropped } = model.whole;
    let words = `of ${all} in the model${dropped ? `; ${dropped} weak ones are not in this view` : ""}`;
    const marked = view.base >= 0 && view.base !== view.i;
    if (!model.other && view.level === "backbone") words = backboneWords(model, view.i) || words;
    if (model.other || marked) {
      const key = `${view.base} ${view.i}`;
      if (this.said?.key !== key || this.said.model !== model) {
        const text = model.other
          ? overlapWords(model, view.i) + noiseWords(model, view.i)
          : changeWords(model, view.base, view.i);
        this.said = { key, model, text };
      }
      words = this.said.text;
    }
    return model.other?.note ? `${words}. ${model.other.note}` : words;
  }
}

function aboutLines(model) {
  return [
    `run ${model.run}`, `Scores in units of ${model.metric}.`,
    ...(model.provenance?.scores ? [`Source: ${model.provenance.scores}`] : []),
  ];
}
