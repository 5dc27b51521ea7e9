"""A run as one HTML file that plays by itself: the player, its graph library and the run inside.

The file asks nobody for anything, and its content security policy forbids it to. The player's
modules go in as they are, in an import map of data URLs, with the specifiers between them made
absolute; step, selection and edges live in the address after the ``#``.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ctviz import __version__
from ctviz.errors import DamagedRun
from ctviz.export.origin import sentence, timeline_of
from ctviz.export.theme import THEMES
from ctviz.player import FOLDER, vis_file
from ctviz.runs import Run
from ctviz.views.recorded import packed
from ctviz.views.view import View

__all__ = ["make_replay"]

HERE = Path(__file__).parent
SPECIFIER = re.compile(r"""((?:\bfrom|\bimport)\s*\(?\s*)(["'])\./([\w.-]+\.js)\2""")


def make_replay(
    run: Run, view: View | None = None, *, damaged: list[DamagedRun] | None = None
) -> bytes:
    """The file, as UTF-8. ``view`` is what it shows first, unless its address says otherwise.

    Damaged snapshots are left out and put into ``damaged``. Raises CtvizError if there is no
    snapshot.
    """
    timeline = timeline_of(run, damaged=damaged)
    hints = get_type_hints(View)
    data = {
        "payload": packed(timeline),
        "defaults": View().to_dict(),
        "first": (view or View()).to_dict(),
        "choices": {
            name: options
            for name in hints
            if (options := get_args(hints[name]))
            and all(isinstance(option, str) for option in options)
        },
    }
    values = {
        "generator": f"ctviz {__version__}",
        "title": html.escape(f"{timeline.title} · {timeline.run}"),
        "light": _variables("light"),
        "dark": _variables("dark"),
        "licence": (FOLDER / "vis-network.LICENSE").read_text(encoding="utf-8"),
        "css": (FOLDER / "player.css").read_text(encoding="utf-8"),
        "origin": html.escape(f"{sentence(run)} · {timeline.source}"),
        "modules": _json({"imports": _modules()}),
        "data": _json(data),
        "boot": (HERE / "replay.js").read_text(encoding="utf-8"),
    }
    template = (HERE / "replay.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)
    return page.encode("utf-8", "replace")


def _variables(name: str) -> str:
    pairs = THEMES[name].variables().items()  # type: ignore[index]
    return " ".join(f"{variable}: {value};" for variable, value in pairs)


def _json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _modules() -> dict[str, str]:
    """Data URLs of the player's modules and of vis-network, by the names that import them."""
    modules = {
        f"ctviz/{file.name}": _url(
            SPECIFIER.sub(r"\1\2ctviz/\3\2", file.read_text(encoding="utf-8"))
        )
        for file in sorted(FOLDER.glob("*.js"))
    }
    # A script that would set a global; with an `exports` of its own it puts everything there. The
    # variable keeps its polyfill from evaluating text, which the page forbids.
    code = re.sub(r"//# sourceMappingURL=.*\s*$", "", vis_file().read_text(encoding="utf-8"))
    before = "const exports = {}, module = { exports };\nlet regeneratorRuntime;"
    wrapped = f"{before}\n{code}\nexport default exports;"
    return modules | {"ctviz/vis-network": _url(wrapped)}


def _url(code: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(code.encode()).decode()
