"""The command that writes what a run has made into formats that other programs read."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ctviz import paths
from ctviz.cli.folders import add_out, out_folder
from ctviz.cli.options import Commands, add_command
from ctviz.cli.output import answer, quiet_libraries, size
from ctviz.errors import CtvizError, DamagedRun, OutOfRange, RunExists
from ctviz.extras import need
from ctviz.files import not_written, write_bytes
from ctviz.runs import Run, open_run
from ctviz.views.view import View

FILES = {
    "html": "a replay that plays by itself in a browser, offline",
    "gif": "all snapshots as an animation",
    "png": "a picture of one snapshot",
    "svg": "the same as vectors",
    "circuit": "scores and circuit of one snapshot as EAP-IG and MIB read them (JSON)",
}
FOLDERS = {
    "csv": "metrics, nodes, edges and dynamics as CSV",
    "parquet": "the same as Parquet",
    "model": "the tuned model, as transformers loads it",
}


def add_commands(commands: Commands) -> None:
    export = add_command(
        commands, "export", export_command, "Write what a run has made into other formats."
    )
    export.add_argument("run_name", metavar="RUN", help="its id, or its folder")
    for kind, text in FILES.items():
        export.add_argument(f"--{kind}", metavar="FILE", help=text)
    for kind, text in FOLDERS.items():
        export.add_argument(f"--{kind}", metavar="FOLDER", help=text)
    export.add_argument(
        "--changed", action="store_true", help="with --model: only the tensors that changed"
    )
    export.add_argument(
        "--needed",
        action="store_true",
        help="with --model: only the updates that `ctviz causes` has found to be enough",
    )
    export.add_argument(
        "--step", type=int, help="of pictures and circuit: the nearest snapshot (the last)"
    )
    export.add_argument("--node", metavar="NAME[,NAME...]", help="nodes to select, such as a1.h3")
    export.add_argument("--edges", type=int, help="how many edges to show (all of the circuit)")
    export.add_argument(
        "--theme", default="light", choices=("light", "dark"), help="of pictures (light)"
    )
    add_out(export, "folder with the runs")


def export_command(options: argparse.Namespace) -> int:
    """Write everything that was asked for, or nothing."""
    run = open_run(options.run_name, out_folder(options), paths.shipped_runs())
    asked = _asked(options)
    _check(options, asked)
    view = _view(options, run)
    damaged: list[DamagedRun] = []
    notes: list[str] = []
    result: dict[str, Any] = {"run": run.id, "files": []}
    lines = []
    with _room(asked):
        if "model" in asked:
            from ctviz.tuning.tuned_model import check_model, export_model, needed_updates

            check_model(run, asked["model"])
            chosen = needed_updates(run, paths.runs()) if options.needed else None
        made = _contents(run, asked, view, options.theme, damaged, notes)
        if "model" in asked:  # before the files: it can still fail
            quiet_libraries()
            written = export_model(
                run, asked["model"], changed_only=options.changed, updates_of=chosen
            )
            result |= written
            lines.append(
                f"{written['folder']}: {written['changed']} tensors differ from the untuned model"
                + ("" if chosen is None else f", by the updates of {len(chosen)} nodes")
            )
        for kind, path, content, step in made:
            write_bytes(path, content)
            row = {"kind": kind, "path": str(path), "bytes": len(content)}
            if step is not None:
                row["step"] = step
            result["files"].append(row)
            shown = f"step {step}, " if step is not None else ""
            lines.append(f"{path}: {shown}{size(len(content))}")
    notes += [f"A snapshot is left out: {text}" for text in dict.fromkeys(map(str, damaged))]
    result["notes"] = notes
    return answer(options, result, "\n".join([*lines, *notes]))


def _asked(options: argparse.Namespace) -> dict[str, Path]:
    """The places that were named, by kind."""
    asked = {}
    for kind in (*FILES, *FOLDERS):
        text = getattr(options, kind)
        if text is None:
            continue
        if not text:
            raise CtvizError(f"--{kind} is empty: name a {'file' if kind in FILES else 'folder'}.")
        try:
            asked[kind] = Path(text).expanduser()
        except RuntimeError as error:  # ~ of somebody unknown
            raise CtvizError(f"--{kind} {text}: {error} Write the path out.") from error
    return asked


def _check(options: argparse.Namespace, asked: dict[str, Path]) -> None:
    """Raise before anything is computed if something is missing or would be overwritten."""
    if not asked:
        flags = ", ".join(f"--{kind}" for kind in (*FILES, *FOLDERS))
        raise CtvizError(f"Nothing was asked for. Give at least one of {flags}.")
    if {"png", "svg", "gif"} & asked.keys():
        need("pictures", "A picture of a run")
    for name in ("changed", "needed"):
        if getattr(options, name) and "model" not in asked:
            raise CtvizError(f"--{name} says what --model writes, but there is no --model.")
    seen: dict[str, Path] = {}
    for kind, path in asked.items():
        try:
            place = path.resolve()
            there, folder = path.exists(), path.is_dir()
            full = folder and any(path.iterdir())
        except RuntimeError as error:  # links in a circle
            raise CtvizError(f"{path} leads nowhere: {error}. Choose another place.") from error
        except OSError as error:
            raise not_written(path, error) from error
        if kind in FILES and there:
            what = "is a folder" if folder else "is there already"
            raise RunExists(f"{path} {what}. Name another file.")
        if kind in FOLDERS and there and (full or not folder):
            raise RunExists(f"{path} is not an empty folder. Give another one.")
        for other, taken in seen.items():
            if place == taken:
                raise CtvizError(f"--{other} and --{kind} both name {path}. Name another one.")
            if taken in place.parents or place in taken.parents:
                raise CtvizError(
                    f"--{other} {asked[other]} and --{kind} {path} lie one in the other. Give each "
                    "a place of its own."
                )
        seen[kind] = place


@contextmanager
def _room(asked: dict[str, Path]) -> Iterator[None]:
    """Make the folders that files go into, and see that something can be written there.

    What was made and stays empty is taken away again if anything goes wrong. Raises DiskFull.
    """
    made: list[Path] = []
    try:
        for kind, path in asked.items():
            folder = path if kind in FOLDERS else path.parent
            try:
                made[:0] = [each for each in (folder, *folder.parents) if not each.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                # named as `write_bytes` names what it writes first, which is longer than the name
                with tempfile.NamedTemporaryFile(
                    dir=folder, prefix=f".{path.name}.", suffix=".part"
                ):
                    pass
            except OSError as error:
                raise not_written(path, error) from error
        yield
    except BaseException:
        for place in made:
            with suppress(OSError):  # not empty, or not there
                place.rmdir()
        raise


def _view(options: argparse.Namespace, run: Run) -> View:
    nodes = tuple(node for node in (options.node or "").split(",") if node)
    if run.graph is not None:
        for node in nodes:
            run.graph.node(node)  # raises UnknownName
    if options.edges is not None and options.edges < 1:
        raise OutOfRange("--edges", options.edges, 1, None)
    return View(step=options.step, nodes=nodes, edges=options.edges)


def _contents(
    run: Run,
    asked: dict[str, Path],
    view: View,
    theme: Any,
    damaged: list[DamagedRun],
    notes: list[str],
) -> list[tuple[str, Path, bytes, int | None]]:
    """Kind, place, content and step of every file to write, computed before any is written."""
    from ctviz import export
    from ctviz.runs.snapshot import nearest_snapshot

    made: list[tuple[str, Path, bytes, int | None]] = []
    steps: list[int] = []
    for kind, path in asked.items():
        if kind == "html":
            made.append((kind, path, export.make_replay(run, view, damaged=damaged), None))
        elif kind in ("png", "svg"):
            shown = export.draw_picture(run, kind, view, theme=theme, damaged=damaged)  # type: ignore[arg-type]
            made.append((kind, path, shown.content, shown.step))
            steps.append(shown.step)
        elif kind == "gif":
            film = export.draw_animation(run, view, theme=theme, damaged=damaged)
            made.append((kind, path, film.content, None))
            if view.step is not None and not {"html", "png", "svg", "circuit"} & asked.keys():
                notes.append(f"{path} shows every step, so --step makes no difference to it.")
            if film.frames < film.snapshots:
                notes.append(
                    f"{path} shows {film.frames} of {film.snapshots} snapshots, evenly spread."
                )
        elif kind == "circuit":
            circuit = export.circuit_file(run, view.step, damaged=damaged)
            made.append((kind, path, circuit.content, circuit.step))
            steps.append(circuit.step)
            if circuit.d_model is None:
                notes.append(
                    f"{path} has no d_model, since the model's config is not on this machine; "
                    "EAP-IG's newer reader asks for it in cfg."
                )
            if circuit.shared:
                notes.append(
                    f"{path}: heads share keys or values here, and each is given an equal share of "
                    "the score of an edge into them, which changes rankings. `ctviz discover "
                    "--eap-json` writes the scores head by head."
                )
        elif kind in ("csv", "parquet"):
            files = export.table_files(run, kind, damaged=damaged)  # type: ignore[arg-type]
            made += [(kind, path / name, content, None) for name, content in files.items()]
    if view.step is not None and not steps and "html" in asked:
        own = [snapshot.step for snapshot in run.snapshots()]
        steps.append(own[nearest_snapshot(own, view.step)])
    if view.step is not None and steps and steps[0] != view.step:
        notes.insert(0, f"Step {view.step} has no snapshot; the nearest is step {steps[0]}.")
    return made
