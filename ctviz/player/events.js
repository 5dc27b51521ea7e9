// What happened in the run: the last event at the shown step, and the list of all of them.

import { moment } from "./data.js";
import { h, setText } from "./dom.js";
import { latest, placed } from "./happened.js";

export class Events {
  /** `actions`: event(index of a placed event). */
  constructor(actions) {
    this.actions = actions;
    this.count = h("span", {});
    this.text = h("b", {});
    this.button = h("button", {
      type: "button", class: "cz-happened", "aria-expanded": "false", onclick: () => this.open(this.list.hidden),
    }, this.count, this.text);
    this.list = h("ol", { class: "cz-events", "aria-label": "What happened in this run", hidden: true });
    this.element = h("div", { class: "cz-story", hidden: true }, this.list, this.button);
  }

  setModel(model) {
    this.model = model;
    this.placed = placed(model.events);
    this.element.hidden = !this.placed.length;
    this.key = null;
    let at = -1;
    this.rows = [];
    this.list.replaceChildren(...model.events.map((event) => {
      if (event.at === null) return h("li", { class: "cz-note", text: event.text });
      at += 1;
      const place = at;
      const row = h("button", { type: "button", onclick: () => this.actions.event(place) },
        h("span", { class: "cz-when", text: moment(model, event.at) }),
        h("b", { text: event.text }), h("span", { text: event.numbers }));
      this.rows.push(row);
      return h("li", {}, row);
    }));
  }

  open(on) {
    if (on !== this.list.hidden) return false;
    this.list.hidden = !on;
    this.button.setAttribute("aria-expanded", String(on));
    return true;
  }

  draw(view) {
    const key = String(view.shown);
    if (!this.placed.length || key === this.key) return;
    this.key = key;
    const at = latest(this.placed, view.shown);
    const { length } = this.placed;
    const all = `${length} event${length > 1 ? "s" : ""}`;
    setText(this.count, at < 0 ? all : `${at + 1} of ${all} · ${moment(this.model, this.placed[at].at)}`);
    const first = moment(this.model, this.placed[0].at);
    setText(this.text, at < 0 ? `the first at ${first}` : this.placed[at].text);
    this.button.title = at < 0 ? "Show what happened in this run" : `${this.placed[at].text}: ${this.placed[at].numbers}`;
    this.rows.forEach((row, place) => {
      if (place === at) row.setAttribute("aria-current", "step");
      else row.removeAttribute("aria-current");
    });
  }
}
