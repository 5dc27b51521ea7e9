// The keyboard: space plays, left and right step, N and P jump to the next and the last big change,
// up and down walk through the nodes, O opens an MLP into its blocks or closes it, Escape clears. Several players may share a page, so keys that
// are pressed outside of every player go to the one that was used last.

let current = null;

const TYPING = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]";

/** Attach a player; returns a function that detaches it. */
export function listen(player) {
  const { root } = player;
  const use = () => {
    current = player;
  };
  const onKey = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const path = event.composedPath();
    const target = path[0];
    const inside = path.includes(root);
    if (!inside && (current !== player || !root.isConnected || !root.clientWidth)) return;
    if (!(target instanceof Element) || target.closest(TYPING)) return;
    // A focused control of the page, or a slider of ours, keeps the keys that it uses itself.
    if (!inside && target.closest("input, [role=slider], [role=tab], [role=option], [role=menu]")) return;
    const scrub = target.matches(".cz-scrub");
    if (target.matches("input[type=range]") && !scrub && event.key !== "Escape" && event.key !== " ") return;
    if (event.key === " " && target.closest("button, a, [role=button]")) return;
    if (press(player, event, path.includes(player.graph.stage))) event.preventDefault();
  };
  current ??= player;
  root.addEventListener("pointerdown", use);
  root.addEventListener("focusin", use);
  document.addEventListener("keydown", onKey);
  return () => {
    document.removeEventListener("keydown", onKey);
    if (current === player) current = null;
  };
}

/** Once a run was chosen in a list of the page, the keys are its player's: the list lets them go. */
export function takeOver(root) {
  if (!document.activeElement?.closest("[data-testid=stSelectbox]")) return;
  root.focus({ preventScroll: true });
}

function press(player, event, inGraph) {
  const by = event.shiftKey ? 10 : 1;
  const { i } = player.clock;
  const go = (to) => {
    player.go(to);
    if (inGraph) player.tellMoment();
    return true;
  };
  switch (event.key) {
    case " ": player.toggle(); return true;
    case "ArrowLeft": return go(Math.max(0, i - by));
    case "ArrowRight": return go(i + by);
    case "Home": return go(0);
    case "End": return go(Infinity);
    case "ArrowUp": case "ArrowDown":
      // Inside the graph these walk from node to node; elsewhere they scroll the page.
      if (inGraph) player.walk(event.key === "ArrowUp" ? 1 : -1);
      return inGraph;
    case "f": case "F": player.present(true); return true;
    case "n": case "N": player.big(1); return true;
    case "p": case "P": player.big(-1); return true;
    case "o": case "O": return player.unfoldSelected();
    case "Escape": return player.clear();
    default: return false;
  }
}
