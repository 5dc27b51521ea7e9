"""Checks a page with axe-core against WCAG 2, levels A and AA, inside shadow roots too."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


def check(page: Page, *, include: str | None = None) -> None:
    """Raise AssertionError, with rule, place and advice, for each violation.

    ``include``: a CSS selector; only what is inside it is checked.
    """
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    found = Axe().run(page, context=include, options=options).response["violations"]
    problems = [_message(violation, node) for violation in found for node in violation["nodes"]]
    assert not problems, f"{len(problems)} accessibility problems:\n" + "\n".join(problems)


def _message(violation: dict[str, Any], node: dict[str, Any]) -> str:
    # A target inside a shadow root is a list: the host's selector, then the element's.
    target = " ".join(
        " >>> ".join(part) if isinstance(part, list) else part for part in node["target"]
    )
    summary = " ".join(node["failureSummary"].split())
    return f"- {violation['id']} at {target}\n  {node['html'][:200]}\n  {summary}"
