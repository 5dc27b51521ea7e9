"""What the commands share: folders, output, words for numbers."""

from __future__ import annotations

import argparse
import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctviz import paths
from ctviz.errors import CtvizError
from ctviz.runs import Run, new_folder

if TYPE_CHECKING:
    from ctviz.models.loading import Loaded

UNSURE = 0.5  # a standard error of faithfulness from which on it is said to mean little


def summary(run: Run) -> dict[str, Any]:
    status, config = run.status(), run.config
    return {
        "run": run.id,
        "folder": str(run.folder),
        "state": status.state,
        "step": status.step,
        "steps": status.steps,
        "message": status.message,
        "model": config.model,
        "task": config.task,
        "method": config.method,
    }


def load_model(options: argparse.Namespace) -> Loaded:
    import torch

    from ctviz.models.loading import load

    return load(options.model, device=options.device, dtype=getattr(torch, options.dtype))


def setting(options: argparse.Namespace) -> dict[str, Any]:
    """What every question about a circuit takes."""
    return {
        "metric": options.metric,
        "ablation": options.ablation,
        "examples": options.examples,
        "seed": options.seed,
    }


@contextmanager
def result_folder(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """A new folder for a result; what was made for it and stays empty is taken away again."""
    out = out_folder(options)
    made = [place for place in (out, *out.parents) if not place.exists()]
    folder = make_folder(out, name)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty: it stays
            for place in (folder, *made):
                place.rmdir()
        raise


def make_folder(out: Path, name: str) -> Path:
    try:
        return new_folder(out, name)
    except OSError as error:
        if isinstance(error, CtvizError):
            raise
        raise CtvizError(
            f"No folder can be made in {out}: {error.strerror}. Give another one with --out."
        ) from error


def signed(value: float) -> str:
    return f"{value:+z.3f}"


def give_or_take(error: float | None) -> str:
    return "" if error is None else f" ± {error:.3f}"


def metric_line(result: dict[str, Any]) -> str:
    line = (
        f"metric {result['metric']}: {signed(result['metric_clean'])} clean, "
        f"{signed(result['metric_corrupt'])} all corrupted ({result['ablation']})"
    )
    if "metric_circuit" in result:
        line += f", {signed(result['metric_circuit'])} circuit alone"
    return line


def circuit_lines(result: dict[str, Any]) -> list[str]:
    error = result["faithfulness_error"]
    lines = [
        f"{result['n_circuit_edges']} of {result['n_edges']:,} edges of {result['model']}, "
        f"{result['task']}, {result['examples']} dev pairs",
        metric_line(result),
        f"faithfulness: {result['faithfulness']:z.3f}{give_or_take(error)} of the behaviour "
        f"(random circuits of that size: {result['random_faithfulness']:z.3f}"
        f"{give_or_take(result['random_spread'])} over {result['draws']} draws)",
    ]
    if error is not None and error > UNSURE:
        lines.append("  but clean and corrupt hardly differ here, so shares of it say little")
    return lines


def out_folder(options: argparse.Namespace) -> Path:
    return Path(options.out).expanduser() if options.out else paths.runs()


def answer(options: argparse.Namespace, result: dict[str, Any], text: str) -> int:
    print(json.dumps(strict(result), ensure_ascii=False) if options.json else text)
    return 0


def strict(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def quiet_libraries() -> None:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # our own error says it all
