// Above the graph: how good the circuit is, a search for nodes, and what is marked and shown.

import { h, setText } from "./dom.js";
import { quality } from "./quality.js";
import { source } from "./tooltip.js";

const MARKS = { previous: "last shown", start: "first step" };

/** The node that a text means: "a2.h1", "2.1", "layer 2 head 1", "mlp 3", "logits"; -1: none. */
export function findNode(model, text) {
  const plain = text.trim().toLowerCase();
  const exact = model.index.get(plain);
  if (exact !== undefined) return exact;
  const mlp = plain.match(/^(?:m|mlp|layer)\s*(\d+)(?:\s*mlp)?$/);
  if (mlp && (plain.startsWith("m") || plain.endsWith("mlp"))) return model.index.get(`m${Number(mlp[1])}`) ?? -1;
  const head = plain.match(/^(?:a|l|layer)?\s*(\d+)[\s.,:]*(?:h|head)?\s*(\d+)$/);
  if (head) return model.index.get(`a${Number(head[1])}.h${Number(head[2])}`) ?? -1;
  return -1;
}

export class Toolbar {
  /** `actions`: find(text), marks(key), whole(on), tooltip(lines, x, y). */
  constructor(actions) {
    this.actions = actions;
    this.chip = h("span", { class: "cz-quality", tabindex: 0, role: "note" });
    source(this.chip, actions, () => this.quality?.lines ?? []);
    this.names = h("datalist", { id: "cz-names" });
    this.search = h("input", {
      type: "search", list: "cz-names", placeholder: "Find a node", "aria-label": "Find a node",
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
    this.whole = h("input", { type: "checkbox", "aria-label": "Show the whole model", onchange: () => actions.whole(this.whole.checked) });
    this.wholeLabel = h("label", { class: "cz-check" }, this.whole, h("span", { text: "whole model" }));
    this.marksLabel = h("div", { class: "cz-marks" }, h("span", { text: "changes since" }), this.marks);
    this.element = h("div", { class: "cz-toolbar" },
      this.chip,
      h("div", { class: "cz-search" }, this.search, this.note, this.names),
      this.marksLabel, this.wholeLabel);
  }

  setModel(model) {
    this.model = model;
    this.names.replaceChildren(...model.nodes.slice(0, model.N)
      .map(({ name }) => h("option", { value: name })));
    this.marksLabel.hidden = Boolean(model.other);
    this.chip.hidden = Boolean(model.other);
    this.wholeLabel.hidden = !model.hasMore;
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
    this.whole.checked = view.whole;
    if (!model.T || (view.shown === this.at && model === this.drawn)) return;
    this.at = view.shown;
    this.drawn = model;
    this.quality = quality(model, view.shown);
    this.chip.dataset.grade = this.quality.grade;
    setText(this.chip, this.quality.words);
  }
}
