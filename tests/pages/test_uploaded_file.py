"""Uploads on the page Run: the two files of WinoBias belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ctviz.errors import CtvizError
from ctviz.pages.uploaded_file import keep_pair
from ctviz.tasks.files.winobias import FORMAT, partner_name
from tests.opened_pages import page_file, said

PRO = [
    "1 The boss met [the maid] and gave [her] dog away.",
    "2 The cook called [the nurse] and lent [her] money.",
]
ANTI = [
    "1 The boss met [the maid] and gave [his] dog away.",
    "2 The cook called [the nurse] and lent [him] money.",
]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))
    return tmp_path


def text(lines: list[str]) -> bytes:
    return "\n".join(lines).encode()


def test_a_partner_differs_by_one_word() -> None:
    assert partner_name("pro_stereotyped_type1.txt.test") == "anti_stereotyped_type1.txt.test"
    assert partner_name("anti-2.txt") == "pro-2.txt"
    assert partner_name("problem.txt") == ""
    assert partner_name("pro_and_anti.txt") == ""


def test_a_pair_is_found_by_the_task_that_is_made_of_it(runs: Path) -> None:
    file = keep_pair(text(PRO), "../pro stereotyped.txt.dev", text(ANTI))
    assert file.name == "pro-stereotyped.txt.dev"
    assert sorted(each.name for each in file.parent.iterdir()) == [
        "anti-stereotyped.txt.dev",
        "pro-stereotyped.txt.dev",
    ]
    parsed = FORMAT.read(file, file.read_text(encoding="utf-8"))
    assert [e.choices for _, e in parsed.examples] == [(" her", " his"), (" her", " him")]
    assert parsed.notes == ()  # none was guessed
    assert keep_pair(text(PRO), "../pro stereotyped.txt.dev", text(ANTI)) == file
    other = keep_pair(text(PRO), "../pro stereotyped.txt.dev", text(ANTI[:1]))
    assert other.parent != file.parent  # another partner is another task


def test_a_name_that_loses_the_word_is_refused() -> None:
    with pytest.raises(CtvizError, match="too long"):
        keep_pair(b"", f"{'x' * 70}_pro.txt", b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "good"),
    [(("pro.txt", "anti.txt"), True), (("anti.txt", "pro.txt"), True), (("a.txt", "b.txt"), False)],
)
def test_two_uploads_are_taken_only_if_they_belong_together(
    runs: Path, names: tuple[str, str], good: bool
) -> None:
    app = AppTest.from_file(page_file("run"), default_timeout=120)
    app.session_state["task"] = "your own file …"
    app.run()
    app.file_uploader[0].set_value([(name, text(PRO), "text/plain") for name in names]).run()
    assert ("Give one file" in said(app)) != good
    assert (runs / "tasks").exists() == good
