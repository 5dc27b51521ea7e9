// Reads a payload from standard input; prints, for each pair of snapshots, how many edges are in
// which state by the player's rule. Run by test_javascript.py.

import { readFileSync } from "node:fs";

import { change } from "../../ctviz/player/changes.js";
import { decode } from "../../ctviz/player/data.js";

const model = await decode(JSON.parse(readFileSync(0, "utf8")));
const counts = [];
for (let a = 0; a < model.T; a += 1) {
  for (let b = a + 1; b < model.T; b += 1) {
    /** @type {Record<string, number>} */
    const count = {};
    for (let e = 0; e < model.E; e += 1) {
      const state = change(model, e, a, b);
      count[state] = (count[state] ?? 0) + 1;
    }
    counts.push({ a, b, count });
  }
}
console.log(JSON.stringify(counts));
