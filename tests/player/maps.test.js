import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode } from "../../ctviz/player/data.js";
import { otherMap, specificity, whyNot } from "../../ctviz/player/maps.js";

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
  const heatmap = { diverging: (value) => value };
  assert.equal(map.colour(0.75, heatmap), 0.5);
  assert.equal(map.colour(0.25, heatmap), -0.5);
});

test("a run that did not record it has no such map and no word, and says why", async () => {
  const old = await decode({ ...payload, maps: { effect: payload.maps.effect } });
  assert.equal(otherMap(old, "specific"), null);
  assert.deepEqual(specificity(old, m0, 1), { share: NaN, word: "" });
  assert.equal(whyNot(old, "specific"), "Not known of this run");
});
