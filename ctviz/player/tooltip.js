// A tooltip inside the component: plain text lines, kept within the window.

import { h } from "./dom.js";

export class Tooltip {
  constructor() {
    this.element = h("div", { class: "cz-tip", role: "tooltip", hidden: true });
  }

  /** Lines of text at a place in client coordinates; null hides it. */
  show(lines, x = 0, y = 0) {
    this.element.hidden = !lines;
    if (!lines) return;
    this.element.replaceChildren(...lines.map((text, at) => h(at ? "span" : "b", { text })));
    const { width, height } = this.element.getBoundingClientRect();
    const left = x + 16 + width > window.innerWidth ? x - width - 12 : x + 16;
    const top = y + 16 + height > window.innerHeight ? y - height - 12 : y + 16;
    this.element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }
}
