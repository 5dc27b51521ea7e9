// What is said of a node to those who hear the graph, on the timeline that packed.py makes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode } from "../../ctviz/player/data.js";
import { spoken } from "../../ctviz/player/said.js";

const payload = JSON.parse(readFileSync(new URL("packed.json", import.meta.url), "utf8"));
const model = await decode(payload);
const said = (name, t) => spoken(model, model.index.get(name), t);

test("a node says what it reads and writes, with its strongest edges", () => {
  assert.equal(
    said("m0", 0),
    "m0, MLP, layer 0. reads 1 edge, strongest from input, +1.00; writes 1 edge, strongest to logits, −0.500",
  );
  assert.equal(
    said("logits", 1),
    "logits, Logits: the prediction. reads 2 edges, strongest from m0, −2.00; writes nothing in the circuit",
  );
  assert.equal(
    said("input", 1),
    "input, Input: the embeddings. reads nothing in the circuit; writes 2 edges, strongest to m0, +0.250",
  );
  assert.match(said("a1.h0", 1), /reads 1 edge, strongest from input, \+0\.063; writes nothing/);
});
