"""What is measured of each member of a series: the same snapshot as of a step of tuning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ctviz.attribution.agreement import try_methods
from ctviz.attribution.attribute import attribute
from ctviz.circuits.scores import Circuit, General
from ctviz.errors import BadTask, UndefinedMetric
from ctviz.models.loading import Loaded
from ctviz.models.untuned import Untuned
from ctviz.progress import share
from ctviz.runs.abilities import lm_eval_tasks
from ctviz.runs.config import TuneConfig
from ctviz.runs.snapshot import Snapshot
from ctviz.tuning.abilities import Abilities
from ctviz.tuning.baselines import Baselines, tokenizer_hash
from ctviz.tuning.dataset import make_dataset
from ctviz.tuning.general import untuned_general
from ctviz.tuning.measure import grades_on_test, snapshot_of
from ctviz.tuning.motion import nodes_moved
from ctviz.tuning.retention import Retention, Scope

__all__ = ["Aim", "Recording"]

SCORES = 0.4  # of the time of a snapshot


@dataclass(frozen=True, slots=True)
class Aim:
    """What the last member of a series decides for all: it can do the most, where the first may be
    untrained. ``attribution``: how edges are scored, and how well that agrees with exact patching
    (`ctviz.attribution.agreement`); ``scope``: what is measured beside the task."""

    attribution: dict[str, Any]
    scope: Scope

    @classmethod
    def of(cls, last: Loaded, config: TuneConfig) -> Aim:
        """Found out of that model; raises BadTask if no example fits it."""
        dataset = make_dataset(last, config)
        asked = None if config.attribution == "auto" else config.attribution
        trial = try_methods(
            last.anatomy,
            dataset.score_pairs,
            asked=asked,
            ablation=config.ablation,
            metric=dataset.metric,
            seed=config.examples_seed,
        )
        baselines = Baselines(last, Untuned(last))
        retention = Retention(last, dataset.task, config, baselines=baselines)
        return cls(trial.about(), retention.scope)


class Recording:
    """Measures the members of a series by what the first of them was.

    ``first`` may be let go of afterwards: of it the examples as token ids, its distributions on the
    neutral prompts and hashes of its parameters are kept. Raises BadTask if no example fits it.
    """

    def __init__(self, first: Loaded, config: TuneConfig, aim: Aim) -> None:
        self.config, self.attribution = config, aim.attribution
        self.untuned = Untuned(first)
        self._again = first.reloadable  # else it cannot be said how far parameters have moved
        self.dataset = make_dataset(first, config)
        self.baselines = Baselines(first, self.untuned)
        self.retention = Retention(
            first,
            self.dataset.task,
            config,
            baselines=self.baselines,
            scope=aim.scope,
        )
        self.retention.prepare()
        self.general = self._general(first)
        self._kind = _kind(first)

    def _general(self, first: Loaded) -> General | None:
        """What the first one's edges do for general text; None where that cannot be said."""
        if not self.config.compares_general:
            return None
        try:
            return untuned_general(first, self.baselines)
        except (BadTask, UndefinedMetric):
            if self.config.select == "specific":
                raise
            return None

    def misfit(self, loaded: Loaded) -> str:
        """Why a model cannot be in this series, as the end of a sentence; "" if it can."""
        for what, own, other in zip(KINDS, self._kind, _kind(loaded), strict=True):
            if own != other:
                return f"its {what} is not that of the first ({other} instead of {own})"
        return ""

    def snapshot(self, loaded: Loaded, step: int, *, first: bool) -> Snapshot:
        """One member, at its place on the clock; any edge may have changed since the ``first``."""
        config, dataset, graph = self.config, self.dataset, loaded.anatomy.graph
        with share(0.0, SCORES):
            scores = attribute(
                loaded.anatomy,
                dataset.score_pairs,
                method=self.attribution["method"],
                ablation=config.ablation,
                metric=dataset.metric,
            )
        with share(SCORES, 1.0):
            return snapshot_of(
                loaded,
                config,
                dataset,
                self.retention.of(loaded),
                replace(scores, general=self.general),
                step=step,
                tuned=None if first else Circuit(graph, graph.exists),
                moved=nodes_moved(loaded, self.untuned) if self._again else None,
            )

    def grades(self, loaded: Loaded, *, first: bool = False) -> dict[str, float]:
        """Grade on test examples, and retention measured thoroughly; ``first``: of the first."""
        config, kept = self.config, self.retention.of(loaded)
        able = Abilities(loaded, lm_eval_tasks(config.abilities), config.ability_examples)
        known = self.baselines if first else None
        return grades_on_test(loaded, config, self.dataset, kept, able, known)


KINDS = ("graph", "width", "vocabulary", "tokenizer")


def _kind(loaded: Loaded) -> tuple[Any, ...]:
    """What members of one series have in common."""
    anatomy = loaded.anatomy
    graph = anatomy.graph
    shape = f"{graph.n_layers} x {graph.n_heads} heads, {graph.kv_heads} groups"
    if graph.mlp_blocks > 1:
        shape += f", {graph.mlp_blocks} blocks"
    tokenizer = tokenizer_hash(loaded)[:8]
    return shape, anatomy.d_model, anatomy.vocabulary, tokenizer
