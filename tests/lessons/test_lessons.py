"""Lessons: what they ask for exists in the shipped runs, and what they say of them is true."""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ctviz import paths
from ctviz.circuits.graph import kind_of
from ctviz.errors import DamagedRun, UnknownName
from ctviz.inspection.switching import off_on_task
from ctviz.lessons import LESSONS, induction
from ctviz.lessons.facts import (
    Facts,
    bound,
    drawn,
    percent,
    plain,
    ratio,
    reader,
    signed,
    source,
)
from ctviz.lessons.forming import Formed
from ctviz.lessons.glossary import TERMS, find_term, search
from ctviz.lessons.lesson import (
    AnyHead,
    AtStep,
    EdgesAtMost,
    EstimatorIs,
    HeatIs,
    Lesson,
    LessonStep,
    MapIs,
    MarksAre,
    Prediction,
    Question,
    Selected,
    SwitchOff,
    seconds,
)
from ctviz.lessons.markup import explained, literal, marked_terms
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.known import resolve
from ctviz.runs import Run, open_run
from ctviz.runs.changes import change
from ctviz.runs.series import series_of
from ctviz.runs.trust import UNDEFINED
from ctviz.runs.weights import playable_steps
from ctviz.tuning.dataset import make_dataset
from ctviz.tuning.stored_weights import model_at
from ctviz.views import compare
from ctviz.views.compared import read_side
from ctviz.views.recorded import recorded
from ctviz.views.view import View
from tests import ROOT

SHIPPED = paths.shipped_runs()
NOT_OF_THE_RUN = {"2.7", "90", "0.95", "0.93"}  # e, the estimator's share, a made-up example
_facts: dict[str, Facts] = {}


def facts_of(run: str) -> Facts:
    if run not in _facts:
        _facts[run] = Facts(open_run(run, SHIPPED))
    return _facts[run]


@pytest.fixture(params=list(LESSONS))
def lesson(request: pytest.FixtureRequest) -> Lesson:
    return LESSONS[request.param]


@pytest.fixture
def facts(lesson: Lesson) -> Facts:
    return facts_of(lesson.run)


@pytest.fixture
def steps(lesson: Lesson, facts: Facts) -> tuple[LessonStep, ...]:
    return lesson.steps(facts)


def texts(step: LessonStep) -> list[str]:
    """Everything of a step that a reader reads."""
    until = step.until
    options = until.options if isinstance(until, Question | Prediction) else ()
    why = (until.why, *until.wrong.values()) if isinstance(until, Question) else ()
    return [step.text, step.ask, step.hint, *options, *why]


# ---------------------------------------------------------------------- every lesson


def test_there_are_eight_lessons_with_titles_of_their_own():
    assert len(LESSONS) == 8
    assert len({lesson.title for lesson in LESSONS.values()}) == 8
    assert all(key == lesson.key for key, lesson in LESSONS.items())


def test_a_lesson_takes_as_long_as_it_says(lesson, steps):
    assert 6 <= len(steps) <= 10
    assert 180 <= seconds(steps) <= 300
    assert lesson.minutes == round(seconds(steps) / 60)


def test_what_a_step_shows_is_in_the_run(facts, steps):
    for step in steps:
        view = step.view
        assert view.step in facts.steps
        size = len(facts.circuit(view.step))
        assert view.edges is None or 1 <= view.edges <= size
        shown = {facts.graph.sources[0], "logits"}
        for edge in facts.circuit(view.step):
            shown |= {source(edge), reader(edge)}
        for node in view.nodes:
            assert node in facts.graph.nodes
        if step.camera != "all":
            assert set(step.camera.split(",")) <= set(facts.graph.nodes)
        assert View.from_query(view.to_query()) == view


def test_a_reader_can_do_what_is_asked_and_has_not_done_it_yet(facts, steps):
    for step in steps:
        until = step.until
        if until is None:
            assert step.ask == step.hint == ""
            continue
        assert step.ask
        if isinstance(until, Question):
            assert not until.met(None)
            assert [until.met(option) for option in until.options].count(True) == 1
            continue
        assert step.hint
        if isinstance(until, Prediction):
            assert not until.met(None)
            assert all(until.met(option) for option in until.options)
            assert any(later.recalls for later in steps)
            continue
        if isinstance(until, SwitchOff):
            assert until.node in facts.graph.nodes
            assert set(until.steps) <= set(playable_steps(facts.run))
            continue
        assert not until.met(step.view)
        done = until.done_for(step.view)
        assert until.met(done)
        assert done.step in facts.steps
        assert set(done.nodes) <= set(facts.graph.nodes)


