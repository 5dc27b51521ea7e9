"""The page Run in a real browser: tasks, methods, settings, and a file of one's own.

``new_player`` also asserts after every test that the console shows no error and that no request
left the machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from ctviz import paths
from ctviz.models.handmade import KNOWN_ANSWERS
from ctviz.models.reader import open_reader
from ctviz.pages.settings import PRESETS, usual_settings
from ctviz.pages.uploaded_file import UploadedFile, keep, mend
from ctviz.runs import Run
from ctviz.runs.config import TuneConfig
from ctviz.runs.paper import PAPERS, paper_settings
from ctviz.tasks import TASKS
from ctviz.tasks.files.check import check
from tests.browser.driving import Player, choose, only_run, wait_until

THINGS = ("hat", "coat", "door", "cup", "lamp", "shoe", "bag", "ring", "boat", "bird")
START = "Discover and tune"


@pytest.fixture
def runs(no_runs: Path) -> Path:
    """The user's runs, none at first."""
    return no_runs


@pytest.fixture
def server(app: tuple[Path, str], runs: Path) -> str:
    """The address of the app; ``new_player`` opens its pages here."""
    return app[1]


@pytest.fixture
def page(player: Player) -> Player:
    """A browser on the page Run."""
    return open_page(player)


def open_page(player: Player) -> Player:
    player.page.goto(player.url)
    player.page.get_by_role("link", name="Run", exact=True).click()
    player.says("should go on with")
    return player


def shown(player: Player, label: str) -> str:
    """What a select box shows."""
    return player.page.get_by_role("combobox", name=label).input_value()


def method(player: Player, title: str) -> None:
    player.page.get_by_text(title, exact=True).click()
    player.settle()


def settings(player: Player, **values: object) -> None:
    """Open the settings and type numbers into its fields, by their labels (_ for a space)."""
    player.settle()  # while the page is drawn anew, what was there is there twice
    if not field(player, "Seed").is_visible():
        player.page.get_by_text("Settings", exact=True).click()
        field(player, "Seed").wait_for()
    for label, value in values.items():
        box = field(player, label.replace("_", " "))
        box.fill(str(value))
        box.press("Enter")
        player.settle()


def field(player: Player, label: str) -> Locator:
    return player.page.get_by_label(label, exact=True)


def start(player: Player, runs: Path) -> Run:
    """Press the button and wait until Watch shows the run."""
    player.page.get_by_role("button", name=START).click()
    player.page.wait_for_url("**/?run=*")
    wait_until(lambda: any(runs.glob("*/run.json")), player)
    return only_run(runs)


def finished(player: Player, run: Run) -> None:
    wait_until(lambda: not run.status().live, player)
    assert run.status().state == "finished", run.status().message
    player.wait(f"run() === '{run.id}'")
    player.wait("drawn() > 0")


def upload(player: Player, file: Path) -> None:
    choose(player, "Task", "your own file")
    player.page.locator("input[type=file]").set_input_files(file)
    player.says(file.name)
    player.settle()


def rows(n: int = 30) -> list[dict[str, str]]:
    return [
        {
            "clean": f"The keys to the {THINGS[i % 10]} {i}",
            "corrupt": f"The key to the {THINGS[i % 10]} {i}",
            "answer": "are",
            "foil": "is",
        }
        for i in range(n)
    ]


def write(file: Path, lines: list[dict[str, str] | str]) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return file


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    """Three bad lines, a pair of unequal prompts, and text that looks like markup."""
    made: list[dict[str, str] | str] = [*rows()]
    made[0] = {**rows()[0], "clean": "<b>The</b> keys", "corrupt": "<b>The</b> key"}
    made[3] = {**rows()[3], "answer": ""}
    made[5] = "{nonsense"
    made[7] = {**rows()[7], "foil": "are"}
    made[9] = {**rows()[9], "corrupt": "The big key to the bird 9"}
    return write(tmp_path / "my pairs.jsonl", made)


