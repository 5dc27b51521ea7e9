// The strongest paths of the circuit: a list, strongest first, and above it a braid of them, layer by
// layer from left to right, in which each node stands once.

import { moment } from "./data.js";
import { h, s, setText } from "./dom.js";
import look from "./look.js";
import { number } from "./numbers.js";
import { strongestPaths } from "./paths.js";

const SHOWN = 12;
const ROW = 24; // between nodes of one layer, at least
const SPREAD = 0.62; // of a row, between paths of one rank and the next
const FOOT = 22;
const EDGE = 40; // room at both sides
const { thin: THIN, thick: THICK } = look.edges;

export class Paths {
  /** `actions`: group(members), select(n). */
  constructor(actions) {
    this.actions = actions;
    this.said = h("p", {});
    this.braid = s("svg", { "aria-hidden": "true" });
    this.list = h("ol", {});
    this.element = h("div", { class: "cz-paths" }, this.braid, this.said, this.list);
    new ResizeObserver(() => this.drawBraid()).observe(this.element);
  }

  setModel(model) {
    this.model = model;
    this.key = null;
  }

  draw(view) {
    if (view.form !== "paths" || !this.model.T) return;
    const key = `${view.i} ${[...view.selectedSet].join(" ")}`;
    if (key === this.key) return;
    this.key = key;
    this.view = view;
    this.found = strongestPaths(this.model, view.i, SHOWN);
    const { model, found } = this;
    const at = moment(model, view.i);
    setText(this.said, found.length
      ? `The ${found.length} strongest paths at ${at}. A path is as strong as its weakest edge, in units of `
        + `${model.metric}; what it takes of an edge is not there for the next.`
      : `At ${at} no path leads from the input to the logits inside the circuit.`);
    this.list.replaceChildren(...found.map((path, p) => this.item(path, p)));
    this.drawBraid();
  }

  /** The nodes of a path in their order, each with the edge that brings it its input. */
  stops({ edges }) {
    const { sourceOf, slots, slotOf } = this.model;
    const at = edges.map((e, k) => ({
      e, n: k + 1 < edges.length ? sourceOf[edges[k + 1]] : slots[slotOf[e]].feeds[0],
    }));
    return [{ e: -1, n: sourceOf[edges[0]] }, ...at];
  }

  item(path, p) {
    const { model, view } = this;
    const stops = this.stops(path);
    const words = stops.flatMap(({ e, n }) => {
      const name = model.nodes[n].name;
      if (e < 0) return [h("span", { text: name })];
      const against = model.score[view.i * model.E + e] < 0;
      const slot = model.slots[model.slotOf[e]];
      const into = slot.kind.length === 1 ? ` ${slot.kind} of ` : " ";
      const arrow = h("i", {
        [against ? "data-against" : "data-supports"]: true, text: against ? " ⊣" : " →",
        title: against ? "works against" : "supports",
      });
      return [arrow, h("span", { text: `${into}${name}` })];
    });
    const lit = (on) => {
      this.element.toggleAttribute("data-lit", on);
      this.braid.querySelector(`[data-path="${p}"]`)?.toggleAttribute("data-on", on);
    };
    return h("li", {}, h("button", {
      type: "button", title: "Select its nodes",
      onclick: () => this.actions.group(stops.map(({ n }) => n)),
      onpointerenter: () => lit(true), onpointerleave: () => lit(false),
      onfocus: () => lit(true), onblur: () => lit(false),
    }, h("i", { text: `${p + 1}.` }), h("b", { text: number(path.strength) }), h("span", {}, ...words)));
  }

  drawBraid() {
    const { braid, element, found, model, view } = this;
    const width = element.clientWidth;
    if (!found || !width) return;
    const places = braidPlaces(model, found.map((path) => this.stops(path).map(({ n }) => n)));
    const far = Math.max(1, ...[...places.offset.values()].map(Math.abs));
    const height = found.length ? 2 * far * ROW + FOOT + 40 : 0;
    const step = (width - 2 * EDGE) / Math.max(1, places.columns.length - 1);
    const x = (n) => EDGE + places.column.get(n) * step;
    const y = (n) => (height - FOOT) / 2 + (places.offset.get(n)) * ROW;
    braid.setAttribute("viewBox", `0 0 ${width} ${height}`);
    braid.style.height = `${height}px`;
    const strands = found.map((path, p) => {
      const stops = this.stops(path);
      const parts = stops.slice(1).map(({ e, n }, k) => {
        const from = stops[k].n;
        const bend = (x(n) - x(from)) / 2;
        const size = Math.abs(model.score[view.i * model.E + e]) / model.widest;
        return s("path", {
          d: `M${x(from)} ${y(from)}C${x(from) + bend} ${y(from)} ${x(n) - bend} ${y(n)} ${x(n)} ${y(n)}`,
          "stroke-width": THIN + (THICK - THIN) * Math.min(1, size),
          "data-against": model.score[view.i * model.E + e] < 0,
        });
      });
      return s("g", { "data-path": p }, ...parts);
    });
    const dots = [...places.column.keys()].flatMap((n) => {
      const { kind, name } = model.nodes[n];
      const label = kind === "input" || kind === "logits" ? name : name.replace(/^[am]\d+\.?/, "") || "MLP";
      return [
        s("circle", { cx: x(n), cy: y(n), r: 4, "data-chosen": view.selectedSet.has(n) }),
        s("text", { x: x(n), y: y(n) - 7, text: label }),
      ];
    });
    const names = places.columns.filter(({ layer }) => layer !== null).map(({ layer, nodes }) =>
      s("text", { x: x(nodes[0]), y: height - 6, text: step > 44 ? `layer ${layer}` : String(layer), class: "cz-layer-name" }));
    braid.replaceChildren(...strands, ...dots, ...names);
  }
}

/**
 * Where the nodes of some paths stand in a braid: columns in the order of the model, a layer's heads
 * before its MLP; `offset` up or down, in rows: by the mean rank of the paths through a node, and in
 * one column at least one row apart.
 *
 * @param {{ nodes: { kind: string, layer: number }[] }} model
 * @param {number[][]} paths the nodes of each, strongest path first
 */
export function braidPlaces(model, paths) {
  const ranks = new Map();
  paths.forEach((nodes, p) => nodes.forEach((n) => ranks.set(n, [...(ranks.get(n) ?? []), p])));
  const mean = (n) => ranks.get(n).reduce((a, b) => a + b, 0) / ranks.get(n).length;
  const columns = [];
  const column = new Map();
  const offset = new Map();
  for (const n of [...ranks.keys()].sort((a, b) => a - b)) {
    const { kind, layer } = model.nodes[n];
    const inside = kind === "head" || kind === "mlp" || kind === "block";
    const key = `${kind === "head"} ${layer} ${inside}`;
    if (columns.at(-1)?.key !== key) columns.push({ key, layer: inside ? layer : null, nodes: [] });
    columns.at(-1).nodes.push(n);
    column.set(n, columns.length - 1);
  }
  for (const { nodes } of columns) {
    nodes.sort((a, b) => mean(a) - mean(b) || a - b);
    const middle = nodes.reduce((sum, n) => sum + mean(n), 0) / nodes.length;
    nodes.forEach((n, k) => {
      const apart = k - (nodes.length - 1) / 2;
      const own = (mean(n) - middle) * SPREAD;
      const least = k ? offset.get(nodes[k - 1]) + 1 : -Infinity;
      const whole = (middle - (paths.length - 1) / 2) * SPREAD;
      offset.set(n, Math.max(least, whole + (nodes.length > 1 ? Math.min(own, apart) : own)));
    });
  }
  return { columns, column, offset };
}
