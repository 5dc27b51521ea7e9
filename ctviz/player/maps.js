// What the map of the nodes can be of beside their redundancy: their direct effect on the answer,
// how far their parameters have moved, how specific to the task they are, what their updates carry
// of what was learned, and what heads do on repeated words.

import { carried, causeLines, causesAt, groupName } from "./causes.js";
import { moment, title } from "./data.js";
import { h } from "./dom.js";
import { number, percent } from "./numbers.js";
import { legendAt } from "./scales.js";

export const MAPS = {
  redundancy: "redundancy", effect: "effect", moved: "moved", specific: "specific", updates: "updates",
  previous: "one back", matching: "matching", copying: "copying",
};
export const TITLES = {
  redundancy: "Node redundancy", effect: "Direct effect", moved: "Parameters moved",
  specific: "Specific to the task", updates: "What each update carries",
  previous: "Attention one back", matching: "Prefix matching", copying: "Copying",
};
const HEADS = {
  previous: "Mean attention from a word of repeated rows to the word before it.",
  matching: "Mean attention from a word said again to the word that followed it the first time.",
  copying: "Share of the raised logits that goes to the word a head looks at, of the words repeated.",
};
const STORED = {
  effect: (model) => new Effect(model),
  moved: (model) => new Moved(model),
  specific: (model) => new Specific(model),
  previous: (model) => new Heads(model, "previous"),
  matching: (model) => new Heads(model, "matching"),
  copying: (model) => new Heads(model, "copying"),
};

/** Whether a map is of what heads do on repeated words. */
export const ofHeads = (key) => key in HEADS;

/** The maps that are offered: those of heads only where a run has them. */
export function offered(model) {
  return Object.keys(MAPS).filter((key) => !ofHeads(key) || model.maps[key]);
}

/** One of them, null where it is not known, and for redundancy. */
export function otherMap(model, key) {
  if (key === "updates") return model.causes?.length && !model.other ? new Updates(model) : null;
  return model.maps[key] ? STORED[key](model) : null;
}

/** How specific to the task a node is, 0 to 1 (NaN where it is not known), and in a word. */
export function specificity(model, n, t) {
  const share = model.maps.specific ? model.maps.specific.values[t * model.N + n] : NaN;
  if (Number.isNaN(share)) return { share, word: "" };
  // twice as much, by the means over nodes, as the other way round
  return { share, word: share >= 2 / 3 ? "specific" : share <= 1 / 3 ? "shared" : "both" };
}

/** What a head does on repeated words, in words by map; empty for what is no head. */
export function deeds(model, n, t) {
  return Object.keys(HEADS).flatMap((key) => {
    const share = model.maps[key] ? model.maps[key].values[t * model.N + n] : NaN;
    return Number.isNaN(share) ? [] : [`${MAPS[key]} ${percent(share, 0)}`];
  });
}

/** Why a map cannot be shown. */
export function whyNot(model, key) {
  if (model.other) return "Known of one run, not of the difference of two";
  return key === "updates" ? "Not measured: ctviz causes RUN does that" : "Not known of this run";
}

/** A number of each node at each snapshot. */
class Stored {
  constructor(model, key) {
    this.model = model;
    this.key = key;
    this.split = false; // whether heads are cut into their query, key and value
    this.steps = true; // whether it can be drawn over steps
    this.smooth = true; // whether there are values between snapshots
    this.values = model.maps[key].values;
    this.largest = model.maps[key].largest;
  }

  value(n, _part, t) {
    return this.values[t * this.model.N + n];
  }

  words(value) {
    return percent(value, 2);
  }

  lines(n, t) {
    const { model, key } = this;
    const node = model.nodes[n];
    const value = this.value(n, -1, t);
    const from = model.provenance?.[key];
    return [
      `${node.name} · ${title(node)}, ${moment(model, t)}`,
      `${TITLES[key].toLowerCase()}: ${Number.isNaN(value) ? "undefined" : this.words(value)}`,
      ...(from ? [`Source: ${moment(model, t)}, ${from}`] : []),
    ];
  }
}

class Effect extends Stored {
  constructor(model) {
    super(model, "effect");
  }

  words(value) {
    return `${number(value, { sign: true })} logits`;
  }

  explain() {
    return "What a node adds by itself to logit(answer) − logit(foil, the wrong answer), mean over the stored prompts.";
  }

  /** @param {import("./heatmap.js").Heatmap} heatmap */
  colour(value, heatmap) {
    return heatmap.diverging(this.largest ? value / this.largest : 0);
  }

  /** Blue: towards the answer; orange: towards the wrong one. */
  legend() {
    const most = number(this.largest);
    const places = [[`−${most}`, 0], ["0", 0.5], [`+${most}`, 1]];
    return diverging(places, "logits", "towards the wrong answer", "towards the answer", "cz-effect-bar");
  }
}

class Moved extends Stored {
  constructor(model) {
    super(model, "moved");
  }

