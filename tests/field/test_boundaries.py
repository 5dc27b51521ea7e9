"""Where a prompt ends and its answer begins, with the tokenizers that people have.

The right values come from transformers alone: the ids that a person would write down by hand.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, processors
from transformers import PreTrainedTokenizerFast

import ctviz
from ctviz.cli import main
from ctviz.errors import BadTask
from ctviz.inspection.prompt import own_prompt
from ctviz.models.loading import Loaded, load
from ctviz.tasks.batch import encode
from ctviz.tasks.continuations import log_probabilities
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files.check import check
from ctviz.tasks.texts import encode_texts
from ctviz.tasks.tokens import Tokens, pair_problem, text_problem
from tests.field.tokenizers import byte_level, llama, llama_folder, sentencepiece
from tests.written_files import jsonl

PAIRS = [
    Pair("The key", "The keys", " is", " are"),
    Pair("The keys", "The key", " are", " is"),
    Pair("The cabinet", "The cabinets", " is", " are"),
]
KINDS = {
    "normalizer": lambda **ends: sentencepiece(prefix="normalizer", **ends),
    "metaspace": lambda **ends: sentencepiece(prefix="metaspace", **ends),
    "bytes": lambda **ends: byte_level(**ends),
}
FRONTS = {"normalizer": "<s>", "metaspace": "<s>", "bytes": "<|end|>"}


def named(tokenizer: PreTrainedTokenizerFast, *names: str) -> list[int]:
    """The ids of tokens by name."""
    found = tokenizer.convert_tokens_to_ids(list(names))
    assert None not in found
    return found


def by_hand(tokenizer: PreTrainedTokenizerFast, kind: str, text: str, *, bos: bool) -> list[int]:
    """Words that are one token each, behind the token that begins a text."""
    space = "Ġ" if kind == "bytes" else "\u2581"
    names = [space + word for word in text.split()]
    if kind == "bytes":
        names[0] = names[0].removeprefix(space)
    return named(tokenizer, *([FRONTS[kind]] if bos else []), *names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("eos", [True, False])
def test_a_pair_has_the_tokens_that_one_would_write_down(kind, bos, eos):
    tokenizer = KINDS[kind](bos=bos, eos=eos)
    batch = encode(PAIRS, tokenizer)
    for row, pair in enumerate(PAIRS):
        clean = by_hand(tokenizer, kind, pair.clean, bos=bos)
        assert batch.clean[row].tolist() == clean
        assert batch.corrupt[row].tolist() == by_hand(tokenizer, kind, pair.corrupt, bos=bos)
        assert batch.last[row] == len(clean) - 1
        space = "Ġ" if kind == "bytes" else "\u2581"
        assert batch.answer[row].tolist() == named(tokenizer, space + pair.answer.strip())
        assert batch.foil[row].tolist() == named(tokenizer, space + pair.foil.strip())[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_on_has_no_end_between_prompt_and_target(kind):
    tokenizer = KINDS[kind](bos=True, eos=True)
    texts = encode_texts([Example("The keys", " are on")], tokenizer)
    assert texts.ids.tolist() == [by_hand(tokenizer, kind, "The keys are on", bos=True)]
    assert texts.begin.tolist() == [3]


@pytest.mark.parametrize("kind", KINDS)
def test_the_choices_of_a_grade_follow_the_prompt_itself(kind):
    tokenizer = KINDS[kind](bos=True, eos=True)
    loaded = load(llama(len(tokenizer)), tokenizer=tokenizer)
    (found,) = log_probabilities(loaded, [("The keys", [" are on", " is"])])
    assert found == pytest.approx([said(loaded, kind, " are on"), said(loaded, kind, " is")])


def said(loaded: Loaded, kind: str, text: str) -> float:
    """log p(text | The keys), by transformers alone."""
    ids = by_hand(loaded.tokenizer, kind, f"The keys{text}", bos=True)
    with torch.no_grad():
        logs = loaded.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logs[at - 1, ids[at]]) for at in range(3, len(ids)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eos", [True, False])
def test_discovery_measures_what_transformers_alone_measures(tmp_path, kind, eos):
    tokenizer = KINDS[kind](bos=True, eos=eos)
    folder = llama_folder(tmp_path / "model", tokenizer)
    rows = [{**as_row(pair), "split": "dev"} for pair in PAIRS]
    found = ctviz.discover(str(folder), jsonl(tmp_path / "a.jsonl", rows), edges=10)
    model, space = llama(len(tokenizer)), "Ġ" if kind == "bytes" else "\u2581"
    differences = []
    for pair in PAIRS:
        ids = by_hand(tokenizer, kind, pair.clean, bos=True)
        words = (space + pair.answer.strip(), space + pair.foil.strip())
        answer, foil = named(tokenizer, *words)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        differences.append(float(logits[answer] - logits[foil]))
    wanted = sum(differences) / len(differences)
    assert found.about["metric_clean"] == pytest.approx(wanted, abs=1e-5)


def as_row(pair: Pair) -> dict[str, str]:
    return {
        "clean": pair.clean,
        "corrupt": pair.corrupt,
        "answer": pair.answer,
        "foil": pair.foil,
    }


class TestNoBoundary:
    """Where the tokens of the prompt change once the answer follows."""

    JOINED = Pair("The ", "The ", "keys", "key")

    def test_the_pair_is_refused_and_what_helps_is_said(self):
        for make in KINDS.values():
            tokens = Tokens(make(bos=True))
            wrong = pair_problem(tokens.cut(self.JOINED))
            assert "the answer changes the tokens of its prompt" in wrong
            assert "' ' at the prompt's end becomes ' keys' where the answer follows" in wrong
            assert "End the prompt without a space, and begin the answer with it" in wrong

    def test_a_word_that_is_glued_to_the_prompt_is_refused(self):
        wrong = pair_problem(Tokens(byte_level()).cut(Pair("The key", "The key", "s", "x")))
        assert "' key' at the prompt's end becomes ' keys'" in wrong
        assert "Begin the answer with a space" in wrong

    def test_the_foil_is_held_to_the_same(self):
        tokens = Tokens(byte_level())
        parts = tokens.cut(Pair("The key", "The key", " is", "s"))
        assert "the foil changes the tokens" in pair_problem(parts)
        assert pair_problem(parts, metric="log_probability") == ""  # which does not look at it

    def test_and_so_is_the_counterfactual(self):
        parts = Tokens(byte_level()).cut(Pair("The runs", "The run", "s", "x"))
        assert "' run' at the prompt's end becomes ' runs'" in pair_problem(parts)

    def test_targets_and_choices_are_refused_too(self):
        tokens = Tokens(byte_level())
        assert "the target changes" in text_problem(Example("The key", "s"), tokens)
        example = Example("The key", " is", choices=(" is", "s"))
        assert "the choice changes" in text_problem(example, tokens)
        loaded = load(llama(400), tokenizer=byte_level())
        with pytest.raises(BadTask, match="'The key': the choice changes"):
            log_probabilities(loaded, [("The key", ["s"])])
        with pytest.raises(BadTask, match=r"Example 0 \('The key'\): the target changes"):
            encode_texts([Example("The key", "s")], byte_level())

    def test_the_check_names_the_line_and_leaves_it_out(self, tmp_path):
        rows = [as_row(pair) for pair in (*PAIRS, self.JOINED)]
        report = check(jsonl(tmp_path / "a.jsonl", rows), sentencepiece(), longest=64)
        assert [(p.line, p.fix) for p in report.problems] == [(4, "drop")]
        assert "End the prompt without a space" in report.problems[0].text

    def test_inspection_says_it(self):
        loaded = load(llama(400), tokenizer=byte_level())
        with pytest.raises(BadTask, match="'The key': the answer changes the tokens"):
            own_prompt(loaded, "The key", answer="s")


@pytest.mark.parametrize("kind", KINDS)
def test_inspection_reads_prompt_and_answer_as_one_text(kind):
    tokenizer = KINDS[kind](bos=True, eos=True)
    loaded = load(llama(len(tokenizer)), tokenizer=tokenizer)
    space = "Ġ" if kind == "bytes" else "\u2581"
    for answer, foil in ((" are", " is"), (" are", "")):
        prompt = own_prompt(loaded, "The keys", answer=answer, foil=foil)
        assert list(prompt.ids) == by_hand(tokenizer, kind, "The keys", bos=True)
        assert [prompt.answer] == named(tokenizer, f"{space}are")
        assert prompt.foil == (named(tokenizer, f"{space}is")[0] if foil else None)
        assert prompt.notes == ()
    glued = own_prompt(loaded, "The keys", answer="are")
    assert [glued.answer] == named(tokenizer, "are")
    assert "'The keysare': type a space in front" in glued.notes[0]


class TestTwoBeginnings:
    TWICE = Pair("<s>The key", "<s>The keys", " is", " are")

    def test_the_check_says_how_many_prompts_begin_twice(self, tmp_path):
        name = jsonl(tmp_path / "a.jsonl", [as_row(self.TWICE), as_row(PAIRS[1])])
        notes = check(name, sentencepiece(), longest=64).notes
        (note,) = (note for note in notes if "twice" in note)
        assert note.startswith("2 prompts begin with <s> twice")
        once = check(name, sentencepiece(bos=False), longest=64).notes
        assert not any("twice" in note for note in once)

    def test_discovery_and_tuning_say_it(self, tmp_path, caplog):
        folder = llama_folder(tmp_path / "model", sentencepiece())
        rows = [{**as_row(self.TWICE), "split": split} for split in ("train", "dev", "test")]
        name = jsonl(tmp_path / "a.jsonl", rows[1:2])
        with caplog.at_level(logging.WARNING):
            ctviz.discover(str(folder), name, edges=10)
        assert "2 prompts begin with <s> twice" in caplog.text

    def test_inspection_says_it(self):
        tokenizer = sentencepiece()
        loaded = load(llama(len(tokenizer)), tokenizer=tokenizer)
        prompt = own_prompt(loaded, "<s>The key")
        assert prompt.tokens[:2] == ("<s>", "<s>")
        assert "1 prompt begins with <s> twice" in prompt.notes[0]


def test_a_foil_that_goes_on_is_noted_as_an_answer_is(tmp_path):
    rows = [
        {"clean": "The key", "corrupt": "The keys", "answer": "is on", "foil": "zzz"},
        {"clean": "The keys", "corrupt": "The key", "answer": "are", "foil": "zzz"},
    ]
    notes = " ".join(check(jsonl(tmp_path / "a.jsonl", rows), byte_level(), longest=64).notes)
    assert "In 1 example the answer has more tokens after the one" in notes
    assert "In 2 examples the foil has more tokens after the one that is compared" in notes
    assert "such as ' ' of ' zzz'" in notes


class TestIdsWithoutEmbedding:
    """Tokens that were added to a tokenizer, but not to the model."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        tokenizer = byte_level()
        size = len(tokenizer)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
        return llama_folder(tmp_path / "model", tokenizer, vocabulary=size)

    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        bad = Pair("<|user|>The key", "<|user|>The keys", " is", " are")
        return jsonl(tmp_path / "a.jsonl", [as_row(bad), *map(as_row, PAIRS)])

    def test_the_check_names_token_and_line(self, folder, file, capsys):
        assert main(["check", file, "--model", str(folder), "--json"]) == 1
        (problem,) = json.loads(capsys.readouterr().out)["problems"]
        assert (problem["line"], problem["fix"]) == (1, "drop")
        assert "the prompt has the token '<|user|>' with the id" in problem["text"]

    def test_every_way_into_the_engine_names_token_and_prompt(self, folder):
        loaded = load(folder)
        size = loaded.anatomy.vocabulary
        pair = Pair("<|user|>The key", "<|user|>The key", " is", " are")
        with pytest.raises(BadTask, match=r"<\|user\|>The key.*'<\|user\|>' with the id"):
            encode([pair], loaded.tokenizer, vocabulary=size)
        with pytest.raises(BadTask, match=r"the target has the token '<\|user\|>'"):
            encode_texts([Example("The key", "<|user|>")], loaded.tokenizer, vocabulary=size)
        with pytest.raises(BadTask, match=r"the prompt has the token '<\|user\|>'"):
            own_prompt(loaded, "<|user|>The key")
        with pytest.raises(BadTask, match=r"the foil has the token '<\|user\|>'"):
            own_prompt(loaded, "The key", answer=" is", foil="<|user|>")

    def test_discovery_leaves_the_pair_out(self, folder, tmp_path):
        bad = Pair("<|user|>The key", "<|user|>The keys", " is", " are")
        rows = [{**as_row(pair), "split": "dev"} for pair in (bad, *PAIRS)]
        found = ctviz.discover(str(folder), jsonl(tmp_path / "b.jsonl", rows), edges=10)
        assert (found.about["examples"], found.about["examples_dropped"]) == (3, 1)
        assert "the token '<|user|>' with the id" in found.about["first_dropped"]


