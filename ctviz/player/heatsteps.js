// The heatmap of the whole run at once: a row for every node, layers upwards, a column for every
// snapshot. It is painted once; the clock moves a mark over it.

const LEFT = 44; // room for the layer names
const BOTTOM = 16; // and for the steps
const LOGITS = 8; // px, least height of their row: it has a name of its own at the left
const GAP = [3, 8]; // px between two layers, least and most, where there is room

export class Steps {
  constructor(model, { w, h }) {
    this.model = model;
    this.width = w;
    this.columns = model.T;
    this.nodes = []; // from the bottom row up, as the model computes
    for (let n = 0; n < model.N; n += 1) if (model.nodes[n].kind !== "input") this.nodes.push(n);
    this.rowOf = new Map(this.nodes.map((n, row) => [n, row]));
    // Rows of whole pixels, so that none is lost; a model with more rows than pixels is scrolled.
    const ratio = window.devicePixelRatio || 1;
    const { layers } = model.shape;
    const rows = this.nodes.length - 1; // without the logits
    const room = h - BOTTOM - 2 - LOGITS;
    const fit = (gap) => Math.floor(((room - gap * layers) / rows) * ratio) / ratio;
    const least = fit(GAP[0]) >= 1 ? GAP[0] : fit(1) >= 1 ? 1 : 0;
    const rh = Math.min(14, Math.max(1, fit(least)));
    const gap = least < GAP[0] ? least : Math.min(GAP[1], Math.floor((room - rows * rh) / layers));
    this.apart = gap > 1;
    this.rows = []; // { y, h }, from the bottom row up
    let y = 1;
    for (let row = rows; row >= 0; row -= 1) {
      const { kind, layer } = model.nodes[this.nodes[row]];
      if (row < rows && layer !== model.nodes[this.nodes[row + 1]].layer) y += gap;
      this.rows[row] = { y, h: kind === "logits" ? Math.max(LOGITS, rh) : rh };
      y += this.rows[row].h;
    }
    this.ch = y - 1;
    this.height = Math.max(h, this.ch + BOTTOM + 2);
    this.cw = this.columns ? (w - LEFT - 4) / this.columns : 0;
  }

  get count() {
    return this.nodes.length * this.columns;
  }

  // ---------------------------------------------------------------- drawing

  paint(heatmap, _view, fresh) {
    if (!fresh) return;
    const ctx = heatmap.sheet.getContext("2d");
    ctx.clearRect(0, 0, this.width, this.height);
    if (this.columns) this.image(ctx, heatmap);
    this.labels(ctx, heatmap.theme);
  }

  /** One pixel a cell, enlarged a layer at a time. */
  image(ctx, heatmap) {
    const { columns, nodes } = this;
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = nodes.length;
    const pen = small.getContext("2d");
    const pixels = pen.createImageData(columns, nodes.length);
    const known = new Map();
    nodes.forEach((n, row) => {
      const line = nodes.length - 1 - row;
      for (let t = 0; t < columns; t += 1) {
        const style = heatmap.colour(heatmap.value(n, -1, t));
        if (!known.has(style)) known.set(style, style.match(/[\d.]+/g).map(Number));
        const [r, g, b] = known.get(style);
        pixels.data.set([r, g, b, 255], 4 * (line * columns + t));
      }
    });
    pen.putImageData(pixels, 0, 0);
    // More snapshots than pixels are averaged and not dropped.
    ctx.imageSmoothingEnabled = columns > (this.width - LEFT) * (window.devicePixelRatio || 1);
    ctx.strokeStyle = heatmap.theme.line;
    ctx.lineWidth = 1;
    for (const { first, last } of this.blocks()) {
      const { y } = this.rows[last];
      const h = this.rows[first].y + this.rows[first].h - y;
      const w = columns * this.cw;
      const line = nodes.length - 1 - last;
      ctx.drawImage(small, 0, line, columns, last - first + 1, LEFT, y, w, h);
      if (this.apart) ctx.strokeRect(LEFT - 0.5, y - 0.5, w + 1, h + 1);
    }
  }

