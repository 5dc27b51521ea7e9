// Who writes to whom, as a matrix: rows write, columns read. By layer, heads and MLP apart, or of two
// layers node by node. A cell's colour is the sign of the sum of the scores, its strength the sum of
// |score|, of the edges that the graph would draw.

import { edgesAt } from "./data.js";
import { fitCanvas, h, setText } from "./dom.js";
import { number } from "./numbers.js";

const LEFT = 74; // room for the rows' names
const TOP = 22;
const FOOT = 62; // and for the columns', at the foot
const RIGHT = 14;

export class Matrix {
  /** `actions`: group(members), tooltip(lines, x, y), redraw(). */
  constructor(actions) {
    this.actions = actions;
    this.canvas = h("canvas", {
      tabindex: 0, role: "img",
      onpointermove: (event) => this.point(event),
      onpointerleave: () => this.leave(),
      onclick: (event) => this.click(event),
      onkeydown: (event) => this.key(event),
    });
    this.out = h("button", { type: "button", class: "cz-small cz-matrix-out", hidden: true, text: "all layers", onclick: () => this.zoom(null) });
    this.said = h("p", { class: "cz-unseen", "aria-live": "polite" });
    this.element = h("div", { class: "cz-matrix" }, this.canvas, this.out, this.said);
    this.cell = null;
    new ResizeObserver(() => actions.redraw()).observe(this.element);
  }

  setModel(model) {
    this.model = model;
    this.zoomed = null;
    this.cell = null;
  }

  zoom(parts) {
    this.zoomed = parts;
    this.cell = null;
    this.out.hidden = !parts;
    if (!parts) this.canvas.focus();
    this.actions.redraw();
  }

  /** @param {import("./colour.js").Theme} theme */
  draw(view, theme) {
    if (view.form !== "matrix" || !this.model.T) return;
    const { clientWidth: w, clientHeight: t } = this.element;
    if (!w || !t) return;
    this.view = view;
    this.sum = matrixSums(this.model, view, this.zoomed);
    const { rows, columns, cells, largest } = this.sum;
    const ctx = fitCanvas(this.canvas, w, t);
    ctx.clearRect(0, 0, w, t);
    this.size = {
      cw: (w - LEFT - RIGHT) / Math.max(1, columns.length), ch: (t - TOP - FOOT) / Math.max(1, rows.length),
    };
    const { cw, ch } = this.size;
    this.names(ctx, theme, t);
    for (const [at, { net, mass }] of cells) {
      const [r, c] = [Math.floor(at / columns.length), at % columns.length];
      ctx.globalAlpha = 0.12 + 0.88 * Math.sqrt(mass / largest);
      ctx.fillStyle = theme.sign[net < 0 ? 1 : 0];
      ctx.fillRect(LEFT + c * cw + 0.5, TOP + r * ch + 0.5, Math.max(1, cw - 1), Math.max(1, ch - 1));
    }
    ctx.globalAlpha = 1;
    this.outlines(ctx, theme, view);
    const zoomed = this.zoomed ? `${this.zoomed.from.name} to ${this.zoomed.to.name}, ` : "";
    this.canvas.setAttribute("aria-label",
      `Matrix of the circuit, ${zoomed}${rows.length} rows write, ${columns.length} columns read; arrow keys move, Enter opens`);
  }

  names(ctx, theme, t) {
    const { rows, columns } = this.sum;
    const { cw, ch } = this.size;
    ctx.font = '11px "Source Sans", "Source Sans Pro", system-ui, sans-serif';
    ctx.fillStyle = theme.muted;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.fillText(this.zoomed ? `${this.zoomed.from.name} writes to ${this.zoomed.to.name}` : "rows write, columns read", 8, TOP / 2);
    const everyRow = Math.max(1, Math.ceil(12 / ch));
    const everyColumn = Math.max(1, Math.ceil(13 / cw));
    ctx.textAlign = "right";
    rows.forEach((row, r) => {
      if (r % everyRow === 0) ctx.fillText(row.name, LEFT - 6, TOP + (r + 0.5) * ch);
    });
    columns.forEach((column, c) => {
      if (c % everyColumn) return;
      ctx.save();
      ctx.translate(LEFT + (c + 0.5) * cw, t - FOOT + 6);
      ctx.rotate(-Math.PI / 2);
      ctx.fillText(column.name, 0, 0);
      ctx.restore();
    });
    ctx.strokeStyle = theme.line;
    ctx.lineWidth = 1;
    ctx.strokeRect(LEFT - 0.5, TOP - 0.5, columns.length * cw + 1, rows.length * ch + 1);
  }

  /** Around the rows and columns of what is selected, and the cell that is pointed at. */
  outlines(ctx, theme, view) {
    const { rows, columns } = this.sum;
    const { cw, ch } = this.size;
    ctx.strokeStyle = theme.accent;
    ctx.lineWidth = 1.5;
    const chosen = ({ nodes }) => nodes.some((n) => view.selectedSet.has(n));
    rows.forEach((row, r) => {
      if (chosen(row)) ctx.strokeRect(LEFT, TOP + r * ch, columns.length * cw, ch);
    });
    columns.forEach((column, c) => {
      if (chosen(column)) ctx.strokeRect(LEFT + c * cw, TOP, cw, rows.length * ch);
    });
    if (!this.cell) return;
    ctx.strokeStyle = theme.text;
    ctx.strokeRect(LEFT + this.cell.c * cw, TOP + this.cell.r * ch, cw, ch);
  }

