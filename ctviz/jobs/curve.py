"""Faithfulness over circuit sizes, of several methods on several tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.attribute import attribute
from ctviz.circuits.choices import Attribution
from ctviz.circuits.scores import Scores
from ctviz.extras import need
from ctviz.files import write_bytes, write_json
from ctviz.interventions.curve import Curve, curve_of_random, curve_of_scores
from ctviz.jobs.curve_figure import draw_curves
from ctviz.jobs.question import Question, in_sample
from ctviz.models.loading import Loaded
from ctviz.models.ungrouped import ungrouped
from ctviz.paths import absolute
from ctviz.progress import parts, phase
from ctviz.tasks.batch import Batch

__all__ = ["curve"]


def curve(
    loaded: Loaded,
    questions: Sequence[Question],
    folder: Path,
    *,
    methods: Sequence[Attribution] = ("eap", "eap-ig"),
    each_head: bool = False,
) -> dict[str, Any]:
    """Curves of faithfulness over circuit sizes, of each method beside random circuits.

    ``questions``: one a task, the same but for the task. ``each_head`` takes the model with keys
    and values of each head (`ctviz.models.ungrouped`): where heads share these, sizes of circuits,
    CPR and CMD are then those of tools that know no shared slots.
    Scores come from train pairs, faithfulness from dev pairs. ``folder`` gets ``curves.csv`` (one
    row a task, method, selection and size), ``curves.json`` (what is returned) and the figure as
    ``curves.svg`` and ``curves.png``. Raises MissingExtra without what draws it.
    """
    need("pictures", "The figure of the curves")
    if each_head:
        loaded = replace(loaded, anatomy=ungrouped(loaded.anatomy))
    frames: list[pd.DataFrame] = []
    areas: list[dict[str, Any]] = []
    counter = count()
    curves = sum(2 * len(methods) + question.draws for question in questions)
    for at, question in enumerate(questions):
        task = question.task
        train, scored = question.pairs(loaded, question.found_on)
        dev, chosen = question.pairs(loaded, question.judged_on)
        with phase("discovery", at=at, total=len(questions), unit="task"):
            evaluation = question.evaluation(loaded, dev)
            scored_by = [_scores(loaded, question, train, method) for method in parts(methods)]
        found: list[tuple[str, dict[str, float]]] = []
        for method, scores in zip(methods, scored_by, strict=True):
            with phase("curves", at=next(counter), total=curves, unit="curve"):
                size = curve_of_scores(evaluation, scores, signed=False)
            with phase("curves", at=next(counter), total=curves, unit="curve"):
                signed = curve_of_scores(evaluation, scores, signed=True)
            frames += [
                _rows(size, task, method, "absolute"),
                _rows(signed, task, method, "signed"),
            ]
            found.append((method, {"cpr": signed.cpr, "cmd": size.cmd}))
        random = []
        for draw in range(question.draws):
            with phase("curves", at=next(counter), total=curves, unit="curve"):
                random.append(curve_of_random(evaluation, seed=question.seed + draw))
            frames.append(_rows(random[-1], task, "random", "random", draw=draw))
        cpr, cmd = (float(np.mean([getattr(each, n) for each in random])) for n in ("cpr", "cmd"))
        found.append(("random", {"cpr": cpr, "cmd": cmd}))
        on = {
            "examples": len(dev),
            "split": question.judged_on,
            "found_on": question.found_on,
            **in_sample(chosen, [pair.fingerprint for pair in scored.pairs]),
        }
        areas += [{"task": task, "method": m, **on, **area} for m, area in found]
        table = pd.concat(frames, ignore_index=True)  # after each task: a later one may fail
        write_bytes(folder / "curves.csv", table.to_csv(index=False).encode())
    metric, ablation = question.metric, question.ablation
    title = f"{loaded.name}, {metric.replace('_', ' ')}, {ablation} ablation"
    for suffix in ("svg", "png"):
        write_bytes(folder / f"curves.{suffix}", draw_curves(table, areas, suffix, title=title))
    result = {
        "model": loaded.name,
        "n_edges": loaded.anatomy.graph.n_edges,
        "mlp_block": loaded.anatomy.mlp_block,
        "shared_slots": loaded.anatomy.graph.kv_heads != loaded.anatomy.graph.n_heads,
        "revision": loaded.revision,
        "notes": list(loaded.notes),
        "metric_name": metric,
        "ablation": ablation,
        "examples": question.examples,
        "draws": question.draws,
        "random": "uniform",
        "each_head": each_head,
        "seed": question.seed,
        "areas": areas,
        "figure": str(absolute(folder / "curves.svg")),
        "table": str(absolute(folder / "curves.csv")),
    }
    write_json(folder / "curves.json", result)
    return result


def _scores(loaded: Loaded, question: Question, batch: Batch, method: Attribution) -> Scores:
    anatomy, ablation, metric = loaded.anatomy, question.ablation, question.metric
    return attribute(anatomy, batch, method=method, ablation=ablation, metric=metric)


def _rows(found: Curve, task: str, method: str, selection: str, *, draw: int = 0) -> pd.DataFrame:
    """One row a size."""
    about = {"task": task, "method": method, "selection": selection, "draw": draw}
    return found.frame().assign(**about)
