"""``ctviz check``: what is wrong with a file, and a file without that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctviz.cli import main
from ctviz.tasks import find_task


def rows(n: int = 30) -> list[dict[str, str]]:
    return [
        {
            "clean": f"The keys to the door {i}",
            "corrupt": f"The key to the door {i}",
            "answer": "are",
            "foil": "is",
        }
        for i in range(n)
    ]


def write(file: Path, lines: list) -> str:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return str(file)


@pytest.fixture
def good(tmp_path: Path) -> str:
    return write(tmp_path / "good.jsonl", rows())


@pytest.fixture
def bad(tmp_path: Path) -> str:
    """Two lines that can only be dropped, and a pair that can be padded."""
    made: list = rows()
    made[1] = "{nonsense"
    made[4] = {**made[4], "answer": ""}
    made[6] = {**made[6], "corrupt": "The big key to the door 6"}
    return write(tmp_path / "bad.jsonl", made)


def test_a_good_file_is_good(good, capsys):
    assert main(["check", good]) == 0
    out = capsys.readouterr().out
    assert "30 good examples" in out
    assert "nothing wrong" in out
    assert "line 1: The| keys| to| the| door|" in out
    assert " ->  are ><  is" in out
    assert out.count("counterfactual: ") == 3


def test_every_problem_is_named_with_its_line_and_what_can_be_done(bad, capsys):
    assert main(["check", bad]) == 1
    out = capsys.readouterr().out
    assert "27 good examples" in out
    assert "line 2: not valid JSON" in out
    assert "line 5: answer is empty [drop]" in out
    assert "line 7: clean has" in out
    assert "[pad or drop]" in out
    assert "--fix OUT.jsonl --how pad,drop" in out


@pytest.mark.parametrize(("how", "left"), [("drop", 27), ("drop,pad", 28)])
def test_it_is_mended_into_a_file_that_can_be_used(bad, tmp_path, capsys, how, left):
    out = tmp_path / "mended.jsonl"
    before = Path(bad).read_bytes()
    assert main(["check", bad, "--fix", str(out), "--how", how, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["written"] == {
        "file": str(out),
        "examples": left,
        "how": sorted(how.split(",")),
    }
    assert result["usable"]
    assert Path(bad).read_bytes() == before
    assert (
        sum(len(find_task(str(out)).examples(99, split=s)) for s in ("train", "dev", "test"))
        == left
    )
    assert main(["check", str(out)]) == 0
    assert main(["check", bad, "--fix", str(out)]) == 1  # nothing is overwritten
    assert "is there already" in capsys.readouterr().err


def test_json_has_all_of_it(bad, capsys):
    assert main(["check", bad, "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [(p["line"], p["fix"]) for p in result["problems"]] == [
        (2, "drop"),
        (5, "drop"),
        (7, "pad"),
    ]
    assert result["fixes"] == {"none": 0, "drop": 2, "pad": 1}
    assert (result["good"], sum(result["splits"].values())) == (27, 27)
    assert len(result["preview"]) == 3
    assert result["preview"][0]["answer"] == [" are"]
    assert result["written"] is None
    assert not result["usable"]


def test_columns_can_be_named(tmp_path, capsys):
    made = [{"satz": r["clean"], "gut": r["answer"], "schlecht": r["foil"]} for r in rows()]
    name = write(tmp_path / "a.jsonl", made)
    assert main(["check", name]) == 1
    out = capsys.readouterr().out
    assert "file: Its columns are satz, gut, schlecht" in out
    assert "1 problem must be corrected by hand" in out
    assert main(["check", f"{name}?clean=satz&answer=gut&foil=schlecht"]) == 0
    assert "no counterfactual prompt" in capsys.readouterr().out


def test_targets_alone_are_previewed_without_a_foil(tmp_path, capsys):
    name = write(tmp_path / "a.jsonl", [{"prompt": f"{i} + 0 =", "target": i} for i in range(30)])
    assert main(["check", name]) == 0
    assert "><" not in capsys.readouterr().out


def test_a_file_that_cannot_be_divided_is_not_usable(tmp_path, capsys):
    assert main(["check", write(tmp_path / "one.jsonl", rows(1))]) == 1
    assert "cannot be used yet: None of the 1 example" in capsys.readouterr().out
    assert main(["check", write(tmp_path / "few.jsonl", rows(3))]) == 0
    said = capsys.readouterr().out
    assert "can be discovered on, but not tuned on" in said
    assert "at least 10 different prompts" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.jsonl"], "There is no file"),
        (["FILE", "--model", "tinny"], "Did you mean 'tiny'"),
        (["FILE", "--model", "nobody/nothing"], "not on this machine"),
        (["FILE", "--how", "drop"], "--fix too"),
        (["FILE", "--fix", "out.csv"], "is JSONL"),
        (["FILE", "--fix", "out.jsonl", "--how", "glue"], "There is no fix 'glue'"),
        (["FILE", "--fix", "out.jsonl", "--how", "pad"], "2 problems would be left"),
    ],
)
def test_what_cannot_be_done_is_explained(
    bad, tmp_path, monkeypatch, capsys, arguments: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *(bad if each == "FILE" else each for each in arguments)]) == 1
    assert said in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.jsonl"]


def test_a_prompt_longer_than_the_model_reads_is_a_problem(tmp_path, capsys):
    made = [*rows(), {**rows()[0], "clean": "The" + " key" * 80, "corrupt": "The" + " keys" * 80}]
    assert main(["check", write(tmp_path / "a.jsonl", made)]) == 1
    assert "but the model reads at most 64" in capsys.readouterr().out
