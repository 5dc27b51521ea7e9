// Drawing the edges: hundreds a frame, so they are sorted into few batches and stroked together.
//
// A batch shares colour, width level and whether it is dimmed; opacity follows the width, so weak
// edges stay in the background. Batches are drawn weakest first.
//
// Without a GPU, stroking is what a frame costs. Lines of at most one screen pixel take a much
// faster path, so anything only a little wider is drawn as such a hairline; of the wider ones, many
// small strokes are cheaper than one stroke of a path that crosses itself everywhere.
//
// Colour is the sign of the score. Where two runs are compared it says whose edge it is: in the
// first run's circuit only, in the other's only, or in both.

import { change } from "./changes.js";
import look from "./look.js";

const { glow: GLOW, opacity: OPACITY, thick: THICK, thin: THIN, tip: TIP } = look.edges;
const LEVELS = 14;
const HAIRLINE = 1.35; // screen pixels
const COLOURS = 3;
const ABSENT = 65535;

export class EdgePainter {
  /** `hidden` [E]: 1 for an edge inside a collapsed group. */
  constructor(model, bezier, hidden) {
    this.model = model;
    this.bezier = bezier;
    this.hidden = hidden;
    const { E } = model;
    const one = () => ({ items: new Int32Array(E), count: 0 });
    const make = (n) => Array.from({ length: n }, one);
    this.batches = make(COLOURS * LEVELS);
    this.dimmed = make(COLOURS);
    this.entered = make(2);
    this.ghosts = make(2);
    this.faintGhosts = one();
    this.faintEntered = one();
    this.stronger = one();
    this.weaker = one();
    this.width = new Float32Array(E);
    this.drawn = [];
  }

  /** Sort the edges of a view into batches. `lit` [E] or null: the edges that are not dimmed. */
  sort(view, lit) {
    const { model, batches, dimmed, entered, ghosts } = this;
    const all = [batches, dimmed, entered, ghosts].flat();
    const extra = [this.faintGhosts, this.faintEntered, this.stronger, this.weaker];
    for (const b of all.concat(extra)) b.count = 0;
    this.drawn.length = 0;
    if (!model.T) return;
    if (model.other) this.sortComparison(view, lit);
    else this.sortRun(view, lit);
  }

  put(batch, e) {
    batch.items[batch.count] = e;
    batch.count += 1;
  }

  /** One edge of `value` that is there by `presence` (0 to 1) into its batch. */
  place(e, value, presence, colour, lit) {
    const size = Math.min(1, Math.abs(value) / this.model.widest);
    this.width[e] = presence * (THIN + (THICK - THIN) * size);
    if (lit && !lit[e]) {
      this.put(this.dimmed[colour], e);
      return false;
    }
    const level = Math.min(LEVELS - 1, Math.floor((this.width[e] / THICK) * LEVELS));
    this.put(this.batches[level * COLOURS + colour], e);
    this.drawn.push(e);
    return true;
  }

  sortRun(view, lit) {
    const { model, entered, ghosts, hidden } = this;
    const { E, score, rank, member } = model;
    const { i, j, f, base, edges } = view;
    const marked = f === 0 && base >= 0 && !view.playing;
    for (let e = 0; e < E; e += 1) {
      const a = i * E + e;
      const b = j * E + e;
      if (hidden[e]) continue;
      const here = rank[a] < edges ? 1 : 0;
      const there = f > 0 && rank[b] < edges ? 1 : 0;
      const presence = f > 0 ? here * (1 - f) + there * f : here;
      if (presence <= 0) {
        const gone = base >= 0 && !member[a] && rank[base * E + e] < edges;
        if (!gone || (lit && !lit[e])) continue;
        if (marked && change(model, e, base, i) === "left~") this.put(this.faintGhosts, e);
        else this.put(ghosts[score[base * E + e] < 0 ? 1 : 0], e);
        continue;
      }
      const value = f > 0 ? score[a] + (score[b] - score[a]) * f : score[a];
      const negative = value < 0 ? 1 : 0;
      if (!this.place(e, value, presence, negative, lit)) continue;
      if (marked) this.mark(e, negative, change(model, e, base, i));
      else if (f > 0 && view.marks === "previous") {
        if (there && !member[a]) this.put(entered[negative], e);
      } else if (base >= 0 && !member[base * E + e]) this.put(entered[negative], e);
    }
  }

  mark(e, negative, state) {
    if (state === "entered") this.put(this.entered[negative], e);
    else if (state === "entered~") this.put(this.faintEntered, e);
    else if (state === "strengthened") this.put(this.stronger, e);
    else if (state === "weakened") this.put(this.weaker, e);
  }

