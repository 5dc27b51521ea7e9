// One node at the shown step against the first: redundancy, edges, attention, effect on the output.

import { AttentionMaps } from "./attention.js";
import { axis } from "./axis.js";
import { causesAt, groupName } from "./causes.js";
import { monotoneWords } from "./changes.js";
import { blocksInside, estimatorName, moment, shareAt, title } from "./data.js";
import { h, iconButton, s, setText } from "./dom.js";
import { deeds, specificity } from "./maps.js";
import { number, percent } from "./numbers.js";
import { source } from "./tooltip.js";

const CLOSE = ["M6.4 5L5 6.400 10.600 12 5 17.600 6.400 19 12 13.400 17.600 19 19 17.600 13.400 12 19 6.400 17.600 5 12 10.600z"];
const SHORT = 4; // edges listed before "show all"

export class Inspector {
  /** `actions`: select(n), add(n), link(), unfold(mlp), isOpen(mlp), tooltip(lines, x, y), redraw(). */
  constructor(actions) {
    this.actions = actions;
    this.element = h("aside", { class: "cz-inspector", "aria-label": "Inspector", hidden: true });
    this.maps = new AttentionMaps(actions);
    this.node = -1;
    this.pinned = false;
    this.all = { in: false, out: false, blocks: false };
    new ResizeObserver(() => this.sized()).observe(this.element);
  }

  sized() {
    if (this.node < 0) return;
    if (this.spark) this.sparkline();
    this.mark = "";
    this.actions.redraw();
  }

  /** While it is pinned, a click on another node adds it to the selection. */
  pin() {
    this.pinned = !this.pinned;
    this.built = null;
    this.actions.redraw();
  }

  setModel(model) {
    this.model = model;
    this.built = null;
  }

  select(n) {
    if (n === this.node) return;
    if (n < 0) this.pinned = false;
    this.node = n;
    this.all = { in: false, out: false, blocks: false };
    this.built = null;
  }

  build(view) {
    const { model, node: n } = this;
    const place = n === this.placeOf ? this.element.scrollTop : 0; // a growing run keeps it
    this.placeOf = n;
    this.built = n;
    this.mark = "";
    this.element.hidden = n < 0;
    this.element.replaceChildren();
    if (n < 0) return;
    const node = model.nodes[n];
    this.facts = h("dl", { class: "cz-facts" });
    this.incoming = h("div", { class: "cz-list" });
    this.outgoing = h("div", { class: "cz-list" });
    this.effect = h("div", { class: "cz-effect" });
    const hasShares = n < model.N && node.kind !== "input" && model.T > 1;
    this.spark = hasShares ? s("svg", { class: "cz-spark", "aria-hidden": "true" }) : null;
    this.sparkHead = null;
    const blocks = model.blocksOf.get(n);
    const link = this.actions.link() && n < model.N && ["head", "mlp", "block"].includes(node.kind);
    this.link = link ? h("a", { class: "cz-small", target: "_self", text: "Inspect" }) : null;
    this.element.append(
      h("header", {},
        h("div", {}, h("h3", { text: title(node) }), h("code", { text: node.name })),
        h("div", { class: "cz-inspector-tools" },
          this.link,
          this.foldButton(n),
          h("button", {
            type: "button", class: "cz-small", text: "pin", title: "Keep it selected and select more",
            "aria-pressed": String(this.pinned), onclick: () => this.pin(),
          }),
          iconButton("Close the inspector", CLOSE, () => this.actions.select(-1), { class: "cz-close" }))),
      this.facts,
    );
    if (model.other) this.facts.before(h("p", { class: "cz-note", text: `Numbers of ${model.label}.` }));
    if (hasShares) {
      this.element.append(
        h("div", { class: "cz-spark-row" }, this.spark,
          h("div", { class: "cz-spark-key" },
            ...model.estimators.map((key, k) =>
              h("span", { class: `cz-key-${k}` }, h("i"), h("span", { text: estimatorName(model, key) }))))),
      );
      this.sparkline();
    }
    this.blocks = blocks ? h("div", { class: "cz-list" }) : null;
    if (blocks) {
      this.element.append(h("section", {}, h("h4", { text: "Its blocks in the circuit" }), this.blocks));
    }
    this.element.append(h("div", { class: "cz-lists" },
      node.kind === "input" ? null : h("section", {}, h("h4", { text: "Reads from" }), this.incoming),
      node.kind === "logits" || node.kind === "kv" ? null
        : h("section", {}, h("h4", { text: "Writes to" }), this.outgoing)));
    this.probe = view.probe;
    if (model.probes.length && n < model.N && model.T) this.buildProbe(node);
    this.update(view);
    this.element.scrollTop = place;
  }

