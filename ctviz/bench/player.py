"""How smoothly the player plays: frames a second, measured inside a real Chromium.

The player counts its own frames; a script in the page counts again, without asking the player: an
animation frame counts if something was drawn on a canvas of the graph since the one before.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from ctviz import paths
from ctviz.bench.app import CHROMIUM_FLAGS, PLAYER, chromium, serve
from ctviz.bench.synthetic import CASES, MEASURED, timeline
from ctviz.errors import CtvizError
from ctviz.extras import need
from ctviz.views.packing import pack

__all__ = ["bench_player"]

SIZE = (1280, 900)
RUNS = 10  # that are opened in one page, one after the other
FOUND = """document.querySelector("[data-testid=stBidiComponentIsolated]")
  ?.shadowRoot?.querySelector(".cz")"""
DRAWN = f"() => ({FOUND})?.__ctviz?.ready() && ({FOUND}).__ctviz.drawn() > 0"
WATCH = """(() => {
  const seen = window.__frames = { all: 0, drawn: 0, first: null };
  let touched = false;
  const mark = (canvas) => { touched ||= canvas.closest?.(".cz-stage") != null; };
  const pen = CanvasRenderingContext2D.prototype;
  for (const name of ["stroke", "fill", "fillRect", "strokeRect", "fillText", "drawImage"]) {
    const real = pen[name];
    pen[name] = function (...values) {
      if (!touched) mark(this.canvas);
      return real.apply(this, values);
    };
  }
  const player = () => document.querySelector("[data-testid=stBidiComponentIsolated]")
    ?.shadowRoot?.querySelector(".cz")?.__ctviz;
  const frame = () => {
    seen.all += 1;
    if (touched) {
      seen.drawn += 1;
      if (seen.first === null && player()?.drawn() > 0) seen.first = performance.now() / 1000;
    }
    touched = false;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})()"""


READABLE = """(player) => {
  const { curves, nodes, pixels } = player.__ctviz.onScreen();
  const at = ([a, b, c, d, e, f, g, h], t) => {
    const u = 1 - t;
    const w = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
    return [w[0] * a + w[1] * c + w[2] * e + w[3] * g, w[0] * b + w[1] * d + w[2] * f + w[3] * h];
  };
  const lines = curves.map((c) => Array.from({ length: 13 }, (_, k) => at(c, k / 12)));
  const side = (p, q, r) =>
    Math.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]));
  const meet = (p, q, r, s) =>
    side(p, q, r) * side(p, q, s) < 0 && side(r, s, p) * side(r, s, q) < 0;
  let crossings = 0;
  for (let a = 0; a < lines.length; a += 1) {
    for (let b = 0; b < a; b += 1) {
      for (let k = 0; k < 12; k += 1) {
        for (let m = 0; m < 12; m += 1) {
          if (meet(lines[a][k], lines[a][k + 1], lines[b][m], lines[b][m + 1])) crossings += 1;
        }
      }
    }
  }
  const apart = (n, o) => n === o || n.left + n.width <= o.left || o.left + o.width <= n.left
    || n.top + n.height <= o.top || o.top + o.height <= n.top;
  const clear = nodes.filter((n) => n.letters >= 6 && nodes.every((o) => apart(n, o)));
  return {
    edges: curves.length,
    nodes: nodes.length,
    crossings,
    labels_clear: Number((clear.length / Math.max(1, nodes.length)).toFixed(3)),
    pixels_an_edge: Math.round(pixels / Math.max(1, curves.length)),
  };
}"""


def bench_player(
    *,
    case: str = "big",
    others: Sequence[str] = ("large", "fine", "finest"),
    loads: int = 3,
    windows: int = 6,
    seconds: float = 2,
) -> dict[str, Any]:
    """Frames a second while playing, size of the data, and time to the first drawn graph.

    ``case`` and ``others`` are synthetic runs (`CASES`, `MEASURED`). Of GPT-2 small's shape:
    ``big``, 500 edges over 100 snapshots, and ``large``, 1,000 over 300. Of SmolLM2's with MLPs in
    blocks of neurons, over 100: ``fine``, 400 edges, and ``finest``, 4,000. With whole MLPs
    ``30x9``, 400 edges, and ``16x32``, 500. What is found of the first stands at the top, of the
    others under their names. ``circuit`` has the frames with all edges of a circuit that begins
    as its backbone, ``opened`` those while all MLPs are open.

    ``fps`` is the median over ``windows`` of ``seconds`` each, at speed 1: the lower one of what
    the player counts and what the page sees. ``payload_mb`` is the data as JSON, in 1e6 bytes.
    ``first_paint_s`` is the median over ``loads`` from navigation to the first frame with a drawn
    edge, each with an empty cache, on a server that has the run at hand. ``readable``, by level of
    detail, of the first snapshot: the edges that are drawn and how often they cross; the share of
    nodes whose letters are at least 6 pixels high and touch no other node; the graph's pixels for
    each edge. ``memory_mb``: what the page's JavaScript holds after ten such runs were opened in
    it, garbage collected. Raises CtvizError without Playwright or a Chromium.
    """
    need("test", "A benchmark in a browser")
    from playwright.sync_api import Error, sync_playwright

    script = str(paths.pages() / "bench_player.py")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=chromium(), args=list(CHROMIUM_FLAGS)
            )
        except Error as error:
            raise CtvizError(
                f"No Chromium could be started: {error.message.splitlines()[0]} Install one: "
                "`apt-get install chromium` or `playwright install chromium`."
            ) from None
        with tempfile.TemporaryDirectory() as made, serve(script, runs=made) as address:
            found = [
                _case(
                    browser,
                    address,
                    Path(made),
                    name,
                    loads=loads,
                    windows=windows,
                    seconds=seconds,
                )
                for name in (case, *others)
            ]
        version = browser.version
        browser.close()
    return {
        **found[0],
        **dict(zip(others, found[1:], strict=True)),
        "window_s": seconds,
        "viewport": list(SIZE),
        "chromium": version,
        "cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in psutil.getloadavg()],
    }


def _case(
    browser: Any,
    address: str,
    made: Path,
    case: str,
    *,
    loads: int,
    windows: int,
    seconds: float,
) -> dict[str, Any]:
    """One run's numbers; the first visit only makes the server ready."""
    graph, payload = timeline(case).graph, pack(timeline(case))
    timeline.cache_clear()  # of fine ones each takes a gigabyte
    text = json.dumps(payload)
    (made / f"{case}.json").write_text(text, encoding="utf-8")
    _, _, _, snapshots, edges, _ = {**CASES, **MEASURED}[case]
    opened, whole, readable = None, None, {}
    firsts = []
    for at in range(loads + 1):
        page = browser.new_page(viewport=dict(zip(("width", "height"), SIZE, strict=True)))
        try:
            page.add_init_script(WATCH)
            page.goto(f"{address}/?case={case}")
            page.wait_for_function("window.__frames.first !== null", timeout=120_000)
            if at:
                firsts.append(page.evaluate("window.__frames.first"))
            if at == loads:
                readable = _readable(page)
                played = _play(page, windows=windows, seconds=seconds)
                if "backbone" in readable:
                    whole = _circuit(page, windows=windows, seconds=seconds)
                if graph.mlp_blocks > 1:
                    opened = _opened(page, windows=windows, seconds=seconds)
        finally:
            page.close()
    return {
        "fps": _fps(played),
        **{
            name: {"fps": _fps(frames), "frames_per_second": frames}
            for name, frames in (("circuit", whole), ("opened", opened))
            if frames is not None
        },
        "memory_mb": _memory(browser, address, case),
        "payload_mb": round(len(text.encode()) / 1e6, 2),
        "first_paint_s": round(statistics.median(firsts), 2),
        "first_paint_s_range": [round(min(firsts), 2), round(max(firsts), 2)],
        "frames_per_second": played,
        "readable": readable,
        "shape": {
            "layers": graph.n_layers,
            "heads": graph.n_heads,
            "nodes": len(graph.nodes),
            "edges": edges,
            "edges_sent": payload["whole"]["kept"],
            "snapshots": snapshots,
        },
    }


