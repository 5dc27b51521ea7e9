"""The options of every command."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ctviz import __version__
from ctviz.circuits.choices import ABLATIONS, ATTRIBUTIONS, METRICS
from ctviz.circuits.selection import SELECTIONS
from ctviz.cli.asking import audit_command, curve_command, discover_command, evaluate_command
from ctviz.cli.checking import check_command
from ctviz.cli.exporting import FILES, FOLDERS, export_command
from ctviz.cli.looking import app_command, models_command, runs_command, show_command, tasks_command
from ctviz.cli.tuning import DEFAULTS, bench_command, study_command, tune_command
from ctviz.jobs.study.plan import RATES
from ctviz.runs.config import CHOICES, METHODS, PAPER

METHOD_HELP = "to first order, the same along a path of inputs, or by corrupting each edge"
ESTIMATORS = (
    "needed edges: those in a circuit, or the fewest with --tau of the total |score| (mass)"
)


UNASKED = argparse.SUPPRESS


def _usual(name: str, text: str = "") -> str:
    """A help text with the default of a setting."""
    usual = DEFAULTS[name]
    shown = f"{usual:g}" if isinstance(usual, float) else str(usual)
    return f"{text} ({shown})".strip()


def _settings(made: argparse.ArgumentParser) -> None:
    """The settings of a tuning run that a study shares; what is not asked for is not there."""
    made.add_argument("--model", default=UNASKED, help="short name, hub id or folder (tiny)")
    made.add_argument(
        "--task",
        default=UNASKED,
        help="see `ctviz tasks`, or a file of examples: FILE[?column=theirs&...] (sva-flip)",
    )
    made.add_argument(
        "--paper",
        action="store_true",
        help="start from the settings of the circuit-tuning paper: "
        + ", ".join(f"{name} {value}" for name, value in PAPER.items()),
    )

    def add(name: str, text: str, kind: type = int) -> None:
        flag = f"--{name.replace('_', '-')}"
        known = CHOICES.get(name)
        help_text = _usual(name, text)
        if known:
            made.add_argument(flag, choices=known, default=UNASKED, help=help_text)
        else:
            made.add_argument(flag, type=kind, default=UNASKED, help=help_text)

    add("steps", "updates")
    add("edges", "circuit size")
    add("select", "its edges of largest |score|, or all above --threshold")
    add("threshold", "for --select threshold, in units of the metric", float)
    add("edges_end", "circuit size at the last step; 0: as at the first")
    add("edges_course", "how the size gets there")
    add("rediscover", "steps between discoveries of the circuit")
    add("ablation", "corrupting sets what a node writes to the counterfactual's, its mean or zero")
    add("lora_rank", "rank of LoRA's adapters")
    add("batch_size", "examples a step")
    add("micro_batch", "examples run at a time, gradients added up; 0: all")
    add("objective", "cross-entropy of the target, of prompt and target, or of both weighted")
    add("target_weight", "how much a target token counts, for --objective weighted", float)
    add("warmup", "steps in which the learning rate rises")
    add("rate_course", "of the learning rate after that; linear and cosine go to zero")
    add("optimizer", "")
    add("weight_decay", "", float)
    add("max_norm", "gradients are scaled down to this norm; 0: never", float)
    add("precision", "of the training step's matrix products; weights stay in float32")
    add("examples", "dev examples that snapshots are computed on")
    add("snapshot_every", "steps between snapshots; 0: about 20 a run")
    made.add_argument("--device", default=UNASKED, help="auto, cpu, cuda or mps (auto)")


def _seed(text: str) -> int:
    """A seed as all random generators here take it."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def build_parser() -> argparse.ArgumentParser:
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
    models = command(
        "models", models_command, "List known models, fetch one, or train the bundled one."
    )
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

    tasks = command("tasks", tasks_command, "List the tasks, or explain one with examples.")
    tasks.add_argument("name", nargs="?")

    check = command("check", check_command, "Check a file of your own, and mend it.")
    check.add_argument("file", metavar="FILE[?column=theirs&...]", help="JSONL, JSON or CSV")
    check.add_argument("--model", default="tiny", help="whose tokenizer reads it (tiny)")
    check.add_argument("--fix", metavar="OUT.jsonl", help="write a mended file")
    check.add_argument("--how", metavar="drop,pad", help="ways to mend: drop, pad or both (drop)")

    discover = command("discover", discover_command, "Score every edge and find the circuit.")
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

    evaluate = command(
        "evaluate", evaluate_command, "Test a circuit that is in a file, ours or EAP-IG's."
    )
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

    curve = command(
        "curve", curve_command, "Draw faithfulness over circuit sizes, with CPR and CMD."
    )
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

    audit = command("audit", audit_command, "Corrupt what nodes are said to do without, and look.")
    model(audit)
    task(audit, "sva")
    audit.add_argument("--node", help="such as a1.h3 or m2 (all nodes at once)")
    audit.add_argument("--estimator", default="mass", choices=("circuit", "mass"), help=ESTIMATORS)
    audit.add_argument("--tau", type=float, default=0.9, help="share of the total |score| (0.9)")
    edges(audit, 40)
    question(audit, 64)
    method(audit)
    draws(audit, 5)

    tune = command("tune", tune_command, "Tune a model, recording its circuit as it changes.")
    _settings(tune)
    tune.add_argument("--method", choices=METHODS, default=UNASKED, help=_usual("method"))
    tune.add_argument("--learning-rate", type=float, default=UNASKED, help=_usual("learning_rate"))
    tune.add_argument("--seed", type=_seed, default=UNASKED, help="seed of every draw (0)")
    tune.add_argument(
        "--keep-weights",
        type=int,
        default=UNASKED,
        help="snapshots that keep their weights, evenly spread, the last one always; -1: as many "
        "as fit into 200 MB; 0: none (-1)",
    )
    tune.add_argument("--resume", metavar="RUN", help="go on with a run; its own settings hold")
    out(tune, place)

    study = command("study", study_command, "Compare tuning methods on a task, with a report.")
    _settings(study)
    study.add_argument(
        "--methods",
        default="circuit,full,lora,random",
        help=f"of {', '.join(METHODS)}, with commas between (circuit,full,lora,random)",
    )
    study.add_argument("--seeds", type=int, default=3, help="runs a method (3)")
    study.add_argument(
        "--rates",
        help="learning rates to choose from on the dev split, ten times as large for lora "
        f"({','.join(f'{rate:g}' for rate in RATES)})",
    )
    study.add_argument("--resume", metavar="FOLDER", help="go on with a study")
    out(study, place)

    export = command("export", export_command, "Write what a run has made into other formats.")
    export.add_argument("run_name", metavar="RUN", help="its id, or its folder")
    for kind, text in FILES.items():
        export.add_argument(f"--{kind}", metavar="FILE", help=text)
    for kind, text in FOLDERS.items():
        export.add_argument(f"--{kind}", metavar="FOLDER", help=text)
    export.add_argument(
        "--changed", action="store_true", help="with --model: only the tensors that changed"
    )
    export.add_argument(
        "--step", type=int, help="of pictures and circuit: the nearest snapshot (the last)"
    )
    export.add_argument("--node", metavar="NAME[,NAME...]", help="nodes to select, such as a1.h3")
    export.add_argument("--edges", type=int, help="how many edges to show (all of the circuit)")
    export.add_argument(
        "--theme", default="light", choices=("light", "dark"), help="of pictures (light)"
    )
    out(export, "folder with the runs")

    runs = command("runs", runs_command, "List the runs, damaged ones included.")
    out(runs, "folder with the runs")
    show = command("show", show_command, "Show one run in numbers.")
    show.add_argument("name", metavar="RUN", help="its id, or its folder")
    out(show, "folder with the runs")
    bench = command(
        "bench", bench_command, "Measure this machine; results are ratios where they can be."
    )
    bench.add_argument(
        "what", choices=("attribution", "scaling", "tuning", "tasks", "app", "player")
    )
    bench.add_argument(
        "--shape",
        help="tiny, smollm2-135m or gpt2-small (gpt2-small; tuning: smollm2-135m)",
    )
    bench.add_argument("--batch", type=int, default=16, help="prompts (16)")
    bench.add_argument("--tokens", type=int, default=16, help="tokens a prompt (16)")
    bench.add_argument("--method", default="eap", choices=("eap", "eap-ig"), help="(eap)")
    bench.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    app = command("app", app_command, "Open the app in a browser.")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument("--headless", action="store_true", help="do not open a browser")
    out(app, "folder with the runs")
    return parser
