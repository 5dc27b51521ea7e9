// Colours: read from Streamlit's theme variables, plus the two scales that mean something.
//
// Sign: blue supports, orange works against (told apart under every common colour blindness).
// Redundancy: one plum hue of evenly falling lightness. A fully redundant node fades into the page;
// the more of its inputs a node needs, the stronger it stands out. A circuit is a small part of a
// model, so most nodes lie between 90 and 100 %: colour follows the square root of the needed share,
// which keeps them apart, and the legend's ticks say so.

const probe = typeof document === "undefined" ? null : document.createElement("canvas").getContext("2d");

function parse(text, fallback) {
  probe.fillStyle = fallback;
  probe.fillStyle = text.trim() || fallback;
  const value = probe.fillStyle;
  if (value.startsWith("#")) return [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
  return value.match(/[\d.]+/g).slice(0, 3).map(Number);
}

// Okabe and Ito's colours, for the runs of a comparison; the first two are near those of the sign.
const SERIES = [
  [0, 114, 178], [213, 94, 0], [0, 158, 115], [168, 78, 132], [32, 128, 176], [110, 98, 20],
];
const STEPS = 1023; // fine, because the scale is steep near 100 %

const css = ([r, g, b], alpha = 1) =>
  alpha === 1 ? `rgb(${r},${g},${b})` : `rgba(${r},${g},${b},${alpha})`;

const mix = (one, other, share) => one.map((v, i) => Math.round(v + (other[i] - v) * share));

const luminance = ([r, g, b]) => (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;

/** Relative luminance in the sense of the contrast guidelines. */
const light = (rgb) => luminance(rgb.map((v) => 255 * (v / 255) ** 2.2));

function oklch(lightness, chroma, hue) {
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

function scale(fills) {
  const stops = [];
  for (let at = 0; at <= 10; at += 1) {
    const share = 1 - (1 - at / 10) ** 2; // the inverse of legendAt
    stops.push(fills[Math.round(share * STEPS)]);
  }
  return `linear-gradient(90deg, ${stops.join(",")})`;
}

/** Everything that is drawn on a canvas, for the theme in force at `root`. */
export function readTheme(root) {
  const style = getComputedStyle(root);
  const get = (name, fallback) => parse(style.getPropertyValue(name), fallback);
  const bg = get("--st-background-color", "#ffffff");
  const text = get("--st-text-color", "#31333f");
  const accent = get("--st-primary-color", "#ff4b4b");
  const dark = luminance(bg) < 0.4;

  const fills = [];
  const labels = [];
  for (let i = 0; i <= STEPS; i += 1) {
    const need = Math.sqrt(1 - i / STEPS);
    const rgb = dark
      ? oklch(0.3 + 0.56 * need, 0.012 + 0.15 * need, 325)
      : oklch(0.978 - 0.6 * need, 0.004 + 0.19 * need, 325);
    fills.push(css(rgb));
    labels.push(light(rgb) > 0.2 ? "#1c1420" : "#ffffff");
  }
  const supports = dark ? [98, 178, 240] : [27, 108, 176];
  const against = dark ? [245, 158, 66] : [208, 92, 4];
  return {
    dark,
    bg: css(bg),
    text: css(text),
    muted: css(mix(text, bg, 0.28)),
    faint: css(mix(text, bg, 0.62)),
    line: css(mix(bg, text, 0.14)),
    band: css(mix(bg, text, dark ? 0.035 : 0.022)),
    accent: css(accent),
    accentSoft: css(accent, 0.25),
    sign: [css(supports), css(against)],
    pair: [css(supports), css(against), css(mix(text, bg, 0.42))], // one run, the other, both
    ink: (alpha) => css(text, alpha),
    undefinedFill: css(mix(bg, text, 0.05)),
    fill: (share) => fills[Math.max(0, Math.min(STEPS, Math.round(share * STEPS)))],
    label: (share) => labels[Math.max(0, Math.min(STEPS, Math.round(share * STEPS)))],
    // The variables that the style sheet uses for the same meanings.
    variables: {
      "--cz-supports": css(supports),
      "--cz-against": css(against),
      "--cz-muted": css(mix(text, bg, 0.28)),
      "--cz-faint": css(mix(text, bg, 0.62)),
      "--cz-line": css(mix(bg, text, 0.14)),
      "--cz-accent-text": css(dark ? mix(accent, [255, 255, 255], 0.45) : accent),
      "--cz-on-accent": light(accent) > 0.22 ? "#10151b" : "#ffffff",
      "--cz-soft": css(mix(bg, text, dark ? 0.07 : 0.045)),
      "--cz-raised": css(dark ? mix(bg, text, 0.06) : bg),
      "--cz-scale": scale(fills),
      ...Object.fromEntries(SERIES.map((rgb, at) =>
        [`--cz-series-${at}`, css(dark ? mix(rgb, [255, 255, 255], 0.35) : rgb)])),
    },
  };
}
