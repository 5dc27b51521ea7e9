"""The settings of a tuning run, as options that `ctviz tune` and `ctviz study` share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ctviz.cli.options import add_device
from ctviz.errors import CtvizError
from ctviz.runs.config import CHOICES, TuneConfig
from ctviz.runs.paper import paper_settings
from ctviz.tasks import find_task

DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in TuneConfig.__dataclass_fields__.items()
}
UNASKED = argparse.SUPPRESS
HELP = {  # of settings that have an option of their own, in its order
    "steps": "updates",
    "edges": "circuit size",
    "attribution": "how edges are scored; auto takes eap where it agrees with exact patching",
    "select": "edges of largest |score|, all above --threshold, grown back from the logits, "
    "|score| weighted by the sums of both nodes, or |score| beside the effect on general text",
    "metric": "what the scores explain; auto: the logit difference, or log_probability",
    "threshold": "for --select threshold, in units of the metric",
    "edges_end": "circuit size at the last step; 0: as at the first",
    "edges_course": "how the size gets there",
    "mlp_block": "neurons in each node that an MLP is cut into; 0: one node an MLP",
    "rediscover": "steps between discoveries of the circuit",
    "ablation": "corrupting sets what a node writes to the counterfactual's, its mean or zero",
    "random_share": "for --method circuit-and-random: drawn of the parameters that the first "
    "circuit does not own",
    "lora_rank": "rank of LoRA's adapters",
    "batch_size": "examples a step",
    "micro_batch": "examples run at a time, gradients added up; 0: all",
    "objective": "cross-entropy of the target, of prompt and target, or of both weighted",
    "debias": "adds so many times |logit(answer) - logit(foil)| to the loss",
    "target_weight": "how much a target token counts, for --objective weighted",
    "warmup": "steps in which the learning rate rises",
    "rate_course": "of the learning rate after that; linear and cosine go to zero",
    "optimizer": "",
    "weight_decay": "",
    "max_norm": "gradients are scaled down to this norm; 0: never",
    "precision": "of the training step's matrix products; weights stay in float32",
    "examples": "pairs that score the edges of a snapshot, and dev examples that judge it",
    "evaluate": "what snapshots measure beside scores and metric",
    "abilities": "lm-eval:TASK,... has lm-evaluation-harness measure these before and after",
    "ability_examples": "of each such task; 0: all",
    "snapshot_every": "steps between snapshots; 0: about 20 a run",
}


def add_settings(made: argparse.ArgumentParser) -> None:
    """The settings of a tuning run that a study shares; what is not asked for is not there."""
    made.add_argument("--model", default=UNASKED, help="short name, hub id or folder (tiny)")
    made.add_argument(
        "--task",
        default=UNASKED,
        help="see `ctviz tasks`, or a file of examples: FILE[?column=theirs&...] (sva-flip)",
    )
    made.add_argument(
        "--paper",
        dest="as_in_paper",
        action="store_true",
        help="start from what the circuit-tuning paper's code sets for GPT-2, or for Llama where "
        "MLPs are gated, made to fit the graph and the steps; what is otherwise is said",
    )

    add_named(made, HELP)
    add_device(made, default=UNASKED)


def add_named(made: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """An option for each of these settings, and --set for the others."""
    for name in names:
        flag, known, text = (
            f"--{name.replace('_', '-')}",
            CHOICES.get(name),
            usual(name, HELP[name]),
        )
        if known:
            made.add_argument(flag, choices=known, default=UNASKED, help=text)
        else:
            made.add_argument(flag, type=type(DEFAULTS[name]), default=UNASKED, help=text)
    made.add_argument(
        "--set",
        dest="other_settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any setting, also those without an option of their own, such as train_examples=256 "
        "or tau=0.8; may be given several times",
    )


def asked_values(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were asked for by an option or by --set."""
    asked = {name: getattr(options, name) for name in DEFAULTS if hasattr(options, name)}
    return asked | dict(TuneConfig.parse_setting(text) for text in options.other_settings)


def asked_settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, over the paper's settings if these were asked for."""
    asked = {"model": "tiny", "task": "sva-flip"} | asked_values(options)
    if not options.as_in_paper:
        return asked
    _bring_config(asked["model"])
    steps = asked.get("steps", DEFAULTS["steps"])
    bias = find_task(asked["task"]).grade == "bias"
    return paper_settings(asked["model"], bias=bias, steps=steps) | asked


def _bring_config(model: str) -> None:
    """See that it is known of what family and size a model is, if that can be."""
    from ctviz.models.fetching import bring_configs
    from ctviz.models.places import place_of

    with suppress(CtvizError):  # loading it says what is wrong
        bring_configs(place_of(model).weights)


def usual(name: str, text: str = "") -> str:
    """A help text with the default of a setting."""
    value = DEFAULTS[name]
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} ({shown})".strip()
