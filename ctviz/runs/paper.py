"""The settings of the circuit-tuning paper, as its code has them, for a model and so many steps.

Li et al. 2025, arXiv 2502.06106, and its scripts for GPT-2 small and Llama 3.2 1B. What cannot be
as it is there is made to fit, and `deviations` says so: no more edges than a tenth of the model's
graph, no more warm-up than a third of the steps, blocks of a size that divides the MLP's neurons.
Of the paper are the settings; batches, splits, retention and what is measured are ctviz's own, as
are the nodes ``input`` and ``logits``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ctviz.errors import CtvizError
from ctviz.models.known import KNOWN
from ctviz.models.stored_config import graph_of, neurons_of, stored_config
from ctviz.runs.config import PaperModel, TuneConfig
from ctviz.tasks import find_task

__all__ = ["PAPERS", "Paper", "deviations", "paper_of", "paper_settings"]

GATED = (
    *("llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "gemma2", "gemma3_text"),
    *("olmo2", "phi3", "stablelm"),
)
PART = 10  # the paper's circuits are smaller than one in so many edges of the graph
FEWEST = 20  # edges of which a circuit of a very small graph may be made all the same
BLOCK = 64


@dataclass(frozen=True, slots=True)
class Paper:
    """What the paper's code sets for one model.

    ``steps``: as many as it trains, on the first of its ``tasks`` (keys of ours that are of the
    same kind); ``bias``: what is otherwise for tasks that are judged by their bias.
    """

    title: str
    settings: dict[str, Any]
    bias: dict[str, Any]
    tasks: tuple[str, ...]
    steps: int


ALWAYS: dict[str, Any] = {
    "select": "nodes",
    "attribution": "eap",
    "rediscover": 1,
    "ablation": "mean",
    "objective": "text",
    "optimizer": "sgd",
    "momentum": 0.9,
    "max_norm": 0.0,
}
PAPERS: dict[PaperModel, Paper] = {
    "gpt2": Paper(
        "GPT-2 small",
        ALWAYS
        | {
            "edges": 500,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
            "warmup": 100,
        },
        {},
        ("sva-flip", "gender"),
        4500,
    ),
    "llama": Paper(
        "Llama 3.2 1B",
        ALWAYS
        | {
            "edges": 4000,
            "mlp_block": BLOCK,
            "batch_size": 32,
            "learning_rate": 1e-5,
            "weight_decay": 0.0,
            "warmup": 0,
        },
        {"edges": 5000, "select": "top", "batch_size": 16, "learning_rate": 5e-5, "debias": 0.35},
        ("arithmetic", "logic", "reading", "gender"),
        700,
    ),
}
FITTED = {
    "edges": "a tenth of the graph",
    "warmup": "a third of the steps",
    "mlp_block": "which must divide the model's neurons",
}


def paper_of(model: str) -> PaperModel:
    """Whose settings a model gets: Llama's if its MLPs are gated, else those of GPT-2."""
    family = _config(model).get("model_type")
    if family is None and model in KNOWN:
        family = KNOWN[model].family
    return "llama" if family in GATED else "gpt2"


def paper_settings(model: str, *, bias: bool, steps: int) -> dict[str, Any]:
    """The paper's settings that fit a model, a number of steps and a kind of task.

    ``bias``: whether the task is judged by its bias.
    """
    which = paper_of(model)
    values = {**_as_published(which, bias=bias), "paper": which}
    config = _config(model)
    graph, neurons = graph_of(config), neurons_of(config)
    if neurons and (block := values.get("mlp_block")):
        block = max(n for n in range(1, block + 1) if neurons % n == 0)
        values["mlp_block"] = block
        graph = graph and replace(graph, mlp_blocks=neurons // block)
    if graph:
        n_edges = graph.n_edges
        values["edges"] = min(values["edges"], n_edges, max(FEWEST, n_edges // PART))
    values["warmup"] = min(values["warmup"], steps // 3)
    return values


def deviations(config: TuneConfig) -> str:
    """What of a run's settings is not as in the paper, and why; "" for runs without them.

    Raises what `ctviz.tasks.find_task` raises.
    """
    if not config.paper:
        return ""
    paper, task = PAPERS[config.paper], find_task(config.task)
    bias = task.grade == "bias"
    fitted = paper_settings(config.model, bias=bias, steps=config.steps)
    changed = []
    for name, value in _as_published(config.paper, bias=bias).items():
        if (now := getattr(config, name)) != value:
            why = FITTED[name] if name in FITTED and now == fitted[name] else "as asked"
            changed.append(
                f"{name.replace('_', ' ')} {_text(now)} instead of {_text(value)} ({why})"
            )
    if config.steps != paper.steps:
        changed.append(f"{config.steps:,} steps instead of about {paper.steps:,}")
    said = f"These are the paper's settings for {paper.title}"
    said += f" with {', '.join(changed)}." if changed else "."
    if task.key not in paper.tasks:
        said += f" The paper does not tune it on a task like {task.name}."
    return said


def _as_published(which: PaperModel, *, bias: bool) -> dict[str, Any]:
    paper = PAPERS[which]
    return paper.settings | (paper.bias if bias else {})


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _config(model: str) -> dict[str, Any]:
    try:
        return stored_config(model)
    except CtvizError:
        return {}  # not here yet; loading says what is wrong
