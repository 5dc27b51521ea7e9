"""Files of one's own: what is read from them, what is refused, what a check says and mends."""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from ctviz import paths
from ctviz.english import NUMBERS, part_of
from ctviz.errors import BadTask, MissingModel, RunExists, UnknownName
from ctviz.tasks import find_task
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files import columns, file_task, is_file, open_file
from ctviz.tasks.files.check import check
from ctviz.tasks.files.columns import as_columns
from ctviz.tasks.natural import draw_natural, sentences
from ctviz.tasks.task import SPLITS
from ctviz.tasks.tokens import Tokens, open_tokenizer, pair_problem

COLOURS = ("red", "blue", "green", "black", "white")
THINGS = ("hat", "coat", "door", "cup", "lamp", "shoe", "bag", "ring", "boat", "bird")


def pairs(n: int) -> list[dict[str, str]]:
    """Rows with a counterfactual that differs in one word, and no spaces in front of answers."""
    return [
        {
            "clean": f"{i} keys to the {THINGS[i % 10]}",
            "corrupt": f"{i} key to the {THINGS[i % 10]}",
            "answer": "are",
            "foil": "is",
        }
        for i in range(n)
    ]


def jsonl(path: Path, rows: list) -> str:
    path.write_text(
        "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows),
        encoding="utf-8",
    )
    return str(path)


def problems(name: str) -> dict[int, str]:
    return {problem.line: problem.text for problem in open_file(name).parsed.problems}


def examples(name: str) -> list[Example]:
    return [example for _, example in open_file(name).parsed.examples]


class FewWords:
    """A tokenizer of whole words that puts nothing in front and has an end of text."""

    eos_token = "<end>"

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, text: str, /, *, add_special_tokens: bool) -> dict[str, list[int]]:
        ids = []
        for word in re.findall(r"<end>| ?[^ <]+|\s", text):
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return {"input_ids": ids}

    def decode(self, ids: list[int], /) -> str:
        return "".join(self.words[i] for i in ids)


class TestNames:
    def test_files_and_tasks_are_told_apart(self):
        for name in ("a.jsonl", "x/y.CSV?answer=b", "pro.txt.dev", "c.json", "~/d.txt"):
            assert is_file(name)
        for name in (
            "sva",
            "sva:clause",
            "owner/model",
            "sva?level=a.jsonl",
            "jsonl",
            "a.jsonl.gz",
        ):
            assert not is_file(name)

    def test_a_mapping_says_which_column_is_which(self, tmp_path):
        rows = [{"satz": "The cat", "gut": "sits", "schlecht": "sit"}]
        name = jsonl(tmp_path / "a.jsonl", rows) + "?clean=satz&answer=gut&foil=schlecht"
        assert examples(name)[0].pair == Pair("The cat", "The cat", " sits", " sit")

    def test_columns_that_are_not_ours_are_listed(self, tmp_path):
        name = jsonl(tmp_path / "a.jsonl", pairs(1))
        with pytest.raises(UnknownName, match=r"'answr'.*Did you mean 'answer'.*clean, corrupt"):
            open_file(f"{name}?answr=answer")
        with pytest.raises(BadTask, match="given twice"):
            open_file(f"{name}?answer=a&answer=b")
        with pytest.raises(BadTask, match="is missing"):
            open_file(f"{name}?answer")

    def test_columns_that_the_file_lacks_are_named_with_near_misses(self, tmp_path):
        name = jsonl(tmp_path / "a.jsonl", pairs(1))
        found = problems(f"{name}?answer=answers")
        assert "no column 'answers' for answer. Did you mean 'answer'?" in found[0]
        assert "clean, corrupt, answer, foil" in found[0]

    def test_without_known_columns_an_example_of_a_mapping_is_given(self, tmp_path):
        rows = [{"cleaned": "A", "answer": "b", "foil": "c"}]
        found = problems(jsonl(tmp_path / "a.jsonl", rows))
        assert "a.jsonl?clean=cleaned" in found[0]

    def test_a_task_is_found_again_by_its_name(self, tmp_path):
        name = jsonl(tmp_path / "My own (new) file.jsonl", pairs(20)) + "?answer=foil&foil=answer"
        task = find_task(name)
        assert task.name == name
        assert task.key == "my-own-new-file"
        assert (task.kind, task.grade) == ("own", "choice")
        assert find_task(task.name) == task
        assert task.examples(1, split="train")[0].target == " is"


