"""When circuits form and what they share, small enough to do by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctviz.circuits.random_circuits import random_circuit
from ctviz.errors import CtvizError
from ctviz.runs import open_run
from ctviz.runs.formation import Course, course_of, formation, one_series, shared
from tests.small_graph import GRAPH, circuit
from tests.written_recordings import E1, E2, ONE, OTHER, SERIES, STEPS, write


def course(circuits=ONE, grades=(0.5, 0.5, 0.8, 0.9), **changes: object) -> Course:
    made = Course(
        run="r",
        task="sva",
        graph=GRAPH,
        steps=STEPS[: len(circuits)],
        grade=np.array(grades[: len(circuits)]),
        graded="accuracy",
        rises=True,
        examples=100,
        circuits=np.stack([circuit(*edges).mask for edges in circuits]),
    )
    return replace(made, **changes)


def test_a_circuit_has_formed_when_half_of_it_is_in_the_last_one():
    one = course()
    assert one.with_last.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert one.formed == 1
    assert course(circuits=([E1], [E1], [E1], [E2])).formed == 512


def test_a_grade_is_half_way_when_half_of_its_gain_is_made():
    assert course().learned == 8  # 0.7 is half way from 0.5 to 0.9
    assert course(grades=(0.0, 0.5, 0.4, 1.0)).learned == 1
    assert course(grades=(0.9, 0.6, 0.5, 0.5), rises=False).learned == 1
    assert course(grades=(0.9, 0.6, 0.5, 0.5)).learned is None  # it got worse
    # 0.05 + 0.05: the error of the difference is 0.0707 with 100 examples, 0.0223 with 1,000
    assert course(grades=(0.5, 0.5, 0.5, 0.6)).learned is None
    assert course(grades=(0.5, 0.5, 0.5, 0.6), examples=1000).learned == 512
    assert course(grades=(np.nan,) * 4).learned is None


def test_two_circuits_share_edges_and_nodes():
    found = shared(course(), course(OTHER))
    assert found.steps == STEPS
    assert found.edges.tolist() == [0, 0, 0.25, 0.5]
    # m0 | m1; m0 | a1.h0 m1; m0 m1 | a1.h0 m1; m0 a1.h0 m1 | a1.h0 m1
    assert found.nodes == pytest.approx([0, 0, 1 / 3, 2 / 3])
    later = replace(course(OTHER), steps=(0, 8, 512, 600))
    assert shared(course(), later).steps == (0, 8, 512)


def test_what_is_shared_by_chance_is_what_random_circuits_share():
    few = [random_circuit(GRAPH, 4, seed=seed).mask for seed in range(400)]
    many = [random_circuit(GRAPH, 6, seed=1000 + seed).mask for seed in range(400)]
    both = [int((one & other).sum()) for one, other in zip(few, many, strict=True)]
    mean = np.mean([n / (4 + 6 - n) for n in both])
    one = course(circuits=[random_circuit(GRAPH, 4, seed=0).edges()])
    other = course(circuits=[random_circuit(GRAPH, 6, seed=1).edges()])
    assert shared(one, other).by_chance[0] == pytest.approx(mean, abs=0.03)


def test_recordings_of_one_series_are_told_from_others(tmp_path: Path):
    one, other = write(tmp_path / "a", "sva"), write(tmp_path / "b", "ioi", OTHER)
    assert one_series([one, other]) == SERIES
    assert one_series([one]) is None
    assert one_series([one, write(tmp_path / "c", "sva")]) is None
    assert one_series([one, write(tmp_path / "d", "ioi", mlp_block=64)]) is None
    about = json.loads((other.folder / "run.json").read_text())
    about["series"]["members"][1]["model"] = "/m/other"
    (other.folder / "run.json").write_text(json.dumps(about))
    assert one_series([one, open_run(str(other.folder))]) is None
    del about["series"]
    (other.folder / "run.json").write_text(json.dumps(about))
    assert one_series([one, open_run(str(other.folder))]) is None


def test_a_recording_says_what_its_course_is(tmp_path: Path):
    courses = [course_of(write(tmp_path / "a", "sva"), "sva")]
    courses.append(course_of(write(tmp_path / "b", "ioi", OTHER[:3]), "ioi"))
    found = json.loads(json.dumps(formation(courses)))
    assert [each["formed"] for each in found["tasks"]] == [1, 0]
    assert [each["learned"] for each in found["tasks"]] == [8, 8]
    assert found["tasks"][0]["grades"] == [0.5, 0.5, 0.8, 0.9]
    ((pair),) = found["shared"]
    assert pair["steps"] == [0, 1, 8]
    assert pair["edges"] == [0, 0, 0.25]
    empty = write(tmp_path / "c", "sva", circuits=())
    with pytest.raises(CtvizError, match="no snapshot"):
        course_of(empty, "sva")