def _readable(page: Any) -> dict[str, Any]:
    """How readable the graph is at each level of detail that the run has, the usual one at last."""
    levels = page.get_by_role("group", name="Level of detail")
    player = page.locator(PLAYER).first
    found = {}
    usual = player.evaluate("p => p.__ctviz.view().level")
    for level, name in (("circuit", "circuit"), ("backbone", "backbone")):
        button = levels.get_by_role("button", name=name, exact=True)
        if button.is_visible():
            button.click()
            page.wait_for_timeout(400)
            found[level] = player.evaluate(READABLE)
    return found or {usual: player.evaluate(READABLE)}


def _fps(played: Mapping[str, Mapping[str, float]]) -> float:
    return min(played[name]["median"] for name in ("player", "graph_redrawn"))


def _circuit(page: Any, *, windows: int, seconds: float) -> dict[str, Mapping[str, float]]:
    """The same from the start, with all edges of a circuit that begins as its backbone."""
    page.get_by_label("Pause", exact=True).click()
    levels = page.get_by_role("group", name="Level of detail")
    levels.get_by_role("button", name="circuit", exact=True).click()
    page.get_by_label("Snapshot", exact=True).fill("0")
    return _play(page, windows=windows, seconds=seconds)


def _memory(browser: Any, address: str, case: str) -> float:
    """MB of the page's JavaScript after ten runs have been opened in it, one after the other."""
    page = browser.new_page(viewport=dict(zip(("width", "height"), SIZE, strict=True)))
    try:
        page.goto(f"{address}/?case={case}&switch=1")
        for at in range(RUNS):
            page.wait_for_function(DRAWN, timeout=120_000)
            if at < RUNS - 1:
                page.evaluate("() => { window.__before = " + FOUND + "; }")
                page.get_by_role("button", name="another run").click()
                page.wait_for_function("() => " + FOUND + " !== window.__before", timeout=120_000)
        page.evaluate("() => { window.__before = null; }")
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Runtime.getHeapUsage")  # arrays of numbers lie beside the heap
        parts = ("usedSize", "embedderHeapUsedSize", "backingStorageSize")
        return round(float(sum(found.get(part, 0) for part in parts)) / 1e6, 1)
    finally:
        page.close()