  explain() {
    const { start } = this.model;
    return `How far a node's parameters are from those of ${start}, as a share of their norm.`;
  }

  /** @param {import("./heatmap.js").Heatmap} heatmap */
  colour(value, heatmap) {
    return heatmap.theme.fill(1 - (this.largest ? value / this.largest : 0));
  }

  legend() {
    const { largest } = this;
    const places = [1, 0.1, 0].map((share) => [percent(share * largest, 1), legendAt(1 - share)]);
    return [
      h("span", { text: "moved most" }), h("div", {}, h("i"), ...ticks(places)),
      h("span", { text: "not at all" }),
    ];
  }
}

/** One half: as much for the task as for text in general. */
class Specific extends Stored {
  constructor(model) {
    super(model, "specific");
  }

  words(value) {
    return percent(value, 1);
  }

  lines(n, t) {
    const lines = super.lines(n, t);
    const { word } = specificity(this.model, n, t);
    if (word) lines[1] += `, ${word}`;
    return lines;
  }

  explain() {
    return "A node's |score| on the task beside its effect on neutral text; 50 %: as much of either.";
  }

  /** @param {import("./heatmap.js").Heatmap} heatmap */
  colour(value, heatmap) {
    return heatmap.theme.fill(1 - value);
  }

  legend() {
    const places = [1, 0.5, 0.1, 0].map((share) => [percent(share), legendAt(1 - share)]);
    return [
      h("span", { text: "specific to the task" }), h("div", {}, h("i"), ...ticks(places)),
      h("span", { text: "shared with all text" }),
    ];
  }
}

/** What heads do on repeated words, 0 to 1. */
class Heads extends Stored {
  words(value) {
    return percent(value, 0);
  }

  explain() {
    return HEADS[this.key];
  }

  /** @param {import("./heatmap.js").Heatmap} heatmap */
  colour(value, heatmap) {
    return heatmap.theme.fill(1 - value);
  }

  legend() {
    const places = [1, 0.5, 0.1, 0].map((share) => [percent(share), legendAt(1 - share)]);
    return [
      h("span", { text: "always" }), h("div", {}, h("i"), ...ticks(places)),
      h("span", { text: "never" }),
    ];
  }
}

/** At the step nearest to the clock's of those at which it was measured. */
class Updates {
  constructor(model) {
    this.model = model;
    const { heads, kv_heads: groups } = model.shape;
    this.split = groups < heads; // shared keys and values have an update of their own
    this.steps = false;
    this.smooth = false;
  }

  value(n, part, t) {
    const { model } = this;
    const node = model.nodes[n];
    const name = part > 0 ? groupName(model, node) : node.name;
    return carried(causesAt(model, model.steps[t]), name);
  }

  lines(n, t) {
    const { model } = this;
    const node = model.nodes[n];
    const said = causeLines(model, node, model.steps[t]);
    const own = node.kind === "logits" ? "the prediction owns no update" : "it was not updated";
    const { source } = causesAt(model, model.steps[t]);
    return [`${node.name} · ${title(node)}`, ...(said.length ? said : [own]), `Source: ${source}`];
  }

  explain(t) {
    const found = causesAt(this.model, this.model.steps[t] ?? 0);
    const order = " In each head: its own, then twice that of its shared keys and values.";
    return `Step ${found.step}: ${found.sentence}${this.split ? order : ""}`;
  }

  /** @param {import("./heatmap.js").Heatmap} heatmap */
  colour(value, heatmap) {
    return heatmap.diverging(value);
  }

  /** Blue: the update does what was learned; orange: it works against that. */
  legend() {
    return diverging(POINTS, "Share of the gain", "works against it", "carries the gain alone");
  }
}

const ROOT = Math.sqrt(0.1) / 2; // colours go by the root of the share
const POINTS = [
  ["−100", 0], ["−10", 0.5 - ROOT], ["0", 0.5], ["+10", 0.5 + ROOT], ["+100 %", 1],
];

function ticks(places) {
  return places.map(([text, at]) => h("span", { text, style: `left:${100 * at}%` }));
}

function diverging(places, what, low, high, also = "") {
  return [
    h("span", { text: low }),
    h("div", { class: `cz-diverging ${also}`.trim(), title: what }, h("i"), ...ticks(places)),
    h("span", { text: high }),
  ];
}

export function shareLegend() {
  const places = [0, 0.5, 0.9, 1].map((share) => [percent(share), legendAt(share)]);
  return [
    h("span", { text: "needs all its inputs" }),
    h("div", {}, h("i"), ...ticks(places)),
    h("span", { text: "needs none" }),
  ];
}

/** In the colours of the two runs: which of them needs more of a node's inputs. */
export function differenceLegend(model) {
  const [low, high] = [model.other, model].map(({ label }) => `${label} needs more`);
  return diverging(POINTS, "Difference in points", low, high, "cz-pair-bar");
}
