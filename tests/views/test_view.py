"""Links: a view becomes parameters and comes back, whatever somebody typed into them."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctviz.views.view import Form, Level, Shown, View

NODES = st.sampled_from(["input", "logits", "m3", "a0.h1", "a11.h11"])
VIEWS = st.builds(
    View,
    step=st.none() | st.integers(0, 10**6),
    nodes=st.lists(NODES, max_size=5, unique=True).map(tuple),
    edges=st.none() | st.integers(1, 5000),
    marks=st.sampled_from(["previous", "start"]),
    estimator=st.sampled_from(["circuit", "mass"]),
    heat=st.sampled_from(["nodes", "qkv", "steps"]),
    map=st.sampled_from(get_args(Shown)),
    level=st.sampled_from(get_args(Level)),
    form=st.sampled_from(get_args(Form)),
    axis=st.sampled_from(["auto", "linear", "log", "even"]),
    probe=st.integers(0, 9),
    open=st.sets(st.integers(0, 79), max_size=80).map(lambda layers: tuple(sorted(layers))),
)


@given(VIEWS)
def test_a_view_comes_back_from_a_link_and_from_the_browser(view: View) -> None:
    assert View.from_query(view.to_query()) == view
    assert View.from_dict(view.to_dict()) == view


def test_what_is_usual_is_not_in_the_link() -> None:
    assert View().to_query() == {}
    assert View(step=0, nodes=("m1", "a0.h0"), level="model", open=(2, 11)).to_query() == {
        "step": "0",
        "node": "m1,a0.h0",
        "level": "model",
        "open": "2,11",
    }
    assert View.from_query({"open": "11,x,2,2,-1"}).open == (2, 11)


@pytest.mark.parametrize("text", ["-3", "1e9", "nan", "", "9" * 400, "x<script>", "½"])
def test_a_number_that_is_none_is_left_out(text: str) -> None:
    view = View.from_query({"step": text, "edges": text})
    assert view.step is None
    assert view.edges is None


def test_nonsense_is_left_at_the_default() -> None:
    query = {
        "marks": "all",
        "estimator": "'",
        "heat": "3",
        "whole": "yes",
        "axis": "up",
        "run": "other",
    }
    assert View.from_query(query) == View()


def test_a_very_long_selection_is_cut() -> None:
    assert len(View.from_query({"node": "m1," * 5000}).nodes) <= 64
    assert all(len(node) <= 600 for node in View.from_query({"node": "x" * 10_000}).nodes)
