// Drawing the edges: hundreds a frame, so they are sorted into few batches and stroked together.
//
// A batch shares sign, width level and whether it is dimmed; opacity follows the width, so weak
// edges stay in the background. Batches are drawn weakest first.
//
// Without a GPU, stroking is what a frame costs. Lines of at most one screen pixel take a much
// faster path, so anything only a little wider is drawn as such a hairline; of the wider ones, many
// small strokes are cheaper than one stroke of a path that crosses itself everywhere.

const LEVELS = 14;
const THIN = 0.7;
const THICK = 6.5;
const GLOW = 5;
const HAIRLINE = 1.35; // screen pixels

export class EdgePainter {
  constructor(model, bezier) {
    this.model = model;
    this.bezier = bezier;
    const { E } = model;
    const make = (n) => Array.from({ length: n }, () => ({ items: new Int32Array(E), count: 0 }));
    this.batches = make(2 * LEVELS);
    this.dimmed = make(2);
    this.entered = make(2);
    this.ghosts = make(2);
    this.width = new Float32Array(E);
    this.drawn = [];
  }

  /** Sort the edges of a view into batches. */
  sort(view) {
    const { model, batches, dimmed, entered, ghosts, width } = this;
    const { E, score, rank, member, widest } = model;
    for (const list of [batches, dimmed, entered, ghosts]) for (const b of list) b.count = 0;
    this.drawn.length = 0;
    if (!model.T) return;
    const { i, j, f, previous, edges } = view;
    const touches = view.selected >= 0 ? model.touching[view.selected] : null;
    const put = (batch, e) => {
      batch.items[batch.count] = e;
      batch.count += 1;
    };
    for (let e = 0; e < E; e += 1) {
      const a = i * E + e;
      const b = j * E + e;
      const here = rank[a] < edges ? 1 : 0;
      const there = f > 0 && rank[b] < edges ? 1 : 0;
      const presence = f > 0 ? here * (1 - f) + there * f : here;
      const lit = !touches || touches[e];
      if (presence <= 0) {
        const gone = previous >= 0 && !member[a] && rank[previous * E + e] < edges;
        if (gone && lit) put(ghosts[score[previous * E + e] < 0 ? 1 : 0], e);
        continue;
      }
      const value = f > 0 ? score[a] + (score[b] - score[a]) * f : score[a];
      const size = Math.min(1, Math.abs(value) / widest);
      const negative = value < 0 ? 1 : 0;
      width[e] = presence * (THIN + (THICK - THIN) * size);
      if (!lit) {
        put(dimmed[negative], e);
        continue;
      }
      const level = Math.min(LEVELS - 1, Math.floor((width[e] / THICK) * LEVELS));
      put(batches[level * 2 + negative], e);
      this.drawn.push(e);
      const isNew = f > 0 ? there && !member[a] : previous >= 0 && !member[previous * E + e];
      if (isNew) put(entered[negative], e);
    }
  }

  stroke(ctx, batch, { apart = false } = {}) {
    const { bezier } = this;
    ctx.beginPath();
    for (let k = 0; k < batch.count; k += 1) {
      const c = batch.items[k] * 8;
      if (apart && k) {
        ctx.stroke();
        ctx.beginPath();
      }
      ctx.moveTo(bezier[c], bezier[c + 1]);
      ctx.bezierCurveTo(
        bezier[c + 2], bezier[c + 3], bezier[c + 4], bezier[c + 5], bezier[c + 6], bezier[c + 7],
      );
    }
    ctx.stroke();
  }

  heads(ctx, batch, width) {
    const { bezier } = this;
    const size = 3.4 + 0.95 * width;
    const half = 1.7 + 0.55 * width;
    ctx.beginPath();
    for (let k = 0; k < batch.count; k += 1) {
      const c = batch.items[k] * 8;
      const x = bezier[c + 6];
      const y = bezier[c + 7];
      const dx = x - bezier[c + 4];
      const dy = y - bezier[c + 5];
      const long = Math.hypot(dx, dy) || 1;
      const ux = dx / long;
      const uy = dy / long;
      ctx.moveTo(x, y);
      ctx.lineTo(x - ux * size - uy * half, y - uy * size + ux * half);
      ctx.lineTo(x - ux * size + uy * half, y - uy * size - ux * half);
    }
    ctx.fill();
  }

  /** Draw what `sort` prepared. `glow` is the strength of the mark of entered edges, 0 to 1. */
  paint(ctx, theme, { glow, ghost, scale }) {
    ctx.lineCap = "butt";
    // The more edges there are, the further the weak ones step back.
    const weakest = 0.14 + 0.2 * Math.min(1, 90 / (this.drawn.length || 1));
    for (const negative of [0, 1]) {
      const colour = theme.sign[negative];
      ctx.strokeStyle = colour;
      if (this.dimmed[negative].count) {
        ctx.globalAlpha = theme.dark ? 0.1 : 0.08;
        ctx.lineWidth = 0.99 / scale;
        this.stroke(ctx, this.dimmed[negative]);
      }
      if (ghost > 0 && this.ghosts[negative].count) {
        ctx.globalAlpha = 0.5 * ghost;
        ctx.lineWidth = 1.1;
        ctx.setLineDash([2, 4]);
        this.stroke(ctx, this.ghosts[negative], { apart: true });
        ctx.setLineDash([]);
      }
      if (glow > 0 && this.entered[negative].count) {
        ctx.globalAlpha = 0.32 * glow;
        ctx.lineWidth = 2 * GLOW;
        this.stroke(ctx, this.entered[negative], { apart: true });
      }
    }
    for (let level = 0; level < LEVELS; level += 1) {
      const share = (level + 0.5) / LEVELS;
      const width = share * THICK;
      for (const negative of [0, 1]) {
        const batch = this.batches[level * 2 + negative];
        if (!batch.count) continue;
        ctx.globalAlpha = Math.min(0.92, weakest + 0.95 * share);
        ctx.strokeStyle = theme.sign[negative];
        ctx.fillStyle = theme.sign[negative];
        const thin = width * scale < HAIRLINE;
        ctx.lineWidth = thin ? Math.min(0.99 / scale, width) : width;
        this.stroke(ctx, batch, { apart: !thin });
        ctx.globalAlpha = Math.min(0.95, weakest + 0.15 + 0.95 * share);
        this.heads(ctx, batch, width);
      }
    }
    ctx.globalAlpha = 1;
  }
}
