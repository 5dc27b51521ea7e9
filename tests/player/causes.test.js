import assert from "node:assert/strict";
import { test } from "node:test";

import { carried, causeLines, causesAt, groupName } from "../../ctviz/player/causes.js";

const measured = (step, nodes) => ({ step, nodes, sentence: "", source: "" });
const head = { name: "a1.h2", kind: "head", layer: 1, unit: 2 };
const shape = { heads: 4, kv_heads: 2 };

test("the measurement nearest to a step is taken, the earlier one of two as near", () => {
  const causes = [measured(10, {}), measured(30, {})];
  const steps = [0, 19, 20, 21, 99].map((step) => causesAt({ causes }, step).step);
  assert.deepEqual(steps, [10, 10, 10, 30, 30]);
  assert.equal(causesAt({ causes: [] }, 5), null);
  assert.equal(causesAt({}, 5), null);
});

test("a head shares keys and values with its group", () => {
  assert.equal(groupName({ shape }, head), "a1.g1");
  assert.equal(groupName({ shape: { heads: 4, kv_heads: 4 } }, head), "");
  assert.equal(groupName({ shape }, { name: "m1", kind: "mlp", layer: 1, unit: 0 }), "");
});

test("what an update carries is said of the head and of its group", () => {
  const found = measured(20, { "a1.h2": [0.031, -0.2], "a1.g1": [0.5, 0.25] });
  const model = { shape, causes: [found] };
  assert.equal(carried(found, "a1.h2"), 0.031);
  assert.ok(Number.isNaN(carried(found, "m0")));
  assert.ok(Number.isNaN(carried(null, "m0")));
  assert.deepEqual(causeLines(model, head, 0), [
    "its update alone carries 3.1 % of the gain; without it -20.0 % is lost (step 20)",
    "that of a1.g1, its keys and values, alone carries 50.0 % of the gain; without it 25.0 % is lost (step 20)",
  ]);
  assert.deepEqual(causeLines(model, { name: "logits", kind: "logits" }, 0), []);
});
