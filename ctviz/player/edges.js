// Drawing the lines of the edges: hundreds a frame, so they are sorted into few batches and stroked
// together.
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

import { onlyByNoise } from "./beside.js";
import { opposite } from "./changes.js";
import { edgesAt } from "./data.js";
import { Drawn, lineChange } from "./lines.js";
import look from "./look.js";

const { glow: GLOW, opacity: OPACITY, thick: THICK, thin: THIN, tip: TIP } = look.edges;
const LEVELS = 14;
const HAIRLINE = 1.35; // screen pixels
const COLOURS = 3;
const DISC = 4.6; // radius of the mark of a reversed edge, in units of the layout

export class EdgePainter {
  /** `lines` as makeLines gives them, with 8 numbers of `bezier` each. */
  constructor(model, bezier, lines) {
    this.model = model;
    this.bezier = bezier;
    this.lines = lines;
    const count = lines.E;
    const one = () => ({ items: new Int32Array(count), count: 0 });
    const make = (n) => Array.from({ length: n }, one);
    this.batches = make(COLOURS * LEVELS);
    this.dimmed = make(COLOURS);
    this.entered = make(2);
    this.ghosts = make(2);
    this.faintGhosts = one();
    this.faintEntered = one();
    this.stronger = one();
    this.weaker = one();
    this.reversed = make(2); // by the sign that it has now, or in the other run
    this.onlyByNoise = one();
    this.width = new Float32Array(count);
    this.drawn = []; // lines that are neither dimmed nor gone
    this.shown = new Uint8Array(model.E); // edges that are, dimmed or not
    this.runs = [new Drawn(count), new Drawn(count)]; // the second of a comparison
    // Of each line, whether any of its edges is in the circuit now, was, is to come, has left; and
    // the sum of the scores of those that have.
    const flag = () => new Uint8Array(count);
    this.flags = { here: flag(), before: flag(), comes: flag(), gone: flag() };
    this.lost = new Float32Array(count);
  }

  /**
   * Sort the lines of a view into batches. `lit` [line] or null: the lines that are not dimmed;
   * `wanted` [edge] or null: edges of the circuit that are drawn even beyond its backbone.
   */
  sort(view, lit, wanted = null) {
    this.wanted = wanted;
    const { model, batches, dimmed, entered, ghosts } = this;
    const all = [batches, dimmed, entered, ghosts].flat();
    const extra = [this.faintGhosts, this.faintEntered, this.stronger, this.weaker, ...this.reversed];
    this.onlyByNoise.count = 0;
    for (const b of all.concat(extra)) b.count = 0;
    this.drawn.length = 0;
    this.shown.fill(0);
    for (const run of this.runs) run.clear();
    for (const array of [this.lost, ...Object.values(this.flags)]) array.fill(0);
    if (!model.T) return;
    if (model.other) {
      this.sortComparison(view, lit);
      this.markNoise(view);
    } else this.sortRun(view, lit);
  }

  put(batch, line) {
    batch.items[batch.count] = line;
    batch.count += 1;
  }

  /** One line that stands for `size` and is there by `presence` (0 to 1) into its batch. */
  place(line, size, presence, colour, lit) {
    const share = Math.min(1, size / this.model.widest);
    this.width[line] = presence * (THIN + (THICK - THIN) * share);
    if (lit && !lit[line]) {
      this.put(this.dimmed[colour], line);
      return false;
    }
    const level = Math.min(LEVELS - 1, Math.floor((this.width[line] / THICK) * LEVELS));
    this.put(this.batches[level * COLOURS + colour], line);
    this.drawn.push(line);
    return true;
  }

  /** Add up the edges of each line. */
  gather(view) {
    const { model, lines, shown, lost } = this;
    const { here, before, comes, gone } = this.flags;
    const { E, score, rank, member } = model;
    const { i, j, f, base } = view;
    const [drawn] = this.runs;
    const [most, next, then] = [i, j, base].map((t) => (t < 0 ? 0 : edgesAt(model, view, t)));
    for (let e = 0; e < E; e += 1) {
      const line = lines.lineOf[e];
      if (line < 0) continue;
      const a = i * E + e;
      const b = j * E + e;
      const asked = this.wanted?.[e];
      const now = rank[a] < most || (asked && member[a]) ? 1 : 0;
      const later = f > 0 && (rank[b] < next || (asked && member[b])) ? 1 : 0;
      const presence = f > 0 ? now * (1 - f) + later * f : now;
      here[line] |= member[a];
      if (base >= 0) before[line] |= member[base * E + e];
      if (presence > 0) {
        shown[e] = 1;
        comes[line] |= later;
        drawn.add(line, f > 0 ? score[a] + (score[b] - score[a]) * f : score[a], presence);
      } else if (base >= 0 && !member[a] && rank[base * E + e] < then) {
        gone[line] = 1;
        lost[line] += score[base * E + e];
      }
    }
    return drawn;
  }

