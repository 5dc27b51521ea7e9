"""The report on two models: one HTML file with its figures inside, which a colleague can read."""

from __future__ import annotations

import io
from typing import Any

from ctviz import document
from ctviz.circuits.choices import METRIC_WORDS
from ctviz.export.origin import sentence
from ctviz.extras import need
from ctviz.look import look
from ctviz.runs import Run
from ctviz.runs.difference import ERRORS, Difference, Swapped
from ctviz.tasks import find_task
from ctviz.views.causes import METRICS, node_name
from ctviz.views.difference import (
    claim_sentence,
    difference_sentences,
    edge_table,
    model_names,
    moved_table,
)
from ctviz.views.view import View

__all__ = ["difference_report"]

STATES = {
    "entered": "new",
    "left": "gone",
    "strengthened": "stronger",
    "weakened": "weaker",
    "reversed": "reversed",
    "noise": "the same",
}


def difference_report(run: Run, found: Difference) -> str:
    """The page: sentences, answers side by side, circuits, claims and their checks.

    Raises MissingExtra without what draws pictures, CtvizError for a recording whose snapshots are
    gone.
    """
    need("pictures", "The report on two models")
    from ctviz.export.picture import draw_picture

    first, second = model_names(found)
    task = find_task(run.config.task)
    graphs = {
        name: draw_picture(run, "svg", View(step=step)).content
        for name, step in ((first, found.first_step), (second, found.second_step))
    }
    edges = edge_table(run, found)
    moved = moved_table(run, found)
    unit = METRIC_WORDS.get(str(run.about["task"]["metric"]), METRICS["logit_difference"])
    parts = [
        document.paragraph(f"{task.explanation} Aim: {task.aim}."),
        document.heading("What was found"),
        document.bullets(difference_sentences(run, found)),
        document.heading("Their answers"),
        _answers(found, first, second),
        document.heading("Their circuits"),
        document.figure(graphs[first], f"The circuit of {first}."),
        document.figure(
            graphs[second],
            f"The circuit of {second}: edges that are new beside {first}, gone, stronger, weaker "
            "or reversed are marked as the legend says.",
        ),
        document.heading("Edges that differ most"),
        document.table(
            {"edge": "edge", "before": first, "after": second, "error": "± of the difference"}
            | {"state": "beside the first"},
            [
                {
                    "edge": row["edge"],
                    **{name: f"{row[name]:+.4f}" for name in ("before", "after")},
                    "error": f"{row['error']:.4f}",
                    "state": STATES[row["state"]],
                }
                for row in edges.to_dict("records")
            ],
        ),
        document.note(
            f"Scores are first-order estimates of what the edge does for {unit}, by "
            f"{run.about['attribution']['method']}. The same: within two standard errors of the "
            "difference. Reversed: of the opposite sign, both beyond two standard errors."
        ),
        document.heading("Claims, and their check"),
        *_claims(found, first, second),
    ]
    if len(moved):
        parts += [
            document.heading("Nodes whose weights differ most"),
            document.table(
                {"node": "node", "moved": "norm of the difference / norm of the first"},
                [
                    {"node": node_name(node), "moved": f"{value:.3g}"}
                    for node, value in zip(moved["node"], moved["moved"], strict=True)
                ],
            ),
        ]
    parts.append(document.note(sentence(run)))
    return document.document(f"{task.title}: {first} and {second}", parts)


def _answers(found: Difference, first: str, second: str) -> str:
    head = {"prompt": "prompt", "right": "right", "first": first, "second": second}
    if not any(each.right for each in found.answers):
        del head["right"]

    def said(text: str, value: float) -> str:
        if found.only_first is not None:
            return f"{text.strip()} {'✓' if value else '✗'}"
        return f"{text.strip()} ({value:+.2f})"

    rows = [
        {
            "prompt": each.prompt,
            "right": each.right.strip(),
            "first": said(each.first_said, each.first),
            "second": said(each.second_said, each.second),
        }
        for each in found.answers
    ]
    note = document.note(
        f"The {len(rows)} of {found.examples} test examples that the two answer most differently."
    )
    return document.table(head, rows, texts=["right", "first", "second"]) + note


def _claims(found: Difference, first: str, second: str) -> list[str]:
    if not found.claims:
        return [
            document.paragraph(
                "No node's edges differ beyond noise of those whose weights differ: there is "
                "nothing to check."
            )
        ]
    caption = (
        f"How the metric of {second} moves when one node's parameters are those of {first}, on "
        f"{found.pairs} test examples, with two standard errors. Grey: nodes drawn at random."
    )
    return [
        document.paragraph(
            f"A node whose edges differ is a claim: that {second} does the task otherwise because "
            f"of it. It is checked by a swap: its parameters in {second} are replaced by those of "
            f"{first}, and the other way round, and nothing else is changed."
        ),
        document.figure(_draw(found), caption),
        document.bullets(claim_sentence(found, each) for each in found.claims),
    ]


def _draw(found: Difference) -> bytes:
    """A bar for each swap into the second model."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    palette = look()["palette"]
    bars: list[tuple[Swapped, str]] = [(each, palette["blue"]) for each in found.claims]
    bars += [(each, palette["grey"]) for each in found.random]
    with rc_context({"svg.hashsalt": "ctviz", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.2, 0.8 + 0.28 * len(bars)), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        style: dict[str, Any] = {"height": 0.62, "ecolor": "#1b1b1f", "error_kw": {"lw": 0.9}}
        for at, (each, color) in enumerate(bars):
            panel.barh(at, -each.lost, xerr=ERRORS * (each.lost_error or 0.0), color=color, **style)
        panel.set_yticks(range(len(bars)), [each.node for each, _ in bars])
        panel.invert_yaxis()
        panel.axvline(0, color="#1b1b1f", lw=0.8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel(f"change of {METRICS[found.metric]}")
        kept = io.BytesIO()
        figure.savefig(kept, format="svg", metadata={"Date": None})
        return kept.getvalue()
