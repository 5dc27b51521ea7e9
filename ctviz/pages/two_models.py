"""Compare's part on two models: starting a comparison, and what it found."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from ctviz.errors import CtvizError, MissingExtra
from ctviz.extras import lacking
from ctviz.models.known import resolve
from ctviz.pages import session
from ctviz.pages.prompts import plain
from ctviz.pages.underway import show_underway
from ctviz.runs import Run
from ctviz.runs.config import TuneConfig
from ctviz.runs.difference import Difference, Swapped, read_difference
from ctviz.runs.series import of_models
from ctviz.tasks import TASKS
from ctviz.views.difference import claim_sentence, difference_sentences, model_names

__all__ = ["ask_two_models", "show_difference"]


def ask_two_models() -> str | None:
    """Ask for two models and a task; the id of the comparison that was started, else None."""
    with st.expander("Compare two models", icon=":material/compare:"):
        st.markdown(
            "What does the second do differently on a task? Both are recorded on one clock, their "
            "edges and answers compared, and the nodes that differ most are swapped between them."
        )
        left, right = st.columns(2)
        first = left.text_input("First model (A)", "tiny", key="two-first", help=MODEL).strip()
        second = right.text_input("Second model (B)", key="two-second", help=MODEL).strip()
        task = left.selectbox(
            "Task", list(TASKS), format_func=lambda key: TASKS[key].title, key="two-task"
        )
        edges = right.number_input("Edges of the circuit", 1, None, 60, key="two-edges")
        tokenizer = st.text_input(
            "Tokenizer",
            key="two-tokenizer",
            help="Whose tokenizer both take. Left empty, each has its own",
        ).strip()
        if not st.button(
            "Compare", type="primary", icon=":material/compare_arrows:", disabled=not second
        ):
            return None
        try:
            for model in (first, second):
                resolve(model)
            series = of_models([first, second], tokenizer=tokenizer)
            asked = {"model": series.members[0].model, "task": task, "edges": int(edges)}
            config = TuneConfig.from_dict(asked)
            config.check_startable()
            parent = session.folders()[0]
            return session.standby().record(series, config, parent, compared=True)
        except (CtvizError, OSError) as error:
            st.error(plain(str(error)))
            return None


MODEL = "A short name, a hub id or a folder on this machine"


def show_difference(run: Run) -> bool:
    """What was measured of a recording of two models; whether it is still being made, so that there
    is nothing else to show. Nothing for any other run."""
    if not run.about.get("compared"):
        return False
    status = run.status()
    if status.live:
        show_underway(run, status, name="Comparing two models")
        return True
    problems: list[str] = []
    found = read_difference(run, problems)
    for problem in problems:
        st.warning(plain(problem))
    if found is None:
        if not problems:
            said = " ".join(status.notices) or status.message
            st.info(
                plain(
                    f"What they do differently was not measured: the recording is {status.state}. "
                    f"{said} `ctviz compare --run {run.id}` goes on with it."
                )
            )
        return False
    first, second = model_names(found)
    st.subheader(plain(f"What {second} does differently from {first}"))
    st.markdown("\n".join(f"- {plain(said)}" for said in difference_sentences(run, found)))
    if found.claims:
        st.markdown("**The nodes that differ most, and what swapping each does**")
        st.dataframe(_swaps(found), hide_index=True, column_config=_columns(found, first, second))
        with st.expander("In words"):
            said = "\n".join(f"- {plain(claim_sentence(found, each))}" for each in found.claims)
            st.markdown(said)
    with st.expander(f"The {len(found.answers)} examples that they answer most differently"):
        st.dataframe(
            pd.DataFrame(
                {
                    "prompt": each.prompt,
                    "right": each.right.strip(),
                    first: each.first_said.strip(),
                    second: each.second_said.strip(),
                }
                for each in found.answers
            ),
            hide_index=True,
        )
    _download(run, found)
    return False


def _swaps(found: Difference) -> pd.DataFrame:
    kinds = [("differs most", found.claims), ("at random", found.random)]
    return pd.DataFrame(_row(each, kind) for kind, swapped in kinds for each in swapped)


def _row(each: Swapped, kind: str) -> dict[str, object]:
    return {
        "node": each.node,
        "chosen": kind,
        "edges": each.edges,
        "change": each.change,
        "lost": -each.lost,
        "lost_error": each.lost_error,
        "carried": each.carried,
        "carried_error": each.carried_error,
    }


def _columns(found: Difference, first: str, second: str) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    share = f" The difference between the two is {found.gain:+.3f}."
    return {
        "chosen": "chosen as",
        "edges": number("edges", help="Of either circuit, that differ beyond noise"),
        "change": number(
            "change", format="%.3f", help="Sum over these edges of how much their scores differ"
        ),
        "lost": number(
            f"{first}'s put into {second}",
            format="%+.3f",
            help=f"How the metric of {second} moves with {first}'s parameters of the node.{share}",
        ),
        "lost_error": number("±", format="%.3f", help="One standard error over examples"),
        "carried": number(
            f"{second}'s put into {first}",
            format="%+.3f",
            help=f"How the metric of {first} moves with {second}'s parameters of the node.{share}",
        ),
        "carried_error": number("± ", format="%.3f", help="One standard error over examples"),
    }


def _download(run: Run, found: Difference) -> None:
    packages = lacking("pictures")
    if packages:
        st.caption(plain(str(MissingExtra("pictures", "The report", packages))))
        return

    def report() -> str:
        from ctviz.export.difference import difference_report

        return difference_report(run, found)

    st.download_button(
        "Report",
        report,
        f"{re.sub(r'[^A-Za-z0-9._-]', '-', run.id)}.html",
        mime="text/html",
        on_click="ignore",
        icon=":material/description:",
        help="One HTML file with figures, that needs no network",
    )
