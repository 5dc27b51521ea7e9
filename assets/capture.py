"""Record the pictures of the page for README and docs: ``python assets/capture.py RUN``.

Opens the app on a run of SmolLM2 in Chromium, steps through the whole run as a person would, and
writes ``assets/watch.gif`` and ``assets/screenshot.png``. ``RUN`` is its folder; the pictures that
are here show one of

    ctviz tune --model smollm2-135m --task sva-flip --edges 400 --steps 24 --snapshot-every 2 \\
      --learning-rate 1e-4 --out RUNS
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ctviz import paths
from ctviz.bench.app import CHROMIUM_FLAGS, PLAYER, chromium, serve, wait_for

HERE = Path(__file__).parent
SIZE = {"width": 1280, "height": 860}
WIDTH = 960  # pixels of the animation
COLOURS = 256
FRAME, HOLD = 260, 1800  # milliseconds
HANDLE = (
    "document.querySelector('[data-testid=stBidiComponentIsolated]')?.shadowRoot"
    "?.querySelector('.cz')?.__ctviz"
)
TOP = 64  # pixels of navigation that are cut off


def main(run: Path) -> None:
    """Write both pictures."""
    app = str(paths.app())
    with (
        sync_playwright() as playwright,
        serve(app, runs=str(run.parent)) as address,
    ):
        wait_for(address)
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport=SIZE)
        open_at(page, f"{address}/?run={run.name}&step=0")
        frames = record(page)
        open_at(page, f"{address}/?run={run.name}&step=0")
        page.keyboard.press("End")
        page.get_by_role("button", name="first step", exact=True).click()
        page.wait_for_timeout(2500)
        page.screenshot(path=HERE / "screenshot.png")
        browser.close()
    save(frames, HERE / "watch.gif")


def open_at(page: Page, link: str) -> None:
    """Open a link and wait until the graph rests."""
    page.goto(link)
    page.locator(PLAYER).first.wait_for()
    page.wait_for_function(f"() => ({HANDLE})?.drawn() > 0")
    page.wait_for_timeout(1500)


def record(page: Page) -> list[tuple[Image.Image, int]]:
    """A frame a snapshot; the first half without, the second with a selected node."""
    frames = []
    last = int(page.locator("input.cz-scrub").get_attribute("max") or 0)
    for at in range(last + 1):
        if at:
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(350)
        frames.append((shot(page), HOLD if at in (0, last) else FRAME))
    place = page.evaluate(f"() => ({HANDLE}).nodeAt('m0')")
    page.mouse.click(place["x"], place["y"])
    page.mouse.move(10, 10)
    page.wait_for_timeout(1500)
    frames.append((shot(page), 2 * HOLD))
    return frames


def shot(page: Page) -> Image.Image:
    """The page without its navigation, as small as the animation."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image = image.crop((0, TOP, image.width, image.height))
    return image.resize(
        (WIDTH, round(WIDTH * image.height / image.width)), Image.Resampling.LANCZOS
    )


def save(frames: list[tuple[Image.Image, int]], file: Path) -> None:
    """One palette for all frames, so that nothing flickers."""
    chosen = [frames[at][0] for at in range(0, len(frames), 4)]
    sheet = Image.new("RGB", (WIDTH, len(chosen) * chosen[0].height))
    for row, image in enumerate(chosen):
        sheet.paste(image, (0, row * image.height))
    palette = sheet.quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image, _ in frames]
    images[0].save(
        file,
        save_all=True,
        append_images=images[1:],
        loop=0,
        optimize=True,
        duration=[duration for _, duration in frames],
    )


main(Path(sys.argv[1]).resolve())
