"""Inspect: one head or MLP, or the whole model, at a step of a run beside step 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from ctviz.errors import CtvizError, DamagedRun
from ctviz.inspection.answers import ModelAtStep
from ctviz.pages.address import fill_in
from ctviz.pages.prompts import plain
from ctviz.pages.questions import (
    load,
    model_at_step,
    node_at,
    not_here,
    offer_to_ask_again,
    prepare,
    prompt_at,
)
from ctviz.pages.run_choice import choose_run, name_tab, no_run, run_is_gone, runs_here
from ctviz.pages.sections import InspectedNode, Read, model_section, node_sections
from ctviz.pages.session import folders
from ctviz.runs import Run
from ctviz.runs.causes import read_causes
from ctviz.runs.snapshot import Snapshot, nearest_snapshot
from ctviz.runs.weights import playable_steps
from ctviz.views import inspection as views
from ctviz.views.causes import cause_of_node
from ctviz.views.compared import default_choice
from ctviz.views.recorded import read_once
from ctviz.views.view import View

RUN, STEP, NODE, PROMPT = (f"inspect-{n}" for n in ("run", "step", "node", "prompt"))
LAST = "inspected"  # the address when this page was last left
OWN = "inspect-own"  # what was typed: prompt, answer, foil, counterfactual
TYPED = ("prompt", "answer", "foil", "counterfactual")  # the same in the address
NOTHING = ("", "", "", "")
FIELDS = [f"{OWN}-{name}" for name in TYPED]
LONGEST = 1500  # characters of a prompt that go into the address


# ---------------------------------------------------------------------- what is looked at


def main() -> None:
    """The page."""
    last = st.session_state.get(LAST, {}).get("run", "")
    choice = runs_here([st.query_params.get("run", ""), st.session_state.get("watched", ""), last])
    runs = choice.runs
    if not runs:
        no_run()
        return
    usual = default_choice(list(runs.values()), choice.samples)[0]
    query = _query(runs, usual)
    asked = query["run"]
    name = asked if asked in runs else usual
    if name != asked:
        run_is_gone(asked)
    name_tab(choice, name)
    chosen = st.columns([5, 4, 3], vertical_alignment="bottom")
    with chosen[0]:
        choose_run(choice, name, key=RUN, on_change=_changed_run)
    try:
        shown = _shown(runs[name], query if name == asked else {}, chosen[1:])
    except CtvizError as error:
        st.error(plain(str(error)))
        return
    if shown is None:
        return
    _ask_for(query, len(shown.now.probes))
    address = _address(name, shown.step, shown.node)
    st.session_state[LAST] = address
    _page(shown)
    fill_in(address)


def _query(runs: dict[str, Run], usual: str) -> dict[str, str]:
    """What the address asks for; without a run what was watched, or looked at here before."""
    query = st.query_params.to_dict()
    if "run" in query:
        return query
    last, watched = st.session_state.get(LAST, {}), st.session_state.get("watched")
    name = next((n for n in (watched, last.get("run")) if n in runs), usual)
    return {**query, "run": name} if query or last.get("run") != name else last


def _shown(run: Run, query: dict[str, str], places: Sequence[Any]) -> InspectedNode | None:
    """The step and node that are asked for, or what is nearest; None if there is nothing yet."""
    graph = run.graph
    damaged: list[DamagedRun] = []
    snapshots: tuple[Snapshot, ...] = ()
    if graph is not None:
        snapshots = tuple(run.snapshots(damaged=damaged, read=read_once))
    if damaged and not snapshots:
        st.error("All snapshots of this run are damaged, so there is nothing to look into.")
    for problem in damaged:
        st.warning(f"A snapshot is left out: {plain(str(problem))}")
    if damaged and not snapshots:
        return None
    if graph is None or not snapshots:
        st.info(
            "This run has no snapshot yet, so there is nothing to look into. "
            + ("It is being computed: come back in a moment." if run.status().live else ""),
            icon=":material/hourglass_empty:",
        )
        return None
    view = View.from_query(query)
    steps = [snapshot.step for snapshot in snapshots]
    step = steps[nearest_snapshot(steps, view.step)]
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
    return InspectedNode(
        run, graph, step, node, snapshots[0], snapshots[steps.index(step)], snapshots
    )


def _missing(text: str) -> None:
    st.warning(text, icon=":material/search:")


def _nodes(node: str) -> tuple[str, ...]:
    return (node,) if node else ()


def _ask_for(query: dict[str, str], probes: int) -> None:
    """Choose the prompt of the address: a probe, or one of the user's own."""
    asked = query.get("probe", "1")
    own = asked == "own" or not probes
    number = int(asked) if asked.isdecimal() and len(asked) < 6 else 1
    if not own and not 1 <= number <= probes:
        _missing(f"This run has no probe {number}; this is probe 1.")
        number = 1
    st.session_state[PROMPT] = -1 if own else number - 1
    if "prompt" in query:
        typed = tuple(query.get(name, "")[:LONGEST] for name in TYPED)
        if typed != st.session_state.get(OWN):
            st.session_state[OWN] = typed
            st.session_state.update(zip(FIELDS, typed, strict=True))


def _address(run: str, step: int, node: str) -> dict[str, str]:
    """What leads to the same picture: run, step, node and prompt."""
    address = {"run": run, **View(step=step, nodes=_nodes(node)).to_query()}
    at = st.session_state.get(PROMPT, 0)
    if at >= 0:
        return address if at == 0 else {**address, "probe": str(at + 1)}
    typed = dict(zip(TYPED, st.session_state.get(OWN, ()), strict=False))
    told = typed if 0 < sum(map(len, typed.values())) <= LONGEST else {}
    return {**address, "probe": "own", **{key: text for key, text in told.items() if text}}


