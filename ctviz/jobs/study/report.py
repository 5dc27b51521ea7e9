"""The report of a study: one HTML file with its figures inside, and the same as plain files."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ctviz.files import write_bytes, write_json
from ctviz.jobs.study.figures import draw_front, draw_layers, draw_tradeoff
from ctviz.jobs.study.front import target_grade
from ctviz.jobs.study.plan import Study
from ctviz.jobs.study.summary import summarize, words
from ctviz.runs.cause_sentence import cause_sentence
from ctviz.runs.causes import Causes
from ctviz.tasks import find_task

__all__ = ["write_report"]

HEADINGS = {
    "arm": "arm",
    "rate": "learning rate",
    "seeds": "seeds",
    "grade": "grade",
    "kl": "KL",
    "perplexity": "perplexity",
    "others": "other tasks",
    "trained_fraction": "trained a step",
    "seconds_per_step": "s a step",
    "circuit_overlap": "circuit kept",
    "circuit_overlap_between": "between snapshots",
    "faithfulness": "faithfulness",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1b1f; background: #fff }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
div, figure { overflow-x: auto } figure { margin: 1.5rem 0 }
svg { max-width: 100%; height: auto }
figcaption, .small { color: #555; font-size: .9rem }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6ea; background: #17171b } th, td { border-color: #444 }
  figcaption, .small { color: #aaa } figure { background: #fff; padding: .5rem; border-radius: 6px }
  figcaption { color: #555 } }
"""


def write_report(
    study: Study,
    table: pd.DataFrame,
    steps: pd.DataFrame,
    needed: Mapping[str, Causes],
    folder: Path,
) -> dict[str, Any]:
    """Write summary, figures and report of a study; returns them in plain values.

    ``needed``: by arm, which updates were needed.
    """
    task = find_task(study.task)
    said = words(study, table, steps)
    for arm in study.arms:
        if arm.name in needed:
            said.append(f"Of the updates by {arm.words}: {cause_sentence(needed[arm.name])}")
    means = summarize(study, table)
    finished = table[table["state"] == "finished"]
    chosen = finished[finished["chosen"].astype(bool)]
    figures: dict[str, bytes] = {}
    title = f"{task.title} ({task.name}), {study.model}"
    names = [arm.name for arm in study.arms]
    judged, better = task.judged_by.name, task.judged_by.better
    for suffix in ("svg", "png"):
        if len(steps):
            figures[f"front.{suffix}"] = draw_front(
                steps, names, judged, target_grade(steps, better)[2], suffix, title=title
            )
        if len(chosen):
            figures[f"tradeoff.{suffix}"] = draw_tradeoff(
                finished, names, judged, suffix, title=title
            )
            figures[f"layers.{suffix}"] = draw_layers(chosen, names, suffix, title=title)
    for name, content in figures.items():
        write_bytes(folder / name, content)
    write_bytes(folder / "summary.txt", ("\n".join(said) + "\n").encode())
    write_bytes(folder / "arms.csv", means.to_csv(index=False, float_format="%.6g").encode())
    page = _page(study, title, said, means, table, figures)
    write_bytes(folder / "report.html", page.encode())
    result = {
        "model": study.model,
        "task": task.name,
        "judged_by": task.judged_by.name,
        "seeds": study.seeds,
        "summary": said,
        "arms": means.astype(object).where(means.notna(), None).to_dict("records"),
        "report": str(folder / "report.html"),
        "results": str(folder / "results.csv"),
    }
    write_json(folder / "report.json", result)
    return result


def _page(
    study: Study,
    title: str,
    said: list[str],
    means: pd.DataFrame,
    table: pd.DataFrame,
    figures: dict[str, bytes],
) -> str:
    task = find_task(study.task)
    captions = {
        "front.svg": f"{task.judged_by.text} on dev examples over the distance from the untuned "
        "model, along the steps of training: a line for each arm and learning rate, means over "
        "seeds. Arms are compared where they cross the dashed line; further left is better.",
        "tradeoff.svg": f"{task.judged_by.text}, {task.judged_by.better} is better, over what else "
        "changed. Large marks: means over the seeds of the chosen learning rate, with standard "
        "deviations; hollow marks on a line: the rates that were tried; cross: the untuned model.",
        "layers.svg": "Where the weights changed: norm of the change by norm of the untuned "
        "weights, means over seeds.",
    }
    drawn = "".join(
        f"<figure>{_svg(figures[name])}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for name, caption in captions.items()
        if name in figures
    )
    tried = table.reindex(columns=["arm", "rate", "seed", "state", "dev_after", "dev_kl"])
    settings = ", ".join(f"{k} {v}" for k, v in study.settings.items()) or "as preset"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(task.explanation)} Aim: {html.escape(task.aim)}.</p>
<h2>What was found</h2>
<ul>{"".join(f"<li>{html.escape(sentence)}</li>" for sentence in said)}</ul>
<h2>Arms, at the end</h2>
{_table(means)}
<p class="small">grade: {html.escape(task.judged_by.name)} on test examples,
{task.judged_by.better} is better. KL: nats a token from the untuned model on neutral prompts.
other tasks: mean accuracy on those that the untuned model does above chance. circuit kept: overlap
of the circuit at the end with that at the start; between snapshots: that with the one before.</p>
{drawn}
<h2>Learning rates</h2>
<p>At equal grade an arm has its cheapest rate, chosen for each seed on the others. At the end it
has the one chosen on the dev split: among those within one standard error of the best mean grade,
the one with the smallest KL.</p>
{_plain_table(tried)}
<p class="small">Settings of all runs: {html.escape(settings)}. Of arms:
{html.escape(_own(study))}. Rates:
{html.escape(", ".join(f"{rate:g}" for rate in study.rates))} (ten times as large for LoRA).
Each run is a folder in runs/, which the app opens.</p>
</body></html>
"""


def _own(study: Study) -> str:
    """What arms set for themselves."""
    own = [
        f"{arm.name} ({arm.method}, {', '.join(f'{k} {v}' for k, v in arm.settings.items())})"
        for arm in study.arms
        if arm.settings
    ]
    return "; ".join(own) or "nothing"


def _svg(content: bytes) -> str:
    text = content.decode()
    return text[text.index("<svg") :]


def _table(means: pd.DataFrame) -> str:
    names = [name for name in HEADINGS if name in means]
    head = "".join(f"<th>{HEADINGS[name]}</th>" for name in names)
    body = ""
    for row in means.to_dict("records"):
        cells = []
        for name in names:
            spread = row.get(f"{name}_sd")
            text = _number(row[name])
            if spread is not None and pd.notna(spread):
                text += f" ± {_number(spread)}"
            cells.append(f"<td>{html.escape(text)}</td>")
        body += f"<tr>{''.join(cells)}</tr>"
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _plain_table(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in table)
    rows = ""
    for row in table.itertuples(index=False):
        cells = "".join(f"<td>{html.escape(_number(value))}</td>" for value in row)
        rows += f"<tr>{cells}</tr>"
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _number(value: object) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3g}"
    return str(value)
