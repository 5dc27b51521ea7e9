// Colours, sizes and distances that the player, the exported pictures and the figures share.
// ctviz/look.py reads this table too, so from the first brace to the last it is plain JSON.
//
// themes: colours of the page and of the sign of a score, told apart under every common colour
//   blindness. mixes: shares of the way from text to background, or back.
// redundancy: one hue; lightness and chroma at a need of 0, and what is added up to a need of 1.
// palette: most of them Okabe and Ito's; series: runs of a comparison, A first; neither A nor B has
//   a colour that elsewhere is that of a sign. figures: of charts, readable on light and on dark.
// nodes: width and height in units of the layout (a head has the layout's radius), and the size of
//   their letters. ports: how far from its middle an edge enters a head or a shared key/value head.
// blocks: how far an opened MLP's first block is from it, each from the next, and the last from the
//   edge of the picture.
// stream: a large model's distances along its residual stream, up to how many layers it stands
//   upright, and how edges follow it: how near they come, over how many rows that is full, how far apart they
//   stay; its width; how many heads of a layer stand in one rank, and how far ranks are apart; width
//   and height of nodes, across and along it, where it lies on its side.
// fan: edges spread along the ends of wide nodes. bend: how edges swing.
// edges: widths; the strongest stands for that quantile of |score|; arrow heads are
//   `at + by x width` long and, each way, wide; opacities of lines and of heads.
export default {
  "themes": {
    "light": {
      "background": "#ffffff", "text": "#15171a", "accent": "#34495e",
      "supports": "#1b6cb0", "against": "#d05c04"
    },
    "dark": {
      "background": "#0e1117", "text": "#fafafa", "accent": "#54769a",
      "supports": "#62b2f0", "against": "#f59e42"
    }
  },
  "mixes": {
    "muted": 0.28, "faint": 0.62, "line": 0.14, "undefined": 0.05, "series": 0.35,
    "band": { "light": 0.022, "dark": 0.035 }
  },
  "redundancy": {
    "steps": 1023,
    "hue": 325,
    "light": { "lightness": [0.978, -0.6], "chroma": [0.004, 0.19] },
    "dark": { "lightness": [0.3, 0.56], "chroma": [0.012, 0.15] }
  },
  "labels": { "dark": "#1c1420", "light": "#ffffff", "darkFrom": 0.2 },
  "palette": {
    "blue": "#0072b2", "vermillion": "#d55e00", "green": "#009e73", "orange": "#e69f00",
    "mauve": "#a84e84", "azure": "#2080b0", "olive": "#6e6214", "grey": "#7f7f7f",
    "leaf": "#3d7d00", "violet": "#8a3ab9"
  },
  "series": ["leaf", "violet", "azure", "orange", "mauve", "grey"],
  "figures": {
    "series": ["#559a1c", "#a35fd0", "#2a8fb8", "#c08400", "#c26a9b", "#7f7f7f"],
    "supports": "#1f86c9", "against": "#d9651f", "reference": "#8a8f98"
  },
  "nodes": {
    "mlp": { "width": 42, "height": 22, "corner": 6 },
    "block": { "width": 30, "height": 19, "corner": 5 },
    "kv": { "width": 24, "height": 11 },
    "input": { "width": 132, "height": 26 },
    "logits": { "width": 132, "height": 26 },
    "letters": { "head": 12.5, "mlp": 11, "block": 9.5, "kv": 8, "input": 13, "logits": 13 },
    "outline": { "chosen": 2, "updated": 1.6, "other": 0.9 },
    "faded": { "far": 0.22, "idle": 0.5 }
  },
  "blocks": { "first": 48, "step": 36, "margin": 24 },
  "ports": { "head": { "q": -8, "k": 0, "v": 8 }, "kv": { "k": -6, "v": 6 } },
  "fan": { "share": 0.22, "mlp": 14, "block": 9, "margin": 12 },
  "bend": {
    "down": 40, "least": 14, "share": 0.46, "gaps": 1.25,
    "near": 26, "far": 1.2, "side": 16, "aside": 0.06, "most": 34
  },
  "rows": { "gap": 80, "above": 0.62 },
  "stream": {
    "layersUpright": 12, "row": 33, "rowUpright": 62, "fold": 15, "column": 30, "head": 42, "mlp": 46,
    "shared": 18, "radius": 13, "pull": 0.7, "full": 6, "lane": 40, "width": 32, "sharedRow": 7,
    "heads": 12, "ranks": 28,
    "nodes": {
      "mlp": { "width": 21, "height": 27 }, "block": { "width": 18, "height": 27 },
      "letters": 10.5
    }
  },
  "stretch": 2.4,
  "edges": {
    "thin": 0.7, "thick": 6.5, "quantile": 0.985, "glow": 10,
    "tip": { "length": { "at": 3.4, "by": 0.95 }, "half": { "at": 1.7, "by": 0.55 } },
    "opacity": {
      "weakest": 0.14, "few": 0.2, "many": 90, "by": 0.95, "most": 0.92, "tip": 0.15, "tipMost": 0.95
    }
  }
};
