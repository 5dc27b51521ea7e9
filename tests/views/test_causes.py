"""What was needed, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ctviz.circuits.graph import Graph
from ctviz.runs.cause_sentence import cause_sentence, share
from ctviz.runs.causes import Causes, Checked, NodeCause, does_nothing
from ctviz.views.causes import cause_lines, cause_of_node, pack_causes


def node(name: str, carried: float, lost: float, **more) -> NodeCause:
    return NodeCause(
        node=name,
        parameters=100,
        carried=carried,
        carried_error=0.1,
        lost=lost,
        lost_error=0.1,
        grade_alone=None,
        grade_without=None,
        kl_alone=0.0,
        kl_without=0.0,
        **more,
    )


def checked(parameters: int, carried: float | None) -> Checked:
    return Checked(
        parameters=parameters, metric=0.0, carried=carried, error=0.02, grade=0.5, kl=0.1
    )


FOUND = Causes(
    step=20,
    metric="logit_difference",
    judged_by="accuracy",
    chosen_on="dev",
    checked_on="test",
    asked=32,
    examples=32,
    test_examples=30,
    in_sample=0,
    node_examples=16,
    node_gain=4.0,
    share=0.95,
    seed=0,
    parameters=10_000,
    gain=4.1,
    gain_error=0.2,
    test_gain=3.9,
    test_gain_error=0.2,
    learned=True,
    untuned=checked(0, 0.0),
    tuned=checked(900, 1.0),
    needed=checked(123, 0.951),
    random=(checked(120, 0.2), checked(125, 0.5)),
    without_idle=checked(300, 1.0),
    idle_change=-0.01,
    idle_change_error=0.02,
    nodes=(
        node("a0.h3", 1.0, 2.0, needed=True),
        node("a0.g1", 0.12, -0.2),
        node("m1", 0.0, 0.0, idle=True),
        node("other", 0.0, 0.0, idle=True),
    ),
    seconds=1.0,
    device="cpu",
)
GROUPED = Graph(2, 4, 2)


def test_the_sentence():
    assert cause_sentence(FOUND) == (
        "9.0 % of the parameters were updated; 1.2 % carry 95 % of the gain; reverting these 2 "
        "nodes changes nothing."
    )
    bad = replace(FOUND, idle_change=-0.39)
    assert cause_sentence(bad).endswith(
        "reverting these 2 nodes changes nothing on dev examples, but costs 10 % of the gain on "
        "others."
    )
    none = replace(FOUND, nodes=FOUND.nodes[:2])
    assert cause_sentence(none).endswith("no update can be taken back without a change.")


def test_fractions_and_ranges_are_of_what_they_say():
    assert (FOUND.updated_fraction, FOUND.needed_fraction) == (0.09, 0.0123)
    assert FOUND.random_gain_carried == pytest.approx(0.35)
    assert FOUND.random_range == (0.2, 0.5)
    text = "\n".join(cause_lines(FOUND))
    assert "1 of 4 nodes carry 95 % (± 2.0 %) on 30 test examples" in text
    assert "2 random sets of as many parameters 35 % (20 % to 50 %)" in text


@pytest.mark.parametrize(
    ("change", "error", "gain", "errors", "nothing"),
    [
        (0.19, 0.1, 1.0, 2, True),
        (-0.21, 0.1, 1.0, 2, False),
        (0.11, 0.1, 1.0, 1, False),
        (0.009, 0.0, 1.0, 2, True),
        (0.011, None, -1.0, 2, False),
    ],
)
def test_nothing_is_what_noise_would_do(change, error, gain, errors, nothing):
    assert does_nothing(change, error, gain, errors=errors) is nothing


def test_a_node_is_told_of_itself_and_of_its_group():
    said = cause_of_node({5: FOUND, 20: FOUND}, 13, "a0.h3", GROUPED)
    assert said == [
        "Its update alone carries 25 % of the gain; without it 50 % is lost. It is one of the 1 "
        "that are enough together. Measured at step 20.",
        "The update of a0.g1, its keys and values, alone carries 3.0 % of the gain; without it "
        "-5.0 % is lost. Measured at step 20.",
    ]
    assert cause_of_node({20: FOUND}, 0, "a1.h0", GROUPED) == []
    assert cause_of_node({}, 0, "m1", GROUPED) == []


def test_what_the_player_gets():
    packed = pack_causes(FOUND)
    assert packed["nodes"] == {
        "a0.h3": [0.25, 0.5],
        "a0.g1": [0.03, -0.05],
        "m1": [0.0, 0.0],
        "other": [0.0, 0.0],
    }
    assert pack_causes(replace(FOUND, learned=False))["nodes"] == {}


def test_shares():
    assert [share(v) for v in (0.0, 0.0005, 0.01234, 0.099, 0.1, 1.0, -0.05, None)] == [
        "0 %",
        "0.05 %",
        "1.2 %",
        "9.9 %",
        "10 %",
        "100 %",
        "-5.0 %",
        "unknown",
    ]
