// Above the graph: how good the circuit is, a search for nodes, and what is marked and shown.

import { h, setText } from "./dom.js";
import { quality } from "./quality.js";
import { source } from "./tooltip.js";

const MARKS = { previous: "last shown", start: "first step" };
const FORMS = {
  graph: ["graph", "Nodes and edges, along the residual stream"],
  paths: ["paths", "The strongest paths from the input to the logits"],
  matrix: ["matrix", "Which layer writes to which, or node by node"],
};
const LEVELS = {
  backbone: ["backbone", "The fewest edges, strongest first, that hold half of the circuit's |score|: 20 to 60 of them"],
  circuit: ["circuit", "All edges of the circuit, or as many as “Edges shown” says"],
  model: ["whole model", "All nodes of the model, those without an edge of the circuit too"],
};
const MLPS = { closed: "closed", open: "open" };

/**
 * The nodes that a text means: one ("a2.h1", "2.1", "layer 2 head 1", "mlp 3", "logits"), or all of
 * a kind ("h1" in every layer, "b7" in every MLP that is cut, "layer 2", "mlp").
 */
export function findNodes(model, text) {
  const plain = text.trim().toLowerCase().replace(/\s*<[qkv]>$/, ""); // an input, as edges name it
  const exact = model.index.get(plain);
  if (exact !== undefined) return [exact];
  const where = (wanted) => {
    const found = [];
    model.nodes.forEach((node, n) => {
      if (wanted(node)) found.push(n);
    });
    return found;
  };
  const of = (pattern) => plain.match(pattern)?.slice(1).map(Number);
  const mlp = of(/^(?:m|mlp|layer)\s*(\d+)\s*(?:mlp)?$/);
  if (mlp && (plain.startsWith("m") || plain.endsWith("mlp"))) {
    return where(({ kind, layer }) => kind === "mlp" && layer === mlp[0]);
  }
  const layer = of(/^(?:l|layer)\s*(\d+)$/);
  if (layer) return where((node) => (node.kind === "head" || node.kind === "mlp") && node.layer === layer[0]);
  if (plain === "m" || plain === "mlp" || plain === "mlps") return where(({ kind }) => kind === "mlp");
  const column = of(/^(?:h|head)\s*(\d+)$/);
  if (column) return where(({ kind, unit }) => kind === "head" && unit === column[0]);
  const block = of(/^(?:b|block)\s*(\d+)$/);
  if (block) return where(({ kind, unit }) => kind === "block" && unit === block[0]);
  const head = of(/^(?:a|l|layer)?\s*(\d+)[\s.,:]*(?:h|head)?\s*(\d+)$/);
  if (!head) return [];
  return where((node) => node.kind === "head" && node.layer === head[0] && node.unit === head[1]);
}

export class Toolbar {
  /** `actions`: find(text), marks(key), level(key), form(key), unfoldAll(on), tooltip(lines, x, y). */
  constructor(actions) {
    this.actions = actions;
    this.chip = h("span", { class: "cz-quality", tabindex: 0, role: "note" });
    source(this.chip, actions, () => this.quality?.lines ?? []);
    this.names = h("datalist", { id: "cz-names" });
    this.search = h("input", {
      type: "search", list: "cz-names", placeholder: "Find a node", title: "Such as a2.h1, 2.1, mlp 3, h1, layer 2", "aria-label": "Find a node",
      maxlength: 60, autocomplete: "off", spellcheck: "false",
      onchange: () => this.find(),
      onkeydown: (event) => {
        if (event.key === "Enter") this.find();
      },
      oninput: () => this.say(""),
    });
    this.note = h("span", { class: "cz-found", role: "status" });
    this.marks = h("div", { class: "cz-toggle", role: "group", "aria-label": "Changes are marked against" },
      ...Object.entries(MARKS).map(([key, text]) =>
        h("button", { type: "button", "data-key": key, text, onclick: () => actions.marks(key) })));
    this.forms = h("div", { class: "cz-toggle", role: "group", "aria-label": "Form of the circuit" },
      ...Object.entries(FORMS).map(([key, [text, title]]) =>
        h("button", { type: "button", "data-key": key, text, title, onclick: () => actions.form(key) })));
    this.levels = h("div", { class: "cz-toggle", role: "group", "aria-label": "Level of detail" },
      ...Object.entries(LEVELS).map(([key, [text, title]]) =>
        h("button", { type: "button", "data-key": key, text, title, onclick: () => actions.level(key) })));
    this.mlps = h("div", { class: "cz-toggle", role: "group", "aria-label": "Blocks of the MLPs" },
      ...Object.entries(MLPS).map(([key, text]) =>
        h("button", {
          type: "button", "data-key": key, text, onclick: () => actions.unfoldAll(key === "open"),
          title: key === "open" ? "Draw the blocks of neurons of every MLP (of one: double-click it, or key O)"
            : "Draw every MLP as one node, the edges of its blocks joined",
        })));
    this.mlpsLabel = h("div", { class: "cz-marks" }, h("span", { text: "blocks" }), this.mlps);
    this.marksLabel = h("div", { class: "cz-marks" }, h("span", { text: "changes since" }), this.marks);
    this.element = h("div", { class: "cz-toolbar" },
      this.chip,
      h("div", { class: "cz-search" }, this.search, this.note, this.names),
      this.forms, this.levels, this.marksLabel, this.mlpsLabel);
  }

  setModel(model) {
    this.model = model;
    this.names.replaceChildren(...model.nodes.filter(({ kind }) => kind !== "kv")
      .map(({ name }) => h("option", { value: name })));
    this.mlpsLabel.hidden = !model.blocksOf.size;
    this.marksLabel.hidden = Boolean(model.other);
    this.chip.hidden = Boolean(model.other);
    this.forms.hidden = Boolean(model.other); // two circuits are compared as graphs
    const [backbone, circuit, whole] = this.levels.children;
    backbone.hidden = !model.large;
    whole.hidden = !model.hasMore;
    this.levels.hidden = backbone.hidden && whole.hidden;
    circuit.hidden = this.levels.hidden;
    this.at = -1;
  }

  find() {
    const text = this.search.value;
    if (!text.trim() || text === this.last) return;
    this.last = text; // Enter also fires a change
    setTimeout(() => {
      this.last = null;
    });
    if (this.actions.find(text)) {
      this.search.value = "";
      this.search.blur(); // so that the keys are the player's again
      this.say("");
    } else this.say(`no node “${text.trim().slice(0, 20)}”`);
  }

  say(text) {
    setText(this.note, text);
  }

  draw(view) {
    const { model } = this;
    for (const button of this.marks.children) {
      button.setAttribute("aria-pressed", String(button.dataset.key === view.marks));
    }
    const { size } = view.open;
    const state = !size ? "closed" : size === model.blocksOf.size ? "open" : "";
    for (const button of this.mlps.children) {
      button.setAttribute("aria-pressed", String(button.dataset.key === state));
    }
    for (const button of this.forms.children) {
      button.setAttribute("aria-pressed", String(button.dataset.key === view.form));
    }
    for (const button of this.levels.children) {
      button.setAttribute("aria-pressed", String(button.dataset.key === view.level));
    }
    const mark = `${view.shown} ${view.edges}`;
    if (!model.T || (mark === this.at && model === this.drawn)) return;
    this.at = mark;
    this.drawn = model;
    this.quality = quality(model, view.shown, view.edges);
    this.chip.dataset.grade = this.quality.grade;
    setText(this.chip, this.quality.words);
  }
}