  /** First and last row of each layer, and of the logits. */
  blocks() {
    const found = [];
    this.nodes.forEach((n, row) => {
      const { layer } = this.model.nodes[n];
      if (found.at(-1)?.layer === layer) found.at(-1).last = row;
      else found.push({ layer, first: row, last: row });
    });
    return found;
  }

  /** @param {import("./colour.js").Theme} theme */
  labels(ctx, theme) {
    const { steps, shape } = this.model;
    ctx.font = '11px "Source Sans", "Source Sans Pro", system-ui, sans-serif';
    ctx.fillStyle = theme.muted;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    let free = Infinity;
    for (const { layer, first, last } of this.blocks()) {
      const h = this.rows[first].y + this.rows[first].h - this.rows[last].y;
      const y = this.rows[last].y + h / 2;
      if (free - y < 11 && layer !== shape.layers) continue;
      const wide = h >= 13;
      const text = wide ? `layer ${layer}` : String(layer);
      ctx.fillText(layer === shape.layers ? "logits" : text, LEFT - 7, Math.max(6, y));
      free = y;
    }
    ctx.textBaseline = "alphabetic";
    ctx.textAlign = "left";
    if (this.columns) ctx.fillText(`step ${steps[0]}`, LEFT, this.ch + 14);
    ctx.textAlign = "right";
    if (this.columns > 1) ctx.fillText(String(steps.at(-1)), this.width - 4, this.ch + 14);
  }

  /**
   * The snapshot that the clock is at, or on the way between two.
   * @param {import("./colour.js").Theme} theme
   */
  marks(ctx, { i, f }, theme) {
    if (!this.columns) return;
    const w = Math.max(2, this.cw);
    const x = LEFT + (i + f + 0.5) * this.cw - w / 2;
    ctx.lineWidth = 3.5;
    ctx.strokeStyle = theme.bg;
    ctx.strokeRect(x, 1, w, this.ch);
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = theme.accent;
    ctx.strokeRect(x, 1, w, this.ch);
    ctx.fillStyle = theme.accent;
    ctx.beginPath();
    ctx.moveTo(x + w / 2, this.ch + 2);
    ctx.lineTo(x + w / 2 - 4, this.ch + 8);
    ctx.lineTo(x + w / 2 + 4, this.ch + 8);
    ctx.fill();
  }

  // ---------------------------------------------------------------- places

  cell(at) {
    return { n: this.nodes[Math.floor(at / this.columns)], t: at % this.columns };
  }

  /** @param {{ n: number, t?: number }} cell */
  find({ n, t }) {
    return this.rowOf.has(n) && t < this.columns ? this.rowOf.get(n) * this.columns + t : -1;
  }

  box(at) {
    const { y, h } = this.rows[Math.floor(at / this.columns)];
    return { x: LEFT + (at % this.columns) * this.cw, y, w: this.cw, h };
  }

  /** The row of a node; undefined for `input` and shared heads, which have none. */
  row(n) {
    const row = this.rowOf.get(n);
    if (row === undefined) return undefined;
    return { x: LEFT, y: this.rows[row].y, w: this.columns * this.cw, h: this.rows[row].h };
  }

  at(px, py) {
    const t = Math.floor((px - LEFT) / this.cw);
    if (!(t >= 0 && t < this.columns)) return -1;
    const row = this.rows.findIndex(({ y, h }) => py >= y && py < y + h);
    return row < 0 ? -1 : row * this.columns + t;
  }

  start({ selected, i }) {
    return (this.rowOf.get(selected) ?? 0) * this.columns + i;
  }

  move(at, dx, dy) {
    const row = Math.floor(at / this.columns) + dy;
    const t = (at % this.columns) + dx;
    const inside = (value, count) => Math.max(0, Math.min(count - 1, value));
    return inside(row, this.nodes.length) * this.columns + inside(t, this.columns);
  }
}
