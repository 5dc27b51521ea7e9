// Colours, by hand.

import assert from "node:assert/strict";
import { test } from "node:test";

import look from "../../ctviz/player/look.js";
import {
  css, legendAt, light, luminance, mix, oklch, RedundancyScale, rgb,
} from "../../ctviz/player/scales.js";

test("colours as numbers and as text", () => {
  assert.deepEqual(rgb("#1b6cb0"), [27, 108, 176]);
  assert.equal(css([1, 2, 3]), "rgb(1,2,3)");
  assert.equal(css([1, 2, 3], 0.25), "rgba(1,2,3,0.25)");
  assert.deepEqual(mix([0, 100, 255], [100, 0, 255], 0.25), [25, 75, 255]);
});

test("black has no luminance, white all", () => {
  assert.equal(luminance([0, 0, 0]), 0);
  assert.ok(Math.abs(luminance([255, 255, 255]) - 1) < 1e-9);
  assert.ok(Math.abs(luminance([0, 255, 0]) - 0.7152) < 1e-9);
  assert.ok(Math.abs(light([255, 255, 255]) - 1) < 1e-9);
  assert.ok(light([128, 128, 128]) < luminance([128, 128, 128]));
});

test("known points of OKLCH", () => {
  assert.deepEqual(oklch(0, 0, 0), [0, 0, 0]);
  assert.deepEqual(oklch(1, 0, 0), [255, 255, 255]);
  assert.deepEqual(oklch(0.62796, 0.25768, 29.2339), [255, 0, 0]); // sRGB red
  assert.deepEqual(oklch(0.45201, 0.31321, 264.052), [0, 0, 255]); // sRGB blue
});

test("the legend follows the square root of the needed share", () => {
  assert.equal(legendAt(0), 0);
  assert.equal(legendAt(1), 1);
  assert.equal(legendAt(0.75), 0.5); // needs a quarter, whose root is a half
});

for (const dark of [false, true]) {
  test(`a ${dark ? "dark" : "light"} scale goes from strong to the page, evenly`, () => {
    const scale = new RedundancyScale(dark);
    const sheet = look.themes[dark ? "dark" : "light"];
    const values = (text) => text.match(/\d+/g).map(Number);
    const far = (share) => {
      const page = luminance(rgb(sheet.background));
      return Math.abs(luminance(values(scale.fill(share))) - page);
    };
    const shares = [0, 0.3, 0.6, 0.9, 0.99, 1];
    const distances = shares.map(far);
    assert.deepEqual(distances, [...distances].sort((a, b) => b - a));
    assert.ok(distances[0] > 0.4 && distances[5] < 0.2, distances.join(" "));
    assert.equal(scale.fill(-1), scale.fill(0));
    assert.equal(scale.fill(2), scale.fill(1));
    for (let k = 0; k <= 100; k += 1) {
      const [one, other] = [scale.fill(k / 100), scale.label(k / 100)].map((colour) =>
        light(colour.startsWith("#") ? rgb(colour) : values(colour)));
      const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      assert.ok(contrast > 4, `${k} %: ${contrast}`);
    }
    assert.match(scale.gradient(), /^linear-gradient\(90deg, (rgb\(\d+,\d+,\d+\),?){11}\)$/);
  });
}