  /** Of an MLP that is cut, what opens and closes it; of a block, the way to its MLP. */
  foldButton(n) {
    const { model, actions } = this;
    this.fold = null;
    if (model.mlpOf[n] >= 0) {
      const mlp = model.mlpOf[n];
      return h("button", {
        type: "button", class: "cz-small", text: model.nodes[mlp].name,
        title: `Select ${title(model.nodes[mlp])}`, onclick: () => actions.select(mlp),
      });
    }
    if (!model.blocksOf.has(n)) return null;
    this.fold = h("button", { type: "button", class: "cz-small", onclick: () => actions.unfold(n) });
    return this.fold;
  }

  buildProbe(node) {
    const { model } = this;
    const isHead = node.kind === "head";
    const section = h("section", { class: "cz-probe" },
      h("h4", { text: isHead ? "Attention on the sentence above" : "On the sentence above" }));
    if (isHead) {
      const wait = h("p", { class: "cz-note", text: "" });
      section.append(this.maps.element, wait);
      this.maps.set(null);
      this.maps.element.hidden = true;
      const asked = `${this.probe} ${node.name}`;
      this.asked = asked;
      model.attention(this.probe, node.name).then((maps) => {
        if (this.asked !== asked || this.model !== model) return;
        this.maps.element.hidden = !maps;
        wait.hidden = Boolean(maps);
        wait.textContent = maps ? "" : "The attention of this head is not part of this view.";
        this.maps.set(maps, model.probes[this.probe].tokens);
        this.actions.redraw();
      });
    }
    section.append(this.effect);
    this.element.append(section);
  }

  /** @param {import("./colour.js").Theme} theme */
  draw(view, theme) {
    if (this.built !== this.node || (this.node >= 0 && this.probe !== view.probe)) this.build(view);
    if (this.node < 0) return;
    if (this.fold) {
      const open = this.actions.isOpen(this.node);
      setText(this.fold, open ? "Close" : "Open");
      this.fold.setAttribute("aria-expanded", String(open));
      this.fold.title = open ? "Draw it as one node (key O)" : "Draw its blocks (key O)";
    }
    this.maps.draw(view, this.model, theme);
    if (this.axis !== view.axis) {
      this.axis = view.axis;
      if (this.spark) this.sparkline();
    }
    this.playhead(view);
    this.update(view);
  }

  /** Texts and lists change once a snapshot, not once a frame. */
  update(view) {
    const { model, node: n } = this;
    const t = view.shown;
    const mark = `${t} ${view.edges} ${Object.values(this.all)} ${n}`;
    if (mark === this.mark) return;
    this.mark = mark;
    if (this.link) this.link.href = this.actions.link();
    this.facts.replaceChildren(...this.factRows(n, t));
    if (this.blocks) this.listBlocks(n, t);
    this.list(this.incoming, "in", n, t);
    this.list(this.outgoing, "out", n, t);
    if (model.probes.length && n < model.N && model.T) this.drawEffect(n, t);
  }

