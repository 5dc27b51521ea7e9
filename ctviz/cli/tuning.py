"""Commands that tune, and that measure this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ctviz.circuits.selection import check_edges
from ctviz.cli.common import answer, make_folder, out_folder, quiet_libraries
from ctviz.errors import CtvizError
from ctviz.jobs.study.plan import RATES, Study
from ctviz.runs import open_run
from ctviz.runs.config import PAPER, TuneConfig
from ctviz.tasks import find_task

DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in TuneConfig.__dataclass_fields__.items()
}


def tune_command(options: argparse.Namespace) -> int:
    """Tune a model, from the start or from where a run stopped."""
    resumed = open_run(options.resume, out_folder(options)) if options.resume else None
    if resumed is not None and resumed.status().live:
        raise CtvizError(f"{resumed.id} is still running; there is nothing to resume.")
    if resumed is not None and resumed.status().state == "finished":
        raise CtvizError(f"{resumed.id} is finished; there is nothing to resume.")
    config = resumed.config if resumed else TuneConfig(**_settings(options))
    config.check_extras()
    task = find_task(config.task)
    quiet_libraries()
    from tqdm import tqdm

    from ctviz.jobs import tune
    from ctviz.models.loading import load

    loaded = load(config.model, device=config.device)
    check_edges(loaded.anatomy.graph, config.edges, hint=f"({loaded.name})")
    name = f"{task.slug}-{Path(config.model).name.lower()}-{config.method}"
    if resumed:
        resumed.announce()
    folder = resumed.folder if resumed else make_folder(out_folder(options), name)
    with tqdm(total=config.steps, unit="step", file=sys.stderr, disable=None) as bar:

        def progress(step: int, steps: int, message: str) -> None:
            bar.update(step - bar.n)
            bar.set_postfix_str(message)

        result = tune.tune(
            config, folder, loaded=loaded, progress=progress, resume=resumed is not None
        )
    return answer(options, result, "\n".join(_outcome_lines(result)))


def study_command(options: argparse.Namespace) -> int:
    """Compare methods on one task."""
    if options.resume:
        folder = Path(options.resume).expanduser()
        quiet_libraries()
        from ctviz.jobs.study.conduct import conduct, open_study

        study = open_study(folder)
        study.check_extras()
    else:
        settings = _settings(options)
        study = Study(
            model=settings.pop("model"),
            task=settings.pop("task"),
            methods=tuple(options.methods.split(",")),
            seeds=options.seeds,
            rates=_rates(options.rates),
            settings=settings,
        )
        study.check_extras()
        quiet_libraries()
        from ctviz.jobs.study.conduct import conduct

        name = f"study-{find_task(study.task).slug}-{Path(study.model).name.lower()}"
        folder = make_folder(out_folder(options), name)
    result = conduct(study, folder, progress=lambda text: print(text, file=sys.stderr))
    lines = [*result["summary"], f"report: {result['report']}", f"results: {result['results']}"]
    return answer(options, result, "\n".join(lines))


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, over the paper's settings if these were asked for."""
    asked = {name: getattr(options, name) for name in DEFAULTS if hasattr(options, name)}
    return {"model": "tiny", "task": "sva-flip", **(PAPER if options.paper else {}), **asked}


def _rates(text: str | None) -> tuple[float, ...]:
    if text is None:
        return RATES
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise CtvizError(
            f"--rates is {text!r}, but must be learning rates with commas between: 3e-5,1e-4."
        ) from None


def _outcome_lines(result: dict[str, Any]) -> list[str]:
    judged, moved = result["judged_by"], result["max_outside_moved"]
    before, after = result["before"], result["after"]
    lines = [
        f"metric on dev pairs: {result['metric_before']:+.3f} before, "
        f"{result['metric_after']:+.3f} after {result['steps']} steps",
        f"{judged.replace('_', ' ')} on {before['test_examples']} test examples: "
        f"{before[judged]:.3f} before, {after[judged]:.3f} after",
        f"elsewhere: KL {after['retention_kl']:.4f} nats a token from the untuned model",
        f"perplexity of general English: {before['perplexity']:.4g} before, "
        f"{after['perplexity']:.4g} after",
    ]
    if "other_accuracy" in after:
        lines.append(
            f"other tasks: accuracy {before['other_accuracy']:.3f} before, "
            f"{after['other_accuracy']:.3f} after"
        )
    trained = f"trained: {result['trained_fraction']:.1%} of the parameters a step"
    if moved is not None:
        trained += f"; parts outside that moved: {moved}"
    return [*lines, trained, f"run: {result['folder']}"]


def bench_command(options: argparse.Namespace) -> int:
    if options.what == "app":
        from ctviz.bench.app import bench_app

        result = bench_app()
    elif options.what == "player":
        from ctviz.bench.player import bench_player

        result = bench_player()
    elif options.what == "tasks":
        quiet_libraries()
        from ctviz.bench.abilities import bench_abilities

        result = bench_abilities(
            device=options.device, progress=lambda text: print(text, file=sys.stderr)
        )
    else:
        quiet_libraries()
        from ctviz.bench.attribution import bench_attribution
        from ctviz.bench.scaling import bench_scaling
        from ctviz.bench.tuning import bench_tuning

        shared = {"batch": options.batch, "tokens": options.tokens, "method": options.method}
        if options.what == "tuning":
            result = bench_tuning(options.shape or "smollm2-135m", device=options.device)
        elif options.what == "scaling":
            result = bench_scaling(**shared, device=options.device)
        else:
            result = bench_attribution(
                options.shape or "gpt2-small", **shared, device=options.device
            )
    return answer(options, result, json.dumps(result, indent=2))
