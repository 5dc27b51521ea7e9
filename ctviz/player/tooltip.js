// A tooltip inside the component: plain text lines, kept within the window.

import { h } from "./dom.js";

const LONGEST = 400; // characters of a line

export class Tooltip {
  constructor() {
    this.element = h("div", { class: "cz-tip", role: "tooltip", hidden: true });
  }

  /** Lines of text at a place in client coordinates; null hides it. */
  show(lines, x = 0, y = 0) {
    this.element.hidden = !lines?.length;
    if (!lines?.length) return;
    this.element.replaceChildren(...lines.map((text, at) => h(at ? "span" : "b", {
      text: text.slice(0, LONGEST), class: text.startsWith("Source: ") ? "cz-source" : null,
    })));
    const { width, height } = this.element.getBoundingClientRect();
    const left = x + 16 + width > window.innerWidth ? x - width - 12 : x + 16;
    const top = y + 16 + height > window.innerHeight ? y - height - 12 : y + 16;
    this.element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  }
}

/** Say where an element's numbers come from while it is hovered or has the focus. */
export function source(element, actions, lines) {
  element.addEventListener("pointermove", (event) =>
    actions.tooltip(lines(), event.clientX, event.clientY));
  element.addEventListener("pointerleave", () => actions.tooltip(null));
  element.addEventListener("focus", () => {
    const { left, bottom } = element.getBoundingClientRect();
    actions.tooltip(lines(), left - 12, bottom - 12);
  });
  element.addEventListener("blur", () => actions.tooltip(null));
  return element;
}
