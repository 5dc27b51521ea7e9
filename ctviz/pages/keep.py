"""Keep: take a run home, as replay, picture, tables, circuit or model.

Nothing is made before it is asked for: each button's content is made when it is pressed.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
import streamlit as st

from ctviz.errors import CtvizError, MissingExtra
from ctviz.extras import lacking
from ctviz.models.known import resolve
from ctviz.pages.prompts import plain
from ctviz.pages.session import engine
from ctviz.runs import Run
from ctviz.runs.snapshot import nearest_snapshot
from ctviz.runs.weights import kept_steps, weights_of
from ctviz.views.recorded import RUNS
from ctviz.views.timeline import Timeline
from ctviz.views.view import View

__all__ = ["keep"]

LARGEST = 300_000_000  # bytes of weights that are sent through the browser
WIDTH = 420  # pixels


def keep(run: Run, view: View) -> None:
    """A button that opens the list of what can be taken home from a run as it is shown.

    Without a step in the view, it is the one that the player starts at.
    """
    box = st.popover("Keep", icon=":material/download:", on_change="rerun", key=f"keep-{run.id}")
    if not box.open:
        return
    # The package is loaded when the list is first opened: matplotlib takes a moment.
    from ctviz.export.origin import timeline_of

    with box, st.container(width=WIDTH):
        try:
            timeline = timeline_of(run)
        except CtvizError as error:
            st.info(plain(str(error)))
            return
        steps = timeline.steps
        usual = steps[-1] if run.status().live else steps[0]
        step = steps[nearest_snapshot(steps, usual if view.step is None else view.step)]
        shown = replace(view, step=step)
        st.markdown(f":small[Pictures, circuit and the start of the replay: step {step:,}]")
        _moving(run, shown, timeline)
        _still(run, shown)
        _tables(run, timeline)
        _circuit(run, step, timeline)
        _model(run)


def _moving(run: Run, view: View, timeline: Timeline) -> None:
    from ctviz import export

    count, theme, missing = len(timeline.steps), _theme(), _no_pictures()
    _offer(
        "Replay",
        f"{_file_name(run.id)}.html",
        "text/html",
        f"HTML, plays offline, {_size(_replay_bytes(run, timeline))}",
        lambda: export.make_replay(run, view),
        ":material/play_circle:",
    )
    _offer(
        "Animation",
        f"{_file_name(run.id)}.gif",
        "image/gif",
        missing or _about_animation(count),
        lambda: export.draw_animation(run, view, theme=theme).content,
        ":material/animated_images:",
        disabled=bool(missing),
    )


@lru_cache(maxsize=RUNS)
def _replay_bytes(run: Run, timeline: Timeline) -> int:
    """Size of the replay, made once for it as long as the run says the same."""
    from ctviz.export import make_replay

    return len(make_replay(run))


def _still(run: Run, view: View) -> None:
    from ctviz import export

    theme, name, missing = _theme(), f"{_file_name(run.id)}-step-{view.step}", _no_pictures()
    _offer(
        "PNG",
        f"{name}.png",
        "image/png",
        missing or _about_picture(),
        lambda: export.draw_picture(run, "png", view, theme=theme).content,
        ":material/image:",
        disabled=bool(missing),
    )
    _offer(
        "SVG",
        f"{name}.svg",
        "image/svg+xml",
        missing or "The same as vectors",
        lambda: export.draw_picture(run, "svg", view, theme=theme).content,
        ":material/shapes:",
        disabled=bool(missing),
    )


def _no_pictures() -> str:
    """Why there are no pictures here, in words; empty if there are."""
    packages = lacking("pictures")
    return str(MissingExtra("pictures", "A picture", packages)) if packages else ""


def _about_animation(snapshots: int) -> str:
    from ctviz.export import picture

    frames = len(picture.frames(snapshots))
    film = f"{frames} of {snapshots} snapshots" if frames < snapshots else f"{snapshots} frames"
    return f"GIF, {film}, {_pixels(picture.GIF_SIZE)}"


def _about_picture() -> str:
    from ctviz.export import picture

    return f"Picture, {_pixels(picture.SIZE)} pixels"


def _tables(run: Run, timeline: Timeline) -> None:
    from ctviz.export import table_files

    rows = len(timeline.steps) * int(timeline.circuit.any(axis=0).sum())
    _offer(
        "CSV",
        f"{_file_name(run.id)}-csv.zip",
        "application/zip",
        f"4 tables, {rows:,} rows of scores",
        lambda: _zip(table_files(run, "csv")),
        ":material/table:",
    )
    _offer(
        "Parquet",
        f"{_file_name(run.id)}-parquet.zip",
        "application/zip",
        "The same with types",
        lambda: _zip(table_files(run, "parquet")),
        ":material/table:",
    )


def _circuit(run: Run, step: int, timeline: Timeline) -> None:
    from ctviz.export import circuit_file

    finite = bool(np.isfinite(timeline.scores[timeline.steps.index(step)]).all())
    said = f"For EAP-IG and MIB, {timeline.graph.n_edges:,} edges"
    if timeline.graph.kv_heads != timeline.graph.n_heads:
        said += "; heads that share keys or values get equal shares of a score"
    _offer(
        "Circuit",
        f"{_file_name(run.id)}-step-{step}.json",
        "application/json",
        said if finite else "Scores of this step are not numbers, which the format cannot hold",
        lambda: circuit_file(run, step).content,
        ":material/account_tree:",
        disabled=not finite,
    )


def _model(run: Run) -> None:
    """The tuned model, if the run has kept it and it is not too large for a browser."""
    kept = weights_of(run, kept_steps(run)[-1])
    size = kept.stat().st_size if kept else 0
    reason = ""
    if run.config.method == "recorded":
        reason = "The models of a recording are where they were recorded"
    elif not kept:
        reason = "This run has kept no weights"
    elif run.status().state != "finished":
        reason = "Only a finished run has its tuned model ready"
    elif size > LARGEST:
        reason = f"{_size(size)} are too much for a browser: ctviz export {run.id} --model FOLDER"
    else:
        try:
            resolve(run.config.model)
        except CtvizError as error:
            reason = str(error)
    _offer(
        "Tuned model",
        f"{_file_name(run.id)}-model.zip",
        "application/zip",
        reason or f"For transformers, {_size(size)}",
        lambda: _zip(engine().ask("model_files", str(run.folder))),
        ":material/model_training:",
        disabled=bool(reason),
    )


def _offer(
    label: str,
    file_name: str,
    mime: str,
    said: str,
    make: Callable[[], bytes],
    icon: str,
    *,
    disabled: bool = False,
) -> None:
    """One thing to take home, and in words what it is and how large."""
    left, right = st.columns([5, 6], gap="small", vertical_alignment="center")
    left.download_button(
        label,
        make,
        file_name,
        mime,
        key=f"keep-{label}",
        on_click="ignore",
        icon=icon,
        width="stretch",
        disabled=disabled,
    )
    right.markdown(f":small[{plain(said)}]")


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip of files, the same for the same files."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return kept.getvalue()


def _theme() -> Literal["light", "dark"]:
    return "dark" if st.context.theme.type == "dark" else "light"


def _pixels(size: tuple[int, ...]) -> str:
    return f"{size[0]:,} × {size[1]:,}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _file_name(run: str) -> str:
    """A run's name as a browser can save it."""
    return re.sub(r"[^\w.-]+", "-", run).strip("-.")[:80] or "run"