  factRows(n, t) {
    const { model } = this;
    const node = model.nodes[n];
    const rows = [];
    const from = model.provenance?.redundancy ?? "";
    const redundancy = from && `${moment(model, t)}, ${from}`;
    const row = (name, value, note = "", of = redundancy) => {
      const made = h("div", {}, h("dt", { text: name }), h("dd", {}, h("b", { text: value }), h("span", { text: note })));
      if (of) source(made, this.actions, () => [name, `Source: ${of}`]);
      rows.push(made);
    };
    if (node.kind === "kv") {
      const served = model.slots.find((slot) => slot.node === n)?.feeds ?? [];
      row("Serves", served.map((head) => model.nodes[head].name).join(", "));
    }
    if (!model.T) return rows;
    if (model.blocksOf.has(n)) this.mlpRows(n, t, row);
    if (n < model.N) {
      for (const key of model.estimators) {
        const now = model.redundancy[key][t * model.N + n];
        if (Number.isNaN(now)) continue;
        const start = model.redundancy[key][n];
        const d = Math.round((1 - now) * node.degree);
        row(`Redundancy (${estimatorName(model, key)})`, percent(now, 1),
          `needs ${d} of ${node.degree} inputs; ${percent(start, 1)} at ${moment(model, 0)}`);
      }
      if (!rows.length && node.kind !== "input") row("Redundancy", "–", "undefined");
      const { share, word } = specificity(model, n, t);
      const of = model.provenance?.specific;
      if (word) {
        row("For the task", word, `${percent(share, 1)}; at 50 % it does as much for text in general`,
          of && `${moment(model, t)}, ${of}`);
      }
      const [first, ...rest] = deeds(model, n, t);
      if (first) {
        const from = model.provenance?.matching;
        row("On repeats", first, rest.join(", "), from && `${moment(model, t)}, ${from}`);
      }
      if (node.kind !== "logits" && node.kind !== "input") {
        const yes = model.updated[t * model.N + n];
        const untrained = model.steps[t] === 0;
        row("Parameters", untrained ? "–" : yes ? "updated" : "frozen",
          untrained ? "nothing is trained yet" : "at this step");
        this.updateRows(node, t, row);
      }
    }
    return rows;
  }

  /** Facts of an MLP that is cut: those of all of its blocks together. */
  mlpRows(n, t, row) {
    const { model } = this;
    const blocks = model.blocksOf.get(n);
    const count = blocks.length;
    row("In the circuit", `${blocksInside(model, n, t).length}`,
      `of its ${count} blocks; ${blocksInside(model, n, 0).length} at ${moment(model, 0)}`);
    const degree = blocks.reduce((sum, b) => sum + model.nodes[b].degree, 0);
    for (const key of model.estimators) {
      const [now, start] = [t, 0].map((at) => shareAt(model, key, n, { i: at, j: at, f: 0 }));
      if (Number.isNaN(now)) continue;
      row(`Redundancy (${estimatorName(model, key)})`, percent(now, 1),
        `they need ${Math.round((1 - now) * degree)} of ${degree} inputs; ${percent(start, 1)} at ${moment(model, 0)}`);
    }
    const updated = blocks.filter((b) => model.updated[t * model.N + b]).length;
    if (model.steps[t] === 0) row("Parameters", "–", "nothing is trained yet");
    else row("Parameters", updated ? "updated" : "frozen", `${updated} of its ${count} blocks at this step`);
  }

  /** What its update carries, and that of the keys and values that a head shares. */
  updateRows(node, t, row) {
    const { model } = this;
    const found = causesAt(model, model.steps[t]);
    if (!found || model.other) return;
    const group = groupName(model, node);
    for (const [name, title] of [[node.name, "Its update"], [group, `That of ${group}`]]) {
      const shares = found.nodes[name];
      if (!shares) continue;
      const [alone, lost] = shares.map((share) => percent(share, 1));
      row(title, alone, `of the gain; ${lost} lost without it`, found.source);
    }
  }