# ---------------------------------------------------------------------- a file of one's own


def test_a_file_with_bad_lines_is_mended_by_a_click_and_run(
    page: Player, runs: Path, bad_file: Path
) -> None:
    upload(page, bad_file)
    page.says("26 good examples")
    page.says("4 problems")
    expect(page.page.get_by_role("button", name=START)).to_be_disabled()
    grid = page.page.get_by_test_id("stDataFrame").locator("[role=gridcell]")
    expect(grid).to_have_count(12)
    cells = grid.all_text_contents()
    assert [cells[i] for i in range(0, len(cells), 3)] == ["4", "6", "8", "10"]
    assert cells[1] == "answer is empty"
    assert "both must have the same number" in cells[10]
    assert cells[11] == "pad or drop"
    preview = page.page.locator(".cp").first
    assert preview.locator("b").count() == 0  # markup in a prompt is shown, not done
    assert preview.locator(".cp-token.cp-yes").all_text_contents() == [" are"]
    assert preview.locator(".cp-token.cp-no").all_text_contents() == [" is"]
    (stored,) = (runs / "tasks").iterdir()
    assert stored.name.startswith("my-pairs-")
    assert stored.read_bytes() == bad_file.read_bytes()

    page.page.get_by_role("button", name="Pad 1 pair, drop 3 bad lines").click()
    page.says("1 pair padded and 3 bad lines left out; 27 examples")
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name="Download corrected file").click()
    assert download.value.suggested_filename == "my-pairs-corrected.jsonl"
    content = Path(download.value.path()).read_bytes()
    assert content.count(b"\n") == 27
    assert stored.read_bytes() == bad_file.read_bytes()

    settings(page, Steps=4, Examples_to_measure_on=2)
    run = start(page, runs)
    assert Path(run.config.task).read_bytes() == content
    finished(page, run)
    label = f"{Path(run.config.task).name} on tiny, circuit-tuning"
    assert shown(page, "Run").startswith(label)


def test_back_to_the_original_and_another_fix(page: Player, bad_file: Path) -> None:
    upload(page, bad_file)
    page.page.get_by_role("button", name="Drop 4 bad lines").click()
    page.says("4 bad lines left out; 26 examples")
    page.page.get_by_role("button", name="Back to original").click()
    page.says("4 problems")
    page.page.get_by_role("button", name="Pad 1 pair, drop 3").click()
    page.says("27 examples")


def test_columns_with_other_names_are_mapped(page: Player, tmp_path: Path) -> None:
    renamed = [{"satz": r["clean"], "gut": r["answer"], "schlecht": r["foil"]} for r in rows()]
    upload(page, write(tmp_path / "a.jsonl", list(renamed)))
    page.says("Change the file and upload it again")
    columns = page.page.get_by_role("textbox", name="Columns")
    columns.fill("clean=satz&answer=gut&fool=schlecht")
    columns.press("Enter")
    page.says("Did you mean 'foil'")
    columns.fill("clean=satz&answer=gut&foil=schlecht")
    columns.press("Enter")
    page.says("30 good examples")
    page.says("edges are corrupted with their mean")
    expect(page.page.get_by_role("button", name=START)).to_be_enabled()


def test_a_file_without_pairs_is_run_with_mean_ablation(
    page: Player, runs: Path, tmp_path: Path
) -> None:
    made = [{"prompt": r["clean"], "target": "are"} for r in rows()]
    upload(page, write(tmp_path / "targets.jsonl", list(made)))
    page.says("edges are corrupted with their mean")
    settings(page, Steps=3, Examples_to_measure_on=2)
    assert shown(page, "Corrupt with") == "mean"
    run = start(page, runs)
    assert run.config.ablation == "mean"
    finished(page, run)


def test_a_file_that_is_too_small_to_divide_says_so(page: Player, tmp_path: Path) -> None:
    upload(page, write(tmp_path / "few.jsonl", list(rows(3))))
    page.says("at least 10 different prompts")
    expect(page.page.get_by_role("button", name=START)).to_be_disabled()


