// Above the graph: a stored sentence, what the model says next, and what a chosen head looks at.

import { moment, title } from "./data.js";
import { h, iconButton, setText } from "./dom.js";
import { bars, chance, lastRow, likely, word } from "./predictions.js";
import { percent } from "./numbers.js";
import { source } from "./tooltip.js";

const BACK = ["M15.5 6v12L8 12z"];
const FORTH = ["M8.5 6v12l7.5-6z"];
const BARS = 5;
const ROLES = [
  ["cz-answer", "rewarded", "The word that the metric rewards here."],
  ["cz-foil", "competes with it",
    "The word that the metric holds against the rewarded one, called the foil: the metric is higher the likelier the one is beside the other."],
];

export class Sentence {
  /** `actions`: probe(p), tooltip(lines, x, y), redraw(). */
  constructor(actions) {
    this.actions = actions;
    this.back = iconButton("Previous sentence", BACK, () => this.turn(-1));
    this.forth = iconButton("Next sentence", FORTH, () => this.turn(1));
    this.count = h("span", {});
    this.turns = h("div", { class: "cz-turns" }, this.back, this.count, this.forth);
    this.words = h("div", { class: "cz-words", role: "group", tabindex: 0 });
    source(this.words, actions, () => this.about());
    this.shade = h("span", { class: "cz-shade" });
    this.chances = ROLES.map(([role, name, hint]) => {
      const parts = { word: h("b", {}), first: h("span", {}), now: h("strong", {}) };
      const element = h("span", { class: `cz-chance ${role}`, title: hint },
        h("span", { text: name }), parts.word, parts.first, parts.now);
      return { element, ...parts };
    });
    this.list = h("div", { class: "cz-bars", role: "list", "aria-label": "Likeliest next tokens" });
    this.rows = new Map();
    this.asked = ""; // the head whose attention is shown, and the data that it is of
    this.askedOf = null;
    this.maps = null;
    this.element = h("section", { class: "cz-sentence", "aria-label": "A sentence and what comes next", hidden: true },
      this.turns,
      h("div", { class: "cz-said" },
        h("div", { class: "cz-line" }, this.words, this.shade),
        h("p", { class: "cz-chances" }, ...this.chances.map(({ element }) => element))),
      this.list);
  }

  setModel(model) {
    this.model = model;
    this.built = null;
    this.element.hidden = !model.T || !model.probes.length;
    this.turns.hidden = model.probes.length < 2;
  }

  turn(by) {
    const { length } = this.model.probes;
    this.actions.probe((this.shown + by + length) % length);
  }

  build(p) {
    const { model } = this;
    const probe = model.probes[p];
    this.built = p;
    this.key = null;
    setText(this.count, `${p + 1}/${model.probes.length}`);
    this.words.setAttribute("aria-label", `Sentence: ${probe.label}`);
    this.tokens = probe.tokens.map((token) => h("span", { text: token.replace(/\n/g, "⏎") }));
    this.blank = h("em", {});
    this.words.replaceChildren(...this.tokens, this.blank);
    [probe.answer, probe.foil].forEach((text, which) => {
      this.chances[which].element.hidden = !text;
      setText(this.chances[which].word, word(text));
    });
    this.rows.clear();
    this.list.replaceChildren();
  }

  /** @param {number} p the chosen sentence */
  draw(view, p) {
    this.shown = p;
    if (this.element.hidden) return;
    if (this.built !== p) this.build(p);
    const { model } = this;
    const probe = model.probes[p];
    this.t = view.shown;
    this.drawBars(bars(probe, view.i, view.j, view.f), probe);
    this.drawAttention(view, p);
    const key = `${view.shown} ${this.shade.textContent}`;
    if (key === this.key) return;
    this.key = key;
    const [top] = probe.predictions[view.shown]?.[0] ?? [""];
    setText(this.blank, top ? `${/^\s/.test(top) ? " " : ""}${word(top)}` : "");
    this.chances.forEach((parts, which) => {
      const { first, now } = chance(probe, /** @type {0 | 1} */ (which), view.shown);
      setText(parts.first, first && `${first} →`);
      setText(parts.now, now);
    });
    this.words.scrollLeft = this.words.scrollWidth; // of a long one the end, where it is answered
  }

  drawBars(found, probe) {
    const gone = new Set(this.rows.keys());
    for (const { key, token, p, place, seen } of found) {
      gone.delete(key);
      const row = this.rows.get(key) ?? this.row(key, token, probe);
      row.element.style.transform = `translateX(${(100 * place).toFixed(1)}%)`;
      row.element.style.opacity = seen.toFixed(2);
      row.bar.style.transform = `scaleX(${Math.max(0.004, p).toFixed(4)})`;
      setText(row.value, likely(p));
    }
    for (const key of gone) {
      this.rows.get(key).element.remove();
      this.rows.delete(key);
    }
  }

  row(key, token, probe) {
    const role = token === probe.answer ? "cz-answer" : token === probe.foil ? "cz-foil" : "";
    const bar = h("i", {});
    const value = h("span", {});
    const element = h("div", { class: `cz-bar ${role}`, role: "listitem", style: `--cz-of:${BARS}` },
      h("div", {}, h("b", { text: word(token), title: word(token) }), value), h("div", { class: "cz-bar-track" }, bar));
    this.list.append(element);
    this.rows.set(key, { element, bar, value });
    return this.rows.get(key);
  }

  /** Shade each token by what a chosen head reads of it from the last one. */
  drawAttention(view, p) {
    const { model } = this;
    const node = model.nodes[view.selected];
    const name = node?.kind === "head" ? node.name : "";
    const asked = name && `${p} ${name}`;
    if (asked !== this.asked || this.askedOf !== model) {
      [this.asked, this.askedOf, this.maps] = [asked, model, null];
      if (asked) {
        model.attention(p, name).then((maps) => {
          if (this.asked !== asked || this.askedOf !== model) return;
          this.maps = maps;
          this.actions.redraw();
        });
      }
    }
    const row = lastRow(this.maps, view.i, view.j, view.f);
    this.weights = row;
    setText(this.shade, row ? `shaded: attention of ${name}` : "");
    this.tokens.forEach((token, k) => {
      const share = row ? `${(60 * row[k]).toFixed(0)}%` : "0%";
      if (token.style.getPropertyValue("--cz-share") !== share) token.style.setProperty("--cz-share", share);
    });
  }

  /** Where this comes from, and where a chosen head looks. */
  about() {
    const { model, weights: row } = this;
    const probe = model.probes[this.shown];
    const node = row ? model.nodes[model.index.get(this.asked.split(" ")[1])] : null;
    const looks = row
      ? [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3)
        .map((k) => `“${word(probe.tokens[k])}” ${percent(row[k])}`)
      : [];
    return [
      "A stored sentence, and its likeliest next tokens",
      ...(node ? [`${title(node)} attends from the last word to ${looks.join(", ")}`] : []),
      "The word at its end is the likeliest one at this step.",
      ...(probe.answer && probe.foil
        ? [`The metric rewards “${word(probe.answer)}” over “${word(probe.foil)}”, the word it competes with (the foil).`] : []),
      ...(model.provenance?.probes ? [`Source: ${moment(model, this.t)}, ${model.provenance.probes}`] : []),
    ];
  }
}
