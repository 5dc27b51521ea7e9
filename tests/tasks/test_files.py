"""Files of one's own as tasks: their names, their splits, what is refused."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from ctviz.errors import BadTask, UnknownName
from ctviz.tasks import find_task
from ctviz.tasks.example import Pair
from ctviz.tasks.files import file_task, is_file, open_file
from ctviz.tasks.task import SPLITS
from tests.written_files import examples, jsonl, pairs, problems


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
            ({"split": "all"}, "must be train, dev, test"),
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