def test_without_the_tokenizer_the_page_says_what_to_do(page: Player, bad_file: Path) -> None:
    upload(page, bad_file)
    choose(page, "Model", "another model")
    page.says("Name the model first")
    name = page.page.get_by_role("textbox", name="Hub id or folder")
    name.fill("nobody/nothing")
    name.press("Enter")
    page.says("The tokenizer of nobody/nothing is not on this machine")
    expect(page.page.get_by_role("button", name=START)).to_be_disabled()


def test_what_is_kept_is_never_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))
    first = keep(b"one", "../odd?name&.txt.dev")
    assert first.parent == tmp_path / "tasks"
    assert first.name.startswith("odd-name-")
    assert first.name.endswith(".txt.dev")
    assert keep(b"one", "../odd?name&.txt.dev") == first
    assert keep(b"two", "../odd?name&.txt.dev") != first
    first.write_bytes(b"changed by hand")
    again = keep(b"one", "../odd?name&.txt.dev")
    assert again != first
    assert (first.read_bytes(), again.read_bytes()) == (b"changed by hand", b"one")


def test_a_mended_file_lies_beside_the_original(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bad_file: Path
) -> None:
    monkeypatch.setenv("CTVIZ_RUNS", str(tmp_path))
    own = UploadedFile(keep(bad_file.read_bytes(), bad_file.name), bad_file.name)
    report = check(str(own.file), open_reader("tiny").tokenizer, longest=64)
    mended = mend(own, report, {"drop"})
    assert mended.file.parent == own.file.parent
    assert mended.original == own
    assert mended.said == "4 bad lines left out; 26 examples in the corrected file."
    assert mend(own, report, {"drop"}) == mended


# ---------------------------------------------------------------------- tasks, methods, settings


def test_the_difficulty_goes_into_the_run(page: Player, runs: Path) -> None:
    choose(page, "Difficulty", "near")
    settings(page, Steps=2, Examples_to_measure_on=2)
    run = start(page, runs)
    assert run.config.task == "sva-flip:near"
    finished(page, run)


def test_tasks_are_in_groups_and_each_can_be_looked_at(page: Player) -> None:
    page.page.get_by_role("combobox", name="Task").click()
    listed = page.page.get_by_role("option").all_text_contents()
    assert listed[0].startswith("Grammar · ")
    kinds = list(dict.fromkeys(label.split(" · ")[0] for label in listed))
    assert len(kinds) == len({task.kind for task in TASKS.values()}) + 1  # each kind in one piece
    page.page.keyboard.press("Escape")
    for key in ("gender", "word-problems", "docstring"):
        choose(page, "Task", f"({key})")
        page.page.locator(".cp").first.wait_for()
        page.says("Judged by")
    assert ":param" in (page.page.locator(".cp").first.text_content() or "")


def test_a_hand_made_model_comes_with_its_task(page: Player) -> None:
    choose(page, "Model", "Induction, then an MLP")
    assert "(opposite)" in shown(page, "Task")
    choose(page, "Model", "Bundled tiny")
    assert "(sva-flip)" in shown(page, "Task")


@pytest.mark.parametrize(
    ("title", "key", "hidden"),
    [
        ("A frozen circuit", "frozen-circuit", ("Rank", "Steps per discovery")),
        ("LoRA", "lora", ("Steps per discovery", "Size over time")),
    ],
)
def test_a_method_runs_with_the_settings_that_it_uses(
    page: Player, runs: Path, title: str, key: str, hidden: tuple[str, ...]
) -> None:
    method(page, title)
    settings(page, Steps=3, Examples_to_measure_on=2)
    for label in hidden:
        assert field(page, label).count() == 0
    if key == "lora":
        settings(page, Rank=3)
    run = start(page, runs)
    assert run.config.method == key
    assert run.config.lora_rank == (3 if key == "lora" else 8)
    assert run.config.learning_rate == pytest.approx(3e-3 if key == "lora" else 3e-4)
    finished(page, run)


