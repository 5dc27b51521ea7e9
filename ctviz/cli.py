"""The command line: the engine without a browser.

Results go to standard output (one JSON object with ``--json``), progress and logs to standard
error. torch is imported only by the commands that compute.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctviz import __version__, places
from ctviz.config import ABLATIONS, ATTRIBUTIONS, METHODS, METRICS, Attribution, TuneConfig
from ctviz.errors import CtvizError, DamagedRun
from ctviz.models.families import FAMILIES
from ctviz.models.known import KNOWN
from ctviz.runs import Run, list_runs, new_folder, open_run
from ctviz.selection import SELECTIONS, check_edges
from ctviz.tasks import TASKS, find_task

if TYPE_CHECKING:
    from ctviz.models.loading import Loaded

__all__ = ["main"]

DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in TuneConfig.__dataclass_fields__.items()
}

METHOD_HELP = "to first order, the same along a path of inputs, or by corrupting each edge"
ESTIMATORS = (
    "needed edges: those in a circuit, or the fewest with --tau of the total |score| (mass)"
)
UNSURE = 0.5  # a standard error of faithfulness from which on it is said to mean little


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
    if options.families:
        families = [{"model_type": f.model_type, "title": f.title} for f in FAMILIES.values()]
        lines = [f"{row['model_type']:14} {row['title']}" for row in families]
        return _answer(options, {"families": families}, "\n".join(lines))
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
        for p in pairs:
            lines.append(f"  clean   {p.clean!r}: {p.answer!r}, not {p.foil!r}")
            lines.append(f"  corrupt {p.corrupt!r}")
        rows = [row for row in rows if row["name"] == task.key]
    return _answer(options, {"tasks": rows}, "\n".join(lines))


def _discover(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    if (options.threshold is None) == (options.select == "threshold"):
        raise CtvizError("--select threshold and --threshold SIZE go together: give both or none.")
    _quiet_libraries()
    from ctviz import findings

    loaded = _load(options)
    with _folder(options, f"discover-{task.key}-{Path(options.model).name.lower()}") as folder:
        result = findings.discover(
            loaded,
            task.key,
            folder,
            select=options.select,
            edges=options.edges,
            threshold=options.threshold or 0.0,
            prune=options.prune,
            method=options.method,
            eap_json=options.eap_json,
            **_setting(options),
        )
    dropped = result["examples_dropped"]
    if result["n_circuit_edges"] == 0:
        found = f"nothing: the largest |score| is {result['largest_score']:.3g}"
    else:
        found = f"strongest by {result['method']}: score ± standard error, in units of the metric"
    lines = [
        *_circuit_lines(result),
        *([f"pairs left out, as their tokens do not match: {dropped}"] if dropped else []),
        found,
        *(
            f"  {_signed(row['score'])}{_give_or_take(row['error'])}  {row['edge']}"
            for row in result["strongest"]
        ),
        f"written: {Path(result['scores']).parent}",
    ]
    return _answer(options, result, "\n".join(lines))


def _evaluate(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    _quiet_libraries()
    from ctviz import findings

    result = findings.evaluate_file(
        _load(options),
        task.key,
        Path(options.circuit),
        draws=options.draws,
        minimality=options.minimality,
        **_setting(options),
    )
    lines = [
        *_circuit_lines(result),
        f"completeness: all other edges carry {result['completeness']:z.3f}"
        f"{_give_or_take(result['completeness_error'])} (0: nothing is left out)",
    ]
    if "minimality" in result:
        lines.append("minimality: what the circuit loses without one edge, least first")
        lines += [
            f"  {_signed(row['lost'])}{_give_or_take(row['error'])}  {row['edge']}"
            for row in result["minimality"]
        ]
    return _answer(options, result, "\n".join(lines))


def _curve(options: argparse.Namespace) -> int:
    tasks = [find_task(key).key for key in dict.fromkeys(options.task or ["sva"])]
    # eap finds nothing with kl: its gradient is zero
    usual: list[Attribution] = ["eap-ig"] if options.metric == "kl" else ["eap", "eap-ig"]
    _quiet_libraries()
    from ctviz import findings

    loaded = _load(options)
    with _folder(options, f"curve-{'-'.join(tasks)}-{Path(options.model).name.lower()}") as folder:
        result = findings.faithfulness_curves(
            loaded,
            tasks,
            folder,
            methods=list(dict.fromkeys(options.method or usual)),
            draws=options.draws,
            progress=lambda text: print(text, file=sys.stderr),
            **_setting(options),
        )
    lines = [
        f"CPR, area under faithfulness (1: all of it), and CMD, area between it and 1 (0: none);"
        f" {result['metric_name']}, {result['ablation']} ablation",
    ]
    lines += [
        f"  {row['task']:10} {row['method']:8} CPR {_signed(row['cpr'])}  CMD {row['cmd']:.3f}"
        f"  {row['examples']} dev pairs"
        for row in result["areas"]
    ]
    lines += [f"figure: {result['figure']}", f"table: {result['table']}"]
    return _answer(options, result, "\n".join(lines))


def _audit(options: argparse.Namespace) -> int:
    task = find_task(options.task)
    _quiet_libraries()
    from ctviz import findings

    loaded = _load(options)
    result = findings.audit_redundancy(
        loaded,
        task.key,
        estimator=options.estimator,
        tau=options.tau,
        edges=options.edges,
        node=options.node,
        method=options.method,
        draws=options.draws,
        **_setting(options),
    )
    lines = [
        f"{result['node'] or 'all nodes'}, {result['estimator']}: {result['redundant']:,} incoming "
        f"edges redundant, {result['needed']:,} needed",
        _metric_line(result),
        "share of the behaviour that is lost (0: none, 1: all of it) by corrupting",
    ]
    for row in result["rows"]:
        which = f"{'all' if row['whole'] else '':3} {row['edges']:,} {row['which']}"
        over = "pairs" if row["draws"] == 1 else f"{row['draws']} draws"
        spread = _give_or_take(row["spread"])
        lines.append(
            f"  {which:20} {_signed(row['change'])}{spread}{f' over {over}' if spread else ''}"
        )
    lines.append("± over pairs: the standard error; over draws: their standard deviation")
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
    check_edges(loaded.anatomy.graph, config.edges, hint=f"({loaded.name})")
    name = f"{config.task}-{Path(config.model).name.lower()}-{config.method}"
    if resumed:
        resumed.announce()
    folder = resumed.folder if resumed else _make_folder(_out(options), name)
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
        from ctviz.bench.scaling import bench_scaling
        from ctviz.bench.tuning import bench_tuning

        shared = {"batch": options.batch, "tokens": options.tokens, "method": options.method}
        if options.what == "tuning":
            result = bench_tuning(device=options.device)
        elif options.what == "scaling":
            result = bench_scaling(**shared, device=options.device)
        else:
            result = bench_attribution(options.shape, **shared, device=options.device)
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


def _load(options: argparse.Namespace) -> Loaded:
    import torch

    from ctviz.models.loading import load

    return load(options.model, device=options.device, dtype=getattr(torch, options.dtype))


def _setting(options: argparse.Namespace) -> dict[str, Any]:
    """What every question about a circuit takes."""
    return {
        "metric": options.metric,
        "ablation": options.ablation,
        "examples": options.examples,
        "seed": options.seed,
    }


@contextmanager
def _folder(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """A new folder for a result; what was made for it and stays empty is taken away again."""
    out = _out(options)
    made = [place for place in (out, *out.parents) if not place.exists()]
    folder = _make_folder(out, name)
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # not empty: it stays
            for place in (folder, *made):
                place.rmdir()
        raise


def _make_folder(out: Path, name: str) -> Path:
    try:
        return new_folder(out, name)
    except OSError as error:
        if isinstance(error, CtvizError):
            raise
        raise CtvizError(
            f"No folder can be made in {out}: {error.strerror}. Give another one with --out."
        ) from error


def _signed(value: float) -> str:
    return f"{value:+z.3f}"


def _give_or_take(error: float | None) -> str:
    return "" if error is None else f" ± {error:.3f}"


def _metric_line(result: dict[str, Any]) -> str:
    line = (
        f"metric {result['metric']}: {_signed(result['metric_clean'])} clean, "
        f"{_signed(result['metric_corrupt'])} all corrupted ({result['ablation']})"
    )
    if "metric_circuit" in result:
        line += f", {_signed(result['metric_circuit'])} circuit alone"
    return line


def _circuit_lines(result: dict[str, Any]) -> list[str]:
    error = result["faithfulness_error"]
    lines = [
        f"{result['n_circuit_edges']} of {result['n_edges']:,} edges of {result['model']}, "
        f"{result['task']}, {result['examples']} dev pairs",
        _metric_line(result),
        f"faithfulness: {result['faithfulness']:z.3f}{_give_or_take(error)} of the behaviour "
        f"(random circuits of that size: {result['random_faithfulness']:z.3f}"
        f"{_give_or_take(result['random_spread'])} over {result['draws']} draws)",
    ]
    if error is not None and error > UNSURE:
        lines.append("  but clean and corrupt hardly differ here, so shares of it say little")
    return lines


def _seed(text: str) -> int:
    """A seed as all random generators here take it."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _out(options: argparse.Namespace) -> Path:
    return Path(options.out).expanduser() if options.out else places.runs()