def test_texts_are_complete(steps):
    for step in steps:
        for text in texts(step):
            assert not re.search(r"[{}]|\bnan\b|\bNone\b|\binf\b|TODO", text), text
            marked_terms(text)  # raises for a word that the glossary does not have
        assert len(step.text.split()) < 130
        assert "\n\n\n" not in step.text


def test_no_number_of_a_run_is_typed_by_hand(lesson):
    module = inspect.getmodule(lesson.steps)
    assert module is not None
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            prose = re.sub(r"`[^`]*`", "", node.value)
            for number in re.findall(r"\d+\.\d+|\d{2,}", prose):
                assert number in NOT_OF_THE_RUN, f"{number} in {node.value!r}"


def test_each_lesson_explains_words_and_waits_for_the_reader(steps):
    assert sum(len(marked_terms(step.text)) for step in steps) >= 3
    assert sum(step.until is not None for step in steps) >= 2


def test_lessons_need_neither_torch_nor_streamlit():
    code = (
        "import sys, ctviz.lessons; print([m for m in ('torch', 'streamlit') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------- conditions


@pytest.mark.parametrize(
    ("condition", "met", "not_met"),
    [
        (Selected("m3"), View(nodes=("a1.h0", "m3")), View(nodes=("m2",))),
        (AnyHead("a0.h0"), View(nodes=("m3", "a1.h2")), View(nodes=("m3", "logits", "input"))),
        (AtStep(30), View(step=30), View(step=28)),
        (AtStep(30), View(step=31), View(step=None)),
        (AtStep(30, 40), View(step=40), View(step=42)),
        (EdgesAtMost(10), View(edges=10), View(edges=11)),
        (EdgesAtMost(10), View(edges=1), View(edges=None)),
        (EstimatorIs("mass"), View(estimator="mass"), View(estimator="circuit")),
        (HeatIs("steps"), View(heat="steps"), View(heat="qkv")),
        (MapIs("matching"), View(map="matching"), View()),
        (MarksAre("start"), View(marks="start"), View(marks="previous")),
    ],
)
def test_conditions(condition, met, not_met):
    assert condition.met(met)
    assert not condition.met(not_met)
    assert condition.met(condition.done_for(not_met))


def test_a_question_has_one_right_answer():
    question = Question(
        options=("one", "two"), right="two", why="Because.", wrong={"one": "Add one."}
    )
    assert question.met("two")
    assert not question.met("one")
    with pytest.raises(ValueError, match="must be one of"):
        Question(options=("one", "two"), right="three", why="", wrong={})
    with pytest.raises(ValueError, match="must differ"):
        Question(options=("one", "one"), right="one", why="", wrong={})
    with pytest.raises(ValueError, match="hint of its own"):
        Question(options=("one", "two"), right="two", why="", wrong={})


# ---------------------------------------------------------------------- how numbers are written


def test_numbers_are_never_rounded_to_more_than_they_are():
    assert [percent(share) for share in (0, 0.0004, 0.002, 0.5, 0.997, 0.99999, 1)] == [
        "0 %",
        "below 0.1 %",
        "0.2 %",
        "50 %",
        "99.7 %",
        "99.9 %",
        "100 %",
    ]
    assert [plain(x) for x in (0, -8.917, 22.63, 0.0351, 4e-7)] == [
        "0",
        "−8.92",
        "22.6",
        "0.035",
        "4e−07",
    ]
    assert [signed(x) for x in (3.39, -3.39, 0)] == ["+3.39", "−3.39", "0"]
    assert [ratio(x) for x in (-6e-7, 0.966, 5.362)] == ["0.00", "0.97", "5.36"]
    assert [bound(x) for x in (2e-6, 0.5, 0.001)] == ["0.00001", "1", "0.001"]


def test_nodes_are_called_what_the_picture_calls_them():
    assert [drawn(node) for node in ("a2.h1", "a10.h11", "m3", "logits")] == [
        "circle h1 of layer 2",
        "circle h11 of layer 10",
        "box MLP of layer 3",
        "logits",
    ]
    for lesson in LESSONS.values():
        for step in lesson.steps(facts_of(lesson.run)):
            assert "a…" not in "".join(texts(step))  # no circle is labelled so
            if isinstance(step.until, Selected):
                assert drawn(step.until.node) in step.hint


# ---------------------------------------------------------------------- what the texts claim


def test_lesson_1_the_circuit_at_the_start_is_faithful_and_random_ones_are_not():
    facts = facts_of("sample-sva-flip")
    start = facts.first
    assert facts.metric("faithfulness", start) > 0.9
    assert abs(facts.metric("random_faithfulness", start)) < 0.05
    assert facts.metric("metric", start) < 0  # so far it prefers the right form: the foil
    assert len(facts.against(start)) > len(facts.circuit(start)) / 2
    assert facts.score(facts.circuit(start)[0], start) < 0  # "higher", and orange
    first, second = LESSONS["circuit"].steps(facts)[:2]
    assert "*wrong* verb form" in first.text
    assert f"now {signed(facts.metric('metric', start))}." in first.text
    assert "`h0` to `h3`" in second.text
    assert all(facts.probe(i, start).top for i in (0, -1))


def test_lesson_2_colours_turn_over_and_one_edge_turns_around():
    facts = facts_of("sample-sva-flip")
    start, end = facts.first, facts.last
    half = len(facts.circuit(start)) / 2
    assert len(facts.against(start)) > half > len(facts.against(end))
    head = facts.strongest_head(start)
    assert {edge[-2] for edge in facts.into(head, start)} >= {"k", "v"}


def test_lesson_3_the_head_finds_the_subject_at_first_and_not_at_the_end():
    facts = facts_of("sample-sva-flip")
    start, end = facts.first, facts.last
    head = facts.strongest_head(start)
    subject, share = facts.looks_at(head, 0, start)
    tokens = [token.strip() for token in facts.probe(0, start).tokens]
    assert tokens[0].lower() == "the"
    assert subject == tokens[1]  # a sentence begins with its subject
    assert share > 0.5
    assert facts.looks_at(head, 0, end)[0] != subject
    assert any(edge.endswith("<v>") for edge in facts.into(head, start))
    path = facts.path(start)
    assert path[0] == "input"
    assert path[-1] == "logits"
    assert head in path
    assert [kind_of(path[1]), kind_of(path[-2])] == ["mlp", "mlp"]
    starts = {node: len(facts.out_of(node, start)) for node in facts.graph.sources}
    assert starts.pop(path[1]) > max(starts.values())
    readers = {reader(edge) for edge in facts.out_of(path[1], start)}
    later = {reader(edge) for edge in facts.circuit(start)} - set(facts.path(start)[:2])
    assert len(readers & later) > len(later) / 2
    direct = facts.probe(0, start).attribution[facts.graph.node(path[-2])]
    assert direct < 0


def test_lesson_4_estimators_disagree_about_a_node_of_no_weight():
    facts = facts_of("sample-sva-flip")
    text = " ".join(step.text for step in LESSONS["redundancy"].steps(facts))
    apart = re.search(r"as it goes\. `([^`]+)` has 0 of its", text)
    assert apart is not None
    node = apart[1]
    assert facts.redundancy(node, "circuit", facts.first) == 1
    assert facts.redundancy(node, "mass", facts.first) < 0.5
    for step in (facts.first, facts.last):
        for one in facts.graph.nodes[1:]:
            d = facts.degrees(one) * (1 - facts.redundancy(one, "circuit", step))
            assert d == pytest.approx(len(facts.into(one, step)), abs=1e-4)


def test_lesson_5_an_old_skill_fades_before_a_new_one_grows():
    facts = facts_of("sample-sva-flip")
    start, end = facts.first, facts.last
    largest = [abs(facts.score(facts.circuit(step)[0], step)) for step in facts.steps]
    quiet = facts.steps[largest.index(min(largest))]
    assert start < quiet < end
    assert min(largest) < 0.1 * largest[0]
    assert abs(facts.metric("metric", quiet)) < 0.5
    final = facts.into("logits", end)[0]
    assert facts.score(final, start) < 0 < facts.score(final, end)
    assert facts.column("outside_moved").max() == 0
    against = facts.against(end)[0]
    assert facts.score(against, start) < 0  # it did not turn around
    assert change(facts.at(start), facts.at(end), facts.graph)["entered"] > 0
    assert facts.grade("before", "accuracy") < 0.1
    assert facts.grade("after", "accuracy") > 0.9


def test_lesson_5_costs_are_those_of_the_pages():
    run = open_run("sample-sva-flip", SHIPPED)
    last = LESSONS["tuning"].steps(facts_of("sample-sva-flip"))[-1].text
    watched = run.metrics().dropna(subset=["other_accuracy"])["other_accuracy"]
    [row] = compare.table([read_side(run, "A", damaged=[])]).to_dict("records")
    for share in (watched.iloc[0], watched.iloc[-1], row["others_before"], row["others_after"]):
        assert f"{share:.3f}" in last
    assert math.isnan(row["perplexity_change"])
    assert "did not measure the perplexity of English" in last


def test_lesson_5_says_what_is_frozen_and_how_much_may_move():
    text = "".join(step.text for step in LESSONS["tuning"].steps(facts_of("sample-sva-flip")))
    for part in ("embeddings", "norms", "unembedding", "whatever the circuit does not own"):
        assert part in text
    owned = open_run("sample-sva-flip", SHIPPED).metrics()["trained_fraction"].dropna()
    assert f"{100 * owned.min():.0f} % to {100 * owned.max():.0f} % of all parameters" in text


def test_lesson_6_shows_random_circuits_that_are_not_zero():
    text = LESSONS["faithfulness"].steps(facts_of("sample-sva-flip"))[2].text
    last = list(open_run("sample-two-layer", SHIPPED).snapshots())[-1].metrics
    assert last["random_high"] > 0.5
    for name in ("random_faithfulness", "random_high", "faithfulness"):
        assert f"{last[name]:.2f}" in text


def test_no_lesson_ends_with_a_command(steps):
    assert "`ctviz" not in steps[-1].text


def test_lesson_5_the_study_says_what_the_text_says_of_it():
    table = pd.read_csv(ROOT / "assets/studies/sva-flip/methods.csv", index_col="method")
    assert table.loc["random", "grade"] > 0.95
    assert table.loc["circuit", "grade"] > 0.95
    assert table.loc["random", "trained_fraction"] == pytest.approx(
        table.loc["circuit", "trained_fraction"], abs=0.05
    )
    assert table.loc["circuit", "kl"] < table.loc["random", "kl"]


def test_lesson_6_faithfulness_means_nothing_where_nothing_is_left_to_explain():
    facts = facts_of("sample-sva-flip")
    worst = max(facts.steps, key=lambda step: facts.metric("faithfulness_error", step))
    assert facts.metric("faithfulness_error", worst) > abs(facts.metric("faithfulness", worst))
    gap = abs(facts.metric("metric", worst) - facts.metric("metric_corrupt", worst))
    assert gap < 0.05
    assert facts.metric("faithfulness_error", facts.first) < 0.02
    # The words that the text quotes are the chip's, and are said at that step alone.
    said = recorded(facts.run)
    assert said is not None
    words = {step: each.words for step, each in zip(said.steps, said.trust, strict=True)}
    assert [step for step in words if words[step] == UNDEFINED] == [worst]
    assert abs(facts.metric("random_faithfulness", facts.last)) < 0.05
    times, quiet = facts.turnover()
    assert 0.8 < quiet / times < 1


# ---------------------------------------------------------------------- the known answer


def test_lesson_7_finds_all_true_edges_and_no_other():
    facts, known = facts_of("sample-induction"), KNOWN_ANSWERS["induction"]
    assert facts.graph == known.graph
    true = set(known.true_edges)
    for step in facts.steps:
        circuit = facts.circuit(step)
        found = true & set(circuit)
        assert len(found) == min(len(circuit), len(true))  # true edges come first
        extra = [abs(facts.score(edge, step)) for edge in circuit if edge not in true]
        assert max(extra, default=0) < 1e-4
    assert set(facts.circuit(5)) == true
    assert len(facts.circuit(facts.last)) > len(true)
    assert induction.NOTE in true
    assert (induction.PREVIOUS, induction.FINDER) == ("a0.h1", "a1.h2")


def test_lesson_7_faithfulness_rises_falls_and_rises():
    facts = facts_of("sample-induction")
    by_size = {len(facts.circuit(step)): facts.metric("faithfulness", step) for step in facts.steps}
    assert by_size == pytest.approx({1: 0, 2: 1, 3: 0, 4: 0, 5: 1, 6: 1, 7: 1, 8: 1}, abs=0.01)
    order = facts.circuit(facts.last)[:5]
    query, key, note = "input->a1.h2<q>", "a0.h1->a1.h2<k>", "input->a0.h1<v>"
    assert set(order[:2]) == {"a1.h2->logits", "input->a1.h2<v>"}
    # The text says that the query comes from the real prompt while the notes do not yet.
    assert order[2] == query
    assert set(order[3:]) == {key, note}


def test_lesson_7_the_model_did_not_change_and_does_what_is_said():
    facts = facts_of("sample-induction")
    assert facts.run.config.learning_rate == 0
    assert len({facts.metric("metric", step) for step in facts.steps}) == 1
    assert not any(snapshot.tuned.any() for snapshot in facts.snapshots)
    prompt = facts.probe(0, facts.last)
    tokens = [token.strip() for token in prompt.tokens]
    assert tokens.index(tokens[-1]) < len(tokens) - 1
    assert tokens[tokens.index(tokens[-1]) + 1] == prompt.answer.strip()
    assert prompt.top[0][0] == prompt.answer
    assert facts.looks_at(induction.FINDER, 0, facts.last)[0] == prompt.answer.strip()
    rows = prompt.attention[0, 1].argmax(axis=-1)
    assert rows.tolist()[1:] == list(range(len(tokens) - 1))  # one back


# ---------------------------------------------------------------------- the one that is learnt


def test_lesson_8_the_task_is_learnt_in_a_jump():
    facts = facts_of("sample-two-layer")
    found = Formed(facts)
    can = [facts.metric("accuracy", step) for step in facts.steps]
    for step, accuracy in zip(facts.steps, can, strict=True):
        assert accuracy < 0.6 if step <= found.before else accuracy > 0.8
    assert found.settled < 2 * found.before
    early, late = re.findall(
        r"between steps (\d+) and (\d+)", str(LESSONS["forming"].steps(facts))
    )[0]
    assert int(early) < found.before < found.settled < int(late)
    end = facts.probe(0, facts.last)
    assert end.top[0][0] == end.answer
    assert facts.probe(0, facts.first).top[0][1] < 0.05


def test_lesson_8_the_previous_token_head_comes_first_and_one_head_copies():
    facts = facts_of("sample-two-layer")
    found = Formed(facts)
    heads = [node for node in facts.graph.nodes if kind_of(node) == "head"]
    for step in (found.before, found.begun, facts.last):
        others = [facts.head("previous", node, step) for node in heads if node != found.previous]
        assert facts.head("previous", found.previous, step) > 1.5 * max(others)
    assert facts.best_head("matching", found.begun) == found.finder

    def half(score: str, node: str) -> int:
        return next(step for step in facts.steps if facts.head(score, node, step) > 0.5)

    assert half("previous", found.previous) < half("matching", found.finder)
    end = facts.last
    matches = [facts.head("matching", node, end) for node in (found.finder, found.rival)]
    assert matches[1] > 0.95 * matches[0]
    copies = [facts.head("copying", node, end) for node in (found.finder, found.rival)]
    assert copies[0] > 2 * copies[1]
    ways_out = [facts.score(f"{node}->logits", end) for node in (found.finder, found.rival)]
    assert ways_out[0] > 10 * ways_out[1]


def test_lesson_8_finds_the_edges_of_the_circuit_by_hand():
    facts, known = facts_of("sample-two-layer"), KNOWN_ANSWERS["induction"]
    found = Formed(facts)
    assert set(facts.circuit(facts.last)[: len(found.edges)]) == set(found.edges)
    names = {found.previous: induction.PREVIOUS, found.finder: induction.FINDER}
    renamed = {re.sub(r"a\d\.h\d", lambda head: names[head[0]], edge) for edge in found.edges}
    assert renamed == set(known.true_edges)


def test_lesson_8_switching_one_head_off_costs_nothing_before_and_everything_after():
    """What the reader finds, from the weights that ship."""
    run = facts_of("sample-two-layer").run
    [switch] = [
        step.until
        for step in LESSONS["forming"].steps(facts_of("sample-two-layer"))
        if isinstance(step.until, SwitchOff)
    ]
    pairs = make_dataset(model_at(run, 0), run.config).dev_pairs
    before, after = (
        off_on_task(model_at(run, step), pairs, switch.node, "zero", "logit_difference")
        for step in switch.steps
    )
    assert abs(before.after - before.before) < 2 * before.error
    assert after.before > 10
    assert abs(after.after) < 0.05 * after.before


def test_the_induction_run_is_small_and_without_weights():
    folder = SHIPPED / "sample-induction"
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 1_500_000
    assert not (folder / "checkpoint").exists()
    assert open_run("sample-induction", SHIPPED).about["id"] == "sample-induction"


def test_the_trained_run_is_small_and_its_models_ship():
    folder = SHIPPED / "sample-two-layer"
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    assert sum(sizes) < 400_000
    run = open_run("sample-two-layer", SHIPPED)
    assert run.about["id"] == "sample-two-layer"
    assert not run.status().notices
    for member in series_of(run).members:
        assert member.model == f"two-layer/checkpoint-{member.step}"
        assert Path(resolve(member.model)).is_dir()


# ---------------------------------------------------------------------- facts


def test_facts_name_what_they_do_not_have():
    facts = facts_of("sample-induction")
    with pytest.raises(UnknownName, match="There is no snapshot '99'"):
        facts.at(99)
    with pytest.raises(UnknownName, match="There is no metric 'beauty'"):
        facts.metric("beauty", 0)
    with pytest.raises(UnknownName, match="There is no score of heads 'matching'"):
        facts.head("matching", "a0.h1", 0)


def test_facts_of_a_damaged_run_name_the_file(tmp_path: Path):
    import shutil

    folder = tmp_path / "sample-induction"
    shutil.copytree(SHIPPED / "sample-induction", folder)
    (folder / "snapshots/000003.safetensors").write_bytes(b"half")
    with pytest.raises(DamagedRun, match=r"000003\.safetensors"):
        Facts(Run(folder))
    for file in (folder / "snapshots").iterdir():
        file.unlink()
    with pytest.raises(DamagedRun, match="no snapshots"):
        Facts(Run(folder))


# ---------------------------------------------------------------------- the glossary


def test_every_word_of_the_manual_is_in_the_glossary():
    text = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    table = text.partition("## What the words mean")[2].partition("\n## ")[0]
    words = re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)
    assert len(words) >= 10
    for entry in words:
        for word in entry.split(", "):
            find_term(word)


