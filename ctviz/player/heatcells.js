// The heatmap's grid: layers upwards, heads across, then the MLP; with `split`, every head is cut
// into its query, key and value, and an MLP that has blocks into these. Only cells whose colour has changed are painted again.

const LEFT = 44; // room for the layer names
const BOTTOM = 16; // and for the heads'

export class Cells {
  constructor(model, { w, h }, split) {
    this.model = model;
    this.split = split;
    this.width = w;
    this.height = h;
    const { layers, heads, blocks } = model.shape;
    this.wide = Math.max(1, blocks / 3); // columns of the MLP, which is set apart
    this.cw = Math.min(64, (w - LEFT) / (heads + 0.35 + this.wide));
    this.ch = Math.min(34, (h - BOTTOM) / (layers + 1.25)); // and so is the row of the logits
    const least = Math.min(this.cw, this.ch);
    this.gap = least > 9 ? 2 : least > 5 ? 1 : 0.5;
    this.cells = [];
    this.rows = [];
    this.of = new Map(); // first and last cell of a node
    for (let n = 0; n < model.N; n += 1) if (model.nodes[n].kind !== "input") this.add(n);
    for (const [mlp, blocks] of model.blocksOf) {
      this.of.set(mlp, [this.of.get(blocks[0])[0], this.of.get(blocks.at(-1))[1]]);
    }
    this.styles = [];
  }

  get count() {
    return this.cells.length;
  }

  add(n) {
    const { cw, ch, gap, wide, model } = this;
    const { layers, heads, blocks } = model.shape;
    const { kind, layer, unit } = model.nodes[n];
    const row = kind === "logits" ? layers : layer;
    const y = kind === "logits" ? 0 : (layers - 1 - layer + 1.25) * ch;
    const first = this.cells.length;
    const push = (part, x, w, column) => {
      (this.rows[row] ??= []).push(this.cells.length);
      this.cells.push({ n, part, row, column, x, y, w, h: ch - gap });
    };
    if (kind === "logits") push(-1, LEFT, (heads + 0.35 + wide) * cw - gap, 0);
    else if (kind === "mlp" || kind === "block") {
      const each = (wide * cw - gap) / blocks;
      push(-1, LEFT + (heads + 0.35) * cw + unit * each, each, 3 * heads + unit);
    } else if (!this.split) push(-1, LEFT + unit * cw, cw - gap, 3 * unit);
    else {
      const third = (cw - gap) / 3;
      for (let part = 0; part < 3; part += 1) {
        push(part, LEFT + unit * cw + part * third, third, 3 * unit + part);
      }
    }
    this.of.set(n, [first, this.cells.length - 1]);
  }

  // ---------------------------------------------------------------- drawing

  /** Bring the heatmap's sheet to the moment of the clock. */
  paint(heatmap, view, fresh) {
    const ctx = heatmap.sheet.getContext("2d");
    const { theme } = heatmap;
    if (fresh) {
      ctx.clearRect(0, 0, this.width, this.height);
      this.labels(ctx, theme);
      this.styles.length = 0;
    }
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.line;
    this.cells.forEach(({ n, part, x, y, w, h }, at) => {
      const style = heatmap.colour(heatmap.between(n, part, view));
      if (style === this.styles[at]) return;
      this.styles[at] = style;
      ctx.fillStyle = style;
      ctx.fillRect(x, y, w, h);
      // Without an outline a fully redundant cell would vanish into the page.
      if (w > 6 && h > 6) ctx.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
    });
  }

  /** Nothing here moves with the clock but the colours. */
  marks() {}

  /** @param {import("./colour.js").Theme} theme */
  labels(ctx, theme) {
    const { cw, ch } = this;
    const { layers, heads } = this.model.shape;
    ctx.font = '11px "Source Sans", "Source Sans Pro", system-ui, sans-serif';
    ctx.fillStyle = theme.muted;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    const every = ch >= 11 ? 1 : Math.ceil(13 / ch);
    for (let layer = 0; layer < layers; layer += every) {
      const y = (layers - 1 - layer + 1.25) * ch + ch / 2;
      if (y < Math.max(6, ch / 2) + 11) continue; // the logits' name is there
      ctx.fillText(every === 1 && ch > 14 ? `layer ${layer}` : String(layer), LEFT - 7, y);
    }
    ctx.fillText("logits", LEFT - 7, Math.max(6, ch / 2));
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    const y = (layers + 1.25) * ch + 11;
    const skip = cw >= 20 ? 1 : Math.ceil(22 / cw);
    for (let head = 0; head < heads; head += skip) {
      ctx.fillText(`h${head}`, LEFT + (head + 0.5) * cw - 1, y);
    }
    ctx.fillText("MLP", LEFT + (heads + 0.35 + this.wide / 2) * cw - 1, y);
  }

  // ---------------------------------------------------------------- places

  cell(at) {
    return { n: this.cells[at].n, part: this.cells[at].part };
  }

  /** @param {{ n: number, part?: number }} cell */
  find({ n, part }) {
    return this.cells.findIndex((cell) => cell.n === n && cell.part === part);
  }

  box(at) {
    return this.cells[at];
  }

  /** The place of a whole node; undefined for `input` and shared heads, which have no cell. */
  row(n) {
    if (!this.of.has(n)) return undefined;
    const [first, last] = this.of.get(n).map((at) => this.cells[at]);
    return { x: first.x, y: first.y, w: last.x + last.w - first.x, h: first.h };
  }

  at(px, py) {
    return this.cells.findIndex(({ x, y, w, h }) => px >= x && px < x + w && py >= y && py < y + h);
  }

  start({ selected }) {
    return this.of.get(selected)?.[0] ?? 0;
  }

  move(at, dx, dy) {
    const { row, column } = this.cells[at];
    if (dx) {
      const line = this.rows[row];
      return line[Math.max(0, Math.min(line.length - 1, line.indexOf(at) + dx))];
    }
    const line = this.rows[Math.max(0, Math.min(this.rows.length - 1, row + dy))];
    const distance = (other) => Math.abs(this.cells[other].column - column);
    return line.reduce((best, other) => (distance(other) < distance(best) ? other : best));
  }
}
