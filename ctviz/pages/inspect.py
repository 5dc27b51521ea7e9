"""Inspect: one head or MLP, or the whole model, at a step of a run beside step 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from ctviz.config import Ablation
from ctviz.errors import CtvizError
from ctviz.graph import Graph, kind_of
from ctviz.inspection.readings import Live, NodeReading, OnPrompt, OnTask, Prompt, PromptReading
from ctviz.pages.live import (
    aim,
    live_at,
    load,
    node_at,
    off_prompt_at,
    off_task_at,
    prompt_at,
    read_snapshots,
)
from ctviz.pages.prompts import plain
from ctviz.pages.session import folders
from ctviz.runs import Run, list_runs
from ctviz.runs.files import written
from ctviz.runs.weights import kept_steps
from ctviz.snapshot import ProbeReading, Snapshot
from ctviz.views import inspection as views
from ctviz.views.compared import default_choice
from ctviz.views.naming import run_names
from ctviz.views.view import View

RUN, STEP, NODE, PROMPT, OFF = (f"inspect-{n}" for n in ("run", "step", "node", "prompt", "off"))
LAST = "inspected"  # the address when this page was last left
FILL = "inspect-fill"  # whether that has to be put into the address
INK = "#31333f"
OWN = "inspect-own"  # what was typed: prompt, answer, foil
ATTENTION, NEURONS = "Attention", "Its strongest neurons"
EFFECT, SWITCHED = "Direct effect on the prediction", "Switched off"
PROMOTES, EDGES = "What it promotes and suppresses", "Strongest edges in the circuit"
REDUNDANCY = "Redundancy over the run"
ABLATIONS: dict[Ablation, str] = {
    "zero": "zero",
    "mean": "its mean over the task's prompts",
    "counterfactual": "what it is on the counterfactual",
}


@dataclass(frozen=True)
class Shown:
    """What the page is about: a run, a step and a node of it ("" for the whole model)."""

    run: Run
    graph: Graph
    step: int
    node: str
    then: Snapshot
    now: Snapshot
    snapshots: tuple[Snapshot, ...]

    @property
    def source(self) -> str:
        """Where numbers come from, for a tooltip."""
        return f"Run {plain(self.run.id)}, step {self.step} beside step {self.then.step}."


@dataclass(frozen=True)
class Read:
    """A prompt at the step and at step 0, live or stored; None for what was not stored."""

    tokens: tuple[str, ...]
    compared: str
    now: PromptReading | ProbeReading
    then: PromptReading | ProbeReading
    how: str
    node_now: NodeReading | None = None
    node_then: NodeReading | None = None
    prompt: Prompt | None = None


# ---------------------------------------------------------------------- what is looked at


def main() -> None:
    """The page."""
    mine, shipped = folders()
    found = list_runs(mine, shipped)
    runs = {run.id: run for run in found if isinstance(run, Run)}
    if not runs:
        st.info(
            "There is no run to look into yet. Make one on the page **Run**.",
            icon=":material/science:",
        )
        return
    samples = [run.id for run in runs.values() if run.folder.parent == shipped]
    usual = default_choice(list(runs.values()), samples)[0]
    _enter(runs, usual)
    asked = st.query_params.get("run", "")
    name = asked if asked in runs else usual
    if asked and asked not in runs:
        _missing(f"There is no run “{plain(asked[:80])}” here; this is another one.")
    titles = run_names(runs, samples)
    st.session_state[RUN] = name
    chosen = st.columns([5, 4, 3], vertical_alignment="bottom")
    chosen[0].selectbox(
        "Run", list(runs), key=RUN, format_func=titles.__getitem__, on_change=_changed_run
    )
    try:
        shown = _shown(runs[name], name == asked, chosen[1:])
    except CtvizError as error:
        st.error(plain(str(error)))
        return
    if shown is None:
        return
    address = {"run": name, **View(step=shown.step, nodes=_nodes(shown.node)).to_query()}
    st.session_state[LAST] = address
    _page(shown)


def _enter(runs: dict[str, Run], usual: str) -> None:
    """Without a run in the address: what was looked at last, or the run that was watched."""
    query = st.query_params.to_dict()
    if "run" in query:
        return
    if st.session_state.pop(FILL, False):
        st.query_params.from_dict(st.session_state[LAST])
        return
    last, watched = st.session_state.get(LAST, {}), st.session_state.get("watched")
    name = next((n for n in (watched, last.get("run")) if n in runs), usual)
    if query or last.get("run") != name:
        st.session_state[LAST] = {**query, "run": name}
    st.session_state[FILL] = True
    st.rerun()  # not at once: the browser would take it for the page before


def _shown(run: Run, known: bool, places: Sequence[Any]) -> Shown | None:
    """The step and node that are asked for, or what is nearest; None if there is nothing yet."""
    graph = run.graph
    stamp = tuple((file.name, written(file)) for file in run.snapshot_files())
    snapshots, damaged = read_snapshots(str(run.folder), stamp) if graph is not None else ((), ())
    if damaged and not snapshots:
        st.error("All snapshots of this run are damaged, so there is nothing to look into.")
    for problem in damaged:
        st.warning(plain(f"A snapshot is left out: {problem}"))
    if damaged and not snapshots:
        return None
    if graph is None or not snapshots:
        st.info(
            "This run has no snapshot yet, so there is nothing to look into. "
            + ("It is being computed: come back in a moment." if run.status().live else ""),
            icon=":material/hourglass_empty:",
        )
        return None
    view = View.from_query(st.query_params.to_dict() if known else {})
    steps = [snapshot.step for snapshot in snapshots]
    step = steps[-1] if view.step is None else min(steps, key=lambda s: abs(s - (view.step or 0)))
    if view.step is not None and step != view.step:
        _missing(f"There is no snapshot at step {view.step}; this is step {step}, the nearest.")
    asked = view.nodes[0] if view.nodes else ""
    node = views.nearest_node(graph, asked)
    if node != asked:
        here = f"this is {node}" if node else "this is the whole model"
        _missing(f"“{plain(asked[:40])}” is no head or MLP of this model; {here}.")
    st.session_state[STEP], st.session_state[NODE] = step, node
    if len(steps) > 1:
        places[0].select_slider("Step", steps, key=STEP, on_change=_changed)
    else:
        places[0].selectbox("Step", steps, key=STEP)
    places[1].selectbox(
        "Node",
        ["", *views.inspectable(graph)],
        key=NODE,
        format_func=views.node_title,
        on_change=_changed,
    )
    return Shown(run, graph, step, node, snapshots[0], snapshots[steps.index(step)], snapshots)


def _missing(text: str) -> None:
    st.warning(text, icon=":material/search:")


def _nodes(node: str) -> tuple[str, ...]:
    return (node,) if node else ()


def _changed_run() -> None:
    st.query_params.from_dict({"run": st.session_state[RUN]})


def _changed() -> None:
    _go(st.session_state[STEP], st.session_state[NODE])


def _go(step: int, node: str) -> None:
    """Change the address; the page follows it."""
    view = View(step=step, nodes=_nodes(node))
    st.query_params.from_dict({"run": st.session_state[RUN], **view.to_query()})


# ---------------------------------------------------------------------- the page


def _page(shown: Shown) -> None:
    contents = st.container()
    live = _availability(shown)
    read = _prompt(shown, live)
    if not shown.node:
        if read is not None:
            _model_section(shown, read)
        return
    sections: dict[str, Callable[[], None]] = {}
    if read is not None:
        if kind_of(shown.node) == "head":
            sections[ATTENTION] = lambda: _attention_section(shown, read)
        elif read.node_now is not None:
            sections[NEURONS] = lambda: _neuron_section(shown, read)
        sections[EFFECT] = lambda: _attribution_section(shown, read)
        if live is not None and read.prompt is not None:
            sections[SWITCHED] = lambda: _off_section(shown, live, read)
        if read.node_now is not None:
            sections[PROMOTES] = lambda: _lens_section(shown, read)
    sections[EDGES] = lambda: _edges_section(shown)
    sections[REDUNDANCY] = lambda: _redundancy_section(shown)
    links = (f"[{title}](#{_anchor(title)})" for title in sections)
    contents.markdown(f":small[On this page: {' · '.join(links)}]")
    for draw in sections.values():
        draw()


def _availability(shown: Shown) -> Live | None:
    """The weights of the step if they were kept, else a sentence and the way to those that were."""
    kept = [step for step in kept_steps(shown.run) if any(s.step == step for s in shown.snapshots)]
    near = views.nearest_steps(kept, shown.step)
    if near == [shown.step]:
        live = live_at(shown.run, shown.step)
        try:
            with st.spinner(f"Loading {plain(shown.run.config.model)} as it was at this step …"):
                load(live, live_at(shown.run, shown.then.step))
        except CtvizError as error:
            st.warning(
                f"The model cannot be run here, so this is what was stored: {plain(str(error))}",
                icon=":material/inventory_2:",
            )
            return None
        return live
    note, *buttons = st.columns([6, *[1.4] * len(near)], vertical_alignment="center")
    note.info(
        f"The weights of step {shown.step} were not kept, so this is what was stored at its "
        "snapshot: the probes, without logit lens, neurons and switching off. The nearest with "
        f"weights: {' and '.join(f'step {step}' for step in near)}.",
        icon=":material/inventory_2:",
    )
    for place, step in zip(buttons, near, strict=True):
        place.button(
            f"Step {step}",
            key=f"inspect-go-{step}",
            on_click=_go,
            args=(step, shown.node),
            width="stretch",
            icon=":material/arrow_back:" if step < shown.step else ":material/arrow_forward:",
            help=f"Go to step {step}, whose weights were kept",
        )
    return None


def _prompt(shown: Shown, live: Live | None) -> Read | None:
    """Choose a prompt and read it, live or from the snapshots."""
    probes = shown.now.probes
    options = [*range(len(probes)), -1]
    if st.session_state.get(PROMPT) not in options:
        st.session_state[PROMPT] = st.session_state.get(f"{PROMPT}-last", options[0])
        if st.session_state[PROMPT] not in options:
            st.session_state[PROMPT] = options[0]

    def titled(at: int) -> str:
        if at < 0:
            return "Your own prompt"
        probe = probes[at]
        text = " ".join("".join(probe.tokens).split())
        text = text if len(text) < 90 else f"… {text[-88:]}"
        return f"Probe {at + 1}: {text} → {probe.answer.strip()} / {probe.foil.strip()}"

    at = st.selectbox(
        "Prompt",
        options,
        key=PROMPT,
        format_func=titled,
        help="Probes are dev examples of the task; what the nodes did on them is stored at every "
        "snapshot. A prompt of your own needs the weights of the step.",
    )
    st.session_state[f"{PROMPT}-last"] = at
    own = _own() if at < 0 else ("", "", "")
    if live is None:
        if at < 0:
            st.info(
                "A prompt of your own needs the model at this step: go to a step whose weights "
                "were kept, or choose a probe.",
                icon=":material/edit_note:",
            )
            return None
        return _stored(shown, at)
    if at < 0 and not own[0]:
        st.info("Type a prompt and press **Run this prompt**.", icon=":material/edit_note:")
        return None
    try:
        with st.spinner("Running the prompt at both steps …"):
            read = _live(shown, live, at, own)
        if read.prompt is not None and read.prompt.notes:
            st.caption(plain(" ".join(read.prompt.notes)))
        return read
    except CtvizError as error:
        if at < 0:
            st.error(plain(str(error)))
            return None
        st.warning(plain(f"This is what was stored. {error}"), icon=":material/inventory_2:")
        return _stored(shown, at)


def _own() -> tuple[str, str, str]:
    """The fields for a prompt of one's own; what was typed stays while the session lasts."""
    keys = [f"{OWN}-{name}" for name in ("text", "answer", "foil")]
    for key, typed in zip(keys, st.session_state.get(OWN, ("", "", "")), strict=True):
        st.session_state.setdefault(key, typed)
    with st.form("inspect-form", border=True):
        st.text_area("Your prompt", key=keys[0], height=80, placeholder="The keys to the cabinet")
        places = st.columns([3, 3, 2], vertical_alignment="bottom")
        places[0].text_input(
            "Answer",
            key=keys[1],
            placeholder="are",
            help="What should come next. A space is put in front where that makes one token of "
            "several. Without an answer it is the token that the model finds likeliest at this "
            "step. Of several tokens the first counts, or with a foil the first in which the two "
            "differ.",
        )
        places[1].text_input(
            "Foil", key=keys[2], placeholder="is", help="What it is compared with, if anything."
        )
        if places[2].form_submit_button("Run this prompt", type="primary", width="stretch"):
            st.session_state[OWN] = tuple(st.session_state[key] for key in keys)
    text, answer, foil = st.session_state.get(OWN, ("", "", ""))
    return text, answer, foil


