// Mounts the player in a replay file. What is shown lives in the address, after the #.

import { nearestSnapshot } from "ctviz/clock.js";
import mount from "ctviz/player.js";
import vis from "ctviz/vis-network";

const { payload, defaults, choices, first } = JSON.parse(
  document.getElementById("ctviz-replay").textContent,
);
const parentElement = document.querySelector("main");
const said = document.querySelector("output");
const button = document.querySelector("button");
const known = new Set(payload.nodes.map((node) => node.name));

/** The view that the address asks for, and in words what of it is not in this run. */
function fromHash() {
  const query = new URLSearchParams(location.hash.slice(1));
  const view = { ...(query.size ? defaults : first) };
  const words = [];
  for (const [name, usual] of Object.entries(defaults)) {
    const text = query.get(name === "nodes" ? "node" : name);
    if (text === null) continue;
    if (name === "open") view.open = text.split(",").filter((layer) => /^\d{1,4}$/.test(layer)).map(Number);
    else if (Array.isArray(usual)) {
      const asked = text.split(",").filter(Boolean);
      view[name] = asked.filter((node) => known.has(node));
      const gone = asked.filter((node) => !known.has(node)).slice(0, 3);
      if (gone.length) words.push(`There is no node ${gone.join(", ").slice(0, 60)} here.`);
    } else if (choices[name]) {
      if (choices[name].includes(text)) view[name] = text;
    } else if (typeof usual === "boolean") view[name] = text === "1";
    else if (/^\d{1,15}$/.test(text)) view[name] = Number(text);
  }
  if (view.step !== null && payload.steps.length && !payload.steps.includes(view.step)) {
    const near = payload.steps[nearestSnapshot(payload.steps, view.step)];
    words.push(`Step ${view.step} has no snapshot; the nearest is step ${near}.`);
    view.step = near;
  }
  return { view, words: words.join(" ") };
}

/** A view as what stands after the #; what is at its default is left out. */
function toHash(view) {
  const query = new URLSearchParams();
  for (const [name, usual] of Object.entries(defaults)) {
    const value = view[name];
    if (value === undefined || value === null || value === usual) continue;
    if (!Array.isArray(value)) query.set(name, value === true ? "1" : String(value));
    else if (value.length) query.set(name === "nodes" ? "node" : name, value.join(","));
  }
  return query.toString().replaceAll("%2C", ",");
}

let token = 0;
let asked = fromHash();
let written = location.hash.slice(1);

function show() {
  const data = {
    payload, view: { ...asked.view, token }, camera: null, groups: false, links: false,
  };
  mount({ parentElement, data, vis, setStateValue });
  said.textContent = asked.words;
}

function setStateValue(name, value) {
  if (name !== "view") return;
  written = toHash(value);
  asked.words = ""; // or a change of theme says again what is long past
  said.textContent = "";
  if (written !== location.hash.slice(1)) location.hash = written;
}

window.addEventListener("hashchange", () => {
  if (location.hash.slice(1) === written) return;
  written = location.hash.slice(1);
  asked = fromHash();
  token += 1;
  show();
});

const system = window.matchMedia("(prefers-color-scheme: dark)");

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  const now = document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
  button.textContent = now === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to the ${now === "dark" ? "light" : "dark"} theme`);
  button.onclick = () => theme(now === "dark" ? "light" : "dark");
  show();
}

system.addEventListener("change", () => theme());
theme();
