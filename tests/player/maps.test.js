import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode } from "../../ctviz/player/data.js";
import { deeds, offered, otherMap, specificity, whyNot } from "../../ctviz/player/maps.js";

const payload = JSON.parse(readFileSync(new URL("./packed.json", import.meta.url), "utf8"));
const model = await decode(payload);
const m0 = payload.nodes.findIndex(({ name }) => name === "m0");

test("a node is specific, shared or both, by the stored share", () => {
  assert.equal(specificity(model, m0, 0).word, "shared"); // 0.25
  assert.equal(specificity(model, m0, 1).word, "specific"); // 0.75
  assert.ok(Math.abs(specificity(model, m0, 1).share - 0.75) < 1e-4);
  assert.equal(specificity(model, 0, 0).word, "both"); // 0.5
  const logits = payload.nodes.findIndex(({ kind }) => kind === "logits");
  assert.deepEqual(specificity(model, logits, 0), { share: NaN, word: "" });
});

test("the map says the share, the word and the step", () => {
  const map = otherMap(model, "specific");
  assert.deepEqual(map.lines(m0, 1), [
    "m0 · MLP, layer 0, step 10", "specific to the task: 75.0 %, specific",
  ]);
  const heatmap = { theme: { fill: (redundancy) => redundancy } }; // the darker, the more specific
  assert.equal(map.colour(0.75, heatmap), 0.25);
  assert.equal(map.colour(0.25, heatmap), 0.75);
});

test("a run that did not record it has no such map and no word, and says why", async () => {
  const old = await decode({ ...payload, maps: { effect: payload.maps.effect } });
  assert.equal(otherMap(old, "specific"), null);
  assert.deepEqual(specificity(old, m0, 1), { share: NaN, word: "" });
  assert.equal(whyNot(old, "specific"), "Not known of this run");
});

test("maps of heads are offered where a run has them", async () => {
  assert.deepEqual(offered(model), ["redundancy", "effect", "moved", "specific", "updates", "matching"]);
  const old = await decode({ ...payload, maps: {} });
  assert.deepEqual(offered(old), ["redundancy", "effect", "moved", "specific", "updates"]);
});

test("a map of heads says the share; what is no head has none", () => {
  const map = otherMap(model, "matching");
  const head = payload.nodes.findIndex(({ name }) => name === "a1.h0");
  assert.deepEqual(map.lines(head, 1), [
    "a1.h0 · Head 0, layer 1, step 10", "prefix matching: 75 %",
  ]);
  assert.equal(map.lines(m0, 1)[1], "prefix matching: undefined");
  assert.deepEqual(deeds(model, head, 1), ["matching 75 %"]);
  assert.deepEqual(deeds(model, m0, 1), []);
  const heatmap = { theme: { fill: (value) => value } };
  assert.equal(map.colour(0.75, heatmap), 0.25); // as dark as a redundancy of 25 %
});