  sortComparison(view, lit) {
    const { model, hidden } = this;
    const { E, score, rank, other } = model;
    const { i, j, f, edges } = view;
    for (let e = 0; e < E; e += 1) {
      if (hidden[e]) continue;
      const [a, b] = [i * E + e, j * E + e];
      const near = (ranks) => {
        const here = ranks[a] < edges ? 1 : 0;
        return f > 0 ? here * (1 - f) + (ranks[b] < edges ? f : 0) : here;
      };
      const [one, two] = [near(rank), near(other.rank)];
      if (one <= 0 && two <= 0) continue;
      const at = (scores) => (f > 0 ? scores[a] + (scores[b] - scores[a]) * f : scores[a]);
      const values = [one > 0 ? at(score) : 0, two > 0 ? at(other.score) : 0];
      const value = Math.abs(values[0]) > Math.abs(values[1]) ? values[0] : values[1];
      const nearest = f < 0.5 ? a : b;
      const inOne = rank[nearest] !== ABSENT;
      const inTwo = other.rank[nearest] !== ABSENT;
      const colour = inOne && inTwo ? 2 : inTwo ? 1 : 0;
      this.place(e, value, Math.max(one, two), colour, lit);
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
    const size = TIP.length.at + TIP.length.by * width;
    const half = TIP.half.at + TIP.half.by * width;
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

  /**
   * Draw what `sort` prepared. `glow` is the strength of the mark of entered edges, 0 to 1.
   * @param {import("./colour.js").Theme} theme
   */
  paint(ctx, theme, { glow, ghost, scale }) {
    ctx.lineCap = "butt";
    const colours = this.model.other ? theme.pair : theme.sign;
    // The more edges there are, the further the weak ones step back.
    const few = Math.min(1, OPACITY.many / (this.drawn.length || 1));
    const weakest = OPACITY.weakest + OPACITY.few * few;
    colours.forEach((colour, at) => {
      if (!this.dimmed[at].count) return;
      ctx.strokeStyle = colour;
      ctx.globalAlpha = theme.dark ? 0.1 : 0.08;
      ctx.lineWidth = 0.99 / scale;
      this.stroke(ctx, this.dimmed[at]);
    });
    this.changes(ctx, theme, { glow, ghost });
    for (let level = 0; level < LEVELS; level += 1) {
      const share = (level + 0.5) / LEVELS;
      const width = share * THICK;
      colours.forEach((colour, at) => {
        const batch = this.batches[level * COLOURS + at];
        if (!batch.count) return;
        ctx.globalAlpha = Math.min(OPACITY.most, weakest + OPACITY.by * share);
        ctx.strokeStyle = colour;
        ctx.fillStyle = colour;
        const thin = width * scale < HAIRLINE;
        ctx.lineWidth = thin ? Math.min(0.99 / scale, width) : width;
        this.stroke(ctx, batch, { apart: !thin });
        ctx.globalAlpha = Math.min(
          OPACITY.tipMost, weakest + OPACITY.tip + OPACITY.by * share,
        );
        this.heads(ctx, batch, width);
      });
    }
    this.weakened(ctx, theme);
    ctx.globalAlpha = 1;
  }

  /**
   * Under the edges: what left as dots, what entered as a glow, what grew as a dark seam.
   * @param {import("./colour.js").Theme} theme
   */
  changes(ctx, theme, { glow, ghost }) {
    for (const negative of [0, 1]) {
      ctx.strokeStyle = theme.sign[negative];
      if (ghost > 0 && this.ghosts[negative].count) {
        ctx.globalAlpha = 0.6 * ghost;
        ctx.lineWidth = 1.2;
        ctx.setLineDash([2, 4]);
        this.stroke(ctx, this.ghosts[negative], { apart: true });
        ctx.setLineDash([]);
      }
      if (glow > 0 && this.entered[negative].count) {
        ctx.globalAlpha = 0.32 * glow;
        ctx.lineWidth = GLOW;
        this.stroke(ctx, this.entered[negative], { apart: true });
      }
    }
    ctx.strokeStyle = theme.muted;
    if (ghost > 0 && this.faintGhosts.count) {
      ctx.globalAlpha = 0.35 * ghost;
      ctx.lineWidth = 0.9;
      ctx.setLineDash([1, 5]);
      this.stroke(ctx, this.faintGhosts, { apart: true });
      ctx.setLineDash([]);
    }
    if (glow > 0 && this.faintEntered.count) {
      ctx.globalAlpha = 0.16 * glow;
      ctx.lineWidth = GLOW;
      this.stroke(ctx, this.faintEntered, { apart: true });
    }
    // Two fine lines along the edge; between them its own colour stands on the page.
    const seams = [
      { colour: theme.text, alpha: 0.75, wider: 2.2 }, { colour: theme.bg, alpha: 1, wider: 0.2 },
    ];
    for (const { colour, alpha, wider } of seams) {
      ctx.strokeStyle = colour;
      ctx.globalAlpha = alpha;
      for (let k = 0; k < this.stronger.count; k += 1) {
        const e = this.stronger.items[k];
        ctx.lineWidth = this.width[e] + wider;
        this.stroke(ctx, { items: [e], count: 1 });
      }
    }
    ctx.globalAlpha = 1;
  }

  /**
   * Over the edges: what shrank is cut into dashes by the colour of the page.
   * @param {import("./colour.js").Theme} theme
   */
  weakened(ctx, theme) {
    ctx.strokeStyle = theme.bg;
    ctx.globalAlpha = 0.8;
    ctx.setLineDash([3, 6]);
    for (let k = 0; k < this.weaker.count; k += 1) {
      const e = this.weaker.items[k];
      ctx.lineWidth = this.width[e] + 1;
      this.stroke(ctx, { items: [e], count: 1 });
    }
    ctx.setLineDash([]);
  }
}