  at(event) {
    if (!this.sum) return null;
    const box = this.canvas.getBoundingClientRect();
    const { rows, columns } = this.sum;
    const r = Math.floor((event.clientY - box.top - TOP) / this.size.ch);
    const c = Math.floor((event.clientX - box.left - LEFT) / this.size.cw);
    if (r >= rows.length || c >= columns.length || (r < 0 && c < 0)) return null;
    return { r, c };
  }

  point(event) {
    const cell = this.at(event);
    const inside = cell && cell.r >= 0 && cell.c >= 0;
    if (this.cell?.r !== cell?.r || this.cell?.c !== cell?.c) {
      this.cell = inside ? cell : null;
      this.actions.redraw();
    }
    this.canvas.style.cursor = cell ? "pointer" : "";
    this.actions.tooltip(inside ? this.lines(cell) : null, event.clientX, event.clientY);
  }

  leave() {
    this.cell = null;
    this.actions.tooltip(null);
    this.actions.redraw();
  }

  /** What a cell stands for. */
  lines({ r, c }) {
    const { rows, columns, cells } = this.sum;
    const [from, to] = [rows[r], columns[c]];
    const lines = [`${from.name} → ${to.name}`];
    const cell = cells.get(r * columns.length + c);
    if (!cell) return [...lines, "no edge of the circuit that is shown"];
    const { net, mass, edges } = cell;
    lines.push(`${edges.length} edge${edges.length > 1 ? "s" : ""}, sum of scores ${number(net, { sign: true })}, of |score| ${number(mass)}`);
    const { E, score } = this.model;
    const size = (e) => Math.abs(score[this.view.i * E + e]);
    const best = edges.reduce((a, b) => (size(b) > size(a) ? b : a));
    if (edges.length > 1) lines.push(`strongest: ${this.model.edgeName(best)}, ${number(score[this.view.i * E + best], { sign: true })}`);
    lines.push(this.zoomed ? "Click: select both" : "Click: node by node");
    return lines;
  }

  click(event) {
    const cell = this.at(event);
    if (cell) this.open(cell);
  }

  /** A name selects its nodes; a cell opens, node by node, or selects its two nodes. */
  open({ r, c }) {
    const [from, to] = [this.sum.rows[r], this.sum.columns[c]];
    if (!from || !to) this.actions.group((from ?? to).nodes);
    else if (this.zoomed) this.actions.group([...new Set([...from.nodes, ...to.nodes])]);
    else if (this.sum.cells.has(r * this.sum.columns.length + c)) this.zoom({ from, to });
  }

  key(event) {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Escape" && this.zoomed) this.zoom(null);
    else if (event.key === "Enter" && this.cell) this.open(this.cell);
    else if (by && this.sum) {
      const { r, c } = this.cell ?? { r: 0, c: 0 };
      const clamp = (value, most) => Math.max(0, Math.min(most - 1, value));
      this.cell = { r: clamp(r + by[0], this.sum.rows.length), c: clamp(c + by[1], this.sum.columns.length) };
      setText(this.said, this.lines(this.cell).slice(0, 2).join(", "));
      this.actions.redraw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/**
 * The sums of the shown edges' scores by who writes and who reads, layer by layer or, of two parts of
 * the model, node by node (and q, k, v apart).
 *
 * @param {any} model
 * @param {{ i: number, level: string, most: number }} view
 * @param {{ from: { nodes: number[] }, to: { nodes: number[] } } | null} zoomed
 */
export function matrixSums(model, view, zoomed) {
  const { E, slots, slotOf, sourceOf, targetOf, score, rank, nodes } = model;
  const most = edgesAt(model, view, view.i);
  const part = ({ kind, layer }) => {
    if (kind === "input" || kind === "logits") return kind;
    return `${kind === "head" || kind === "kv" ? "heads" : "MLP"} ${layer}`;
  };
  const [rows, columns, at] = [new Map(), new Map(), []];
  const put = (map, key, name, order, n) => {
    if (!map.has(key)) map.set(key, { name, order, nodes: [] });
    if (!map.get(key).nodes.includes(n)) map.get(key).nodes.push(n);
  };
  for (let e = 0; e < E; e += 1) {
    if (rank[view.i * E + e] >= most) continue;
    const [from, to, slot] = [sourceOf[e], targetOf[e], slots[slotOf[e]]];
    if (zoomed && !(zoomed.from.nodes.includes(from) && zoomed.to.nodes.includes(to))) continue;
    const row = zoomed ? nodes[from].name : part(nodes[from]);
    const column = zoomed ? slot.name : part(nodes[to]);
    put(rows, row, row, from, from);
    put(columns, column, column, zoomed ? slotOf[e] : slot.feeds[0], to);
    at.push([e, row, column]);
  }
  const sorted = (map) => [...map.entries()].sort(([, a], [, b]) => a.order - b.order);
  const [byRow, byColumn] = [sorted(rows), sorted(columns)];
  const place = (list) => new Map(list.map(([key], k) => [key, k]));
  const [r, c] = [place(byRow), place(byColumn)];
  const cells = new Map();
  for (const [e, row, column] of at) {
    const key = r.get(row) * byColumn.length + c.get(column);
    if (!cells.has(key)) cells.set(key, { net: 0, mass: 0, edges: [] });
    const cell = cells.get(key);
    const value = score[view.i * E + e];
    cell.net += value;
    cell.mass += Math.abs(value);
    cell.edges.push(e);
  }
  const largest = [...cells.values()].reduce((a, { mass }) => Math.max(a, mass), 0) || 1;
  return { rows: byRow.map(([, row]) => row), columns: byColumn.map(([, column]) => column), cells, largest };
}
