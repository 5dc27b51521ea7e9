"""The command that lists models, fetches one, or trains a bundled one."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer, quiet_libraries
from ctviz.cli.underway import underway
from ctviz.errors import CtvizError
from ctviz.models.families import FAMILIES
from ctviz.models.known import KNOWN


def add_commands(commands: Commands) -> None:
    models = add_command(
        commands,
        "models",
        models_command,
        "List known models, fetch one, or train a bundled one.",
    )
    models.set_defaults(action="list")
    models.add_argument("--families", action="store_true", help="list the supported families")
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    fetch = actions.add_parser("fetch", help="bring a known model's weights into the cache")
    fetch.add_argument("name")
    trained = []
    for name, what in (
        ("train-tiny", "train the bundled model from scratch"),
        ("train-two-layer", "train two layers of attention until an induction head forms"),
    ):
        train = actions.add_parser(name, help=what)
        train.add_argument("--out", required=True, metavar="FOLDER", help="where to put it")
        train.add_argument("--seed", type=int, default=0)
        train.add_argument(
            "--checkpoints",
            type=int,
            metavar="N",
            help="how many to keep, log-spaced, as FOLDER/checkpoint-STEP (%(default)s)",
            default=0 if name == "train-tiny" else 18,
        )
        trained.append(train)
    for made in (fetch, *trained):
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
        made.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS)


def models_command(options: argparse.Namespace) -> int:
    if options.families:
        return _families(options)
    if options.action == "fetch":
        return _fetch(options)
    if options.action in ("train-tiny", "train-two-layer"):
        return _train(options)
    known = [
        {
            "name": model.key,
            "title": model.title,
            "parameters": model.parameters,
            "family": model.family,
            "ready": model.ready,
            "hub": model.hub,
            "license": model.license,
            "gated": model.gated,
            "download_mb": model.download,
            "memory_gb": model.memory,
        }
        for model in KNOWN.values()
    ]
    lines = []
    for model in KNOWN.values():
        state = "ready" if model.ready else "not fetched"
        terms = f"; {model.terms}" if model.terms else ""
        lines.append(f"{model.key:14} {state:12} {model.title}, {model.parameters}{terms}")
    lines.append(
        "What is not fetched comes when it is first used, smollm2-135m by `ctviz models fetch`. "
        "Any other supported model: by hub id (owner/name) or local folder."
    )
    return answer(options, {"models": known}, "\n".join(lines))


def _families(options: argparse.Namespace) -> int:
    families = [{"model_type": f.model_type, "title": f.title} for f in FAMILIES.values()]
    lines = [f"{row['model_type']:14} {row['title']}" for row in families]
    return answer(options, {"families": families}, "\n".join(lines))


def _fetch(options: argparse.Namespace) -> int:
    quiet_libraries()
    from ctviz.models.fetching import fetch

    with underway():
        folder = fetch(options.name)
    return answer(options, {"model": options.name, "folder": str(folder)}, f"{folder}")


def _train(options: argparse.Namespace) -> int:
    folder = Path(options.out)
    if (folder / "model.safetensors").exists():
        raise CtvizError(f"{folder} already holds a model. Give another folder with --out.")
    logging.getLogger("ctviz").setLevel(logging.INFO)
    if options.action == "train-tiny":
        from ctviz.models.tiny.train import train as train_tiny

        card = train_tiny(folder, seed=options.seed, checkpoints=options.checkpoints)
    else:
        from ctviz.models.two_layer.train import train

        card = train(folder, seed=options.seed, checkpoints=options.checkpoints)
    return answer(options, {"folder": str(folder), "card": card}, f"{folder}")
