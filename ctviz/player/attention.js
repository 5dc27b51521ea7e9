// One head's attention on a probe prompt: at the shown step, at the first, and the difference.

import { moment } from "./data.js";
import { fitCanvas, h } from "./dom.js";
import { percent } from "./numbers.js";

const FONT = '11px "Source Sans", "Source Sans Pro", system-ui, sans-serif';

const GAP = 14;
const LIMIT = 12; // characters of a token beside its row

const shown = (token) => token.replace(/\n/g, "⏎").trim().slice(0, LIMIT) || "␣";

export class AttentionMaps {
  /** `actions`: tooltip(lines, x, y). */
  constructor(actions) {
    this.actions = actions;
    this.canvas = h("canvas", { class: "cz-attention", role: "img", "aria-label": "Attention pattern" });
    this.canvas.addEventListener("pointermove", (event) => this.onMove(event));
    this.canvas.addEventListener("pointerleave", () => actions.tooltip(null));
    this.element = h("div", { class: "cz-holder" }, this.canvas);
  }

  set(maps, tokens) {
    this.maps = maps;
    this.tokens = tokens;
  }

  /** @param {import("./colour.js").Theme} theme */
  draw(view, model, theme) {
    const { maps, tokens } = this;
    const width = this.element.clientWidth;
    if (!maps || !width) return;
    this.view = view;
    const n = maps.n;
    const probe = this.canvas.getContext("2d");
    probe.font = FONT;
    const longest = Math.max(...tokens.map((token) => probe.measureText(shown(token)).width));
    const left = Math.min(84, Math.ceil(longest) + 8);
    const foot = Math.min(64, Math.ceil(longest) + 8);
    const cell = Math.max(3, Math.min(19, Math.floor((width - left - 2 * GAP) / 3 / n)));
    const top = 18;
    this.grid = { left, top, cell, n };
    const ctx = fitCanvas(this.canvas, width, top + n * cell + foot);
    ctx.clearRect(0, 0, width, top + n * cell + foot);
    ctx.font = FONT;
    const starts = [0, 1, 2].map((which) => left + which * (n * cell + GAP));
    const titles = [moment(model, view.shown), moment(model, 0), "difference"];
    const now = (at) => {
      const weight = maps.weights[view.i * maps.width + at];
      return view.f > 0 ? weight + (maps.weights[view.j * maps.width + at] - weight) * view.f : weight;
    };
    starts.forEach((start, which) => {
      ctx.fillStyle = theme.muted;
      ctx.textAlign = "left";
      ctx.textBaseline = "alphabetic";
      ctx.fillText(titles[which], start, 11);
      let at = 0;
      for (let q = 0; q < n; q += 1) {
        for (let k = 0; k <= q; k += 1) {
          const weight = which === 1 ? maps.weights[at] : now(at) - (which ? maps.weights[at] : 0);
          at += 1;
          if (which < 2) ctx.fillStyle = theme.ink(0.05 + 0.92 * (weight / 255));
          else {
            ctx.fillStyle = theme.ink(0.05);
            ctx.fillRect(start + k * cell, top + q * cell, cell - 1, cell - 1);
            ctx.globalAlpha = Math.min(1, Math.abs(weight) / 255);
            ctx.fillStyle = theme.sign[weight < 0 ? 1 : 0];
          }
          ctx.fillRect(start + k * cell, top + q * cell, cell - 1, cell - 1);
          ctx.globalAlpha = 1;
        }
      }
      if (cell < 8) return;
      ctx.fillStyle = theme.muted;
      tokens.forEach((token, k) => {
        ctx.save();
        ctx.translate(start + (k + 0.5) * cell + 3.5, top + n * cell + 5);
        ctx.rotate(-Math.PI / 2);
        ctx.textAlign = "right";
        ctx.fillText(shown(token), 0, 0);
        ctx.restore();
      });
    });
    ctx.fillStyle = theme.muted;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    if (cell >= 8) {
      tokens.forEach((token, q) => ctx.fillText(shown(token), left - 6, top + (q + 0.5) * cell));
    }
  }

  onMove(event) {
    if (!this.grid || !this.view) return;
    const { left, top, cell, n } = this.grid;
    const box = this.canvas.getBoundingClientRect();
    const q = Math.floor((event.clientY - box.top - top) / cell);
    const x = (event.clientX - box.left - left) % (n * cell + GAP);
    const k = Math.floor(x / cell);
    if (q < 0 || q >= n || k < 0 || k > q) {
      this.actions.tooltip(null);
      return;
    }
    const at = (q * (q + 1)) / 2 + k;
    const weight = (t) => percent(this.maps.weights[t * this.maps.width + at] / 255);
    this.actions.tooltip(
      [
        `“${shown(this.tokens[q])}” attends to “${shown(this.tokens[k])}”`,
        `${weight(this.view.shown)} now, ${weight(0)} at the first snapshot`,
      ],
      event.clientX, event.clientY,
    );
  }
}