def _stored(shown: Shown, at: int) -> Read | None:
    now, then = shown.now.probes[at], shown.then.probes[at]
    return Read(
        tokens=now.tokens,
        compared=views.compared(now.answer, now.foil),
        now=now,
        then=then,
        how=f"Stored at the snapshots of step {shown.step} and step {shown.then.step}.",
    )


def _live(shown: Shown, live: Live, at: int, own: tuple[str, str, str]) -> Read:
    first = live_at(shown.run, shown.then.step)
    aimed = aim(live, first, None if at < 0 else (at, shown.now.probes[at].tokens), own)
    prompt, node = aimed.prompt, shown.node
    compared = views.compared(aimed.answer, aimed.foil)
    if aimed.likeliest:
        compared += f", the likeliest token at step {shown.step}"
    node_now = node_at(live, prompt, node) if node else None
    node_then = node_at(first, prompt, node) if node else None
    return Read(
        tokens=prompt.tokens,
        compared=compared,
        now=node_now.whole if node_now else prompt_at(live, prompt),
        then=node_then.whole if node_then else prompt_at(first, prompt),
        how=f"Computed now with the weights of step {shown.step} and step {shown.then.step}.",
        node_now=node_now,
        node_then=node_then,
        prompt=prompt,
    )


# ---------------------------------------------------------------------- sections


