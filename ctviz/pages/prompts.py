"""Prompts and tokens as small pictures in HTML. Whatever they say is text, never markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from ctviz.tasks import Example
from ctviz.tasks.files.check import Preview

__all__ = ["STYLE", "asks_one_thing", "example_html", "plain", "preview_html"]

STYLE = """<style>
.cp { display: grid; grid-template-columns: max-content 1fr; gap: .45rem .8rem; font-size: .875rem;
      line-height: 1.65; padding: .7rem .9rem; border-radius: .5rem; overflow-wrap: anywhere;
      border: 1px solid color-mix(in srgb, currentColor 18%, transparent) }
.cp + .cp { margin-top: .6rem }
.cp-name { opacity: .65; white-space: nowrap }
.cp-text { white-space: pre-wrap }
.cp-yes, .cp-no { border-radius: .25rem; padding: .06rem .15rem; white-space: pre-wrap }
.cp-yes { background: rgba(46, 160, 90, .26) }
.cp-no { background: rgba(214, 84, 62, .24) }
.cp-token { display: inline-block; white-space: pre; border-radius: .25rem; padding: 0 .22rem;
            margin: 0 .12rem .12rem 0; font-family: "Source Code Pro", monospace; font-size: .8rem;
            line-height: 1.5; border: 1px solid color-mix(in srgb, currentColor 22%, transparent) }
.cp-token.cp-yes { border-color: rgba(46, 160, 90, .8) }
.cp-token.cp-no { border-color: rgba(214, 84, 62, .8) }
@media (max-width: 900px) { .cp { grid-template-columns: 1fr; gap: .1rem } }
</style>"""

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-!|~$:&.@])")
# Streamlit makes links, icons and typographic arrows of text even where its signs are escaped.
_RUNS = re.compile(
    r"(?<=www)(?=\.)|(?<=:)(?=//|material/)|(?=@)|(?<=(?<!\S)[<>~-])(?=[-=>](?!\S))", re.IGNORECASE
)
_JOINER = "\u2060"  # has no width


def plain(text: str) -> str:
    """A text as one line of Markdown that shows it as it is, but for the width of its spaces."""
    return _MARKUP.sub(r"\\\1", _RUNS.sub(_JOINER, " ".join(text.split())))


def asks_one_thing(example: Example) -> bool:
    """Whether tuning teaches what discovery explains: the same prompt and the same answer."""
    pair = example.pair
    return pair is None or (
        (example.prompt, example.target.rstrip()) == (pair.clean, pair.answer.rstrip())
    )


def example_html(example: Example) -> str:
    """What an example asks: what is green is wanted, what is red is compared with it.

    Where a circuit is discovered on something else than what is tuned on, both are shown.
    """
    pair = example.pair
    if pair is None:
        return _box([("prompt", _continued(example.prompt, yes=example.target))])
    alike = asks_one_thing(example)
    rows = [] if alike else [("tuned on", _continued(example.prompt, yes=example.target))]
    rows.append(
        (
            "prompt" if alike else "discovered on",
            _continued(pair.clean, yes=pair.answer, no=pair.foil),
        )
    )
    if pair.corrupt != pair.clean:
        rows.append(("counterfactual", _continued(pair.corrupt, yes=pair.foil, no=pair.answer)))
    return _box(rows)


def preview_html(previews: Iterable[Preview]) -> str:
    """Examples token by token."""
    return "".join(_preview(each) for each in previews)


def _preview(each: Preview) -> str:
    after = _tokens(each.answer, "cp-yes") + " " + _tokens(each.foil, "cp-no")
    rows = [(f"line {each.line}", f"{_tokens(each.prompt)} {after}")]
    if each.corrupt and each.corrupt != each.prompt:
        rows.append(("counterfactual", _tokens(each.corrupt)))
    return _box(rows)


def _box(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        f'<span class="cp-name">{name}</span><span class="cp-text">{text}</span>'
        for name, text in rows
    )
    return f'<div class="cp">{cells}</div>'


def _continued(prompt: str, *, yes: str, no: str = "") -> str:
    """A prompt with what comes after it, and what does not."""
    text = f'{html.escape(prompt)}<span class="cp-yes">{html.escape(yes.rstrip())}</span>'
    return f'{text} <span class="cp-no">{html.escape(no.strip())}</span>' if no else text


def _tokens(tokens: Iterable[str], kind: str = "") -> str:
    return "".join(
        f'<span class="cp-token {kind}">{html.escape(_visible(token))}</span>' for token in tokens
    )


def _visible(token: str) -> str:
    """A token with a sign for the spaces that one would not see."""
    shown = token.replace("\n", "↵").replace("\t", "⇥")
    return shown if shown.strip() else shown.replace(" ", "␣")