  sparkline() {
    const { model, node: n, spark } = this;
    const w = spark.clientWidth || 300;
    const t = 44;
    spark.setAttribute("viewBox", `0 0 ${w} ${t}`);
    spark.replaceChildren();
    const shares = model.estimators.map((key) =>
      Array.from({ length: model.T }, (_, at) => model.redundancy[key][at * model.N + n]));
    const defined = shares.flat().filter((v) => !Number.isNaN(v));
    if (!defined.length) return;
    // A node's redundancy often moves by a few percent: show the range that it moves in.
    let low = Math.min(...defined);
    let high = Math.max(...defined);
    const pad = Math.max(0.01, 0.1 * (high - low));
    [low, high] = [Math.max(0, low - pad), Math.min(1, high + pad)];
    const { share } = axis(model.steps, this.axis);
    const x = (step) => 36 + share(step) * (w - 42);
    const y = (v) => 4 + ((high - v) / (high - low)) * (t - 8);
    this.sparkX = x;
    for (const v of [low, high]) {
      const label = s("text", { class: "cz-tick", x: 31, y: y(v) + (v === low ? 2 : 6), "text-anchor": "end" });
      label.textContent = percent(v).replace(" ", "");
      spark.append(label, s("line", { class: "cz-rule", x1: 36, x2: w - 6, y1: y(v), y2: y(v) }));
    }
    shares.forEach((values, k) => {
      let d = "";
      values.forEach((v, at) => {
        if (!Number.isNaN(v)) d += `${d ? "L" : "M"}${x(model.steps[at]).toFixed(1)} ${y(v).toFixed(1)}`;
      });
      spark.append(s("path", { class: `cz-spark-${k}`, d }));
    });
    this.sparkHead = s("line", { class: "cz-head", y1: 1, y2: t - 1 });
    spark.append(this.sparkHead);
  }

  playhead(view) {
    if (!this.sparkHead) return;
    const { steps } = this.model;
    const [from, to] = [view.i, view.j].map((at) => this.sparkX(steps[at]));
    const at = from + (to - from) * view.f;
    this.sparkHead.setAttribute("transform", `translate(${at.toFixed(2)} 0)`);
  }

  /** The blocks of an MLP that the circuit touches, those with the most |score| first. */
  listBlocks(mlp, t) {
    const { model } = this;
    const { E, member, score, touching } = model;
    const found = blocksInside(model, mlp, t).map((n) => {
      let [edges, mass, sum] = [0, 0, 0];
      for (let e = 0; e < E; e += 1) {
        if (!touching[n][e] || !member[t * E + e]) continue;
        edges += 1;
        mass += Math.abs(score[t * E + e]);
        sum += score[t * E + e];
      }
      return { n, edges, mass, sum };
    }).sort((a, b) => b.mass - a.mass);
    const rows = this.cut(found, "blocks").map(({ n, edges, mass, sum }) => edgeRow({
      title: `Select ${title(model.nodes[n])}: ${edges} edge${edges > 1 ? "s" : ""} of the circuit`,
      onclick: () => this.actions.select(n), negative: sum < 0, size: mass / found[0].mass,
      texts: [model.nodes[n].name, number(mass), `${edges} edge${edges > 1 ? "s" : ""}`],
    }));
    const { length } = found;
    this.fill(this.blocks, "blocks", rows, length, `${length} block${length > 1 ? "s" : ""}`, ["sum |score|", ""]);
  }