def _answer(options: argparse.Namespace, result: dict[str, Any], text: str) -> int:
    print(json.dumps(_strict(result), ensure_ascii=False) if options.json else text)
    return 0


def _strict(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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

    def model(made: argparse.ArgumentParser) -> None:
        made.add_argument("--model", default="tiny", help="short name, hub id or folder (tiny)")
        made.add_argument("--seed", type=_seed, default=0, help="seed of every random draw (0)")
        made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
        made.add_argument(
            "--ablation",
            default="counterfactual",
            choices=ABLATIONS,
            help="corrupting sets what a node writes to that of the counterfactual prompt, to its "
            "mean or to zero (counterfactual)",
        )

    def task(made: argparse.ArgumentParser, default: str) -> None:
        made.add_argument("--task", default=default, help=f"see `ctviz tasks` ({default})")

    def edges(made: argparse.ArgumentParser, default: int) -> None:
        made.add_argument("--edges", type=int, default=default, help=f"circuit size ({default})")

    def question(made: argparse.ArgumentParser, examples: int) -> None:
        made.add_argument(
            "--metric",
            default="logit_difference",
            choices=METRICS,
            help="what is to be explained; kl is the distance from the clean run "
            "(logit_difference)",
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

    def method(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--method", default="eap", choices=ATTRIBUTIONS, help=METHOD_HELP + " (eap)"
        )

    def draws(made: argparse.ArgumentParser, default: int) -> None:
        made.add_argument(
            "--draws",
            type=int,
            default=default,
            help=f"random draws to compare with ({default})",
        )

    place = "folder in which the result gets a folder of its own; nothing is overwritten"
    models = command("models", _models, "List known models, fetch one, or train the bundled one.")
    models.set_defaults(action="list")
    models.add_argument("--families", action="store_true", help="list the supported families")
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
    model(discover)
    task(discover, "sva")
    edges(discover, 40)
    question(discover, 64)
    method(discover)
    discover.add_argument(
        "--select",
        default="top",
        choices=list(SELECTIONS),
        help="largest |score|, |score| above --threshold, or grown back from the logits (top)",
    )
    discover.add_argument("--threshold", type=float, help="for --select threshold")
    discover.add_argument("--prune", action="store_true", help="drop edges on no input-logits path")
    discover.add_argument(
        "--eap-json", action="store_true", help="also write circuit.json as EAP-IG and MIB read it"
    )
    out(discover, place)

    evaluate = command("evaluate", _evaluate, "Test a circuit that is in a file, ours or EAP-IG's.")
    evaluate.add_argument(
        "circuit", metavar="CIRCUIT.json", help="made by `ctviz discover --eap-json`, or by EAP-IG"
    )
    model(evaluate)
    task(evaluate, "sva")
    question(evaluate, 64)
    draws(evaluate, 5)
    evaluate.add_argument(
        "--minimality", action="store_true", help="what is lost without each edge; a run for each"
    )

    curve = command("curve", _curve, "Draw faithfulness over circuit sizes, with CPR and CMD.")
    model(curve)
    curve.add_argument("--task", action="append", help="may be given several times (sva)")
    curve.add_argument(
        "--method",
        action="append",
        choices=ATTRIBUTIONS,
        help=METHOD_HELP + "; may be given several times (eap and eap-ig)",
    )
    question(curve, 32)
    draws(curve, 3)
    out(curve, place)

    audit = command("audit", _audit, "Corrupt what nodes are said to do without, and look.")
    model(audit)
    task(audit, "sva")
    audit.add_argument("--node", help="such as a1.h3 or m2 (all nodes at once)")
    audit.add_argument("--estimator", default="mass", choices=("circuit", "mass"), help=ESTIMATORS)
    audit.add_argument("--tau", type=float, default=0.9, help="share of the total |score| (0.9)")
    edges(audit, 40)
    question(audit, 64)
    method(audit)
    draws(audit, 5)

    tune = command("tune", _tune, "Tune a model, recording its circuit as it changes.")
    model(tune)
    task(tune, "sva-flip")
    edges(tune, DEFAULTS["edges"])
    out(tune, place)
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
    bench.add_argument("what", choices=("attribution", "scaling", "tuning", "app"))
    bench.add_argument("--shape", default="gpt2-small", help="tiny, smollm2-135m or gpt2-small")
    bench.add_argument("--batch", type=int, default=16, help="prompts (16)")
    bench.add_argument("--tokens", type=int, default=16, help="tokens a prompt (16)")
    bench.add_argument("--method", default="eap", choices=("eap", "eap-ig"), help="(eap)")
    bench.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    app = command("app", _app, "Open the app in a browser.")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument("--headless", action="store_true", help="do not open a browser")
    out(app, "folder with the runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
