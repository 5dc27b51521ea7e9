"""The command line: the engine without a browser.

Results go to standard output (one JSON object with ``--json``), progress and logs to standard
error. torch is imported only by the commands that compute.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ctviz import __version__, places
from ctviz.config import ABLATIONS, METHODS, TuneConfig
from ctviz.errors import CtvizError, DamagedRun
from ctviz.models.known import KNOWN
from ctviz.runs import Run, list_runs, new_folder, open_run
from ctviz.tasks import TASKS, find_task

__all__ = ["main"]

DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in TuneConfig.__dataclass_fields__.items()
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error that is explained, 2 for usage."""
    options = _parser().parse_args(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        return options.run(options)
    except CtvizError as error:
        print(f"ctviz: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("ctviz: stopped; what was written so far stays readable.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


# ---------------------------------------------------------------------- commands


def _models(options: argparse.Namespace) -> int:
    if options.action == "fetch":
        _quiet_libraries()
        from ctviz.models.loading import fetch

        folder = fetch(options.name)
        return _answer(options, {"model": options.name, "folder": str(folder)}, f"{folder}")
    if options.action == "train-tiny":
        from ctviz.models.tiny.train import train

        folder = Path(options.out)
        if (folder / "model.safetensors").exists():
            raise CtvizError(f"{folder} already holds a model. Give another folder with --out.")
        logging.getLogger("ctviz").setLevel(logging.INFO)
        card = train(folder, seed=options.seed)
        return _answer(options, {"folder": str(folder), "card": card}, f"{folder}")
    known = [
        {
            "name": model.key,
            "title": model.title,
            "parameters": model.parameters,
            "ready": model.ready,
            "hub": model.hub,
        }
        for model in KNOWN.values()
    ]
    lines = [
        f"{row['name']:14} {'ready' if row['ready'] else 'not fetched':12} {row['title']}"
        for row in known
    ]
    lines.append("Any other supported model: by hub id (owner/name) or local folder.")
    return _answer(options, {"models": known}, "\n".join(lines))


def _tasks(options: argparse.Namespace) -> int:
    rows = [
        {"name": task.key, "title": task.title, "metric": task.metric, "aim": task.aim}
        for task in TASKS.values()
    ]
    lines = [f"{row['name']:10} {row['title']}: {row['metric']}" for row in rows]
    if options.name:
        task = find_task(options.name)
        pairs = task.pairs(5, split="dev", seed=0)
        lines = [task.title, task.explanation, f"metric: {task.metric}", "examples:"]
        lines += [f"  {p.clean!r} ->{p.answer!r} (not{p.foil!r}); {p.corrupt!r}" for p in pairs]
        rows = [row for row in rows if row["name"] == task.key]
    return _answer(options, {"tasks": rows}, "\n".join(lines))


def _discover(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    _quiet_libraries()
    from ctviz import work
    from ctviz.models.loading import load

    loaded = load(options.model, device=options.device)
    work.check_edges(loaded, options.edges)
    folder = new_folder(_out(options), f"discover-{task.key}-{Path(options.model).name.lower()}")
    try:
        result = work.discover(
            loaded,
            task.key,
            folder,
            edges=options.edges,
            examples=options.examples,
            ablation=options.ablation,
            seed=options.seed,
            prune=options.prune,
        )
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    lines = [
        f"{result['n_circuit_edges']} of {result['n_edges']:,} edges on {result['examples']} pairs",
        f"metric: {result['metric_clean']:+.3f} clean, {result['metric_corrupt']:+.3f} corrupt, "
        f"{result['metric_circuit']:+.3f} circuit alone",
        f"faithfulness: {result['faithfulness']:.3f} (random circuits of that size: "
        f"{result['random_faithfulness']:.3f})",
        f"scores: {result['scores']}",
    ]
    return _answer(options, result, "\n".join(lines))


def _tune(options: argparse.Namespace) -> int:
    resumed = open_run(options.resume, _out(options)) if options.resume else None
    if resumed is not None and resumed.status().live:
        raise CtvizError(f"{resumed.id} is still running; there is nothing to resume.")
    if resumed is not None and resumed.status().state == "finished":
        raise CtvizError(f"{resumed.id} is finished; there is nothing to resume.")
    config = (
        resumed.config
        if resumed
        else TuneConfig(
            **{name: getattr(options, name) for name in DEFAULTS if hasattr(options, name)}
        )
    )
    _quiet_libraries()
    from tqdm import tqdm

    from ctviz import work
    from ctviz.models.loading import load

    loaded = load(config.model, device=config.device)
    work.check_edges(loaded, config.edges)
    name = f"{config.task}-{Path(config.model).name.lower()}-{config.method}"
    if resumed:
        resumed.announce()
    folder = resumed.folder if resumed else new_folder(_out(options), name)
    with tqdm(total=config.steps, unit="step", file=sys.stderr, disable=None) as bar:

        def progress(step: int, steps: int, message: str) -> None:
            bar.update(step - bar.n)
            bar.set_postfix_str(message)

        result = work.tune(
            config, folder, loaded=loaded, progress=progress, resume=resumed is not None
        )
    drift = result["max_outside_drift"]
    lines = [
        f"metric: {result['metric_before']:+.3f} before, {result['metric_after']:+.3f} after "
        f"{result['steps']} steps",
        f"accuracy: {result['accuracy_before']:.0%} before, {result['accuracy_after']:.0%} after",
        f"elsewhere: KL {result['retention_kl']:.4f} nats a token from the untuned model",
        f"trained: {result['trained_fraction']:.1%} of the parameters a step"
        + ("" if drift is None else f"; largest change outside the circuit: {drift}"),
        f"run: {result['folder']}",
    ]
    return _answer(options, result, "\n".join(lines))


def _runs(options: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    lines = []
    for run in list_runs(_out(options), places.assets() / "runs"):
        if isinstance(run, DamagedRun):
            rows.append({"state": "damaged", "error": str(run)})
            lines.append(f"{'damaged':12} {run}")
            continue
        row = _summary(run)
        rows.append(row)
        lines.append(f"{row['state']:12} {row['run']}  ({row['step']} of {row['steps']} steps)")
    if not rows:
        lines = ["There are no runs yet. `ctviz tune --task sva-flip` makes one."]
    return _answer(options, {"runs": rows}, "\n".join(lines))


def _show(options: argparse.Namespace) -> int:
    run = open_run(options.name, _out(options), places.assets() / "runs")
    damaged: list[DamagedRun] = []
    steps = [snapshot.step for snapshot in run.snapshots(damaged=damaged)]
    metrics = run.metrics()
    rows = metrics.astype(object).where(metrics.notna(), None).to_dict("records")
    result = _summary(run) | {
        "about": run.about,
        "snapshots": steps,
        "damaged": [str(error) for error in damaged],
        "metrics": rows,
    }
    measured = metrics.dropna(subset=["metric"]) if "metric" in metrics else metrics
    columns = [
        c
        for c in (
            "step",
            "metric",
            "accuracy",
            "faithfulness",
            "random_faithfulness",
            "retention_kl",
        )
        if c in measured
    ]
    text = f"{run.folder}\n{run.status().state}: {run.status().message}\n"
    if columns:
        text += measured[columns].to_string(index=False, float_format=lambda x: f"{x:.3f}")
    text += "".join(f"\ndamaged: {error}" for error in damaged)
    return _answer(options, result, text)


def _bench(options: argparse.Namespace) -> int:
    if options.what == "app":
        from ctviz.bench.app import bench_app

        result = bench_app()
    else:
        _quiet_libraries()
        from ctviz.bench.attribution import bench_attribution
        from ctviz.bench.tuning import bench_tuning

        if options.what == "tuning":
            result = bench_tuning(device=options.device)
        else:
            result = bench_attribution(
                options.shape, batch=options.batch, tokens=options.tokens, device=options.device
            )
    return _answer(options, result, json.dumps(result, indent=2))


def _app(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "streamlit", "run", str(places.project() / "app.py")]
    command += ["--server.address", "127.0.0.1", "--server.port", str(options.port)]
    command += ["--server.headless", "true" if options.headless else "false"]
    environment = {**os.environ, "CTVIZ_RUNS": str(_out(options).resolve())}
    os.chdir(places.project())  # Streamlit reads .streamlit in the folder that it is started in
    os.execve(sys.executable, command, environment)  # becomes the server: ending it ends all


# ---------------------------------------------------------------------- pieces


def _summary(run: Run) -> dict[str, Any]:
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


def _out(options: argparse.Namespace) -> Path:
    return Path(options.out).expanduser() if options.out else places.runs()


def _answer(options: argparse.Namespace, result: dict[str, Any], text: str) -> int:
    print(json.dumps(result, ensure_ascii=False) if options.json else text)
    return 0


def _quiet_libraries() -> None:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # our own error says it all


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ctviz",
        description="Find a language model's circuit, tune only that circuit, watch it change.",
    )
    parser.add_argument("--version", action="version", version=f"ctviz {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("--json", action="store_true", help="print one JSON object")
        made.add_argument("--verbose", action="store_true", help="log to standard error")
        return made

    def out(made: argparse.ArgumentParser, text: str) -> None:
        made.add_argument("--out", metavar="FOLDER", help=f"{text} (default: ./ctviz-runs)")

    def engine(made: argparse.ArgumentParser, task: str, edges: int) -> None:
        made.add_argument("--model", default="tiny", help="short name, hub id or folder (tiny)")
        made.add_argument("--task", default=task, help=f"see `ctviz tasks` ({task})")
        made.add_argument("--seed", type=int, default=0, help="seed of every random draw (0)")
        made.add_argument("--edges", type=int, default=edges, help=f"circuit size ({edges})")
        made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
        made.add_argument(
            "--ablation",
            default="counterfactual",
            choices=ABLATIONS,
            help="what corrupting means (counterfactual)",
        )
        out(made, "folder in which the result gets a folder of its own; nothing is overwritten")

    models = command("models", _models, "List known models, fetch one, or train the bundled one.")
    models.set_defaults(action="list")
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    fetch = actions.add_parser("fetch", help="bring a known model's weights into the cache")
    fetch.add_argument("name")
    train = actions.add_parser("train-tiny", help="train the bundled model from scratch")
    train.add_argument("--out", required=True, metavar="FOLDER", help="where to put it")
    train.add_argument("--seed", type=int, default=0)
    for made in (fetch, train):
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        made.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS)

    tasks = command("tasks", _tasks, "List the tasks, or explain one with examples.")
    tasks.add_argument("name", nargs="?")

    discover = command("discover", _discover, "Score every edge and find the circuit.")
    engine(discover, "sva", 40)
    discover.add_argument("--examples", type=int, default=64, help="dev pairs (64)")
    discover.add_argument("--prune", action="store_true", help="drop edges on no input-logits path")

    tune = command("tune", _tune, "Tune a model, recording its circuit as it changes.")
    engine(tune, "sva-flip", DEFAULTS["edges"])
    tune.add_argument("--method", default="circuit", choices=METHODS, help="(circuit)")
    tune.add_argument("--steps", type=int, default=DEFAULTS["steps"], help="(60)")
    tune.add_argument("--batch-size", type=int, default=DEFAULTS["batch_size"])
    tune.add_argument("--learning-rate", type=float, default=DEFAULTS["learning_rate"])
    tune.add_argument("--optimizer", default="adamw", choices=("adamw", "sgd"))
    tune.add_argument("--weight-decay", type=float, default=0.0)
    tune.add_argument("--max-norm", type=float, default=1.0, help="gradient clipping (1.0)")
    tune.add_argument("--examples", type=int, default=DEFAULTS["examples"], help="dev pairs")
    tune.add_argument("--snapshot-every", type=int, default=0, help="steps; 0: about 20 a run (0)")

    tune.add_argument("--resume", metavar="RUN", help="go on with a run; its own settings hold")

    runs = command("runs", _runs, "List the runs, damaged ones included.")
    out(runs, "folder with the runs")
    show = command("show", _show, "Show one run in numbers.")
    show.add_argument("name", metavar="RUN", help="its id, or its folder")
    out(show, "folder with the runs")
    bench = command("bench", _bench, "Measure this machine; results are ratios where they can be.")
    bench.add_argument("what", choices=("attribution", "tuning", "app"))
    bench.add_argument("--shape", default="gpt2-small", help="tiny, smollm2-135m or gpt2-small")
    bench.add_argument("--batch", type=int, default=16)
    bench.add_argument("--tokens", type=int, default=16)
    bench.add_argument("--device", default="auto")
    app = command("app", _app, "Open the app in a browser.")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument("--headless", action="store_true", help="do not open a browser")
    out(app, "folder with the runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
