// One head's attention on a probe prompt, at the shown step beside step 0.

import { fitCanvas, h, percent } from "./dom.js";

const FONT = '11px "Source Sans", "Source Sans Pro", system-ui, sans-serif';

const shown = (token) => token.replace(/\n/g, "⏎").trim() || "␣";

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
    const gap = 18;
    const cell = Math.max(4, Math.min(19, Math.floor((width - left - gap) / 2 / n)));
    const top = 18;
    this.grid = { left, top, cell, gap, n };
    const ctx = fitCanvas(this.canvas, width, top + n * cell + foot);
    ctx.clearRect(0, 0, width, top + n * cell + foot);
    ctx.font = FONT;
    const starts = [left, left + n * cell + gap];
    const titles = [`step ${model.steps[view.shown]}`, `step ${model.steps[0]}`];
    starts.forEach((start, which) => {
      const t = which === 0 ? view.i : 0;
      ctx.fillStyle = theme.muted;
      ctx.textAlign = "left";
      ctx.textBaseline = "alphabetic";
      ctx.fillText(titles[which], start, 11);
      let at = 0;
      for (let q = 0; q < n; q += 1) {
        for (let k = 0; k <= q; k += 1) {
          let weight = maps.weights[t * maps.width + at];
          if (which === 0 && view.f > 0) {
            weight += (maps.weights[view.j * maps.width + at] - weight) * view.f;
          }
          at += 1;
          ctx.fillStyle = theme.ink(0.05 + 0.92 * (weight / 255));
          ctx.fillRect(start + k * cell, top + q * cell, cell - 1, cell - 1);
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
    const { left, top, cell, gap, n } = this.grid;
    const box = this.canvas.getBoundingClientRect();
    const q = Math.floor((event.clientY - box.top - top) / cell);
    let x = event.clientX - box.left - left;
    if (x >= n * cell + gap) x -= n * cell + gap;
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