class TestOneTokenizer:
    """What checks a file is what runs."""

    def test_the_check_reads_what_the_model_reads(self, tmp_path, capsys):
        for eos in (True, False):
            folder = llama_folder(tmp_path / f"eos-{eos}", sentencepiece(eos=eos))
            name = jsonl(tmp_path / "a.jsonl", [as_row(pair) for pair in PAIRS])
            main(["check", name, "--model", str(folder), "--json"])
            shown = json.loads(capsys.readouterr().out)["preview"][0]
            assert (shown["prompt"], shown["answer"]) == (["<s>", " The", " key"], [" is"])

    def test_a_folder_with_vocabulary_and_merges_alone_is_checked(self, tmp_path, capsys):
        tokenizer = byte_level()
        folder = llama_folder(tmp_path / "model", tokenizer)
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = "\n".join(" ".join(pair) for pair in model["merges"])
        (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
        about = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|end|>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(about))
        name = jsonl(tmp_path / "a.jsonl", [as_row(pair) for pair in PAIRS])
        main(["check", name, "--model", str(folder), "--json"])
        result = json.loads(capsys.readouterr().out)
        assert result["problems"] == []
        assert result["preview"][0]["prompt"] == ["The", " key"]

    @pytest.mark.parametrize("bos", [True, False])
    def test_a_tokenizer_without_words_is_named(self, bos):
        rust = Tokenizer(models.BPE())
        rust.add_special_tokens(["<s>"])
        if bos:
            rust.post_processor = processors.TemplateProcessing(
                single="<s> $A", special_tokens=[("<s>", 0)]
            )
        empty = PreTrainedTokenizerFast(tokenizer_object=rust)
        loaded = load(llama(400), tokenizer=empty)
        with pytest.raises(
            BadTask, match=r"makes no tokens of any of .* a vocabulary of 1 token\."
        ):
            ctviz.discover(loaded, "sva", edges=10)
