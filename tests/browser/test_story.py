"""What a run says in words: the sentence above the graph, its events, and what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from ctviz import paths
from ctviz.runs import open_run
from ctviz.views.events import events
from ctviz.views.recorded import recorded
from tests.browser.axe import check
from tests.browser.driving import Player, open_app

IOI = "sample-tiny-ioi"
FLIP = "sample-sva-flip"


@pytest.fixture
def server(app: tuple[Path, str]) -> str:
    """The address of the app; ``new_player`` opens its pages here."""
    return app[1]


def test_the_sentence_says_what_the_snapshot_has_stored(player: Player) -> None:
    last = list(open_run(str(paths.shipped_runs() / IOI)).snapshots())[-1]
    open_app(player, f"?run={IOI}&step={last.step}")
    strip = player.page.locator(".cz-sentence")
    probe = last.probes[0]
    assert (probe.answer, probe.foil) == (" Lucy", " Linda")
    best = probe.top[0][1]
    words = strip.locator(".cz-words")
    expect(words).to_have_text("".join(probe.tokens) + probe.top[0][0])
    bars = strip.get_by_role("listitem")
    expect(bars).to_have_count(5)
    expect(bars.first).to_have_text(f"Lucy{best:.0%}".replace("%", " %"))
    expect(strip.locator(".cz-answer strong").first).to_have_text(f"{100 * best:.0f} %")
    expect(strip.locator(".cz-chance.cz-answer")).to_contain_text("not among the 5 likeliest →")
    # the next sentence, kept in the address, is the one of the inspector as well
    player.page.get_by_role("button", name="Next sentence").click()
    expect(words).to_contain_text("Then Maria and Linda")
    player.page.wait_for_url(lambda url: "probe=1" in url)
    player.click_node("a2.h1")
    expect(strip).to_contain_text("shaded: attention of a2.h1")
    layer_head = last.probes[1].attention[2, 1][-1]
    shares = player.page.eval_on_selector_all(
        ".cz-words span", "all => all.map(e => parseFloat(e.style.getPropertyValue('--cz-share')))"
    )
    assert shares == pytest.approx([60 * float(weight) for weight in layer_head], abs=0.7)
    expect(player.page.get_by_text("Attention on the sentence above")).to_be_visible()
    player.page.keyboard.press("Home")
    expect(words).not_to_contain_text("to Maria")
    open_app(player, f"?run={IOI}&probe=1")
    expect(words).to_contain_text("Then Maria and Linda")


def test_events_are_listed_and_lead_to_their_step(player: Player) -> None:
    timeline = recorded(open_run(str(paths.shipped_runs() / FLIP)))
    assert timeline is not None
    found = [event for event in events(timeline) if event.at is not None]
    open_app(player, f"?run={FLIP}&step=0")
    button = player.page.locator(".cz-happened")
    expect(button).to_contain_text(f"{len(found)} events")
    button.press("Enter")
    rows = player.page.get_by_role("list", name="What happened in this run").get_by_role("button")
    expect(rows).to_have_count(len(found))
    for row, event in zip(rows.all(), found, strict=True):
        expect(row).to_contain_text(event.text)
        expect(row).to_contain_text(event.numbers)
    check(player.page)
    at = next(n for n, event in enumerate(found) if event.node)
    rows.nth(at).press("Enter")
    player.wait(f"snapshot() === {found[at].at}")
    player.wait(f"selected() === '{found[at].node}'")
    expect(button).to_contain_text(found[at].text)
    player.page.keyboard.press("Escape")
    expect(rows.first).to_be_hidden()
    # a click on a mark of the clock goes to the event's own snapshot
    box = player.page.locator(".cz-map").bounding_box()
    assert box is not None
    where = found[-1].at / (len(timeline.steps) - 1)
    player.page.mouse.click(box["x"] + 7 + where * (box["width"] - 14) + 2, box["y"] + 2)
    player.wait(f"snapshot() === {found[-1].at}")


def test_what_came_of_a_run_leads_on(player: Player) -> None:
    open_app(player, f"?run={FLIP}")
    said = player.page.locator(".cz-outcome")
    expect(said).to_contain_text("accuracy 0 % → 100 % on 100 test examples")
    expect(said).to_contain_text("other tasks 93 % → 94 %")
    said.get_by_role("link", name="Inspect a2.h1, its strongest head").click()
    player.page.wait_for_url(lambda url: "/inspect" in url and "node=a2.h1" in url)
    expect(player.page.get_by_role("combobox", name="Node")).to_be_visible(timeout=30_000)
    open_app(player, f"?run={FLIP}")
    said.get_by_role("link", name="Run full fine-tuning to compare with").click()
    player.page.wait_for_url(lambda url: url.endswith("/run"))
    chosen = player.page.get_by_role("radio", name="Full fine-tuning")
    expect(chosen).to_be_checked(timeout=30_000)
    player.says("An earlier run measured the model before tuning: accuracy 0 %")
