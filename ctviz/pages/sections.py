"""What Inspect shows of a node or of the model, one section each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import streamlit as st

from ctviz.circuits.choices import Ablation
from ctviz.circuits.graph import Graph, kind_of
from ctviz.circuits.redundancy import mass_name
from ctviz.errors import CtvizError
from ctviz.inspection.answers import (
    ModelAtStep,
    NodeReading,
    OnPrompt,
    OnTask,
    Prompt,
    PromptReading,
)
from ctviz.pages.prompts import plain
from ctviz.pages.questions import model_at_step, neurons_at, off_prompt_at, off_task_at
from ctviz.runs import Run
from ctviz.runs.snapshot import ProbeReading, Snapshot
from ctviz.tasks.files.rows import counted
from ctviz.views import inspection as views
from ctviz.views.recorded import score_source

__all__ = ["InspectedNode", "Read", "model_section", "node_sections"]

OFF, WANTED = "inspect-off", "inspect-off-wanted"
INK = "#31333f"
ATTENTION, NEURONS, FIRES = "Attention", "Its strongest neurons", "When its neurons fire"
EFFECT, SWITCHED = "Direct effect on the prediction", "Switched off"
PROMOTES, EDGES = "What it promotes and suppresses", "Strongest edges in the circuit"
REDUNDANCY = "Redundancy over the run"
ABLATIONS: dict[Ablation, str] = {
    "zero": "zero",
    "mean": "its mean over the task's prompts",
    "counterfactual": "what it is on the counterfactual",
}


@dataclass(frozen=True)
class InspectedNode:
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


def _section(title: str, help: str, how: str = "") -> None:
    st.markdown(f"#### {title}", help=help)
    if how:
        st.caption(plain(how))


def _signed(value: float, digits: int) -> str:
    """A number with its sign, and a real minus as the player writes it."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _sides(shown: InspectedNode) -> list[tuple[str, bool]]:
    """Name of each side, and whether it is that of step 0."""
    now = (f"Step {shown.step}", False)
    return [now] if shown.step == shown.then.step else [now, (f"Step {shown.then.step}", True)]


def node_sections(
    shown: InspectedNode, live: ModelAtStep | None, read: Read | None
) -> dict[str, Callable[[], None]]:
    """What can be said about a head or an MLP, by title in order, and how to draw it.

    ``live`` is None where no model can be run, ``read`` where there is no prompt.
    """
    sections: dict[str, Callable[[], None]] = {}
    is_mlp = kind_of(shown.node) == "mlp"
    if read is not None and not is_mlp:
        sections[ATTENTION] = lambda: _attention_section(shown, read)
    if read is not None and is_mlp and read.node_now is not None:
        sections[NEURONS] = lambda: _neuron_section(shown, read)
    if live is not None and is_mlp:
        sections[FIRES] = lambda: _firing_section(shown, live)
    if read is not None:
        sections[EFFECT] = lambda: _attribution_section(shown, read)
        if live is not None and read.prompt is not None:
            sections[SWITCHED] = lambda: _off_section(shown, live, read)
        if read.node_now is not None:
            sections[PROMOTES] = lambda: _lens_section(shown, read)
    sections[EDGES] = lambda: _edges_section(shown)
    sections[REDUNDANCY] = lambda: _redundancy_section(shown)
    return sections


def model_section(shown: InspectedNode, read: Read) -> None:
    """The model's predictions after the prompt."""
    _section(
        "Likeliest next tokens",
        f"{shown.source} Softmax of the model's logits after the last token of the prompt.",
        read.how,
    )
    sides = [(f"step {shown.step}", read.now.top), (f"step {shown.then.step}", read.then.top)]
    _table(views.predictions(dict(sides)), "Likeliest next tokens")
    _value(shown, read)
    _bars(shown, read)


def _attention_section(shown: InspectedNode, read: Read) -> None:
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


