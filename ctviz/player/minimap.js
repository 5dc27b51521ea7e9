// Where the view is in the whole graph: a small picture in a corner, while the graph is larger than
// its panel. A click goes there.

import { fitCanvas, h } from "./dom.js";

const [WIDTH, HEIGHT] = [132, 84];
const MARGIN = 4;

export class Minimap {
  /** `actions`: centre(x, y), in coordinates of the graph. */
  constructor(actions) {
    this.actions = actions;
    this.element = h("canvas", {
      class: "cz-minimap", hidden: true, "aria-hidden": "true",
      onpointerdown: (event) => this.go(event),
      onpointermove: (event) => {
        if (event.buttons) this.go(event);
      },
    });
  }

  /**
   * @param {{ x: number | null, y: number | null }[]} places of the nodes
   * @param {import("./geometry.js").Box} box
   * @param {{ left: number, top: number, width: number, height: number }} view the part that is seen
   * @param {import("./colour.js").Theme} theme
   */
  draw(places, box, view, theme) {
    const near = 0.03 * view.width; // a fitted graph may reach to the edge
    const inside = view.left <= box.left + near && view.top <= box.top + near
      && view.left + view.width >= box.left + box.width - near
      && view.top + view.height >= box.top + box.height - near;
    this.element.hidden = inside;
    if (inside) return;
    const scale = Math.min((WIDTH - 2 * MARGIN) / box.width, (HEIGHT - 2 * MARGIN) / box.height);
    this.at = { scale, left: box.left - MARGIN / scale, top: box.top - MARGIN / scale };
    const width = box.width * scale + 2 * MARGIN;
    const height = box.height * scale + 2 * MARGIN;
    const ctx = fitCanvas(this.element, width, height);
    ctx.clearRect(0, 0, width, height);
    const to = (x, y) => [(x - this.at.left) * scale, (y - this.at.top) * scale];
    ctx.fillStyle = theme.muted;
    for (const { x, y } of new Set(places)) {
      if (x === null) continue;
      const [left, top] = to(x, y);
      ctx.fillRect(left - 1, top - 1, 2, 2);
    }
    ctx.strokeStyle = theme.accent;
    ctx.lineWidth = 1.5;
    const [left, top] = to(view.left, view.top);
    ctx.strokeRect(left, top, view.width * scale, view.height * scale);
  }

  go(event) {
    const corner = this.element.getBoundingClientRect();
    const { scale, left, top } = this.at;
    this.actions.centre(left + (event.clientX - corner.left) / scale, top + (event.clientY - corner.top) / scale);
    event.preventDefault();
  }
}
