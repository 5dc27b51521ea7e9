// What tooltips say of a node, of a group, and of a line of the graph.

import { alikeByNoise } from "./beside.js";
import { change, monotoneWords, opposite } from "./changes.js";
import { blocksInside, estimatorName, moment, shareAt, title } from "./data.js";
import { lineChange } from "./lines.js";
import { number, percent } from "./numbers.js";

const CHANGED = {
  entered: "entered since", "entered~": "entered, by no more than the noise, since", left: "left since",
  "left~": "left, by no more than the noise, since", strengthened: "strengthened since",
  weakened: "weakened since", reversed: "reversed its sign since",
  noise: "unchanged within the noise since", same: "in the circuit since",
};

const BEFORE = { // the same, where what it is compared with is later
  entered: "gone by", "entered~": "gone, by no more than the noise, by", left: "not yet here, but at",
  "left~": "not yet here, by no more than the noise, but at", strengthened: "stronger here than at",
  weakened: "weaker here than at", reversed: "of the opposite sign at",
  noise: "the same within the noise at", same: "in the circuit here and at",
};

/** What became of an edge or of a line, beside the snapshot that it is compared with. */
function becoming(model, state, view) {
  const words = (view.base > view.shown ? BEFORE : CHANGED)[state];
  return words ? `${words} ${moment(model, view.base)}` : "";
}

/** What a tooltip says about a node, in the graph and in the heatmap. */
export function nodeLines(model, n, view) {
  const node = model.nodes[n];
  const lines = [`${node.name} · ${title(node)}`];
  const blocks = model.blocksOf.get(n);
  if (!model.T || (n >= model.N && !blocks)) return lines;
  const t = view.shown;
  if (blocks) {
    lines.push(`${blocksInside(model, n, t).length} of its ${blocks.length} blocks are in the circuit`);
  }
  for (const key of model.estimators) {
    const share = shareAt(model, key, n, { i: t, j: t, f: 0 });
    if (Number.isNaN(share)) continue;
    const degree = (blocks ?? [n]).reduce((sum, b) => sum + model.nodes[b].degree, 0);
    const d = Math.round((1 - share) * degree);
    const who = blocks ? "they need" : "needs";
    lines.push(`redundancy (${estimatorName(model, key)}) ${percent(share, 1)}: ${who} ${d} of ${degree} inputs`);
  }
  const updated = (blocks ?? [n]).filter((b) => model.updated[t * model.N + b]).length;
  if (blocks) lines.push(`${updated} of its blocks were updated at this step`);
  else if (updated) lines.push("its parameters were updated at this step");
  if (model.provenance?.redundancy) {
    lines.push(`Source: ${moment(model, t)}, ${model.provenance.redundancy}`);
  }
  return lines;
}

/** A node in a sentence or two, for those who hear the graph: what it reads and what it writes. */
export function spoken(model, n, t) {
  const { E, member, score, sourceOf, targetOf, slotOf, slots, nodes } = model;
  const own = new Set([n, ...(model.blocksOf.get(n) ?? [])]);
  const inside = Array.from({ length: E }, (_, e) => e).filter((e) => member[t * E + e]);
  const part = (edges, none, verb, end) => {
    if (!edges.length) return none;
    const size = (e) => Math.abs(score[t * E + e]);
    const best = edges.reduce((a, b) => (size(b) > size(a) ? b : a));
    const value = number(score[t * E + best], { sign: true });
    return `${verb} ${edges.length} edge${edges.length > 1 ? "s" : ""}, strongest ${end(best)}, ${value}`;
  };
  const reads = inside.filter((e) => own.has(targetOf[e]) || slots[slotOf[e]].feeds.some((f) => own.has(f)));
  const writes = inside.filter((e) => own.has(sourceOf[e]));
  return `${nodes[n].name}, ${title(nodes[n])}. ${[
    part(reads, "reads nothing in the circuit", "reads", (e) => `from ${nodes[sourceOf[e]].name}`),
    part(writes, "writes nothing in the circuit", "writes", (e) => `to ${slots[slotOf[e]].name}`),
  ].join("; ")}`;
}

