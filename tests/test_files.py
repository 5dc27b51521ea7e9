"""Files are whole or not there, and each failure names the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from ctviz.errors import DamagedRun, DiskFull
from ctviz.files import (
    append_line,
    numbered,
    read_json,
    read_tensors,
    write_bytes,
    write_json,
    write_tensors,
    written,
)


def test_writing_a_file_never_leaves_a_part_behind(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    write_bytes(file, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DiskFull, match=r"disk full\. Choose another place"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "Make room on the disk"),
        (errno.EDQUOT, "Make room on the disk"),
        (errno.EACCES, "Choose another place"),
    ],
)
def test_what_to_do_depends_on_why_a_file_could_not_be_written(tmp_path, monkeypatch, code, advice):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DiskFull, match=rf"x\.json could not be written: .*\. {advice}"):
        write_json(tmp_path / "x.json", {})


def test_lines_are_added_to_a_file_or_it_is_named(tmp_path):
    file = tmp_path / "log.txt"
    append_line(file, "one")
    append_line(file, "“two”")
    assert file.read_text(encoding="utf-8") == "one\n“two”\n"
    with pytest.raises(DiskFull, match=r"none/log\.txt could not be written"):
        append_line(tmp_path / "none" / "log.txt", "three")


def test_json_comes_back_as_it_was_written(tmp_path):
    value = {"step": 3, "text": "“a”", "list": [1.5, None, True]}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is missing"),
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[1]", "holds a list, not a JSON object"),
    ],
)
def test_json_that_is_no_object_is_named(tmp_path, content, says):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DamagedRun, match=rf"x\.json {says}"):
        read_json(tmp_path / "x.json")


def test_tensors_come_back_with_their_header(tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "b": np.array([True, False])}
    write_tensors(tmp_path / "x.safetensors", tensors, {"step": 3, "names": ["“a”"]})
    found, about = read_tensors(tmp_path / "x.safetensors")
    assert about == {"step": 3, "names": ["“a”"]}
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)


def test_tensors_of_another_tool_need_no_header_but_ours_is_json(tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(2)}, file)
    assert read_tensors(file)[1] == {}
    save_file({"a": np.zeros(2)}, file, metadata={"step": "three"})
    with pytest.raises(DamagedRun, match=r"x\.safetensors cannot be read"):
        read_tensors(file)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DamagedRun, match=r"x\.safetensors cannot be read"):
        read_tensors(file)


def test_files_named_by_a_step_are_in_the_order_of_their_steps(tmp_path):
    names = ("000010", "000002", "1000000", "0000003", "000002 (copy)", "12", "final")
    for name in names:
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "000004.json").touch()
    found = numbered(tmp_path)
    assert list(found) == [2, 10, 1000000]
    assert found[10] == tmp_path / "000010.safetensors"
    assert numbered(tmp_path / "gone") == {}


def test_when_a_file_was_written_is_none_once_it_has_gone(tmp_path):
    file = tmp_path / "x"
    file.touch()
    os.utime(file, ns=(5, 7))
    assert written(file) == (7, 0)
    file.unlink()
    assert written(file) is None
    assert written(Path("a\0b")) is None
