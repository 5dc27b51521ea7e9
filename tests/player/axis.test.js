import assert from "node:assert/strict";
import { test } from "node:test";

import { axis, jumps } from "../../ctviz/player/axis.js";
import { path, title } from "../../ctviz/player/curves.js";

const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("evenly spaced snapshots have a linear axis", () => {
  const found = axis([0, 10, 20, 30]);
  assert.equal(found.kind, "linear");
  near(found.share(15), 0.5);
  near(found.step(0.5), 15);
});

test("snapshots that double have a logarithmic one, which begins at the first", () => {
  const steps = [0, 1, 2, 4, 8, 16, 32, 64, 127];
  const found = axis(steps);
  assert.equal(found.kind, "log");
  near(found.share(0), 0);
  near(found.share(127), 1);
  near(found.share(1), 1 / 7); // log2(1 + step) of 7
  near(found.share(15), 4 / 7);
  for (const step of steps) near(found.step(found.share(step)), step);
});

test("one snapshot, two, or none have an axis", () => {
  for (const steps of [[], [5], [0, 1000]]) {
    assert.equal(axis(steps).kind, "linear");
    for (const kind of ["auto", "linear", "log", "even"]) {
      const { share, step } = axis(steps, kind);
      assert.ok(Number.isFinite(share(steps[0] ?? 0)), `${kind} ${steps}`);
      assert.ok(Number.isFinite(step(0.5)), `${kind} ${steps}`);
    }
  }
});

test("a reader may ask for another axis", () => {
  const steps = [0, 1, 2, 4, 8, 16, 32, 64, 127];
  near(axis(steps, "linear").share(64), 64 / 127);
  near(axis([0, 10, 20, 30], "log").share(10), 0.5); // log2(1 + step / 10) of 2
});

test("an even axis has all snapshots as far apart, and is straight between them", () => {
  const found = axis([0, 1, 1000, 143000], "even");
  assert.equal(found.kind, "even");
  for (const [step, share] of [[0, 0], [1, 1 / 3], [1000, 2 / 3], [143000, 1], [72000, 5 / 6]]) {
    near(found.share(step), share);
    near(found.step(share), step);
  }
});

test("every axis gives back the step that stands at a place", () => {
  const steps = [3, 10, 20, 700];
  for (const kind of ["auto", "linear", "log", "even"]) {
    const { share, step } = axis(steps, kind);
    near(share(3), 0);
    near(share(700), 1);
    for (const each of [3, 4, 10, 15, 300, 700]) near(step(share(each)), each);
  }
});

test("a jump is a gap that is long on both axes", () => {
  assert.deepEqual(jumps([0, 10, 20, 30]), [false, false, false]);
  assert.deepEqual(jumps([0, 1, 8, 64, 512, 4096]), [false, false, false, false, false]);
  assert.deepEqual(jumps([0, 10, 20, 100, 110]), [false, false, true, false]);
  assert.deepEqual(jumps([0, 256, 512, 1000, 143000]), [false, false, false, true]);
  for (const steps of [[], [5], [0, 1000], [0, 1, 1000]]) {
    assert.equal(jumps(steps).includes(true), false, `${steps}`);
  }
});

test("a curve is dotted over a jump, unless it was measured in between", () => {
  const steps = [0, 10, 20, 100, 110];
  const same = (v) => v;
  const each = path({ steps, values: [1, 2, 3, 4, 5] }, same, same, steps);
  assert.equal(each.known, "M0.0 1.0L10.0 2.0L20.0 3.0M100.0 4.0L110.0 5.0");
  assert.equal(each.jumped, "M20.0 3.0L100.0 4.0");
  const often = path({ steps: [10, 50, 90, 110], values: [1, null, 3, 4] }, same, same, steps);
  assert.equal(often.known, "M10.0 1.0M90.0 3.0L110.0 4.0");
  assert.equal(often.jumped, "");
});

test("distances are from what the run began with", () => {
  assert.equal(title("retention", "the untuned model"), "Forgetting (KL from untuned)");
  assert.equal(title("retention", "the first model"), "KL from the first model");
  assert.equal(title("retention", "the start of each"), "KL from the start of each");
  assert.equal(title("grade", "the first model"), "Task grade");
});
