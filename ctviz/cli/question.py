"""What every question about a circuit takes, and how its answer reads."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ctviz.circuits.choices import ABLATIONS, ATTRIBUTIONS, METRICS, PATH_ENDS, RANDOM_KINDS
from ctviz.circuits.random_circuits import RANDOM_NAMES, beats_random
from ctviz.cli.options import add_device, seed
from ctviz.cli.output import give_or_take, signed
from ctviz.tasks.files.rows import counted
from ctviz.tasks.task import FEW

if TYPE_CHECKING:
    from ctviz.models.loading import Loaded

METHOD_HELP = "to first order, the same along a path of inputs, or by corrupting each edge"
POOR = 0.5  # a correlation with exact patching below which scores say little
UNSURE = 0.5  # a standard error of faithfulness from which on it is said to mean little


def add_model(made: argparse.ArgumentParser) -> None:
    made.add_argument("--model", default="tiny", help="short name, hub id or folder (tiny)")
    made.add_argument("--seed", type=seed, default=0, help="seed of every random draw (0)")
    add_device(made)
    made.add_argument(
        "--ablation",
        default="counterfactual",
        choices=ABLATIONS,
        help="corrupting sets what a node writes to that of the counterfactual prompt, to its "
        "mean or to zero (counterfactual)",
    )


def add_mlp_block(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--mlp-block",
        type=int,
        default=0,
        help="neurons in each node that an MLP is cut into, 64 in circuit-tuning's code for Llama; "
        "0: one node an MLP (0)",
    )


def add_task(made: argparse.ArgumentParser) -> None:
    made.add_argument("--task", default="sva", help="see `ctviz tasks` (sva)")


def add_edges(made: argparse.ArgumentParser) -> None:
    made.add_argument("--edges", type=int, default=40, help="circuit size (40)")


def add_metric(made: argparse.ArgumentParser, *, examples: int) -> None:
    made.add_argument(
        "--metric",
        default="logit_difference",
        choices=METRICS,
        help="what is to be explained; kl is the distance from the clean run (logit_difference)",
    )
    made.add_argument(
        "--examples", type=int, default=examples, help=f"pairs of prompts ({examples})"
    )
    made.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float64"),
        help="of the model; scores are at least float32 (float32)",
    )


def add_method(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--method",
        default="auto",
        choices=("auto", *ATTRIBUTIONS),
        help=f"{METHOD_HELP}; auto takes eap where it agrees with exactly patching 20 nodes, else "
        "eap-ig (auto)",
    )
    made.add_argument(
        "--end",
        default="clean",
        choices=PATH_ENDS,
        help="of eap-ig: which end of the path is among its runs, as in the paper (clean) or in "
        "EAP-IG's code (corrupt) (clean)",
    )


def add_draws(made: argparse.ArgumentParser) -> None:
    made.add_argument("--draws", type=int, default=5, help="random draws to compare with (5)")


def add_random(made: argparse.ArgumentParser) -> None:
    add_draws(made)
    made.add_argument(
        "--random",
        default="connected",
        choices=RANDOM_KINDS,
        help="random circuits to compare with: all edges on paths from input to logits, as many "
        "edges at each node as the circuit has, or any edges (connected)",
    )


def add_tau(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--tau",
        type=float,
        default=0.9,
        help="share of its total |score| that a node needs, for its redundancy (0.9)",
    )


def asked_method(options: argparse.Namespace) -> dict[str, Any]:
    """How edges are scored, as the engine names it."""
    return {"method": None if options.method == "auto" else options.method, "end": options.end}


def load_model(options: argparse.Namespace) -> Loaded:
    from ctviz.models.loading import load

    cut = getattr(options, "mlp_block", 0)
    return load(options.model, device=options.device, dtype=options.dtype, mlp_block=cut)


def asked_question(options: argparse.Namespace) -> dict[str, Any]:
    """What any question takes but the task, as the engine names it."""
    return {
        "metric": options.metric,
        "ablation": options.ablation,
        "examples": options.examples,
        "seed": options.seed,
        "draws": options.draws,
    }


def metric_line(result: dict[str, Any]) -> str:
    line = (
        f"metric {result['metric']}: {signed(result['metric_clean'])} clean, "
        f"{signed(result['metric_corrupt'])} all corrupted ({result['ablation']})"
    )
    if "metric_circuit" in result:
        line += f", {signed(result['metric_circuit'])} circuit alone"
    return line


def agreement_line(result: dict[str, Any]) -> list[str]:
    """How far the scores can be trusted."""
    found = result["agreement"]
    if not found["nodes"]:
        return []
    each = [
        f"{method} {'undefined' if value is None else f'{value:.2f}'}"
        for method, value in found["correlation"].items()
    ]
    lines = [
        f"correlation with exactly patching {found['nodes']} nodes on "
        f"{counted(found['pairs'], 'pair')}: {', '.join(each)}"
    ]
    if (found["correlation"].get(found["method"]) or 0.0) < POOR:
        lines.append(
            f"  so scores by {found['method']} are a poor guide here; another method, metric or "
            "ablation may do better"
        )
    return lines


def in_sample_line(result: dict[str, Any]) -> list[str]:
    """That something is judged on pairs on which it was found, if it is."""
    if not result["in_sample"]:
        return []
    again, n = result["examples_in_sample"], result["examples"]
    which = "these very pairs" if again in (None, n) else f"{again:,} of these {n:,} pairs too"
    return [f"  in sample: it was found on {which}, so others may say less"]


def few_line(n: int) -> list[str]:
    """That a mean over ``n`` pairs says little, if it does."""
    said = f"  from {counted(n, 'pair')}: a mean over fewer than {FEW} says little"
    return [said] if n < FEW else []


def circuit_lines(result: dict[str, Any]) -> list[str]:
    error = result["faithfulness_error"]
    low, high = result["random_range"]
    draws, n, split = result["draws"], result["examples"], result["split"]
    pairs = counted(n, f"{split} pair")
    if result["file_examples"] is not None:
        pairs = f"{n:,} of {counted(result['file_examples'], 'example')} ({split})"
    others = f"{draws} {RANDOM_NAMES[result['random']][draws == 1]}"
    lines = [
        f"{result['n_circuit_edges']} of {result['n_edges']:,} edges of {result['model']}, "
        f"{result['task']}",
        f"{metric_line(result)}, on {pairs}",
        f"faithfulness: {result['faithfulness']:z.3f}{give_or_take(error)} of the behaviour",
        f"{others}: {result['random_faithfulness']:z.3f} ({low:z.3f} to {high:z.3f})",
    ]
    if not result["n_circuit_edges"]:
        lines.append("  there is no edge in the circuit, so these numbers say nothing of one")
    elif not beats_random(result["faithfulness"], error, high):
        lines.append("  so the circuit is no better than a random one, as far as these pairs say")
    lines += in_sample_line(result)
    lines += few_line(n)
    if error is not None and error > UNSURE:
        lines.append("  but clean and corrupt hardly differ here, so shares of it say little")
    return lines
