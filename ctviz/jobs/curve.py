"""Faithfulness over circuit sizes, of several methods on several tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctviz.attribution.attribute import attribute
from ctviz.circuits.choices import Ablation, Attribution, Metric
from ctviz.extras import need
from ctviz.files import write_bytes, write_json
from ctviz.interventions.curve import Curve, curve_of_random, curve_of_scores
from ctviz.interventions.faithfulness import Evaluation
from ctviz.jobs.curve_figure import draw_curves
from ctviz.jobs.result import check_draws
from ctviz.models.loading import Loaded
from ctviz.paths import absolute
from ctviz.tasks.fitting import encode_task

__all__ = ["curve"]


def curve(
    loaded: Loaded,
    tasks: Sequence[str],
    folder: Path,
    *,
    methods: Sequence[Attribution] = ("eap", "eap-ig"),
    metric: Metric = "logit_difference",
    ablation: Ablation = "counterfactual",
    examples: int = 32,
    seed: int = 0,
    draws: int = 3,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Curves of faithfulness over circuit sizes, of each method beside random circuits.

    Scores come from train pairs, faithfulness from dev pairs. ``folder`` gets ``curves.csv`` (one
    row a task, method, selection and size), ``curves.json`` (what is returned) and the figure as
    ``curves.svg`` and ``curves.png``. Raises MissingExtra without what draws it.
    """
    need("pictures", "The figure of the curves")
    check_draws(draws)
    frames: list[pd.DataFrame] = []
    areas: list[dict[str, Any]] = []
    for task in tasks:
        train, dev = (
            encode_task(loaded, task, examples, split=split, seed=seed, metric=metric)[0]
            for split in ("train", "dev")
        )
        evaluation = Evaluation(loaded.anatomy, dev, ablation=ablation, metric=metric)
        found: list[tuple[str, dict[str, float]]] = []
        for method in methods:
            progress(f"{task}: {method}")
            scores = attribute(
                loaded.anatomy, train, method=method, ablation=ablation, metric=metric
            )
            size = curve_of_scores(evaluation, scores, signed=False)
            signed = curve_of_scores(evaluation, scores, signed=True)
            frames += [
                _rows(size, task, method, "absolute"),
                _rows(signed, task, method, "signed"),
            ]
            found.append((method, {"cpr": signed.cpr, "cmd": size.cmd}))
        random = []
        for draw in range(draws):
            progress(f"{task}: random {draw + 1} of {draws}")
            random.append(curve_of_random(evaluation, seed=seed + draw))
            frames.append(_rows(random[-1], task, "random", "random", draw=draw))
        cpr, cmd = (float(np.mean([getattr(each, n) for each in random])) for n in ("cpr", "cmd"))
        found.append(("random", {"cpr": cpr, "cmd": cmd}))
        areas += [{"task": task, "method": m, "examples": len(dev), **area} for m, area in found]
        table = pd.concat(frames, ignore_index=True)  # after each task: a later one may fail
        write_bytes(folder / "curves.csv", table.to_csv(index=False).encode())
    title = f"{loaded.name}, {metric.replace('_', ' ')}, {ablation} ablation"
    for suffix in ("svg", "png"):
        write_bytes(folder / f"curves.{suffix}", draw_curves(table, areas, suffix, title=title))
    result = {
        "model": loaded.name,
        "revision": loaded.revision,
        "metric_name": metric,
        "ablation": ablation,
        "examples": examples,
        "draws": draws,
        "seed": seed,
        "areas": areas,
        "figure": str(absolute(folder / "curves.svg")),
        "table": str(absolute(folder / "curves.csv")),
    }
    write_json(folder / "curves.json", result)
    return result


def _rows(found: Curve, task: str, method: str, selection: str, *, draw: int = 0) -> pd.DataFrame:
    """One row a size."""
    about = {"task": task, "method": method, "selection": selection, "draw": draw}
    return found.frame().assign(**about)
