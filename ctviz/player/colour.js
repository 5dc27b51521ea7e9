// Everything that is drawn on a canvas, for the theme in force: Streamlit's theme variables, and the
// colours that mean something. Sign: blue supports, orange works against.

import look from "./look.js";
import { css, light, luminance, mix, RedundancyScale, rgb } from "./scales.js";

const WHITE = [255, 255, 255];
const BLACK = "#10151b"; // on an accent that is light

let pen = null;

/** Any colour that a style sheet may name, as numbers. */
function parse(text, fallback) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.fillStyle = fallback;
  pen.fillStyle = text.trim() || fallback;
  const value = String(pen.fillStyle);
  return value.startsWith("#") ? rgb(value) : value.match(/[\d.]+/g).slice(0, 3).map(Number);
}

/**
 * Colours as style sheets and canvases take them.
 *
 * @typedef {object} Theme
 * @property {boolean} dark
 * @property {string} bg
 * @property {string} text
 * @property {string} muted secondary text
 * @property {string} faint outlines
 * @property {string} line rules and frames
 * @property {string} band every other layer's background
 * @property {string} accent
 * @property {string} accentSoft
 * @property {string[]} sign of a positive and of a negative score
 * @property {string[]} pair an edge of one run, of the other, of both
 * @property {string} undefinedFill nodes without a redundancy
 * @property {(alpha: number) => string} ink text, as faint as that
 * @property {(share: number) => string} fill of a redundancy from 0 to 1
 * @property {(share: number) => string} label text on that fill
 * @property {Record<string, string>} variables of the style sheet
 */

/**
 * The colours for the theme in force at `root`.
 *
 * @param {Element} root
 * @returns {Theme}
 */
export function readTheme(root) {
  const style = getComputedStyle(root);
  const get = (name, fallback) => parse(style.getPropertyValue(name), fallback);
  const usual = look.themes.light;
  const bg = get("--st-background-color", usual.background);
  const text = get("--st-text-color", usual.text);
  const accent = get("--st-primary-color", usual.accent);
  const dark = luminance(bg) < 0.4;

  const named = dark ? "dark" : "light";
  const { mixes } = look;
  const scale = new RedundancyScale(dark);
  const supports = rgb(look.themes[named].supports);
  const against = rgb(look.themes[named].against);
  const muted = css(mix(text, bg, mixes.muted));
  const faint = css(mix(text, bg, mixes.faint));
  const line = css(mix(bg, text, mixes.line));
  const series = look.series.map((name) => {
    const colour = rgb(look.palette[name]);
    return css(dark ? mix(colour, WHITE, mixes.series) : colour);
  });
  return {
    dark,
    bg: css(bg),
    text: css(text),
    muted,
    faint,
    line,
    band: css(mix(bg, text, mixes.band[named])),
    accent: css(accent),
    accentSoft: css(accent, 0.25),
    sign: [css(supports), css(against)],
    pair: [series[0], series[1], css(mix(text, bg, 0.42))], // one run, the other, both
    ink: (alpha) => css(text, alpha),
    undefinedFill: css(mix(bg, text, mixes.undefined)),
    fill: (share) => scale.fill(share),
    label: (share) => scale.label(share),
    // The variables that the style sheet uses for the same meanings.
    variables: {
      "--cz-supports": css(supports),
      "--cz-against": css(against),
      "--cz-muted": muted,
      "--cz-faint": faint,
      "--cz-line": line,
      "--cz-accent-text": css(dark ? mix(accent, WHITE, 0.45) : accent),
      "--cz-on-accent": light(accent) > 0.22 ? BLACK : css(WHITE),
      "--cz-soft": css(mix(bg, text, dark ? 0.07 : 0.045)),
      "--cz-raised": css(dark ? mix(bg, text, 0.06) : bg),
      "--cz-scale": scale.gradient(),
      ...Object.fromEntries(series.map((colour, at) => [`--cz-series-${at}`, colour])),
    },
  };
}