def _changed_run(name: str) -> None:
    st.query_params.from_dict({"run": name})


def _changed() -> None:
    _go(st.session_state[STEP], st.session_state[NODE])


def _go(step: int, node: str) -> None:
    """Change the address; the page follows it."""
    st.query_params.from_dict(_address(st.session_state[RUN], step, node))


# ---------------------------------------------------------------------- the page


def _page(shown: InspectedNode) -> None:
    offer_to_ask_again()
    contents = st.container()
    if shown.step == shown.then.step and len(shown.snapshots) > 1:
        st.caption(
            f"Step {shown.step} is where the run began: choose another step to see it beside this."
        )
    live = _availability(shown)
    read = _prompt(shown, live)
    if not shown.node:
        if read is not None:
            model_section(shown, read)
        return
    measured = read_causes(shown.run, folders()[0])
    for text in cause_of_node(measured, shown.step, shown.node, shown.graph):
        contents.caption(plain(text))
    sections = node_sections(shown, live, read)
    links = (f"[{title}](#{title.lower().replace(' ', '-')})" for title in sections)
    contents.markdown(f":small[On this page: {' · '.join(links)}]")
    for draw in sections.values():
        draw()


def _availability(shown: InspectedNode) -> ModelAtStep | None:
    """The weights of the step if they were kept, else a sentence and the way to those that were."""
    kept = [
        step for step in playable_steps(shown.run) if any(s.step == step for s in shown.snapshots)
    ]
    near = views.nearest_steps(kept, shown.step)
    if near == [shown.step]:
        if away := not_here(shown.run, shown.step):
            st.info(
                "The weights of this step are not on this machine, so this is what was stored at "
                "its snapshot: the probes, without logit lens, neurons and switching off. "
                f"{plain(away)}",
                icon=":material/inventory_2:",
            )
            return None
        live = model_at_step(shown.run, shown.step)
        try:
            with st.spinner(f"Loading {plain(shown.run.config.model)} as it was at this step …"):
                load(live, model_at_step(shown.run, shown.then.step))
        except CtvizError as error:
            st.warning(
                f"The model could not be run, so this is what was stored: {plain(str(error))}",
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


def _prompt(shown: InspectedNode, live: ModelAtStep | None) -> Read | None:
    """Choose a prompt and read it, live or from the snapshots."""
    probes = shown.now.probes
    options = [*range(len(probes)), -1]

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
        on_change=_changed,
        help="Probes are dev examples of the task; what the nodes did on them is stored at every "
        "snapshot. A prompt of your own needs the weights of the step.",
    )
    st.session_state[f"{PROMPT}-last"] = at
    own = _own() if at < 0 else NOTHING
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


def _own() -> tuple[str, str, str, str]:
    """The fields for a prompt of one's own; what was typed stays while the session lasts."""
    for key, typed in zip(FIELDS, st.session_state.get(OWN, NOTHING), strict=True):
        st.session_state.setdefault(key, typed)
    with st.form("inspect-form", border=True):
        st.text_area("Your prompt", key=FIELDS[0], height=80, placeholder="The keys to the cabinet")
        places = st.columns([3, 3, 2], vertical_alignment="bottom")
        places[0].text_input(
            "Answer",
            key=FIELDS[1],
            placeholder="are",
            help="What should come next. A space is put in front where that makes one token of "
            "several. Without an answer it is the token that the model finds likeliest at this "
            "step. Of several tokens the first counts, or with a foil the first in which the two "
            "differ.",
        )
        places[1].text_input(
            "Foil",
            key=FIELDS[2],
            placeholder="is",
            help="The wrong answer that it is compared with, if any.",
        )
        st.text_input(
            "Counterfactual",
            key=FIELDS[3],
            placeholder="The key to the cabinet",
            help="The same prompt with the words changed that decide the answer, of as many "
            "tokens. With it a node can be switched off as in the probes: by what it writes there.",
        )
        places[2].form_submit_button(
            "Run this prompt", type="primary", width="stretch", on_click=_typed
        )
    text, answer, foil, corrupt = st.session_state.get(OWN, NOTHING)
    if len(text) + len(answer) + len(foil) + len(corrupt) > LONGEST:
        st.caption("This prompt is too long for the address, so a link does not hold it.")
    return text, answer, foil, corrupt


def _typed() -> None:
    """Take what is in the fields, also into the address."""
    st.session_state[OWN] = tuple(st.session_state[key] for key in FIELDS)
    _changed()


def _stored(shown: InspectedNode, at: int) -> Read | None:
    now, then = shown.now.probes[at], shown.then.probes[at]
    return Read(
        tokens=now.tokens,
        compared=views.compared(now.answer, now.foil),
        now=now,
        then=then,
        how=f"Stored at the snapshots of step {shown.step} and step {shown.then.step}.",
    )


def _live(shown: InspectedNode, live: ModelAtStep, at: int, own: tuple[str, str, str, str]) -> Read:
    first = model_at_step(shown.run, shown.then.step)
    prepared = prepare(live, first, None if at < 0 else (at, shown.now.probes[at].tokens), own)
    prompt, node = prepared.prompt, shown.node
    compared = views.compared(prepared.answer, prepared.foil)
    if prepared.likeliest:
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


main()