def _section(title: str, help: str, how: str = "") -> None:
    st.markdown(f"#### {title}", help=help)
    if how:
        st.caption(plain(how))


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _signed(value: float, digits: int) -> str:
    """A number with its sign, and a real minus as the player writes it."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _sides(shown: Shown) -> list[tuple[str, bool]]:
    """Name of each side, and whether it is that of step 0."""
    now = (f"Step {shown.step}", False)
    return [now] if shown.step == shown.then.step else [now, (f"Step {shown.then.step}", True)]


def _model_section(shown: Shown, read: Read) -> None:
    _section(
        "Likeliest next tokens",
        f"{shown.source} Softmax of the model's logits after the last token of the prompt.",
        read.how,
    )
    sides = [(f"step {shown.step}", read.now.top), (f"step {shown.then.step}", read.then.top)]
    _table(views.predictions(dict(sides)), "Likeliest next tokens")
    _value(shown, read)
    _bars(shown, read)


def _attention_section(shown: Shown, read: Read) -> None:
    _section(
        ATTENTION,
        f"{shown.source} Row: the token that looks; column: what it looks at. Each row adds up to "
        "1. On this one prompt.",
        read.how,
    )
    now, then = _patterns(shown, read)
    if now is None or then is None:
        st.info(
            "transformers can run this model's attention only in one piece, which shows no pattern."
        )
        return
    first, count = 0, len(read.tokens)
    if count > views.WINDOW:
        first = st.slider(
            "First token shown",
            0,
            count - views.WINDOW,
            count - views.WINDOW,
            help=f"The prompt has {count} tokens; {views.WINDOW} are shown at a time.",
        )
    maps = {
        title: views.attention_map(read.tokens, then if at_start else now, first=first)
        for title, at_start in _sides(shown)
    }
    if shown.step != shown.then.step:
        change = views.attention_change(read.tokens, now - then, first=first)
        maps[f"Step {shown.step} − step {shown.then.step}"] = change
    # One row at any width: scales lie above the maps, and only the first names the rows.
    places = st.columns([1.3, 1, 1], vertical_alignment="bottom")
    for at, (place, (title, figure)) in enumerate(zip(places, maps.items(), strict=False)):
        scale = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "nticks": 3}
        figure.update_traces(colorbar=scale)
        if at:
            figure.update_yaxes(showticklabels=False, title_text=None)
        with place:
            st.markdown(f"**{title}**")
            _plot(figure, f"Attention, {title}", key=f"inspect-map-{title}")


def _patterns(shown: Shown, read: Read) -> tuple[np.ndarray | None, np.ndarray | None]:
    if read.node_now is not None and read.node_then is not None:
        return read.node_now.attention, read.node_then.attention
    layer, head = (int(part) for part in shown.node[1:].split(".h"))
    assert isinstance(read.now, ProbeReading)
    assert isinstance(read.then, ProbeReading)
    return tuple(probe.attention[layer, head].astype(float) for probe in (read.now, read.then))  # type: ignore[return-value]


def _attribution_section(shown: Shown, read: Read) -> None:
    _section(
        EFFECT,
        f"{shown.source} Direct logit attribution: what the node's output at the last position "
        "adds to the logits by itself, through the final norm with its scale as it is in this run. "
        "What later nodes make of it is not counted.",
        f"On {read.compared}. {read.how}",
    )
    index = shown.graph.node(shown.node)
    now, then = float(read.now.attribution[index]), float(read.then.attribution[index])
    _three(shown, now, then)
    _bars(shown, read)


def _bars(shown: Shown, read: Read) -> None:
    st.caption(
        plain(f"The nodes with the largest direct effect on {read.compared}")
        + (", and this one" if shown.node else "")
    )
    figure = views.attribution_bars(
        shown.graph, read.then.attribution, read.now.attribution, shown.step, shown.node
    )
    _plot(figure, "Direct effect of nodes", key="inspect-bars")


def _value(shown: Shown, read: Read) -> None:
    """The logit difference itself, which only the model can say."""
    if isinstance(read.now, ProbeReading) or isinstance(read.then, ProbeReading):
        return
    st.caption(plain(read.compared))
    _three(shown, read.now.value, read.then.value)


def _three(shown: Shown, now: float, then: float) -> None:
    """A number of the node or the model at the step, at step 0, and the difference, in logits."""
    told = f"{shown.source} In logits, on the prompt above."
    numbers = [(f"Step {shown.step}", now)]
    if shown.step != shown.then.step:
        numbers += [(f"Step {shown.then.step}", then), ("Change", now - then)]
    for place, (label, number) in zip(st.columns(3), numbers, strict=False):
        place.metric(label, _signed(number, 3), border=True, help=told)


def _lens_section(shown: Shown, read: Read) -> None:
    if read.node_now is None or read.node_then is None:
        return
    _section(
        PROMOTES,
        f"{shown.source} Logit lens: the node's output at the last position through the final norm "
        "and the unembedding, in logits above the mean over all tokens.",
        read.how,
    )
    sides = _sides(shown)
    for place, (title, at_start) in zip(st.columns(len(sides)), sides, strict=True):
        found = read.node_then if at_start else read.node_now
        with place:
            st.markdown(f"**{title}**")
            table = views.promoted(found.promotes, found.suppresses)
            _table(table, title, signed=["+", "-"], hide_index=True)


def _neuron_section(shown: Shown, read: Read) -> None:
    if read.node_now is None or read.node_then is None:
        return
    _section(
        NEURONS,
        f"{shown.source} Neurons with the largest direct effect at the last position: activation "
        "times what the neuron writes, through the final norm, on the logit difference. With the "
        "bias of the output they add up to the MLP's direct effect.",
        f"On {read.compared}. {read.how}",
    )
    sides = _sides(shown)
    for place, (title, at_start) in zip(st.columns(len(sides)), sides, strict=True):
        found = read.node_then if at_start else read.node_now
        with place:
            st.markdown(f"**{title}**")
            table = views.neuron_table(found.neurons)
            _table(table, title, signed=["effect", "activation"], hide_index=True)


def _edges_section(shown: Shown) -> None:
    examples = shown.run.about.get("examples", "?")
    _section(
        EDGES,
        f"{shown.source} Scores by edge attribution patching, "
        f"{shown.run.config.ablation} ablation, means over {examples} dev examples, in units of "
        "the metric. Positive: the edge supports the behaviour.",
        f"Stored at the snapshots of step {shown.step} and step {shown.then.step}.",
    )
    tables = views.edge_tables(shown.graph, shown.node, shown.then, shown.now)
    for place, title, table in zip(st.columns(2), ("Into", "Out of"), tables, strict=True):
        with place:
            st.markdown(f"**{title} {shown.node}**")
            if table.empty:
                st.caption("No edge of the circuit at either step.")
            else:
                scores = [c for c in table.columns if c.startswith("step ") or c == "change"]
                _table(table, f"{title} {shown.node}", signed=scores, hide_index=True)


def _redundancy_section(shown: Shown) -> None:
    examples = shown.run.about.get("examples", "?")
    _section(
        REDUNDANCY,
        f"Run {plain(shown.run.id)}, all snapshots, {examples} dev examples. (D - d) / D of the "
        "node's D incoming edges. circuit: d are in the circuit; mass 90 %: the fewest that carry "
        "90 % of their total |score|.",
    )
    index = shown.graph.node(shown.node)
    steps = [snapshot.step for snapshot in shown.snapshots]
    values = {
        name: [float(snapshot.redundancy[name][index]) for snapshot in shown.snapshots]
        for name in ("circuit", "mass")
    }
    figure = views.redundancy_curves(steps, values, shown.step)
    _plot(figure, f"Redundancy of {shown.node} over the run", key="inspect-redundancy")


def _off_section(shown: Shown, live: Live, read: Read) -> None:
    assert read.prompt is not None
    config = shown.run.config
    _section(
        SWITCHED,
        f"{shown.source} What {shown.node} writes is replaced for everything that reads it; all "
        "else runs as it is. That is the model with all edges out of it corrupted.",
        read.how,
    )
    usable = [a for a in ABLATIONS if a != "counterfactual" or read.prompt.corrupt is not None]
    if st.session_state.get(OFF) not in usable:
        st.session_state[OFF] = config.ablation if config.ablation in usable else "mean"
    ablation = st.radio(
        f"Replace what {shown.node} writes by",
        usable,
        key=OFF,
        format_func=ABLATIONS.__getitem__,
        horizontal=True,
    )
    sides = _sides(shown)
    for place, (title, at_start) in zip(st.columns(len(sides)), sides, strict=True):
        at = live_at(shown.run, shown.then.step) if at_start else live
        with place:
            st.markdown(f"**{title}**")
            with st.spinner(f"Switching {shown.node} off …"):
                try:
                    first = live_at(shown.run, shown.then.step)
                    on_prompt = off_prompt_at(at, first, read.prompt, shown.node, ablation)
                    _show_prompt(on_prompt, shown, read.compared)
                    _show_task(off_task_at(at, first, shown.node, ablation), shown)
                except CtvizError as error:
                    st.warning(plain(str(error)))


def _show_prompt(found: OnPrompt, shown: Shown, compared: str) -> None:
    _before_after(
        f"This prompt: {compared}",
        found,
        help=f"{shown.source} In logits, with {shown.node} as it is and switched off.",
    )
    sides = {"as it is": found.top_before[:6], "off": found.top_after[:6]}
    _table(views.predictions(sides), f"Likeliest next tokens without {shown.node}")


def _show_task(found: OnTask, shown: Shown) -> None:
    error = "" if np.isnan(found.error) else f" ± {found.error:.2f}"
    _before_after(
        f"The task's metric, {found.examples} dev examples",
        found,
        error,
        help=f"{shown.source} Means over examples; ± is the standard error of the mean change.",
    )


def _before_after(label: str, found: OnPrompt | OnTask, error: str = "", *, help: str) -> None:
    change = found.after - found.before
    st.metric(
        plain(label),
        f"{_signed(found.before, 2)} → {_signed(found.after, 2)}",
        f"{_signed(change, 2)}{error}",
        delta_color="off",
        delta_arrow="down" if change < 0 else "up",
        border=True,
        help=help,
    )


def _table(
    table: pd.DataFrame, alt: str, *, signed: Sequence[str] = (), hide_index: bool = False
) -> None:
    """A table; ``signed`` columns are in logits or scores, those named p are probabilities."""
    forms = {name: "%.3f" for name in table.columns if name.startswith("p, ")}
    forms |= dict.fromkeys(signed, "%+.3f")
    columns = {name: st.column_config.NumberColumn(format=form) for name, form in forms.items()}
    st.dataframe(table, column_config=columns, hide_index=hide_index, width="stretch", alt=alt)


def _plot(figure: Any, alt: str, *, key: str) -> None:
    """A figure; in light Streamlit's grey of its axes is too faint to read."""
    if st.context.theme.type == "light":
        figure.update_xaxes(tickfont_color=INK, title_font_color=INK)
        figure.update_yaxes(tickfont_color=INK, title_font_color=INK)
        figure.update_layout(font_color=INK, legend_font_color=INK)
    st.plotly_chart(figure, key=key, width="stretch", config={"displayModeBar": False}, alt=alt)


main()