def test_the_papers_settings_are_filled_in_and_taken_out_again(page: Player, runs: Path) -> None:
    settings(page, Batch_size=8)
    page.page.get_by_text("Settings of the paper", exact=True).click()
    page.says("47 instead of 500 (a tenth of the graph)")
    page.settle()
    assert field(page, "Batch size").input_value() == "16"
    assert field(page, "Warm-up steps").input_value() == "20"
    assert shown(page, "Optimizer") == "SGD"
    assert shown(page, "Corrupt with") == "mean"
    page.page.get_by_text("Settings of the paper", exact=True).click()
    page.settle()
    assert field(page, "Batch size").input_value() == "8"
    assert shown(page, "Optimizer") == "AdamW"
    page.page.get_by_text("Settings of the paper", exact=True).click()
    page.settle()
    run = start(page, runs)
    run.cancel()
    for name, value in (PAPERS["gpt2"].settings | {"edges": 47, "warmup": 20}).items():
        assert getattr(run.config, name) == value
    wait_until(lambda: not run.status().live, page)


def test_an_error_is_explained_and_nothing_is_lost(page: Player, runs: Path) -> None:
    settings(page, Seed=7)
    settings(page, **{"Warm-up_steps": 99})
    page.page.get_by_role("button", name=START).click()
    page.says("warmup is 99, but must be from 0 to 60")
    assert field(page, "Seed").input_value() == "7"
    assert not runs.exists() or not any(runs.glob("*/run.json"))


def test_settings_are_still_there_after_a_look_at_another_page(page: Player) -> None:
    choose(page, "Task", "(ioi)")
    method(page, "LoRA")
    settings(page, Seed=7)
    page.page.get_by_role("link", name="Watch").click()
    page.wait("ready()")
    page.page.get_by_role("link", name="Run", exact=True).click()
    page.says("Judged by")
    settings(page)
    assert field(page, "Seed").input_value() == "7"
    assert field(page, "Rank").input_value() == "8"
    assert "(ioi)" in shown(page, "Task")


def test_usual_settings_make_a_run_for_every_model_and_method() -> None:
    for model in PRESETS:
        for way in ("circuit", "frozen-circuit", "random", "full", "lora"):
            settings_of = paper_settings(model, bias=False, steps=PRESETS[model].steps)
            for paper in ({}, settings_of):
                usual = usual_settings(model, way, paired=False, paper=paper)
                usual |= {"edges_course": "constant", "edges_end": 0}
                config = TuneConfig(model=model, task="sva", method=way, **usual)
                assert config.ablation == "mean"
    assert PRESETS["tiny"].available == 479
    assert PRESETS["smollm2-135m"].available == 70_651
    assert set(KNOWN_ANSWERS) < set(PRESETS)


# ---------------------------------------------------------------------- how it looks


def test_notices_of_a_finished_run_stand_above_it(player: Player, runs: Path) -> None:
    sample = paths.shipped_runs() / "sample-sva-flip"
    copy = runs / "noticed"
    shutil.copytree(sample, copy)
    status = json.loads((copy / "status.json").read_text())
    notice = "Out of memory at step 3: 8 examples at a time from here on, instead of 16 or more."
    (copy / "status.json").write_text(json.dumps({**status, "notices": [notice]}))
    player.page.goto(f"{player.url}/?run=noticed")
    player.wait("ready()")
    player.says(notice)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768])
def test_it_fits_the_page(
    new_player: Callable[..., Player], bad_file: Path, width: int, scheme: str
) -> None:
    player = open_page(new_player(width=width, color_scheme=scheme))
    settings(player)
    upload(player, bad_file)
    player.says("4 problems")
    assert player.page.evaluate("() => document.body.scrollWidth - window.innerWidth") <= 0
