import assert from "node:assert/strict";
import { test } from "node:test";

import { axis } from "../../ctviz/player/axis.js";

const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("evenly spaced snapshots have a linear axis", () => {
  const found = axis([0, 10, 20, 30]);
  assert.equal(found.log, false);
  near(found.share(15), 0.5);
  near(found.step(0.5), 15);
});

test("snapshots that double have a logarithmic one, which begins at the first", () => {
  const steps = [0, 1, 2, 4, 8, 16, 32, 64, 127];
  const found = axis(steps);
  assert.equal(found.log, true);
  near(found.share(0), 0);
  near(found.share(127), 1);
  near(found.share(1), 1 / 7); // log2(1 + step) of 7
  near(found.share(15), 4 / 7);
  for (const step of steps) near(found.step(found.share(step)), step);
});

test("one snapshot, two, or none have an axis", () => {
  for (const steps of [[], [5], [0, 1000]]) {
    const { log, share } = axis(steps);
    assert.equal(log, false);
    assert.ok(Number.isFinite(share(steps[0] ?? 0)));
  }
});