class TestPairs:
    def test_an_answer_gets_a_space_in_front_and_a_note_says_so(self, tmp_path):
        rows = [
            {"clean": "One", "corrupt": "Two", "answer": "is", "foil": " are"},
            {"clean": "you", "corrupt": "he", "answer": "'re", "foil": "'s"},
            {"clean": "ends in a line\n", "corrupt": "b\n", "answer": "is", "foil": "are"},
        ]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        assert [(e.pair.answer, e.pair.foil) for _, e in opened.parsed.examples] == [
            (" is", " are"),
            ("'re", "'s"),
            ("is", "are"),
        ]
        assert not opened.parsed.problems
        assert [note for note in opened.parsed.notes if "space" in note] == [
            "On 1 line a space was put in front of an answer, a foil or a target, because the "
            "prompt does not end with one."
        ]

    def test_prompts_that_end_in_a_space_are_noted(self, tmp_path):
        rows = [{**pairs(1)[0], "clean": "The key "}]
        (note,) = open_file(jsonl(tmp_path / "a.jsonl", rows)).parsed.notes
        assert note.startswith("1 prompt ends in a space")

    def test_verbatim_puts_nothing_in(self, tmp_path):
        rows = [{**pairs(1)[0], "verbatim": True}]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        assert opened.parsed.examples[0][1].pair.answer == "are"
        assert opened.parsed.notes == ()

    def test_without_a_counterfactual_the_clean_prompt_stands_for_it(self, tmp_path):
        rows = [{k: v for k, v in row.items() if k != "corrupt"} for row in pairs(2)]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        pair = opened.parsed.examples[0][1].pair
        assert pair.clean == pair.corrupt == "0 keys to the hat"
        assert any("mean or zero ablation" in note for note in opened.parsed.notes)

    def test_prompt_and_target_are_for_tuning_only(self, tmp_path):
        rows = [{"prompt": f"The sky at {i} is", "target": "blue"} for i in range(20)]
        task = file_task(jsonl(tmp_path / "a.jsonl", rows))
        (example,) = task.examples(1, split="train")
        assert (example.target, example.accepted) == (" blue\n", ("blue",))
        assert example.pair is None
        assert task.grade == "span"
        with pytest.raises(BadTask, match="no counterfactual pairs"):
            task.pairs(5, split="train")

    def test_json_lists_csv_and_jsonl_say_the_same(self, tmp_path):
        rows = pairs(3)
        with (tmp_path / "a.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
        (tmp_path / "a.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
        lines = examples(jsonl(tmp_path / "a.jsonl", rows))
        assert len(lines) == 3
        assert examples(str(tmp_path / "a.csv")) == lines
        assert examples(str(tmp_path / "a.json")) == lines

    def test_lines_are_counted_from_one_in_every_kind_of_file(self, tmp_path):
        good, bad = pairs(1)[0], {**pairs(1)[0], "answer": ""}
        assert problems(jsonl(tmp_path / "a.jsonl", [good, "\n", bad])) == {3: "answer is empty"}
        (tmp_path / "a.json").write_text(f"[\n{json.dumps(good)},\n\n{json.dumps(bad)}\n]")
        assert problems(str(tmp_path / "a.json")) == {4: "answer is empty"}
        (tmp_path / "a.csv").write_text('clean,answer,foil\n"a\nb",is,are\nc,,are\nd,e\n')
        assert problems(str(tmp_path / "a.csv")) == {
            4: "answer is empty",
            5: "2 cells, but the header has 3",
        }


class TestSentences:
    def read(self, tmp_path: Path, **row: object) -> tuple[list[Pair | None], dict[int, str]]:
        name = jsonl(tmp_path / "a.jsonl", [row])
        return [example.pair for example in examples(name)], problems(name)

    def test_the_prompt_is_what_stands_in_front_of_each_answer(self, tmp_path):
        found, wrong = self.read(
            tmp_path,
            text="The island of cats is where they sleep.",
            answer=["is", "sleep"],
            foil=["are", "sleeps"],
        )
        clean = "The island of cats is where they"
        assert found == [
            Pair("The island of cats", "The island of cats", " is", " are"),
            Pair(clean, clean, " sleep", " sleeps"),
        ]
        assert not wrong

    def test_contractions_go_on_without_a_space_but_words_do_not(self, tmp_path):
        found, wrong = self.read(
            tmp_path,
            text="If you're late we've lost, for they have “won”.",
            answer=["'re", "'ve", "have", "won"],
            foil=["'s", "has", "'s", "lose"],
        )
        assert [(p.clean[-4:], p.answer, p.foil) for p in found] == [
            (" you", "'re", "'s"),
            ("e we", "'ve", " has"),
            ("they", " have", "'s"),
            ("ve “", "won", "lose"),
        ]
        assert not wrong

    def test_an_answer_at_the_beginning_has_no_prompt(self, tmp_path):
        found, wrong = self.read(
            tmp_path, text="Is it what you want?", answer=["Is", "want"], foil=["Are", "wants"]
        )
        assert [p.answer for p in found] == [" want"]
        assert wrong == {1: "nothing stands in front of 'Is'"}

    def test_the_beginning_is_passed_over_if_the_answer_comes_again(self, tmp_path):
        found, wrong = self.read(tmp_path, text=" is one who is here", answer="is", foil="are")
        assert [p.clean for p in found] == [" is one who"]
        assert not wrong

    def test_an_answer_at_several_places_is_unclear(self, tmp_path):
        found, wrong = self.read(
            tmp_path, text="So John's dog thinks it's late", answer="'s", foil="'re"
        )
        assert not found
        assert "more than one place" in wrong[1]

    def test_a_whole_counterfactual_sentence_tells_which_place_is_meant(self, tmp_path):
        found, wrong = self.read(
            tmp_path,
            text="So John's dog thinks it's late",
            corrupt="So John 's dog think it 're late",
            answer="'s",
            foil="'re",
        )
        assert found == [
            Pair("So John's dog thinks it", "So John 's dog think it", "'s", "'re"),
        ]
        assert not wrong

    @pytest.mark.parametrize(
        ("row", "wrong"),
        [
            ({"text": "a cat", "answer": "dog", "foil": "x"}, "'dog' not found in text as a word"),
            ({"text": "a cats", "answer": "cat", "foil": "x"}, "'cat' not found in text as a word"),
            ({"text": "a b c", "answer": ["c", "b"], "foil": ["x", "y"]}, "in this order"),
            ({"text": "a b", "answer": ["b"], "foil": ["x", "y"]}, "1 answers, but 2 foils"),
            ({"text": "a b", "answer": "b", "foil": "b"}, "answer and foil are the same ('b')"),
            ({"text": "a b", "answer": [], "foil": []}, "answer is empty"),
            ({"text": "a b", "answer": "b", "foil": "x", "corrupt": "a y"}, "not found in corrupt"),
        ],
    )
    def test_what_does_not_fit_is_said(self, tmp_path, row, wrong):
        found, said = self.read(tmp_path, **row)
        assert not found
        assert wrong in said[1]

    def test_verbs_of_a_sentence_stay_in_one_split(self, tmp_path):
        rows = [
            {
                "text": f"{i} cats run and they eat a lot",
                "answer": ["run", "eat"],
                "foil": ["s", "t"],
            }
            for i in range(60)
        ]
        opened = open_file(jsonl(tmp_path / "a.jsonl", rows))
        of_line: dict[int, set[str]] = {}
        for (line, _), split in zip(opened.parsed.examples, opened.splits, strict=True):
            of_line.setdefault(line, set()).add(split)
        assert len(of_line) == 60
        assert all(len(splits) == 1 for splits in of_line.values())


class TestRefusals:
    def test_what_is_no_file_to_read(self, tmp_path):
        jsonl(tmp_path / "pairs.jsonl", pairs(1))
        with pytest.raises(BadTask, match=r"no file .*pair\.jsonl\. Did you mean 'pairs\.jsonl'"):
            open_file(str(tmp_path / "pair.jsonl"))
        (tmp_path / "folder.csv").mkdir()
        with pytest.raises(BadTask, match="is a folder"):
            open_file(str(tmp_path / "folder.csv"))
        for content, said in (
            (b" \n", "is empty"),
            (b"\x89PNG\0\0", "zero bytes"),
            (b'{"a":1}\n{"b":"caf\xe9"}', "on line 2"),
        ):
            (tmp_path / "a.jsonl").write_bytes(content)
            with pytest.raises(BadTask, match=said):
                open_file(str(tmp_path / "a.jsonl"))
        with (tmp_path / "big.jsonl").open("wb") as file:
            file.truncate(50_000_001)
        with pytest.raises(BadTask, match="50 MB"):
            open_file(str(tmp_path / "big.jsonl"))

    def test_a_bad_line_keeps_the_file_from_being_a_task_and_names_the_first_three(self, tmp_path):
        rows = [*pairs(6), "{broken\n", '"text"\n', {"clean": "a"}, pairs(3)[2], '{"clean": NaNa}']
        name = jsonl(tmp_path / "a.jsonl", rows)
        with pytest.raises(BadTask) as raised:
            file_task(name)
        said = str(raised.value)
        assert "6 good lines and 5 with problems" in said
        assert "line 7: not valid JSON" in said
        assert 'line 8: a JSON object is needed, not "text"' in said
        assert "line 9: answer is missing" in said
        assert "same as line 3" not in said
        assert f"`ctviz check {name}`" in said
        assert problems(name)[10] == "same as line 3"

    def test_a_name_with_columns_is_quoted_in_the_hint(self, tmp_path):
        name = jsonl(tmp_path / "a.jsonl", [*pairs(2), "{\n"]) + "?clean=corrupt"
        with pytest.raises(BadTask, match=re.escape(f'`ctviz check "{name}"`')):
            file_task(name)

    def test_files_that_give_nothing(self, tmp_path):
        cases = {
            "a.json": ("[]", "no examples"),
            "b.csv": ("clean,answer,foil\n", "no examples"),
            "c.csv": ("The cat,sits,sit\nThe dog,barks,bark\n", "the first line must name them"),
            "d.json": ('{"rows":\n []}', "one JSON object"),
            "e.txt": ("just words\n", "neither JSON objects"),
        }
        for name, (content, said) in cases.items():
            (tmp_path / name).write_text(content)
            with pytest.raises(BadTask, match=said):
                file_task(str(tmp_path / name))

    def test_a_broken_list_keeps_what_stands_in_front(self, tmp_path):
        rows = [json.dumps(row) for row in pairs(3)]
        for content, line in (
            (f"[{rows[0]},\n{rows[1]},\n{{broken]", 3),
            (f"[{rows[0]},\n{rows[1]}\n{rows[2]}]", 3),
            (f"[{rows[0]},\n{rows[1]}\n] x", 3),
            (f"[{rows[0]},\n{rows[1]},\n]", 3),
        ):
            (tmp_path / "a.json").write_text(content)
            assert list(problems(str(tmp_path / "a.json"))) == [line], content
            assert len(examples(str(tmp_path / "a.json"))) == 2

    @pytest.mark.parametrize(
        ("change", "wrong"),
        [
            ({"clean": "x" * 100_001}, "a line may have 100,000"),
            ({"answer": "is", "foil": "is"}, "answer and foil are the same ('is')"),
            ({"answer": ["is"]}, 'answer is ["is"], but must be text'),
            ({"answer": None}, "answer is missing"),
            ({"corrupt": ""}, "no corrupt, although other lines have one"),
            ({"foil": "\ud800"}, "half a surrogate pair"),
            ({"verbatim": "perhaps"}, "must be true or false"),
            ({"choices": "are"}, "choices must be a list"),
            ({"split": "training"}, "must be train, dev, test"),
        ],
    )
    def test_each_bad_line_says_why(self, tmp_path, change, wrong):
        first = {**pairs(2)[1], **({"split": "dev"} if "split" in change else {})}
        name = jsonl(tmp_path / "a.jsonl", [first, {**pairs(1)[0], **change}])
        assert wrong in problems(name)[2]
        assert len(examples(name)) == 1

    def test_an_unclosed_quote_is_said_with_its_line(self, tmp_path):
        (tmp_path / "a.csv").write_text('clean,answer,foil\na,is,are\n"b,is,are\nc,is,are\n')
        found = problems(str(tmp_path / "a.csv"))
        assert list(found) == [3]
        assert "not valid CSV" in found[3]

    def test_a_changed_file_is_read_again(self, tmp_path):
        name = jsonl(tmp_path / "a.jsonl", pairs(3))
        assert len(examples(name)) == 3
        jsonl(tmp_path / "a.jsonl", pairs(5))
        assert len(examples(name)) == 5


class TestSplits:
    def test_splits_are_stable_and_share_no_prompt(self, tmp_path):
        few = file_task(jsonl(tmp_path / "a.jsonl", pairs(300)))
        parts = {split: few.examples(1000, split=split) for split in SPLITS}
        assert sum(map(len, parts.values())) == 300
        assert 200 < len(parts["train"]) < 270
        assert len({e.prompt for part in parts.values() for e in part}) == 300
        more = file_task(jsonl(tmp_path / "b.jsonl", pairs(400)))
        for split, part in parts.items():
            assert set(part) <= set(more.examples(1000, split=split))

    def test_the_seed_decides_the_order_and_nothing_else(self, tmp_path):
        task = file_task(jsonl(tmp_path / "a.jsonl", pairs(100)))
        one = task.examples(1000, split="train", seed=1)
        assert one == task.examples(1000, split="train", seed=1)
        other = task.examples(1000, split="train", seed=2)
        assert one != other
        assert set(one) == set(other)
        assert task.examples(7, split="train", seed=1) == one[:7]

    @pytest.mark.parametrize("n", [10, 11, 13, 20, 30])
    def test_ten_prompts_are_enough_for_three_splits(self, tmp_path, n):
        task = file_task(jsonl(tmp_path / "a.jsonl", pairs(n)))
        sizes = Counter({split: len(task.examples(n, split=split)) for split in SPLITS})
        assert min(sizes.values()) >= 1
        assert sizes.total() == n
        assert sizes.most_common(1)[0][0] == "train"

    def test_a_tiny_file_says_what_to_do_about_an_empty_split(self, tmp_path):
        task = file_task(jsonl(tmp_path / "a.jsonl", pairs(1)))
        (home,) = open_file(task.name).splits
        assert len(task.examples(5, split=home)) == 1
        for split in set(SPLITS) - {home}:
            with pytest.raises(BadTask, match="at least 10 different prompts, or a column split"):
                task.examples(5, split=split)

    def test_a_column_decides(self, tmp_path):
        rows = [{**row, "split": "dev" if i < 3 else "train"} for i, row in enumerate(pairs(8))]
        task = file_task(jsonl(tmp_path / "a.jsonl", rows))
        assert len(task.examples(10, split="dev")) == 3
        assert len(task.examples(10, split="train")) == 5
        with pytest.raises(BadTask, match="must name some lines test"):
            task.examples(10, split="test")


class TestCheck:
    def rows(self) -> list:
        return [
            *pairs(12),
            {"clean": "Two keys", "corrupt": "One small key", "answer": "are", "foil": "is"},
            {"clean": "Here", "corrupt": "There", "answer": "are", "foil": "are not"},
            {"clean": "Some words", "corrupt": "Six words", "answer": "be good", "foil": "be bad"},
            {"clean": "w " * 30 + "x", "corrupt": "v " * 30 + "x", "answer": "a", "foil": "b"},
            "{\n",
        ]

    def test_problems_of_the_file_and_of_the_model_stand_in_order(self, tmp_path):
        report = check(jsonl(tmp_path / "a.jsonl", self.rows()), FewWords(), longest=25)
        assert [(p.line, p.fix) for p in report.problems] == [
            (13, "pad"),
            (14, "drop"),
            (16, "drop"),
            (17, "drop"),
        ]
        said = {p.line: p.text for p in report.problems}
        assert "clean has 2 tokens and corrupt 3" in said[13]
        assert "the beginning of the foil's" in said[14]
        assert "31 tokens, but the model reads at most 25" in said[16]
        assert report.good == 13
        assert report.fixes == {"": 0, "drop": 3, "pad": 1}

    def test_without_a_limit_nothing_is_too_long(self, tmp_path):
        report = check(jsonl(tmp_path / "a.jsonl", self.rows()), FewWords(), longest=None)
        assert 16 not in {p.line for p in report.problems}

    def test_a_preview_counts_what_answer_and_foil_share_to_the_prompt(self, tmp_path):
        rows = [
            {"clean": "Some words", "corrupt": "Six words", "answer": "be ok", "foil": "be bad"}
        ]
        report = check(jsonl(tmp_path / "a.jsonl", rows), FewWords(), longest=None)
        (shown,) = report.preview(3)
        assert shown.prompt == ("Some", " words", " be")
        assert shown.corrupt == ("Six", " words", " be")
        assert (shown.answer, shown.foil) == ((" ok",), (" bad",))
        assert any("begin with the same tokens" in note for note in report.notes)

    def test_a_preview_without_pairs_shows_the_target(self, tmp_path):
        rows = [{"prompt": "The sky is", "target": "so blue"}]
        (shown,) = check(jsonl(tmp_path / "a.jsonl", rows), FewWords(), longest=9).preview(1)
        assert shown.prompt == ("The", " sky", " is")
        assert shown.answer == (" so", " blue\n")
        assert (shown.corrupt, shown.foil) == ((), ())

    def test_padding_puts_end_of_text_in_front_of_the_shorter_prompt_only(self, tmp_path):
        report = check(jsonl(tmp_path / "a.jsonl", self.rows()), FewWords(), longest=25)
        fixed = report.fixed({"pad", "drop"})
        assert len(fixed) == 14
        padded = fixed[12]
        assert padded.pair.clean == "<end>Two keys"
        assert padded.pair.corrupt == "One small key"
        assert padded.prompt == "Two keys"
        assert len(report.fixed({"drop"})) == 13

    def test_nothing_is_left_out_without_being_asked(self, tmp_path):
        report = check(jsonl(tmp_path / "a.jsonl", self.rows()), FewWords(), longest=25)
        with pytest.raises(BadTask, match=r"3 problems would be left\. .*drop"):
            report.fixed({"pad"})
        with pytest.raises(BadTask, match="4 problems would be left"):
            report.fixed(set())
        with pytest.raises(UnknownName, match="'dorp'"):
            report.fixed({"dorp"})

    def test_no_fix_for_a_file_that_cannot_be_read_or_is_all_bad(self, tmp_path):
        report = check(jsonl(tmp_path / "a.jsonl", [{"x": 1}]), FewWords(), longest=None)
        assert report.fixes == {"": 1, "drop": 0, "pad": 0}
        with pytest.raises(BadTask, match="1 problem would be left"):
            report.fixed({"drop"})
        report = check(jsonl(tmp_path / "b.jsonl", ["{\n"]), FewWords(), longest=None)
        with pytest.raises(BadTask, match="no example would be left"):
            report.fixed({"drop"})

    @pytest.mark.parametrize("how", [{"drop"}, {"drop", "pad"}])
    def test_a_mended_file_gives_the_same_examples_and_no_problems(self, tmp_path, how):
        report = check(jsonl(tmp_path / "a.jsonl", self.rows()), FewWords(), longest=25)
        out = tmp_path / "new" / "b.jsonl"
        assert report.write_fixed(out, how) == len(report.fixed(how))
        again = check(str(out), FewWords(), longest=25)
        assert again.problems == ()
        assert [row.example for row in again.checked] == report.fixed(how)
        old = {row.line: row.split for row in report.checked}
        kept = [
            split for line, split in old.items() if line not in (14, 16, 13 * ("pad" not in how))
        ]
        assert list(again.opened.splits) == kept
        with pytest.raises(RunExists):
            report.write_fixed(out, how)

    def test_sentences_are_mended_into_pairs_of_the_same_splits(self, tmp_path):
        rows = [
            {
                "text": f"As {i} “do it”, {THINGS[i % 10]} is what you've seen.",
                "answer": ["do", "is", "'ve"],
                "foil": ["does", "are", "has"],
            }
            for i in range(40)
        ]
        name = jsonl(tmp_path / "a.jsonl", [*rows, {"text": "x", "answer": "y", "foil": "z"}])
        report = check(name, FewWords(), longest=None)
        report.write_fixed(tmp_path / "b.jsonl", {"drop"})
        mended = open_file(str(tmp_path / "b.jsonl"))
        assert [e for _, e in mended.parsed.examples] == examples(name)
        assert mended.splits == open_file(name).splits
        assert not mended.parsed.problems
        assert file_task(str(tmp_path / "b.jsonl")).grade == "choice"

    def test_the_score_of_a_file_is_kept(self, tmp_path):
        rows = [{"prompt": f"{i} + 1 =", "target": i + 1, "grade": "exact"} for i in range(12)]
        name = jsonl(tmp_path / "a.jsonl", [*rows, "{\n"])
        check(name, FewWords(), longest=None).write_fixed(tmp_path / "b.jsonl", {"drop"})
        assert file_task(str(tmp_path / "b.jsonl")).grade == "exact"

    @pytest.mark.parametrize(
        "example",
        [
            Example("a", " b\n", accepted=("b",)),
            Example("a", "b", accepted=()),
            Example("a", "b\n", accepted=("b", "c"), group="g"),
            Example("a ", "b\n", choices=("b\n", "c\n"), accepted=("b",)),
            Example.of(Pair("a", "c", " b", " d")),
            Example.of(Pair("a", "a", "b", " d")),
            Example("q", " 3\n", Pair("q so", "p so", " 3", " 4"), accepted=("3",)),
            Example("q", "x", Pair("q", "p", " x", " y"), choices=("x", " y", " z"), group="7"),
        ],
    )
    def test_every_example_can_be_written_as_columns(self, tmp_path, example):
        columns_of = as_columns(example)
        grade = {} if example.choices else {"grade": "span"}
        parsed = columns.read(tmp_path / "a.jsonl", json.dumps({**columns_of, **grade}), {})
        assert parsed.problems == ()
        assert [found for _, found in parsed.examples] == [example]

    def test_examples_with_and_without_pairs_can_stand_in_one_file(self, tmp_path):
        mixed = [
            Example("a", " b\n", Pair("a so", "c so", " 1", " 2"), accepted=("b",)),
            Example("d", " e\n", accepted=("e",)),
        ]
        rows = [{**as_columns(example), "grade": "exact"} for example in mixed]
        name = jsonl(tmp_path / "a.jsonl", rows)
        assert examples(name) == mixed
        assert not problems(name)

    def test_some_choices_without_a_score_are_unclear(self, tmp_path):
        rows = [
            {"prompt": "a", "target": "b", "choices": ["b", "c"]},
            {"prompt": "d", "target": "e"},
        ]
        assert "Only 1 of 2 examples have choices" in problems(jsonl(tmp_path / "a.jsonl", rows))[0]


class TestTokenizers:
    TEXTS = (
        "The keys to the cabinet are",
        " is",
        "",
        "café, 1234 “quotes”\n\n  and\tmore",
        "<|endoftext|>The end",
    )

    def test_the_same_ids_and_texts_as_transformers(self):
        light = open_tokenizer("tiny")
        heavy = AutoTokenizer.from_pretrained(paths.data() / "tiny")
        assert light.eos_token == heavy.eos_token == "<|endoftext|>"
        for text in self.TEXTS:
            for special in (True, False):
                ids = heavy(text, add_special_tokens=special)["input_ids"]
                assert light(text, add_special_tokens=special)["input_ids"] == ids
                for each in ids:
                    assert light.decode([each]) == heavy.decode([each])

    def test_it_needs_no_torch(self):
        code = (
            "import sys; from ctviz.tasks.files.check import check; "
            "from ctviz.tasks.tokens import open_tokenizer; open_tokenizer('tiny'); "
            "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_models_that_are_not_here(self, tmp_path):
        with pytest.raises(MissingModel, match="tokenizer of nobody/nothing is not on this"):
            open_tokenizer("nobody/nothing")
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(MissingModel, match="needs a tokenizer"):
            open_tokenizer(str(tmp_path))
        with pytest.raises(UnknownName):
            open_tokenizer("tinny")

    def test_the_end_of_text_is_found_in_every_place_that_names_it(self, tmp_path):
        tiny = paths.data() / "tiny"
        (tmp_path / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
        number = open_tokenizer("tiny").rust.token_to_id("<|endoftext|>")
        for config, settings, end in (
            ({"eos_token_id": number}, {}, "<|endoftext|>"),
            ({"eos_token_id": [number, 5]}, {}, "<|endoftext|>"),
            ({}, {"eos_token": {"content": "<end>"}}, "<end>"),
            ({}, {}, None),
        ):
            (tmp_path / "config.json").write_text(json.dumps(config))
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
            assert open_tokenizer(str(tmp_path)).eos_token == end

    @pytest.mark.parametrize(
        ("pair", "why"),
        [
            (Pair("The keys", "The key", " are", " is"), ""),
            (Pair("The keys", "The key", " the keys", " the key"), ""),
            (Pair("The keys", "The key", " is", " is"), "answer and foil are the same tokens"),
            (Pair("The keys", "The key", " the", " the key"), "the answer's tokens are the begin"),
            (Pair("The keys", "The key", " the key", " the"), "the foil's tokens are the begin"),
            (Pair("The keys", "The key", "", " is"), "the answer has no tokens"),
            (Pair("The keys", "The key", " is", ""), "the foil has no tokens"),
            (Pair("", "", " are", " is"), "clean has no tokens"),
            (Pair("The keys " * 40, "The key " * 40, " are", " is"), "but the model reads at most"),
        ],
    )
    def test_why_a_pair_cannot_be_used(self, pair, why):
        found = pair_problem(Tokens(open_tokenizer("tiny")).cut(pair), longest=64)
        assert why in found if why else not found

    def test_a_pair_is_cut_where_answer_and_foil_part(self):
        tokens = Tokens(open_tokenizer("tiny"))
        parts = tokens.cut(Pair("The keys", "The key", " the keys are", " the key"))
        the, keys, are, key = (tokens.continuation(w)[0] for w in (" the", " keys", " are", " key"))
        assert (parts.shared, parts.answer, parts.foil) == ([the], [keys, are], [key])
        assert (parts.clean, parts.corrupt) == (tokens.prompt("The keys"), tokens.prompt("The key"))


class TestEnglish:
    def test_agreement_sentences_have_a_subject_and_a_verb_in_both_numbers(self):
        every = [sentence for split in SPLITS for sentence in sentences(split)]
        assert len(every) == len({sentence.subject for sentence in every}) == 120
        for sentence in every:
            words = sentence.prompt("plural").split()
            assert 7 <= len(words) <= 17
            assert sentence.subject[0] != sentence.subject[1]
            assert sentence.verb[0] != sentence.verb[1]
            assert sentence.before == "" or sentence.before.endswith(" ")

    def test_splits_have_their_own_subjects_and_enough_of_them(self):
        for split in SPLITS:
            assert len(sentences(split)) >= 20
            assert all(part_of(sentence.subject[0]) == split for sentence in sentences(split))

    def test_drawing_gives_both_numbers_with_the_counterfactual(self):
        rng = random.Random(0)
        drawn = {draw_natural(rng, "dev", "") for _ in range(1000)}
        known = {s.pair(number) for s in sentences("dev") for number in NUMBERS}
        assert drawn == known
        assert all(Pair(p.corrupt, p.clean, answer=p.foil, foil=p.answer) in known for p in known)

    def test_general_text_is_long_and_varied(self):
        text = (paths.data() / "english" / "general.txt").read_text(encoding="utf-8")
        passages = text.strip().split("\n\n")
        assert len(passages) == 32
        assert all(60 <= len(passage.split()) <= 110 for passage in passages)
        words = re.findall(r"[a-z]+", text.lower())
        assert len(words) >= 2400
        assert len(set(words)) >= 1000
