"""The report of a study: one HTML file with its figures inside, and the same as plain files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ctviz import document
from ctviz.files import write_bytes, write_json
from ctviz.jobs.study.cells import arm_cells, number
from ctviz.jobs.study.figures import draw_front, draw_layers, draw_tradeoff
from ctviz.jobs.study.front import target_grade
from ctviz.jobs.study.plan import Study
from ctviz.jobs.study.summary import summarize, words
from ctviz.runs.cause_sentence import cause_sentence
from ctviz.runs.causes import Causes
from ctviz.tasks import find_task

__all__ = ["write_report"]


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
    tried = table.reindex(columns=["arm", "rate", "seed", "state", "dev_after", "dev_kl"])
    settings = ", ".join(f"{k} {v}" for k, v in study.settings.items()) or "as preset"
    rates = ", ".join(f"{rate:g}" for rate in study.rates)
    return document.document(
        title,
        [
            document.paragraph(f"{task.explanation} Aim: {task.aim}."),
            document.heading("What was found"),
            document.bullets(said),
            document.heading("Arms, at the end"),
            document.table(*arm_cells(means)),
            document.note(
                f"grade: {task.judged_by.name} on test examples, {task.judged_by.better} is "
                "better. KL: nats a token from the untuned model on neutral prompts. other tasks: "
                "mean accuracy on those that the untuned model does above chance. circuit kept: "
                "overlap of the circuit at the end with that at the start; between snapshots: that "
                "with the one before."
            ),
            *(
                document.figure(figures[name], caption)
                for name, caption in captions.items()
                if name in figures
            ),
            document.heading("Learning rates"),
            document.paragraph(
                "At equal grade an arm has its cheapest rate, chosen for each seed on the others. "
                "At the end it has the one chosen on the dev split: among those within one "
                "standard error of the best mean grade, the one with the smallest KL."
            ),
            document.table(
                {name: name.replace("_", " ") for name in tried},
                [{k: number(v) for k, v in row.items()} for row in tried.to_dict("records")],
            ),
            document.note(
                f"Settings of all runs: {settings}. Of arms: {_own(study)}. Rates: {rates} (ten "
                "times as large for LoRA), but where an arm has its own. Each run is a folder in "
                "runs/, which the app opens."
            ),
        ],
    )


def _own(study: Study) -> str:
    """What arms set for themselves."""
    own = []
    for arm in study.arms:
        said = [f"{name} {value}" for name, value in arm.settings.items()]
        if arm.rates:
            said.append(f"rates {', '.join(f'{rate:g}' for rate in arm.rates)}")
        if said:
            own.append(f"{arm.name} ({arm.method}, {', '.join(said)})")
    return "; ".join(own) or "nothing"
