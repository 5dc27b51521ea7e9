// The clock, by hand: a period is 420 ms, of which it dwells at the snapshot for 30 %.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Clock, nearestSnapshot } from "../../ctviz/player/clock.js";

function clock(count, options) {
  const made = new Clock(options);
  made.resize(count);
  return made;
}

/** Let time pass in frames of at most 100 ms. */
function pass(on, ms) {
  for (let left = ms; left > 0; left -= 100) on.tick(Math.min(left, 100));
}

test("it rests where it is until it plays", () => {
  const at = clock(3);
  pass(at, 1000);
  assert.deepEqual([at.i, at.j, at.f, at.playing], [0, 1, 0, false]);
});

test("it dwells, moves on with an ease, and arrives", () => {
  const at = clock(3);
  at.play();
  at.tick(100); // 0.238 of the period
  assert.equal(at.f, 0);
  at.tick(100);
  at.tick(73); // 273 of 420 ms is 0.65: half of the way after the dwell of 0.3
  assert.ok(Math.abs(at.f - 0.5) < 1e-9);
  pass(at, 147);
  assert.deepEqual([at.i, at.previous, at.f], [1, 0, 0]);
});

test("a quarter of the way is eased to 0.15625", () => {
  const at = clock(2);
  at.play();
  pass(at, 420 * (0.3 + 0.7 * 0.25));
  assert.ok(Math.abs(at.f - (3 * 0.25 ** 2 - 2 * 0.25 ** 3)) < 1e-9);
});

test("twice the speed takes half the time", () => {
  const at = clock(4);
  at.speed = 2;
  at.play();
  pass(at, 421);
  assert.equal(at.i, 2);
});

test("a long frame counts as 120 ms, so that a hidden page does not jump", () => {
  const at = clock(100);
  at.play();
  at.tick(60_000);
  assert.equal(at.i, 0);
  assert.ok(Math.abs(at.phase - 120 / 420) < 1e-9);
});

test("it stops at the end, and plays again from the start", () => {
  const at = clock(3);
  at.play();
  pass(at, 5000);
  assert.deepEqual([at.i, at.playing, at.f], [2, false, 0]);
  at.play();
  assert.deepEqual([at.i, at.playing], [0, true]);
});

test("a loop goes on at the start and forgets what was before", () => {
  const at = clock(2);
  at.loop = true;
  at.play();
  pass(at, 421);
  assert.deepEqual([at.i, at.previous], [1, 0]);
  pass(at, 420);
  assert.deepEqual([at.i, at.previous, at.playing], [0, -1, true]);
});

test("a pause rests at the nearer snapshot", () => {
  const early = clock(3);
  early.play();
  pass(early, 250);
  early.pause();
  assert.deepEqual([early.i, early.f, early.playing], [0, 0, false]);
  const late = clock(3);
  late.play();
  pass(late, 300);
  late.pause();
  assert.deepEqual([late.i, late.f, late.previous], [1, 0, 0]);
});

test("scrubbing goes exactly there, within the run, and remembers where it came from", () => {
  const at = clock(5);
  at.go(3);
  assert.deepEqual([at.i, at.previous], [3, 0]);
  at.go(99);
  assert.deepEqual([at.i, at.previous], [4, 3]);
  at.go(-1);
  assert.deepEqual([at.i, at.previous], [0, 4]);
  at.go(1.6);
  assert.equal(at.i, 2);
  at.go(2);
  assert.equal(at.previous, 0); // going where it is changes nothing
  at.go(4, { forget: true });
  assert.deepEqual([at.i, at.previous], [4, -1]);
});

test("for people who ask for reduced motion nothing is between snapshots", () => {
  const at = clock(3, { still: true });
  at.play();
  pass(at, 350);
  assert.deepEqual([at.i, at.f], [0, 0]);
  pass(at, 75);
  assert.equal(at.i, 1);
});

test("a run that grows keeps its place, one that shrinks the last there is", () => {
  const at = clock(5);
  at.go(4);
  at.resize(9);
  assert.deepEqual([at.i, at.last], [4, 8]);
  at.go(8);
  at.resize(3);
  assert.deepEqual([at.i, at.previous], [2, -1]);
  at.play();
  at.resize(1);
  assert.deepEqual([at.i, at.playing, at.j], [0, false, 0]);
});

test("without two snapshots nothing plays", () => {
  for (const count of [0, 1]) {
    const at = clock(count);
    at.play();
    assert.deepEqual([at.playing, at.i, at.j, at.f], [false, 0, 0, 0]);
  }
});

test("it finds the next and the last that is wanted", () => {
  const at = clock(5);
  at.go(2);
  const wanted = [true, false, true, false, true];
  assert.equal(at.find(wanted), 4);
  assert.equal(at.find(wanted, -1), 0);
  at.go(4);
  assert.equal(at.find(wanted), null);
});

test("the nearest snapshot, on the table of cases that Python is held to", () => {
  const cases = JSON.parse(readFileSync(new URL("nearest.json", import.meta.url), "utf8"));
  for (const { steps, asked, nearest, why } of cases) {
    assert.equal(nearestSnapshot(steps, asked), nearest, why);
  }
});
