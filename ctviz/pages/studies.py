"""Studies: methods compared on a task; a list of them, one opened, or several compared."""

from __future__ import annotations

from urllib.parse import quote, unquote

import streamlit as st

from ctviz import paths
from ctviz.pages.prompts import plain
from ctviz.pages.session import folders
from ctviz.views import compared
from ctviz.views.studies import (
    FIGURES,
    StudyHere,
    arms_table,
    list_studies,
    runs_table,
    studies_table,
)

WIDTH = 760  # pixels of a figure
CHOSEN = "studies"  # and in the address ``study``: their names, with commas between
GRADED = (
    "grade: on test examples. KL: nats a token from the untuned model on neutral prompts. other "
    "tasks: mean accuracy on those that the untuned model does above chance. circuit kept: overlap "
    "of the circuit at the end with that at the start; between snapshots: that with the one "
    "before. ±: standard deviation over seeds."
)


def main() -> None:
    """The page."""
    st.set_page_config(page_title="Studies · ctviz")
    studies, damaged = list_studies(folders()[0])
    for problem in damaged:
        st.warning(plain(str(problem)), icon=":material/broken_image:")
    if not studies:
        st.info(
            "There is no study yet. A study tunes a model by several methods, with several seeds "
            "and learning rates, and says which method does the task best at the least cost:",
            icon=":material/experiment:",
        )
        st.code("ctviz study --model tiny --task sva-flip --methods circuit,full,lora,random")
        return
    here = {each.id: each for each in studies}
    asked = map(unquote, st.query_params.get("study", "").split(","))
    st.session_state[CHOSEN] = [name for name in dict.fromkeys(asked) if name in here]
    chosen = st.multiselect(
        "Studies",
        list(here),
        key=CHOSEN,
        on_change=_changed,
        format_func=lambda name: here[name].name,
        placeholder="Choose a study to open it, or several to compare them",
    )
    if not chosen:
        st.dataframe(studies_table(studies), hide_index=True, alt="The studies that are here")
    elif len(chosen) == 1:
        _open(here[chosen[0]])
    else:
        _compare([here[name] for name in chosen])


def _changed() -> None:
    names = ",".join(quote(name, safe="") for name in st.session_state[CHOSEN])
    st.query_params.from_dict({"study": names} if names else {})


def _open(study: StudyHere) -> None:
    """What one study has found, its figures, and the way to its runs."""
    if not study.summary:
        st.info(
            f"{study.progress} of its runs are done; the report is written with the last. "
            f"`ctviz study --resume {plain(str(study.folder))}` goes on with it.",
            icon=":material/hourglass_empty:",
        )
    if study.summary:
        st.subheader("What was found", anchor=False)
        st.markdown("\n".join(f"- {plain(line)}" for line in study.summary))
    if len(study.arms):
        st.subheader("Arms, at the end", anchor=False)
        st.dataframe(arms_table([study]), hide_index=True, alt="The arms of the study, at the end")
        st.caption(plain(GRADED))
    for name, file in study.figures.items():
        st.image(file.read_text(encoding="utf-8"), caption=FIGURES[name], width=WIDTH)
    if len(study.results):
        _runs(study)


def _runs(study: StudyHere) -> None:
    st.subheader("Its runs", anchor=False)
    marked = st.dataframe(
        runs_table(study),
        key=f"study-runs-{study.id}",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="–",
        alt="The runs of the study; mark one to watch it, or several to compare them",
    )
    rows = study.results.iloc[marked["selection"]["rows"]]
    names = [
        study.run(str(arm), float(rate), int(seed))
        for arm, rate, seed in zip(rows["arm"], rows["rate"], rows["seed"], strict=True)
    ]
    with st.container(horizontal=True):
        if st.button("Watch", icon=":material/play_circle:", disabled=len(names) != 1):
            st.switch_page(str(paths.pages() / "watch.py"), query_params={"run": names[0]})
        if st.button(
            "Compare",
            icon=":material/compare_arrows:",
            disabled=not 1 <= len(names) <= compared.MOST,
        ):
            st.switch_page(str(paths.pages() / "compare.py"), query_params=compared.link(names))


def _compare(studies: list[StudyHere]) -> None:
    """The arms of several studies in one table, and their figures side by side."""
    tasks = {each.study.task for each in studies}
    models = {each.study.model for each in studies}
    if len(tasks) > 1 or len(models) > 1:
        st.info(
            "These studies have different tasks or models: their grades are of different things.",
            icon=":material/info:",
        )
    st.dataframe(arms_table(studies), hide_index=True, alt="The arms of all chosen studies")
    st.caption(plain(GRADED))
    for name, caption in FIGURES.items():
        drawn = [each for each in studies if name in each.figures]
        if not drawn:
            continue
        for place, each in zip(st.columns(len(drawn)), drawn, strict=True):
            place.markdown(f"**{plain(each.name)}**")
            place.image(each.figures[name].read_text(encoding="utf-8"), width="stretch")
        st.caption(caption)
    for each in studies:
        if each.summary:
            with st.expander(plain(each.name)):
                st.markdown("\n".join(f"- {plain(line)}" for line in each.summary))


main()
