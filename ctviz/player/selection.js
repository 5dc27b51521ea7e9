// Below the graph: the selected nodes, and the groups that they can be made into.

import { h, iconButton } from "./dom.js";

const CLOSE = ["M6.4 5L5 6.4 10.600 12 5 17.600 6.400 19 12 13.400 17.600 19 19 17.600 13.400 12 19 6.400 17.600 5 12 10.600z"];
const LONGEST = 60; // letters of a group's name

export class SelectionBar {
  /** `actions`: add(n), select(n), makeGroup(name), toggleGroup(g), dropGroup(g), group(members). */
  constructor(actions) {
    this.actions = actions;
    this.nodes = h("div", { class: "cz-chips", role: "group", "aria-label": "Selected nodes" });
    this.name = h("input", {
      type: "text", placeholder: "Name this group", "aria-label": "Name of the group",
      maxlength: LONGEST, autocomplete: "off",
    });
    this.form = h("form", {
      class: "cz-name",
      onsubmit: (event) => {
        event.preventDefault();
        actions.makeGroup(this.name.value.trim() || "group");
        this.name.value = "";
      },
    }, this.name, h("button", { type: "submit", class: "cz-small", text: "Group" }));
    this.groups = h("div", { class: "cz-chips", role: "group", "aria-label": "Groups" });
    this.hint = h("span", {
      class: "cz-note", text: "Click a node to see its edges, scores and redundancy over time.",
    });
    // Always one line high, so that a selection does not move the graph.
    this.element = h("div", { class: "cz-selection" }, this.hint, this.nodes, this.form, this.groups);
  }

  draw(view, model, groups) {
    const chosen = [...view.selectedSet];
    const key = JSON.stringify([model.run, model.N, view.selected, chosen, groups]);
    if (key === this.key) return;
    this.key = key;
    this.hint.hidden = chosen.length > 0;
    this.nodes.replaceChildren(...chosen.map((n) => {
      const { name } = model.nodes[n];
      return h("span", { class: "cz-node-chip", "data-inspected": n === view.selected },
        h("button", { type: "button", text: name, title: `Inspect ${name}`, onclick: () => this.actions.inspect(n) }),
        iconButton(`Remove ${name} from the selection`, CLOSE, () => this.actions.add(n)));
    }));
    if (chosen.length === 1) {
      this.nodes.append(h("span", { class: "cz-note", text: "Shift-click or “pin” to select more." }));
    }
    const taken = groups.some(({ members }) => members.some(
      (n) => view.selectedSet.has(n) || view.selectedSet.has(model.mlpOf[n])));
    this.form.hidden = chosen.length < 2 || taken || !this.actions.canGroup();
    this.groups.replaceChildren(...groups.map(({ name, members, collapsed }, g) =>
      h("span", { class: "cz-node-chip cz-group-chip" },
        h("button", {
          type: "button", text: `${collapsed ? "▸" : "▾"} ${name}`, "aria-expanded": String(!collapsed),
          title: `${collapsed ? "Expand" : "Collapse"} ${members.map((n) => model.nodes[n].name).join(", ")}`,
          onclick: () => this.actions.toggleGroup(g),
        }),
        this.actions.canGroup()
          ? iconButton(`Ungroup ${name}`, CLOSE, () => this.actions.dropGroup(g)) : null)));
  }
}