def _patterns(shown: InspectedNode, read: Read) -> tuple[np.ndarray | None, np.ndarray | None]:
    if read.node_now is not None and read.node_then is not None:
        return read.node_now.attention, read.node_then.attention
    layer, head = (int(part) for part in shown.node[1:].split(".h"))
    assert isinstance(read.now, ProbeReading)
    assert isinstance(read.then, ProbeReading)
    return tuple(probe.attention[layer, head].astype(float) for probe in (read.now, read.then))


def _attribution_section(shown: InspectedNode, read: Read) -> None:
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


def _bars(shown: InspectedNode, read: Read) -> None:
    st.caption(
        plain(f"The nodes with the largest direct effect on {read.compared}")
        + (", and this one" if shown.node else "")
    )
    figure = views.attribution_bars(
        shown.graph, read.then.attribution, read.now.attribution, shown.step, shown.node
    )
    _plot(figure, "Direct effect of nodes", key="inspect-bars")


def _value(shown: InspectedNode, read: Read) -> None:
    """The logit difference itself, which only the model can say."""
    if isinstance(read.now, ProbeReading) or isinstance(read.then, ProbeReading):
        return
    st.caption(plain(read.compared))
    _three(shown, read.now.value, read.then.value)


def _three(shown: InspectedNode, now: float, then: float) -> None:
    """A number of the node or the model at the step, at step 0, and the difference, in logits."""
    told = f"{shown.source} In logits, on the prompt above."
    numbers = [(f"Step {shown.step}", now)]
    if shown.step != shown.then.step:
        numbers += [(f"Step {shown.then.step}", then), ("Change", now - then)]
    for place, (label, number) in zip(st.columns(3), numbers, strict=False):
        place.metric(label, _signed(number, 3), border=True, help=told)


def _lens_section(shown: InspectedNode, read: Read) -> None:
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


def _neuron_section(shown: InspectedNode, read: Read) -> None:
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


def _firing_section(shown: InspectedNode, live: ModelAtStep) -> None:
    what = shown.run.about.get("pairs", {}).get("what", "pair")
    _section(
        FIRES,
        f"{shown.source} Neurons by their largest |activation| times the length of what they "
        "write. Activation: what the output projection reads of a neuron, behind a gate where "
        "there is one; « » marks the token at which it is that. Raises and lowers: logit lens of "
        "its output weights, the tokens that a positive activation makes likelier and less likely.",
        f"On the clean prompts of the run's dev {what}s.",
    )
    first = model_at_step(shown.run, shown.then.step)
    for title, at_start in _sides(shown):
        st.markdown(f"**{title}**")
        try:
            with st.spinner("Reading the task's prompts …"):
                found = neurons_at(first if at_start else live, first, shown.node)
        except CtvizError as error:
            st.warning(plain(str(error)))
            continue
        table = views.firing_table(found)
        _table(table, f"{FIRES}, {title}", signed=["activation"], hide_index=True, height=250)


