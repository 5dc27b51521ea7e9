"""A run as a notebook shows it: its HTML in a page of another origin, without a network."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

import ctviz

HANDLE = "document.querySelector('.cz')?.__ctviz"


def test_a_run_plays_inside_a_page_and_asks_nobody(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    shown = ctviz.open_run("sample-sva-flip")._repr_html_()
    file.write_text(f"<!doctype html><title>notebook</title>{shown}", encoding="utf-8")
    context = browser.new_context(viewport={"width": 1000, "height": 1000}, offline=True)
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    frame = page.frames[1]
    frame.get_by_label("Play", exact=True).wait_for()
    for _ in range(600):
        if frame.evaluate(f"() => {HANDLE}?.ready() && {HANDLE}.drawn() === 40"):
            break
        page.wait_for_timeout(50)
    assert frame.evaluate(f"() => {HANDLE}.run()") == "sample-sva-flip"
    assert frame.evaluate(f"() => {HANDLE}.drawn()") == 40
    frame.get_by_label("Play", exact=True).click()
    for _ in range(600):
        if frame.evaluate(f"() => {HANDLE}.snapshot()") >= 2:
            break
        page.wait_for_timeout(50)
    assert frame.evaluate(f"() => {HANDLE}.snapshot()") >= 2
    box = page.locator("iframe").bounding_box()
    assert box is not None
    assert box["height"] == 860
    tall = frame.evaluate("() => document.documentElement.scrollHeight")
    wide = frame.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    context.close()
    assert wide <= 0
    assert tall < 3 * 860
    assert problems == []
    outside = [u for u in requests if not u.startswith(("file:", "data:", "blob:", "about:"))]
    assert outside == []