def _opened(page: Any, *, windows: int, seconds: float) -> dict[str, Mapping[str, float]]:
    """The same from the start, with every MLP opened into its blocks."""
    page.get_by_label("Pause", exact=True).click()
    blocks = page.get_by_role("group", name="Blocks of the MLPs")
    blocks.get_by_role("button", name="open").click()
    page.get_by_label("Snapshot", exact=True).fill("0")
    return _play(page, windows=windows, seconds=seconds)


def _play(page: Any, *, windows: int, seconds: float) -> dict[str, Mapping[str, float]]:
    """Frames a second in several windows of playback, by the player and by the page's own count."""
    page.get_by_label("Play", exact=True).click()
    player = page.locator(PLAYER).first
    page.wait_for_timeout(500)  # the first frames belong to the click
    rates: dict[str, list[float]] = {"player": [], "graph_redrawn": [], "animation_frames": []}
    for _ in range(windows):
        before = player.evaluate("() => [performance.now(), __frames.drawn, __frames.all]")
        time.sleep(seconds)
        after = player.evaluate(
            "p => [performance.now(), __frames.drawn, __frames.all,"
            " p.__ctviz.fps(), p.__ctviz.playing()]"
        )
        if not after[4]:
            raise CtvizError("The run came to its end before all windows were measured.")
        passed = (after[0] - before[0]) / 1000
        rates["player"].append(after[3])
        rates["graph_redrawn"].append((after[1] - before[1]) / passed)
        rates["animation_frames"].append((after[2] - before[2]) / passed)
    return {name: _spread(values) for name, values in rates.items()}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 1), "worst": round(min(values), 1)}
