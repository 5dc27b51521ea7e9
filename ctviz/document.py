"""One HTML page that needs nothing else: headings, sentences, tables, figures. For light and dark.

All texts are escaped; only what `figure` and `table` made counts as HTML.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["bullets", "document", "figure", "heading", "note", "paragraph", "table"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1f; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd;
         vertical-align: top }
th:first-child, td:first-child, .text { text-align: left }
td.text { overflow-wrap: anywhere; min-width: 5rem }
div, figure { overflow-x: auto } figure { margin: 1.5rem 0 }
svg { max-width: 100%; height: auto }
figcaption, .small { color: #555; font-size: .9rem }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6ea; background: #17171b } th, td { border-color: #444 }
  .small { color: #aaa } figure { background: #fff; padding: .5rem; border-radius: 6px } }
"""


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page under a title."""
    said = html.escape(title)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{said}</title><style>{STYLE}</style></head><body>
<h1>{said}</h1>
{"".join(parts)}
</body></html>
"""


def heading(text: str) -> str:
    """The title of a part."""
    return f"<h2>{html.escape(text)}</h2>\n"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>\n"


def note(text: str) -> str:
    """A paragraph in small print."""
    return f'<p class="small">{html.escape(text)}</p>\n'


def bullets(sentences: Iterable[str]) -> str:
    """Sentences, one below the other."""
    return f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in sentences)}</ul>\n"


def figure(svg: bytes, caption: str) -> str:
    """An SVG file and what it shows."""
    text = svg.decode()
    drawn = text[text.index("<svg") :]
    return f"<figure>{drawn}<figcaption>{html.escape(caption)}</figcaption></figure>\n"


def table(
    head: Mapping[str, str], rows: Iterable[Mapping[str, object]], *, texts: Sequence[str] = ()
) -> str:
    """Rows by column; ``head``: what each column is called, in order; ``texts``: the columns that
    hold words, beside the first.
    """
    kinds = {name: ' class="text"' if name in texts else "" for name in head}
    titles = "".join(f"<th{kinds[name]}>{html.escape(label)}</th>" for name, label in head.items())
    body = "".join(
        "<tr>"
        + "".join(f"<td{kinds[name]}>{html.escape(str(row[name]))}</td>" for name in head)
        + "</tr>"
        for row in rows
    )
    return f"<div><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>\n"