export function groupLines(model, { name, members }, view) {
  const names = members.map((n) => model.nodes[n].name);
  const lines = [name, `${members.length} nodes: ${names.join(", ")}`];
  let inside = 0;
  const within = new Set(members);
  for (let e = 0; e < model.E; e += 1) {
    if (!model.member[view.shown * model.E + e]) continue;
    if (within.has(model.sourceOf[e]) && within.has(model.targetOf[e])) inside += 1;
  }
  lines.push(`${inside} edges of the circuit run inside the group`, "Click to select its nodes");
  return lines;
}

/** What a tooltip says about a line; `shown` [edge] says which of its edges are drawn. */
export function lineLines(model, edges, view, shown) {
  const t = view.shown;
  const lines = edges.length === 1 ? edgeLines(model, edges[0], view) : joinedLines(model, edges, view, shown);
  if (model.provenance?.scores) lines.push(`Source: ${moment(model, t)}, ${model.provenance.scores}`);
  return lines;
}

/** Its score in a run and its rank. */
function scoreLine(run, e, E, t, label) {
  if (!run.member[t * E + e]) return `${label}: not in the circuit`;
  const value = number(run.score[t * E + e], { sign: true });
  const error = run.error ? ` ± ${number(run.error[t * E + e])}` : "";
  return `${label} ${value}${error}, rank ${run.rank[t * E + e] + 1} of ${run.counts.size[t]}`;
}

function edgeLines(model, e, view) {
  const { E, other } = model;
  const t = view.shown;
  const lines = [model.edgeName(e)];
  if (other) {
    for (const run of [model, other]) lines.push(scoreLine(run, e, E, t, `${run.label}: score`));
    if (opposite(model, e, t)) lines.push("reversed: in both, with opposite signs beyond the noise");
    if (alikeByNoise(model, e, t)) lines.push("the two differ by no more than the noise");
    return lines;
  }
  const now = model.score[t * E + e];
  const course = monotoneWords(model, e);
  if (course) lines.push(course);
  lines.push(scoreLine(model, e, E, t, "score"));
  lines.push(now < 0 ? "works against the behaviour" : "supports the behaviour");
  if (view.base >= 0) {
    const was = number(model.score[view.base * E + e], { sign: true });
    const state = becoming(model, change(model, e, view.base, t), view);
    if (state) lines.push(`${state}, where its score was ${was}`);
  }
  return lines;
}

/** Edges of blocks of a closed MLP, joined where they share their other end. */
function joinedLines(model, edges, view, shown) {
  const { E, nodes, slots, slotOf, sourceOf, targetOf, other } = model;
  const t = view.shown;
  const same = (of) => edges.every((e) => of[e] === of[edges[0]]);
  const mlp = (end) => nodes[model.mlpOf[end[edges[0]]]].name;
  const from = same(sourceOf) ? nodes[sourceOf[edges[0]]].name : mlp(sourceOf);
  const to = same(slotOf) ? slots[slotOf[edges[0]]].name : mlp(targetOf);
  const lines = [`${from} → ${to}`];
  const near = edges.filter((e) => shown[e]);
  lines.push(`${near.length} edge${near.length > 1 ? "s" : ""} of blocks, joined while their MLP is closed`);
  for (const run of other ? [model, other] : [model]) {
    const inside = near.filter((e) => run.member[t * E + e]);
    const label = other ? `${run.label}: ` : "";
    if (!inside.length) {
      lines.push(`${label}none in the circuit`);
      continue;
    }
    const scores = inside.map((e) => run.score[t * E + e]);
    const sum = (values) => values.reduce((a, b) => a + b, 0);
    const against = scores.filter((value) => value < 0).length;
    lines.push(`${label}sum of |score| ${number(sum(scores.map(Math.abs)))}, of scores ${number(sum(scores), { sign: true })}`);
    lines.push(`${label}${scores.length - against} support the behaviour, ${against} work against it`);
    const best = inside.reduce((a, b) => (run.rank[t * E + b] < run.rank[t * E + a] ? b : a));
    lines.push(`${label}strongest: ${model.edgeName(best)}`);
    lines.push(scoreLine(run, best, E, t, `${label}score`));
  }
  if (!other && view.base >= 0) {
    const state = becoming(model, lineChange(model, edges, view.base, t), view);
    if (state) lines.push(`together ${state}`);
  }
  return lines;
}