  list(holder, side, n, t) {
    const { model } = this;
    const { E, slots } = model;
    const blocks = model.blocksOf.get(n);
    const ends = new Set(blocks ?? [n]);
    const edges = [];
    for (let e = 0; e < E; e += 1) {
      if (!model.member[t * E + e]) continue;
      const slot = slots[model.slotOf[e]];
      const inside = side === "out"
        ? ends.has(model.sourceOf[e]) : ends.has(slot.node) || slot.feeds.includes(n);
      if (inside) edges.push(e);
    }
    edges.sort((a, b) => model.rank[t * E + a] - model.rank[t * E + b]);
    const rows = this.cut(edges, side).map((e) => {
      const slot = slots[model.slotOf[e]];
      const other = side === "out" ? slot.node : model.sourceOf[e];
      const now = model.score[t * E + e];
      const change = now - model.score[e];
      const fresh = t > 0 && !model.member[e];
      const course = monotoneWords(model, e);
      const arrow = course ? (model.monotone[e] > 0 ? " ↗" : " ↘") : "";
      return edgeRow({
        title: `${model.edgeName(e)}: select ${model.nodes[other].name}. `
          + (course ? `It ${course}. ` : "")
          + `Step ${model.steps[t]}, ${model.provenance?.scores ?? ""}`,
        onclick: () => this.actions.select(other), negative: now < 0, size: Math.abs(now) / model.widest,
        texts: [this.otherEnd(e, side, blocks) + arrow, number(now, { sign: true }),
          fresh ? "new" : t > 0 ? number(change, { sign: true }) : ""],
      });
    });
    const { length } = edges;
    this.fill(holder, side, rows, length, `${length} edge${length > 1 ? "s" : ""}`, ["score", `vs ${moment(model, 0)}`]);
  }

  /** An edge without the node that is looked at; of an MLP with its block. */
  otherEnd(e, side, blocks) {
    const { nodes, slots, slotOf, sourceOf, targetOf } = this.model;
    const slot = slots[slotOf[e]];
    if (side === "out") return blocks ? `b${nodes[sourceOf[e]].unit} → ${slot.name}` : slot.name;
    const into = blocks ? ` → b${nodes[targetOf[e]].unit}` : slot.kind.length === 1 ? ` → ${slot.kind}` : "";
    return nodes[sourceOf[e]].name + into;
  }

  /** The first few of a list, or all of it where that was asked for. */
  cut(found, key) {
    return this.all[key] ? found : found.slice(0, SHORT);
  }

  /** Rows with their head, and what shows all of them. */
  fill(holder, key, rows, length, count, [second, third]) {
    if (!length) {
      holder.replaceChildren(h("p", { class: "cz-note", text: "No edge of the circuit at this step." }));
      return;
    }
    const head = h("div", { class: "cz-edge cz-edge-head" },
      h("span", { text: count }), h("i", {}), h("span", { text: second }), h("span", { text: third }));
    const more = length > SHORT ? h("button", {
      type: "button", class: "cz-more", text: this.all[key] ? "Show fewer" : `Show all ${length}`,
      onclick: () => {
        this.all[key] = !this.all[key];
        this.actions.redraw();
      },
    }) : "";
    holder.replaceChildren(head, ...rows, more);
  }

  drawEffect(n, t) {
    const { model } = this;
    const probe = model.probes[this.probe];
    const direct = model.attribution[this.probe];
    const now = direct[t * model.N + n];
    const start = direct[n];
    const children = [];
    if (!Number.isNaN(now)) {
      children.push(h("p", { class: "cz-direct" },
        h("span", { text: `Adds directly to “${probe.answer.trim()}” over “${probe.foil.trim()}”: ` }),
        h("b", { text: number(now, { sign: true }) }),
        h("span", { text: ` logits, without what later layers make of it (${number(start, { sign: true })} at ${moment(model, 0)})` })));
    }
    if (model.provenance?.probes) {
      source(this.effect, this.actions, () => [
        "Direct logit attribution",
        `Source: ${moment(model, t)}, ${model.provenance.probes}`,
      ]);
    }
    this.effect.replaceChildren(...children);
  }
}

/** One line of a list: a name, a bar of that share in the colour of its sign, and two numbers. */
function edgeRow({ title: hint, onclick, negative, size, texts: [name, value, note] }) {
  return h("button", {
    type: "button", class: negative ? "cz-edge cz-minus" : "cz-edge cz-plus", title: hint, onclick,
  },
  h("span", { class: "cz-edge-name", text: name }),
  h("i", { style: `--cz-size:${Math.min(1, size).toFixed(3)}` }),
  h("b", { text: value }),
  h("span", { class: "cz-delta", text: note }));
}