def _edges_section(shown: InspectedNode) -> None:
    _section(
        EDGES,
        f"{shown.source} Scores by {score_source(shown.run.about, shown.run.config)}, means over "
        "the pairs, in units of the metric. Positive: the edge supports the behaviour.",
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


def _redundancy_section(shown: InspectedNode) -> None:
    config = shown.run.config
    _section(
        REDUNDANCY,
        f"Run {plain(shown.run.id)}, all snapshots, by {score_source(shown.run.about, config)}. "
        f"(D - d) / D of the node's D incoming edges. circuit: d are in the circuit; "
        f"{mass_name(config.tau)}: the fewest that carry {100 * config.tau:g} % of their total "
        "|score|.",
    )
    index = shown.graph.node(shown.node)
    steps = [snapshot.step for snapshot in shown.snapshots]
    values = {
        name: [float(snapshot.redundancy[name][index]) for snapshot in shown.snapshots]
        for name in ("circuit", "mass")
    }
    figure = views.redundancy_curves(steps, values, shown.step, tau=config.tau)
    _plot(figure, f"Redundancy of {shown.node} over the run", key="inspect-redundancy")


def _off_section(shown: InspectedNode, live: ModelAtStep, read: Read) -> None:
    assert read.prompt is not None
    config = shown.run.config
    _section(
        SWITCHED,
        f"{shown.source} What {shown.node} writes is replaced for everything that reads it; all "
        "else runs as it is. That is the model with all edges out of it corrupted.",
        read.how,
    )
    usable = [a for a in ABLATIONS if a != "counterfactual" or read.prompt.corrupt is not None]
    wanted = st.session_state.get(WANTED, {}).get(shown.run.id, config.ablation)
    st.session_state[OFF] = wanted if wanted in usable else "mean"
    ablation = st.radio(
        f"Replace what {shown.node} writes by",
        usable,
        key=OFF,
        format_func=ABLATIONS.__getitem__,
        horizontal=True,
        on_change=_choose_ablation,
        args=(shown.run.id,),
    )
    if wanted not in usable:
        st.info(
            f"This prompt has no counterfactual, so {shown.node} is switched off otherwise than in "
            "the probes: by its mean, not by what it writes on the counterfactual. That is another "
            "question, and its numbers cannot be compared with theirs. To ask the same one, type a "
            "**counterfactual** beside the prompt.",
            icon=":material/swap_horiz:",
        )
    elif ablation != config.ablation:
        st.caption(
            f"This run's scores and faithfulness are with {ABLATIONS[config.ablation]} in its "
            "place, which is another question than this one."
        )
    sides = _sides(shown)
    for place, (title, at_start) in zip(st.columns(len(sides)), sides, strict=True):
        at = model_at_step(shown.run, shown.then.step) if at_start else live
        with place:
            st.markdown(f"**{title}**")
            with st.spinner(f"Switching {shown.node} off …"):
                try:
                    first = model_at_step(shown.run, shown.then.step)
                    on_prompt = off_prompt_at(at, first, read.prompt, shown.node, ablation)
                    _show_prompt(on_prompt, shown, read.compared)
                    _show_task(off_task_at(at, first, shown.node, ablation), shown)
                except CtvizError as error:
                    st.warning(plain(str(error)))


def _choose_ablation(run: str) -> None:
    """What was chosen stays for the run, also where a prompt cannot have it."""
    st.session_state[WANTED] = {**st.session_state.get(WANTED, {}), run: st.session_state[OFF]}


def _show_prompt(found: OnPrompt, shown: InspectedNode, compared: str) -> None:
    _before_after(
        f"This prompt: {compared}",
        found,
        help=f"{shown.source} In logits, with {shown.node} as it is and switched off.",
    )
    sides = {"as it is": found.top_before[:6], "off": found.top_after[:6]}
    _table(views.predictions(sides), f"Likeliest next tokens without {shown.node}")


def _show_task(found: OnTask, shown: InspectedNode) -> None:
    error = "" if np.isnan(found.error) else f" ± {found.error:.2f}"
    what = shown.run.about.get("pairs", {}).get("what", "pair")
    _before_after(
        f"The task's metric, {counted(found.examples, f'dev {what}')}",
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
    table: pd.DataFrame,
    alt: str,
    *,
    signed: Sequence[str] = (),
    hide_index: bool = False,
    height: int | Literal["auto"] = "auto",
) -> None:
    """A table; ``signed`` columns are in logits or scores, those named p are probabilities."""
    forms = {name: "%.3f" for name in table.columns if name.startswith("p, ")}
    forms |= dict.fromkeys(signed, "%+.3f")
    columns = {name: st.column_config.NumberColumn(format=form) for name, form in forms.items()}
    st.dataframe(
        table,
        column_config=columns,
        hide_index=hide_index,
        width="stretch",
        height=height,
        alt=alt,
    )


def _plot(figure: Any, alt: str, *, key: str) -> None:
    """A figure; in light Streamlit's grey of its axes is too faint to read."""
    if st.context.theme.type == "light":
        figure.update_xaxes(tickfont_color=INK, title_font_color=INK)
        figure.update_yaxes(tickfont_color=INK, title_font_color=INK)
        figure.update_layout(font_color=INK, legend_font_color=INK)
    st.plotly_chart(figure, key=key, width="stretch", config={"displayModeBar": False}, alt=alt)