def test_names_of_terms_are_their_own():
    keys = [term.key for term in TERMS]
    assert len(keys) == len(set(keys))
    names = [name for term in TERMS for name in (term.name, *term.aliases)]
    assert len(names) == len(set(names))
    folded = [name.casefold() for name in names if name not in ("D", "d")]
    assert len(folded) == len(set(folded))


def test_a_definition_is_one_or_two_sentences():
    for term in TERMS:
        assert term.definition.endswith("."), term.name
        assert 4 <= len(term.definition.split()) <= 50, term.name


def test_terms_are_found_by_name_alias_case_and_link():
    assert find_term("faithful").name == "faithfulness"
    assert find_term("ATTENTION HEADS").name == "attention head"
    assert find_term("node-redundancy").name == "node redundancy"
    assert find_term("D").name == "degrees of freedom"
    assert find_term("d").name == "intrinsic dimension"
    with pytest.raises(UnknownName, match="There is no term 'faithfullness'"):
        find_term("faithfullness")


def test_search_puts_names_before_definitions_and_forgives_typing():
    assert search("faithfulness")[0].name == "faithfulness"
    assert {"CPR", "CMD"} <= {term.name for term in search("faithfulness")}
    assert len(search("")) == len(TERMS)
    assert "faithfulness" in [term.name for term in search("faithfullnes")]
    assert search("<script>") == []


def test_a_marked_word_becomes_focusable_with_its_definition():
    shown = explained("An [[edges|*edge*]] and a [[node]].", prefix="t")
    assert shown.count('tabindex="0"') == 2
    for name in ("t-1", "t-2"):
        assert f'aria-describedby="{name}"' in shown
        assert f'role="tooltip" id="{name}"' in shown
    assert "&#42;edge&#42;" in shown
    assert "a0&#46;h3&#45;&#62;a1&#46;h0&#60;q&#62;" in shown  # the definition's <q> is no markup
    with pytest.raises(UnknownName, match="no term 'nonsense'"):
        explained("[[nonsense]]", prefix="t")


def test_literal_text_has_no_markup_left():
    assert literal("a_b <i>*x*</i>") == "a&#95;b &#60;i&#62;&#42;x&#42;&#60;&#47;i&#62;"
    assert literal("größe 12") == "größe 12"
