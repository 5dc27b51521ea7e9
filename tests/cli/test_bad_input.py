"""What cannot be done is explained in a sentence, and leaves nothing behind."""

from __future__ import annotations

import pytest

from ctviz.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("discover", "--model", "tinyy"), "Did you mean 'tiny'"),
        (("discover", "--task", "svaa"), "Known tasks: sva, sva-flip"),
        (("discover", "--edges", "5000"), "from 1 to 479"),
        (("discover", "--edges", "0"), "from 1 to 479"),
        (("discover", "--examples", "0"), "examples is 0"),
        (("tune", "--edges", "5000"), "from 1 to 479"),
        (("tune", "--steps", "0"), "steps is 0, but must be from 1"),
        (("tune", "--device", "gpu"), "no device 'gpu'"),
        (("show", "nothing"), "no run 'nothing'"),
        (("models", "fetch", "smollm"), "Did you mean 'smollm2-135m'"),
        (("tasks", "iio"), "no task 'iio'"),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing_behind(
    arguments, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.json"))
