// Which updates were needed: what each node's update carries alone, and what is lost without it, at
// the steps at which that was measured.

import { percent } from "./numbers.js";

/** The measurement nearest to a step of training; null where there is none. */
export function causesAt(model, step) {
  const far = (found) => Math.abs(found.step - step);
  return (model.causes ?? []).reduce(
    (best, found) => (!best || far(found) < far(best) ? found : best), null,
  );
}

/** Name of the group that a head shares its keys and values with, "" where heads have their own. */
export function groupName(model, node) {
  const { heads, kv_heads: groups } = model.shape;
  if (node.kind !== "head" || heads === groups) return "";
  return `a${node.layer}.g${Math.floor(node.unit / (heads / groups))}`;
}

/** Share of the gain that a node's update carries alone, NaN if it was not updated. */
export function carried(found, name) {
  return found?.nodes[name]?.[0] ?? NaN;
}

/** What is said of a node's update, and of the keys and values that a head shares. */
export function causeLines(model, node, step) {
  const found = causesAt(model, step);
  if (!found || node.kind === "input" || node.kind === "logits") return [];
  const group = groupName(model, node);
  const names = group ? [[node.name, "its update"], [group, `that of ${group}, its keys and values,`]] : [[node.name, "its update"]];
  return names.flatMap(([name, what]) => {
    const shares = found.nodes[name];
    if (!shares) return [];
    const [alone, lost] = shares.map((share) => percent(share, 1));
    return [`${what} alone carries ${alone} of the gain; without it ${lost} is lost (step ${found.step})`];
  });
}
