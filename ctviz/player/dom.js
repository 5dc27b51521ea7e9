// Small helpers to build elements. Text always goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** A button with a drawn icon; `paths` are SVG path data in a 24 x 24 box. */
export function iconButton(label, paths, onclick, props = {}) {
  const icon = s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
  for (const d of paths) icon.append(s("path", { d }));
  return h("button", { type: "button", "aria-label": label, title: label, onclick, ...props }, icon);
}

/** Set text only when it differs, so that an unchanged frame costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Size a canvas for the screen's pixels; returns its context in CSS pixels. */
export function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(width * ratio));
  const t = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== t) {
    canvas.width = w;
    canvas.height = t;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  return ctx;
}

/** A number for people: three significant digits, a real minus sign, never "-0". */
export function number(value, { sign = false } = {}) {
  if (value === null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (size < 1e-9) return "0";
  if (size >= 1e5) text = size.toExponential(2).replace("e+", "e");
  else if (size >= 100) text = size.toFixed(0);
  else if (size >= 10) text = size.toFixed(1);
  else if (size >= 0.01) text = size.toFixed(size >= 1 ? 2 : 3);
  else if (size >= 0.001) text = size.toFixed(4);
  else text = size.toExponential(0).replace("-", "−");
  return (value < 0 ? "−" : sign ? "+" : "") + text;
}

export function percent(share, digits = 0) {
  if (share === null || !Number.isFinite(share)) return "–";
  // Never round up to a whole that is not there: 99.7 % is not 100 %.
  const value = share * 100;
  const text = value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1"); // never "-0"
  if (Number(text) === 100 && value < 100) return `${value.toFixed(digits + 1)} %`;
  return `${text} %`;
}
