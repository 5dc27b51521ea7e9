"""Every page against WCAG 2 (A and AA) with axe-core, in light and dark; and the checker itself.

Contrast on a canvas is out of its reach: colours of the graph and the heatmap are chosen in
``look.js``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.axe import check
from tests.browser.driving import Player

SAMPLE = "run=sample-sva-flip"
PAGES = {
    "watch": f"?{SAMPLE}&step=20&node=a2.h0,m1",
    "watch-input-split": f"?{SAMPLE}&heat=qkv&estimator=mass",
    "watch-over-steps": f"?{SAMPLE}&heat=steps&step=30&level=model&marks=start",
    "watch-missing": "?run=gone&step=3&node=a99.h0",
    "run": "run",
    "runs": "runs",
    "studies": "studies",
    "inspect-head": f"inspect?{SAMPLE}&step=20&node=a2.h0",
    "inspect-mlp": f"inspect?{SAMPLE}&step=20&node=m1",
    "compare": f"compare?{SAMPLE}&step=20",
    "learn": "learn",
    "learn-lesson": "learn?lesson=circuit",
    "learn-term": "learn?term=head",
}


@pytest.fixture
def server(app: tuple[Path, str]) -> str:
    """The address of the app, without runs of the user."""
    return app[1]


def open_page(player: Player, where: str) -> Player:
    """Open an address of the app and wait until it is at rest, with its player drawn if any."""
    failed: list[str] = []
    player.page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    player.page.goto(f"{player.url}/{where}")
    player.page.locator("[data-testid=stMainBlockContainer] [data-testid]").first.wait_for()
    player.settle()
    if player.page.locator(".cz").count():
        player.wait("ready()")
    player.settle()
    assert player.page.locator("[data-testid=stException]").all_inner_texts() == []
    # Streamlit looks for its server below the page's own path first, and the browser reports that.
    assert [url for url in failed if "/_stcore/" not in url] == []
    return player


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible(new_player: Callable[..., Player], name: str, scheme: str) -> None:
    check(open_page(new_player(color_scheme=scheme), PAGES[name]).page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_settings_of_a_run_are_accessible(
    new_player: Callable[..., Player], scheme: str
) -> None:
    player = open_page(new_player(color_scheme=scheme), "run")
    player.page.get_by_text("Settings", exact=True).click()
    player.settle()
    check(player.page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_presentation_is_accessible(new_player: Callable[..., Player], scheme: str) -> None:
    player = open_page(new_player(color_scheme=scheme), PAGES["watch"])
    player.page.get_by_label("Present", exact=False).first.click()
    player.page.get_by_label("Leave the presentation", exact=False).wait_for()
    check(player.page)


@pytest.mark.parametrize("width", [768, 1280])
def test_what_does_not_fit_is_reached_with_the_keyboard(
    new_player: Callable[..., Player], width: int
) -> None:
    """Tab goes through the player in the order of the page and comes out of it again."""
    player = open_page(new_player(width=width), PAGES["watch-over-steps"])
    seen: list[str] = []
    for _ in range(80):
        player.page.keyboard.press("Tab")
        seen.append(
            player.page.evaluate(
                "() => { let e = document.activeElement;"
                "while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"
                "return e.getAttribute('aria-label') || e.textContent || e.tagName; }"
            )
        )
    for name in ("Edges shown", "Heatmap of node redundancy", "over steps", "Play", "Snapshot"):
        assert any(text.startswith(name) for text in seen), f"{name!r} is not in {seen}"


def test_the_checker_finds_what_is_wrong(new_player: Callable[..., Player]) -> None:
    player = open_page(new_player(), PAGES["watch"])
    player.page.wait_for_selector("[data-testid=stBidiComponentIsolated]")
    player.page.evaluate(
        "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.cz').insertAdjacentHTML('afterbegin', "
        '\'<button class=pale style="color:#ccc;background:#fff">Hard to read</button>'
        "<button class=nameless></button>')"
    )
    with pytest.raises(AssertionError) as failed:
        check(player.page)
    text = str(failed.value)
    assert text.startswith("2 accessibility problems:")
    assert "color-contrast at" in text
    assert ">>> .pale" in text
    assert "button-name at" in text
    check(player.page, include=".stAppHeader")
