"""What a check of a file says about it, and what it mends."""

from __future__ import annotations

import pytest

from ctviz.errors import BadTask, RunExists, UnknownName
from ctviz.tasks.files import file_task, open_file
from ctviz.tasks.files.check import check
from tests.written_files import THINGS, FewWords, examples, jsonl, pairs


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
        (shown,) = report.previews
        assert shown.prompt == ("Some", " words", " be")
        assert shown.corrupt == ("Six", " words", " be")
        assert (shown.answer, shown.foil) == ((" ok",), (" bad",))
        assert any("begin with the same tokens" in note for note in report.notes)

    def test_a_preview_without_pairs_shows_the_target(self, tmp_path):
        rows = [{"prompt": "The sky is", "target": "so blue"}]
        (shown,) = check(jsonl(tmp_path / "a.jsonl", rows), FewWords(), longest=9).previews
        assert shown.prompt == ("The", " sky", " is")
        assert shown.answer == (" so", " blue", "\n")
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
        assert [row.split for row in again.checked] == kept
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

    def test_the_grade_of_a_file_is_kept(self, tmp_path):
        rows = [{"prompt": f"{i} + 1 =", "target": i + 1, "grade": "exact"} for i in range(12)]
        name = jsonl(tmp_path / "a.jsonl", [*rows, "{\n"])
        check(name, FewWords(), longest=None).write_fixed(tmp_path / "b.jsonl", {"drop"})
        assert file_task(str(tmp_path / "b.jsonl")).grade == "exact"
