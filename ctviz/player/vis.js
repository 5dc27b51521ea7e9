// vis-network, taken from the installed pyvis package and kept to ourselves.
//
// Its file is a script that would set a global; wrapped in a module of its own it finds an
// `exports` object instead and puts everything there.

let loading = null;

async function evaluate(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`vis-network could not be read (${response.status}).`);
  const code = (await response.text()).replace(/\/\/# sourceMappingURL=.*\s*$/, "");
  // The variable keeps a polyfill in it from evaluating text, which would set a global.
  const start = "const exports = {}, module = { exports };\nlet regeneratorRuntime;\n";
  const wrapped = `${start}${code}\nexport default exports;`;
  const blob = URL.createObjectURL(new Blob([wrapped], { type: "text/javascript" }));
  try {
    return (await import(blob)).default;
  } finally {
    URL.revokeObjectURL(blob);
  }
}

/** The library, read once a page however many players there are. */
export function loadVis(url = new URL("../ctviz.vis/vis-network.min.js", import.meta.url).href) {
  loading ??= evaluate(url).catch((error) => {
    loading = null; // a later mount may try again
    throw error;
  });
  return loading;
}
