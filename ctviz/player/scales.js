// Colours as numbers, and the scale of redundancy.
//
// Redundancy: one plum hue of evenly falling lightness. A fully redundant node fades into the page;
// the more of its inputs a node needs, the stronger it stands out. A circuit is a small part of a
// model, so most nodes lie between 90 and 100 %: colour follows the square root of the needed share,
// which keeps them apart, and the legend's ticks say so.

import look from "./look.js";

const { steps: STEPS, hue: HUE } = look.redundancy; // fine, because the scale is steep near 100 %

/** Red, green and blue of "#rrggbb", 0 to 255. */
export const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** @param {number[]} rgb */
export const css = ([r, g, b], alpha = 1) =>
  alpha === 1 ? `rgb(${r},${g},${b})` : `rgba(${r},${g},${b},${alpha})`;

/** The colour at that share of the way from one to the other. */
export const mix = (one, other, share) =>
  one.map((v, i) => Math.round(v + (other[i] - v) * share));

/** @param {number[]} rgb */
export const luminance = ([r, g, b]) => (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;

/** Relative luminance in the sense of the contrast guidelines. */
export const light = (colour) => luminance(colour.map((v) => 255 * (v / 255) ** 2.2));

/** OKLCH to sRGB. */
export function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const n = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * n,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * n,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * n,
  ];
  return linear.map((v) => {
    const c = Math.min(1, Math.max(0, v));
    return Math.round(255 * (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055));
  });
}

/** Where a redundancy lies on the legend, 0 to 1 from left to right. */
export const legendAt = (share) => 1 - Math.sqrt(1 - share);

/** Colours of a redundancy from 0 to 1, and of text on them. */
export class RedundancyScale {
  constructor(dark) {
    const { lightness, chroma } = look.redundancy[dark ? "dark" : "light"];
    const { darkFrom, dark: black, light: white } = look.labels;
    this.fills = [];
    this.labels = [];
    for (let i = 0; i <= STEPS; i += 1) {
      const need = Math.sqrt(1 - i / STEPS);
      const colour = oklch(
        lightness[0] + lightness[1] * need, chroma[0] + chroma[1] * need, HUE,
      );
      this.fills.push(css(colour));
      this.labels.push(light(colour) > darkFrom ? black : white);
    }
  }

  fill(share) {
    return this.fills[place(share)];
  }

  label(share) {
    return this.labels[place(share)];
  }

  /** The legend's bar. */
  gradient() {
    const stops = [];
    for (let at = 0; at <= 10; at += 1) stops.push(this.fill(1 - (1 - at / 10) ** 2));
    return `linear-gradient(90deg, ${stops.join(",")})`; // 1 - (1 - x)^2 undoes legendAt
  }
}

const place = (share) => Math.max(0, Math.min(STEPS, Math.round(share * STEPS)));
