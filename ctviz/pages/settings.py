"""The settings of a run as a form: usual values for each model, and only what a method uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ctviz.circuits.graph import Graph
from ctviz.errors import CtvizError
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.stored_config import graph_of, neurons_of, stored_config
from ctviz.runs.config import (
    CHOICES,
    DISCOVERING,
    Method,
    TuneConfig,
)
from ctviz.runs.paper import paper_settings

__all__ = ["PRESETS", "Preset", "ask_settings", "usual_settings"]

OTHER = ""  # the preset of a model that is not known
LORA_RATE = 10  # times the learning rate of the other methods
CHOSEN = (
    "A few nodes of the untuned model are patched exactly. EAP is taken where it agrees with that, "
    "else EAP-IG, which costs five times as much"
)
MEASURED = (
    "Quick: the circuit's faithfulness on a few pairs, and the distance from the untuned model. "
    "Distance only: without the former, on more text. Full: on all of them, and perplexity and "
    "other tasks. Before and after tuning all is measured"
)
ADDED = "of the parameters that the first circuit does not own, drawn at random once"
BLOCKS = (
    "Neurons in each node that an MLP is cut into, which owns its own part of the weights; they "
    "must divide the MLP's. 0: one node an MLP; 64 in circuit-tuning's code for Llama"
)
ABLE = (
    "lm-eval:TASK,... has lm-evaluation-harness measure these tasks of the untuned and of the "
    "tuned model, such as lm-eval:arc_easy,hellaswag; empty: none"
)
EVEN = (
    "adds so many times |logit(answer) - logit(the wrong one)|: both sides are to be equally likely"
)
EXPLAINED = (
    "What an edge's score is a change of: the logit of the answer minus that of the foil, the "
    "wrong answer beside it, where the task has pairs, else the log-probability of the target. KL "
    "needs EAP-IG"
)
TEXTS = {
    "evaluate": {"none": "metric only", "kl": "distance only", "quick": "quick", "full": "full"},
    "attribution": {"auto": "what a check chooses", "eap": "EAP", "eap-ig": "EAP-IG"},
    "select": {
        "top": "largest |score|",
        "threshold": "|score| above",
        "greedy": "grown from the logits",
        "nodes": "|score| x both nodes' sums",
        "specific": "|score| beside general text",
    },
    "metric": {
        "auto": "the task's own",
        "logit_difference": "logit difference",
        "probability_difference": "probability difference",
        "log_probability": "log-probability",
        "kl": "KL from the clean run",
    },
    "edges_course": {"constant": "stays", "linear": "linear", "cosine": "cosine"},
    "ablation": {"counterfactual": "counterfactual prompt", "mean": "mean", "zero": "zero"},
    "objective": {
        "target": "target",
        "text": "prompt and target",
        "weighted": "both, target weighted",
    },
    "rate_course": {"constant": "stays", "linear": "linear to 0", "cosine": "cosine to 0"},
    "optimizer": {"adamw": "AdamW", "sgd": "SGD"},
}


@dataclass(frozen=True, slots=True)
class Preset:
    """Usual settings for a model, and how many edges it has, None if that is not known here."""

    edges: int
    steps: int
    batch_size: int
    learning_rate: float
    examples: int
    available: int | None = None


PRESETS: dict[str, Preset] = {
    "tiny": Preset(40, 60, 16, 3e-4, 32, Graph(4, 4).n_edges),
    "two-layer": Preset(10, 40, 16, 1e-3, 32, Graph(2, 4).n_edges),
    "smollm2-135m": Preset(400, 40, 16, 1e-4, 16, Graph(30, 9, n_kv_heads=3).n_edges),
    **{
        key: Preset(len(known.true_edges), 40, 16, 1e-3, 32, known.graph.n_edges)
        for key, known in KNOWN_ANSWERS.items()
    },
    OTHER: Preset(400, 40, 16, 1e-4, 16),
}


def usual_settings(
    model: str, method: Method, *, paired: bool, paper: Mapping[str, Any]
) -> dict[str, Any]:
    """Values for all settings but model, task and method.

    ``paired``: whether the task has counterfactual prompts. The ``paper``'s settings, if any, go
    before all others.
    """
    preset = PRESETS.get(model, PRESETS[OTHER])
    fields = TuneConfig.__dataclass_fields__
    values: dict[str, Any] = {
        name: field.default
        for name, field in fields.items()
        if name not in ("model", "task", "method", "device")
    }
    values |= {
        "edges": preset.edges,
        "edges_end": max(1, preset.edges // 4),
        "threshold": 0.1,
        "steps": preset.steps,
        "batch_size": preset.batch_size,
        "learning_rate": preset.learning_rate * (LORA_RATE if method == "lora" else 1),
        "examples": preset.examples,
    }
    values |= paper
    if not paired and values["ablation"] == "counterfactual":
        values["ablation"] = "mean"
    return values


def ask_settings(
    preset: str, model: str, method: Method, *, paired: bool, bias: bool
) -> dict[str, Any]:
    """The form. What a method does not use keeps its usual value and is not shown.

    ``preset``: the model's key in `PRESETS`, ``model`` its name; ``bias``: whether the task is
    judged by its bias.
    """
    asked = st.toggle(
        "Settings of the paper",
        key="paper",
        persist_state="session",
        help="What the code of circuit-tuning (arXiv 2502.06106) sets for GPT-2, or where MLPs are "
        "gated for Llama, made to fit the model's graph and the number of steps",
    )
    paper: dict[str, Any] = {}
    if asked:
        steps = PRESETS.get(preset, PRESETS[OTHER]).steps
        paper = paper_settings(model or preset, bias=bias, steps=steps)
    form = _Form(preset, paper, usual_settings(preset, method, paired=paired, paper=paper))
    _circuit(form, preset, model, method, paired=paired)
    _training(form, method, paired=paired)
    form.heading("Recording")
    form.number("examples", "Examples to measure on", 2, 4096)
    form.choice("evaluate", "Measure at snapshots", help_text=MEASURED)
    form.text("abilities", "Other abilities", ABLE)
    if form.values["abilities"]:
        form.number("ability_examples", "Examples of each", 0, None, "0: all that it has")
    form.number("snapshot_every", "Steps per snapshot", 0, 100_000, "0: about 20 a run")
    form.number("seed", "Seed", 0, 2**31 - 1)
    return form.values


def _circuit(form: _Form, preset: str, model: str, method: Method, *, paired: bool) -> None:
    discovers = method in DISCOVERING
    circuits = ("circuit", "circuit-and-random")
    form.heading("Circuit" if discovers else "Circuit (to watch; all its edges may change)")
    form.choice("attribution", "Score edges by", help_text=CHOSEN)
    known = CHOICES["metric"] if paired else ("auto", "log_probability")
    form.choice("metric", "Explain", known, help_text=EXPLAINED)
    block = form.number("mlp_block", "Neurons a block", 0, None, BLOCKS)
    select = form.choice("select", "Edges")
    form.values["threshold"] = 0.0
    if select == "threshold":
        form.decimal("threshold", "Threshold", 0.0, None, "%.3g", "in units of the metric")
    else:
        available = _available(preset, model, block)
        of = f"of {available:,}" if available else None
        form.number("edges", "Number of edges", 1, available or 10_000_000, of)
    if method in circuits and select != "threshold":
        if form.choice("edges_course", "Size over time") == "constant":
            form.values["edges_end"] = 0
        else:
            form.number("edges_end", "Number at the end", 1, None)
    else:
        form.values |= {"edges_course": "constant", "edges_end": 0}
    if method in (*circuits, "random"):
        what = "Steps per discovery" if method in circuits else "Steps per draw"
        form.number("rediscover", what, 1, 100_000, "1: at every step")
    if method == "circuit-and-random":
        form.decimal("random_share", "Share added", 0.0, 1.0, "%.3g", ADDED)
    known = CHOICES["ablation"]
    form.choice("ablation", "Corrupt with", known if paired else known[1:])


def _available(preset: str, model: str, block: int) -> int | None:
    """Edges of a model's graph with its MLPs cut into such blocks; None if that is not known."""
    if not block:
        return PRESETS.get(preset, PRESETS[OTHER]).available
    try:
        config = stored_config(model or preset)
    except CtvizError:
        return None
    graph, neurons = graph_of(config), neurons_of(config)
    if not graph or not neurons or neurons % block:
        return None
    return replace(graph, mlp_blocks=neurons // block).n_edges


def _training(form: _Form, method: Method, *, paired: bool) -> None:
    form.heading("Training")
    form.number("steps", "Steps", 1, 100_000)
    form.number("batch_size", "Batch size", 1, 4096, "examples a step")
    form.number("micro_batch", "Micro-batch", 0, 4096, "examples at a time; 0: the whole batch")
    if method == "lora":
        form.number("lora_rank", "Rank", 1, 1024)
    form.decimal("learning_rate", "Learning rate", 0.0, 1.0, "%.1e")
    form.number("warmup", "Warm-up steps", 0, 100_000)
    form.choice("rate_course", "Rate after that")
    if form.choice("objective", "Learn") == "weighted":
        form.decimal("target_weight", "Weight of target tokens", 0.0, None, "%.3g")
    if paired:
        form.decimal("debias", "De-bias", 0.0, None, "%.3g", EVEN)
    form.choice("optimizer", "Optimizer")
    form.decimal("weight_decay", "Weight decay", 0.0, 1.0, "%.3g")
    form.decimal("max_norm", "Largest gradient norm", 0.0, None, "%.3g", "0: no limit")
    form.choice("precision", "Precision", help_text="of matrix products; weights stay float32")


class _Form:
    """Fields in rows of four. A field forgets what was typed only when its usual value changes."""

    def __init__(self, model: str, paper: Mapping[str, Any], usual: dict[str, Any]) -> None:
        self.values = dict(usual)
        self._usual, self._model, self._paper = usual, model, paper
        self._row: list[DeltaGenerator] = []

    def heading(self, text: str) -> None:
        st.markdown(f"**{text}**")
        self._row = []

    def number(
        self, name: str, label: str, low: int, high: int | None, help_text: str | None = None
    ) -> int:
        value: int = self._place().number_input(
            label,
            low,
            high,
            int(self._usual[name]),
            help=help_text,
            key=self._key(name),
            persist_state="session",
        )
        self.values[name] = value
        return value

    def decimal(
        self,
        name: str,
        label: str,
        low: float,
        high: float | None,
        form: str,
        help_text: str | None = None,
    ) -> None:
        usual = float(self._usual[name])
        self.values[name] = self._place().number_input(
            label,
            low,
            high,
            usual,
            step=usual / 10 or 0.01,
            format=form,
            help=help_text,
            key=self._key(name),
            persist_state="session",
        )

    def text(self, name: str, label: str, help_text: str) -> None:
        self.values[name] = self._place().text_input(
            label,
            str(self._usual[name]),
            help=help_text,
            key=self._key(name),
            persist_state="session",
        )

    def choice(
        self,
        name: str,
        label: str,
        known: tuple[str, ...] | None = None,
        help_text: str | None = None,
    ) -> str:
        options = known or CHOICES[name]
        texts = TEXTS.get(name, {})
        chosen = self._place().selectbox(
            label,
            options,
            index=options.index(self._usual[name]),
            format_func=lambda option: texts.get(option, option),
            help=help_text,
            key=self._key(name),
            persist_state="session",
        )
        self.values[name] = chosen
        return chosen

    def _key(self, name: str) -> str:
        paper = "-paper" if name in self._paper else ""
        return f"{name}-{self._model}-{self._usual[name]}{paper}"

    def _place(self) -> DeltaGenerator:
        if not self._row:
            self._row = list(st.columns(4))
        return self._row.pop(0)