  sortRun(view, lit) {
    const { model, lines, entered, ghosts, lost } = this;
    const { i, f, base } = view;
    const marked = f === 0 && base >= 0 && !view.playing;
    const drawn = this.gather(view);
    const { here, before, comes, gone } = this.flags;
    const state = (line) => lineChange(model, lines.edges[line], base, i);
    for (let line = 0; line < lines.E; line += 1) {
      const presence = drawn.there[line];
      if (presence <= 0) {
        if (!gone[line] || here[line] || (lit && !lit[line])) continue;
        if (marked && state(line) === "left~") this.put(this.faintGhosts, line);
        else this.put(ghosts[lost[line] < 0 ? 1 : 0], line);
        continue;
      }
      const negative = drawn.sum[line] < 0 ? 1 : 0;
      if (!this.place(line, drawn.size(line), presence, negative, lit)) continue;
      if (marked) this.mark(line, negative, state(line));
      else if (f > 0 && view.marks === "previous") {
        if (comes[line] && !here[line]) this.put(entered[negative], line);
      } else if (base >= 0 && !before[line]) this.put(entered[negative], line);
    }
  }

  mark(line, negative, state) {
    if (state === "entered") this.put(this.entered[negative], line);
    else if (state === "entered~") this.put(this.faintEntered, line);
    else if (state === "strengthened") this.put(this.stronger, line);
    else if (state === "weakened") this.put(this.weaker, line);
    else if (state === "reversed") this.put(this.reversed[negative], line);
  }

  /** Mark what only one of two runs has, by no more than noise. */
  markNoise({ i, f }) {
    if (f > 0) return;
    for (const line of this.drawn) {
      if (onlyByNoise(this.model, this.lines.edges[line], i)) this.put(this.onlyByNoise, line);
    }
  }

  sortComparison(view, lit) {
    const { model, lines, runs, shown } = this;
    const { here, before: there } = this.flags; // in the one circuit, in the other
    const { E, other } = model;
    const { i, j, f } = view;
    const most = [model, other].map((run) => [i, j].map((t) => edgesAt(run, view, t)));
    for (let e = 0; e < E; e += 1) {
      const line = lines.lineOf[e];
      if (line < 0) continue;
      const [a, b] = [i * E + e, j * E + e];
      for (let at = 0; at < 2; at += 1) {
        const { score, rank } = at ? other : model;
        const now = rank[a] < most[at][0] ? 1 : 0;
        const presence = f > 0 ? now * (1 - f) + (rank[b] < most[at][1] ? f : 0) : now;
        if (presence <= 0) continue;
        shown[e] = 1;
        runs[at].add(line, f > 0 ? score[a] + (score[b] - score[a]) * f : score[a], presence);
      }
      const nearest = f < 0.5 ? a : b;
      here[line] |= model.member[nearest];
      there[line] |= other.member[nearest];
    }
    for (let line = 0; line < lines.E; line += 1) {
      const presence = Math.max(runs[0].there[line], runs[1].there[line]);
      if (presence <= 0) continue;
      const size = Math.max(runs[0].size(line), runs[1].size(line));
      const colour = here[line] && there[line] ? 2 : there[line] ? 1 : 0;
      if (!this.place(line, size, presence, colour, lit) || f > 0) continue;
      const turned = colour === 2 && lines.edges[line].some((e) => opposite(model, e, i));
      if (turned) this.put(this.reversed[runs[1].sum[line] < 0 ? 1 : 0], line);
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
    this.cut(ctx, theme, this.weaker);
    this.cut(ctx, theme, this.onlyByNoise);
    this.turned(ctx, theme);
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
        const line = this.stronger.items[k];
        ctx.lineWidth = this.width[line] + wider;
        this.stroke(ctx, { items: [line], count: 1 });
      }
    }
    ctx.globalAlpha = 1;
  }

  /**
   * Over the edges: what shrank, or only one of two runs has by no more than noise, is cut into
   * dashes by the colour of the page.
   * @param {import("./colour.js").Theme} theme
   */
  cut(ctx, theme, { items, count }) {
    ctx.strokeStyle = theme.bg;
    ctx.globalAlpha = 0.8;
    ctx.setLineDash([3, 6]);
    for (let k = 0; k < count; k += 1) {
      ctx.lineWidth = this.width[items[k]] + 1;
      this.stroke(ctx, { items: [items[k]], count: 1 });
    }
    ctx.setLineDash([]);
  }

  /**
   * In the middle of what reversed its sign: a disc, its left half in the colour of the sign that it
   * had, its right half in that of the one it has.
   * @param {import("./colour.js").Theme} theme
   */
  turned(ctx, theme) {
    const { bezier } = this;
    ctx.globalAlpha = 1;
    ctx.lineWidth = 1.2;
    ctx.strokeStyle = theme.text;
    for (const negative of [0, 1]) {
      const { items, count } = this.reversed[negative];
      for (let k = 0; k < count; k += 1) {
        const at = (axis) => [1, 3, 3, 1].reduce((sum, w, p) => sum + (w * bezier[items[k] * 8 + 2 * p + axis]) / 8, 0);
        const [x, y] = [at(0), at(1)];
        for (const half of [0, 1]) {
          ctx.beginPath();
          ctx.arc(x, y, DISC, (half ? -1 : 1) * (Math.PI / 2), (half ? 1 : 3) * (Math.PI / 2));
          ctx.fillStyle = theme.sign[half ? negative : 1 - negative];
          ctx.fill();
        }
        ctx.beginPath();
        ctx.arc(x, y, DISC, 0, 2 * Math.PI);
        ctx.stroke();
      }
    }
  }
}
