"""Files that people have, as the tools of the field write them: read rightly, or refused."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from ctviz import paths
from ctviz.cli import main
from ctviz.errors import BadTask, MissingModel
from ctviz.tasks import find_task, located_task
from ctviz.tasks.batch import encode
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files import open_file
from ctviz.tasks.files.check import check
from tests.field.written import (
    NOUNS,
    PAIRS,
    as_rows,
    json_file,
    jsonl_file,
    table_file,
    workbook,
)
from tests.written_files import examples, problems

ROWS = as_rows()
TINY = AutoTokenizer.from_pretrained(paths.data() / "tiny")


def pairs(name: str) -> list[Pair | None]:
    return [example.pair for example in examples(name)]


def notes(name: str) -> str:
    return " ".join(open_file(name).notes)


def token(text: str) -> int:
    (number,) = TINY(text, add_special_tokens=False)["input_ids"]
    return number


class TestEndings:
    @pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "xlsx"])
    def test_tables_are_read(self, tmp_path, ending):
        name = table_file(tmp_path / f"a.{ending}", ROWS)
        assert pairs(name) == list(PAIRS)
        assert find_task(name).size() == 24

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
    def test_unicode_with_a_mark_is_read(self, tmp_path, encoding):
        accented = [{**ROWS[0], "clean": "Señor “Ok”"}, *ROWS[1:]]
        name = table_file(tmp_path / "a.csv", accented, encoding=encoding)
        assert pairs(name)[0].clean == "Señor “Ok”"

    def test_utf_16_without_its_mark_is_named(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("clean,answer,foil\n".encode("utf-16-le"))
        with pytest.raises(BadTask, match="UTF-16"):
            open_file(str(tmp_path / "a.csv"))

    @pytest.mark.parametrize("name", ["a.docx", "a.jsonl.gz", "pairs"])
    def test_a_file_with_another_ending_is_there_but_not_read(self, tmp_path, name):
        (tmp_path / name).write_text("x")
        for ask in (find_task, open_file):
            with pytest.raises(BadTask, match=r"is a file, but its ending .* \.tsv, \.parquet"):
                ask(str(tmp_path / name))

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.parquet", b"clean,answer", "cannot be read as Parquet"),
            ("a.xlsx", b"clean,answer", "cannot be read as an Excel workbook"),
            ("a.csv", b"PK\x03\x04rest", "is a zip archive"),
            ("a.jsonl", b"\x1f\x8brest", "packed with gzip"),
            ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ],
    )
    def test_what_is_not_what_its_ending_says(self, tmp_path, name, content, said):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadTask, match=said):
            open_file(str(tmp_path / name))

    def test_the_first_sheet_is_read_and_lines_are_its_rows(self, tmp_path):
        lines = [["clean", "answer", "foil"], [], ["The key", " is", " are"], ["The keys", None, 3]]
        name = workbook(tmp_path / "a.xlsx", {"first": lines, "second": [["x"]]})
        assert [p.clean for p in pairs(name)] == ["The key"]
        assert problems(name) == {4: "answer is missing"}
        assert "Of the workbook's 2 sheets the first, first, is read." in notes(name)

    def test_an_empty_first_sheet_is_said_to_be_what_was_read(self, tmp_path):
        lines = [list(ROWS[0]), *(list(row.values()) for row in ROWS)]
        name = workbook(tmp_path / "a.xlsx", {"notes": [], "pairs": lines})
        assert problems(name)[0] == (
            "It holds no examples. Of the workbook's 2 sheets the first, notes, is read."
        )


class TestJson:
    @pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table"])
    def test_every_way_in_which_pandas_writes_a_table(self, tmp_path, orient):
        pd.DataFrame(ROWS).to_json(tmp_path / "a.json", orient=orient)
        assert pairs(str(tmp_path / "a.json")) == list(PAIRS)

    def test_lists_by_column(self, tmp_path):
        name = json_file(tmp_path / "a.json", pd.DataFrame(ROWS).to_dict(orient="list"), indent=1)
        assert pairs(name) == list(PAIRS)

    def test_a_list_under_a_name(self, tmp_path):
        name = json_file(tmp_path / "a.json", {"made by": "us", "examples": ROWS}, indent=2)
        assert pairs(name) == list(PAIRS)

    def test_a_single_row_is_still_a_row(self, tmp_path):
        assert pairs(json_file(tmp_path / "a.jsonl", ROWS[0])) == [PAIRS[0]]


class TestMissingValues:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
    @pytest.mark.parametrize("own", ["clean", "corrupt", "answer", "foil"])
    def test_a_number_that_is_none_is_no_word(self, tmp_path, own, value):
        name = jsonl_file(tmp_path / "a.jsonl", [*ROWS[1:], {**ROWS[0], own: value}])
        (said,) = problems(name).values()
        assert said in (f"{own} is missing", "no corrupt, although other lines have one")
        assert not any("nan" in str(pair) for pair in pairs(name))

    @pytest.mark.parametrize("text", ["nan", "NaN", "<NA>", "None", "#N/A", "Infinity"])
    def test_a_text_that_stands_for_none_is_asked_about(self, tmp_path, text):
        rows = [*ROWS[1:], {**ROWS[0], "answer": text}]
        for name in (jsonl_file(tmp_path / "a.jsonl", rows), table_file(tmp_path / "a.csv", rows)):
            (said,) = problems(name).values()
            assert said.startswith(f"answer is {text!r}, which stands for a missing value")
        meant = [*ROWS[1:], {**ROWS[0], "answer": f" {text}"}]
        assert pairs(jsonl_file(tmp_path / "b.jsonl", meant))[-1].answer == f" {text}"

    def test_a_parquet_file_has_missing_values_too(self, tmp_path):
        name = table_file(tmp_path / "a.parquet", [*ROWS[1:], {**ROWS[0], "foil": None}])
        assert problems(name) == {24: "foil is missing"}


class TestTokenIds:
    """Hand-made: the ids are those that the bundled model's tokenizer has for the words."""

    def eap_ig(self, path, *, names=("correct_idx", "incorrect_idx")) -> str:
        ours = [
            {
                "clean": p.clean,
                "corrupted": p.corrupt,
                names[0]: token(p.answer),
                names[1]: token(p.foil),
            }
            for p in PAIRS
        ]
        return table_file(path, ours)

    @pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
    @pytest.mark.parametrize(
        "names",
        [
            ("correct_idx", "incorrect_idx"),
            ("clean_answer_idx", "corrupted_answer_idx"),
            ("country_idx", "corrupted_country_idx"),
        ],
    )
    def test_eap_ig_is_asked_whose_ids_it_has_and_then_read(self, tmp_path, names, ending):
        name = self.eap_ig(tmp_path / f"a.{ending}", names=names)
        assert not examples(name)
        assert f"{names[0]} and {names[1]} hold nothing but whole numbers" in problems(name)[0]
        assert f"a.{ending}?ids=MODEL" in problems(name)[0]
        told = f"{name}?ids=tiny"
        assert pairs(told) == list(PAIRS)
        assert "corrupted as corrupt" in notes(told)
        batch = encode(pairs(told), TINY)
        assert batch.answer[:, -1].tolist() == [token(p.answer) for p in PAIRS]
        assert batch.foil.tolist() == [token(p.foil) for p in PAIRS]

    def test_ids_that_the_tokenizer_does_not_have_are_bad_lines(self, tmp_path):
        rows = [{"clean": p.clean, "corrupted": p.corrupt} for p in PAIRS]
        rows = [{**row, "correct_idx": 40_000, "incorrect_idx": token(" is")} for row in rows]
        name = table_file(tmp_path / "a.csv", rows)
        found = problems(f"{name}?ids=tiny")
        assert len(found) == 24
        assert "answer is 40000, but the tokenizer of tiny has no such token" in found[2]

    def test_a_tokenizer_that_is_not_here_is_said(self, tmp_path):
        name = self.eap_ig(tmp_path / "a.csv")
        with pytest.raises(MissingModel):
            open_file(f"{name}?ids=nobody/nothing")

    @pytest.mark.parametrize("as_text", [False, True])
    def test_ids_in_columns_with_our_names_are_asked_about(self, tmp_path, as_text):
        rows = [{**row, "answer": 318, "foil": 389} for row in ROWS]
        if as_text:
            rows = [{**row, "answer": "318", "foil": "389"} for row in rows]
        assert (
            "answer and foil hold nothing but whole numbers"
            in problems(jsonl_file(tmp_path / "a.jsonl", rows))[0]
        )
        assert pairs(f"{tmp_path / 'a.jsonl'}?ids=none")[0].answer == " 318"

    def test_a_mapped_column_of_ids_is_asked_about_whatever_the_prompts_say(self, tmp_path):
        rows = [
            {"clean": f"{i} and {i} is", "correct_idx": i, "other": f" {i + 1}"} for i in range(30)
        ]
        name = f"{table_file(tmp_path / 'a.csv', rows)}?answer=correct_idx&foil=other"
        assert "correct_idx holds nothing but whole numbers" in problems(name)[0]
        assert "a.csv?answer=correct_idx&foil=other&ids=MODEL" in problems(name)[0]

    def test_a_mended_file_needs_no_word_on_its_ids(self, tmp_path):
        name = self.eap_ig(tmp_path / "a.csv")
        rows = [{"clean": f"The {noun} =", "answer": 318, "foil": 200} for noun in NOUNS]
        numbers = jsonl_file(tmp_path / "n.jsonl", [{**row, "verbatim": True} for row in rows])
        for told in (f"{name}?ids=tiny", f"{numbers}?ids=none"):
            out = tmp_path / f"{'ab'[told.endswith('none')]}.jsonl"
            check(told, TINY, longest=64).write_fixed(out, {"drop"})
            assert pairs(str(out)) == pairs(told)
            assert not problems(str(out))

    def test_sums_are_answered_with_numbers(self, tmp_path):
        rows = [
            {"clean": f"{i} + 1 =", "answer": float(i + 1), "foil": i + 2} for i in range(1, 20)
        ]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert (pairs(name)[0].answer, pairs(name)[0].foil) == (" 2", " 3")
        assert "The numbers in answer and foil are taken as what is to be said" in notes(name)
        targets = [{"prompt": f"{i} + 1 =", "target": i + 1} for i in range(1, 20)]
        assert examples(jsonl_file(tmp_path / "b.jsonl", targets))[0].target == " 2\n"

    def test_a_target_of_labels_is_asked_about(self, tmp_path):
        rows = [{"prompt": f"A {noun} is", "target": k % 2} for k, noun in enumerate(NOUNS)]
        assert (
            "target holds nothing but whole numbers"
            in problems(jsonl_file(tmp_path / "a.jsonl", rows))[0]
        )

    def test_files_of_eap_ig_without_two_words_say_what_is_missing(self, tmp_path):
        base = [{"clean": p.clean, "corrupted": p.corrupt} for p in PAIRS]
        for column, said in (
            ("plural", "the verbs themselves are not in the file"),
            ("correct_idx", "no incorrect_idx"),
            ("answers_idx", "is a list of right tokens"),
        ):
            name = table_file(tmp_path / f"{column}.csv", [{**row, column: 1} for row in base])
            assert said in problems(name)[0]
            assert "plural=" not in problems(name)[0]

    def test_whose_ids_they_are_is_stored_with_the_task(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert located_task("a.csv?ids=tiny") == f"{tmp_path / 'a.csv'}?ids=tiny"
        stored = f"{tmp_path / 'a.csv'}?ids={tmp_path / 'models' / 'm'}"
        assert located_task("a.csv?ids=models/m") == stored


class TestTools:
    def test_auto_circuit(self, tmp_path):
        prompts = [
            {
                "clean": p.clean,
                "corrupt": p.corrupt,
                "answers": [p.answer],
                "wrong_answers": [p.foil],
            }
            for p in PAIRS
        ]
        for indent in (None, 2):
            content = {"seq_labels": ["The", "noun"], "word_idxs": {"end": 1}, "prompts": prompts}
            name = json_file(tmp_path / f"{indent}.json", content, indent=indent)
            assert pairs(name) == list(PAIRS)
            assert open_file(name).format.key == "auto-circuit"
            assert "several answers" not in notes(name)

    def test_several_answers_of_auto_circuit_are_noted(self, tmp_path):
        prompts = [
            {"clean": p.clean, "corrupt": p.corrupt, "answers": [p.answer, " x"]}
            | {"wrong_answers": [p.foil]}
            for p in PAIRS
        ]
        name = json_file(tmp_path / "a.json", {"prompts": prompts})
        assert pairs(name) == list(PAIRS)
        assert "24 prompts have several answers or wrong answers. Only the first" in notes(name)

    def mib(self, pair: Pair, **more: object) -> dict[str, object]:
        """The right choice stands second."""
        other = {
            "prompt": pair.corrupt,
            "choices": [pair.foil.strip(), pair.answer.strip()],
            "answerKey": 0,
        }
        choices = [pair.foil.strip(), pair.answer.strip()]
        return {
            "prompt": pair.clean,
            "template": "The {}",
            "metadata": {"x": 1},
            "choices": choices,
        } | {
            "answerKey": 1,
            "s2_io_flip_counterfactual": other,
            **more,
        }

    @pytest.mark.parametrize("ending", ["jsonl", "parquet"])
    def test_mib(self, tmp_path, ending):
        abc = {"prompt": "No", "choices": ["x", "y"], "answerKey": 0}
        rows = [self.mib(pair, abc_counterfactual=abc) for pair in PAIRS]
        write = jsonl_file if ending == "jsonl" else table_file
        name = write(tmp_path / f"a.{ending}", rows)
        assert open_file(name).format.key == "mib"
        assert pairs(name) == list(PAIRS)
        assert "24 rows have several counterfactuals" in notes(name)
        assert "s2_io_flip_counterfactual" in notes(name)

    def test_the_foil_of_more_choices_is_what_the_counterfactual_asks_for(self, tmp_path):
        letters = {"label": ["A", "B", "C"], "text": ["red", "blue", "green"]}
        row = {"prompt": "The box is blue. Answer:", "choices": letters, "answerKey": 1}
        other = {"prompt": "The box is green. Answer:", "choices": letters, "answerKey": 2}
        rows = [{**row, "symbol_counterfactual": other}]
        (example,) = examples(jsonl_file(tmp_path / "a.jsonl", rows))
        assert example.pair == Pair(row["prompt"], other["prompt"], " B", " C")
        assert example.choices == (" B", " A", " C")
        rows = [{**row, "symbol_counterfactual": {**other, "answerKey": 1}}]
        assert "'B' is also right" in problems(jsonl_file(tmp_path / "b.jsonl", rows))[1]

    @pytest.mark.parametrize("ending", ["jsonl", "parquet"])
    def test_squad_as_datasets_writes_it(self, tmp_path, ending):
        rows = [
            {"id": "1", "title": "T", "context": f"The {noun} is red.", "question": "Which colour?"}
            | {"answers": {"text": ["red", "red"] if k else [], "answer_start": [9] if k else []}}
            for k, noun in enumerate(NOUNS)
        ]
        write = jsonl_file if ending == "jsonl" else table_file
        opened = open_file(write(tmp_path / f"a.{ending}", rows))
        assert (opened.format.key, opened.grade) == ("squad-rows", "span")
        assert not opened.parsed.problems
        none, red = (example for _, example in opened.parsed.examples[:2])
        assert none == Example(
            "Passage: The key is red.\nQuestion: Which colour?\nAnswer:",
            " no answer\n",
            accepted=("no answer",),
            group="no answer",
        )
        assert (red.target, red.accepted, red.group) == (" red\n", ("red",), "answered")
        assert opened.keys[1] == "Passage: The hat is red."

    @pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
    def test_gsm8k_as_datasets_writes_it(self, tmp_path, ending):
        rows = [
            {
                "question": f"Tom has {n} cups.\nHe buys 2. How many?",
                "answer": f"He has {n}+2=<<{n}+2={n + 2}>>{n + 2}\n#### {n + 2}",
            }
            for n in range(12)
        ]
        write = json_file if ending == "json" else table_file
        opened = open_file(write(tmp_path / f"a.{ending}", rows))
        assert (opened.format.key, opened.grade) == ("gsm8k", "exact")
        assert opened.parsed.examples[3][1] == Example(
            "Question: Tom has 3 cups. He buys 2. How many?\nAnswer:",
            " He has 3+2=5. The answer is 5.\n",
            accepted=("5",),
        )

    def test_chat_messages(self, tmp_path):
        def said(*turns: tuple[str, str]) -> dict[str, object]:
            return {"messages": [{"role": role, "content": text} for role, text in turns]}

        good = said(
            ("system", "Be short."), ("user", "Hi?"), ("assistant", "Hi."), ("user", "Where?")
        )
        good["messages"].append({"role": "assistant", "content": "Here."})
        rows = [good, said(("user", "Where?")), said(("user", "Where?"), ("tool", "x"))]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert examples(name) == [
            Example(
                "System: Be short.\nUser: Hi?\nAssistant: Hi.\nUser: Where?\nAssistant:",
                " Here.\n",
                accepted=("Here.",),
            )
        ]
        assert problems(name) == {
            2: "messages must be a list of at least two",
            3: "a message has the role 'tool', but must have system, user, assistant",
        }
        assert "chat template is not used" in notes(name)

    def test_blimp(self, tmp_path):
        rows = [
            {"sentence_good": f"The {noun}s are here.", "sentence_bad": f"The {noun}s is here."}
            | {"UID": "x", "one_prefix_method": True}
            for noun in NOUNS
        ]
        rows += [
            {"sentence_good": "Katherine can't help herself."}
            | {"sentence_bad": "Katherine can't help himself.", "one_prefix_method": True},
            {"sentence_good": "This key is old.", "sentence_bad": "These key is old."},
            {"sentence_good": "Here is this key.", "sentence_bad": "Here is these key."}
            | {"one_prefix_method": False},
            {"sentence_good": "The key is old.", "sentence_bad": "The key is very old."},
        ]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert open_file(name).format.key == "blimp"
        assert pairs(name)[0] == Pair("The keys", "The keys", " are", " is")
        assert pairs(name)[12].answer == " herself"
        assert pairs(name)[12].foil == " himself"
        assert [(line, said.split(",")[0]) for line, said in problems(name).items()] == [
            (14, "the sentences differ in their first word"),
            (
                15,
                "BLiMP says that its sentences cannot be told apart after a common beginning "
                "(one_prefix_method is false)",
            ),
            (16, "one of the sentences only has a word more than the other"),
        ]

    def test_crows_pairs(self, tmp_path):
        rows = [
            {"": k, "sent_more": f"Near the {noun} he was a poor man.", "bias_type": "x"}
            | {"sent_less": f"Near the {noun} he was a rich man."}
            for k, noun in enumerate(NOUNS)
        ]
        opened = open_file(table_file(tmp_path / "a.csv", rows))
        assert (opened.format.key, opened.grade) == ("crows-pairs", "bias")
        first = opened.parsed.examples[0][1]
        assert first.pair == Pair(
            "Near the key he was a", "Near the key he was a", " poor", " rich"
        )
        assert first.choices == (" poor", " rich")

    def test_stereoset(self, tmp_path):
        def entry(noun: str, context: str = "Near the NOUN the nurse said BLANK was late.") -> dict:
            context = context.replace("NOUN", noun)
            return {
                "context": context,
                "bias_type": "gender",
                "sentences": [
                    {"sentence": context.replace("BLANK", word), "gold_label": label}
                    for word, label in (
                        ("fish", "unrelated"),
                        ("he", "anti-stereotype"),
                        ("she", "stereotype"),
                    )
                ],
            }

        data = {
            "intersentence": [entry("key", "A nurse came.")],
            "intrasentence": [*map(entry, NOUNS), entry("key", "BLANK was late.")],
        }
        name = json_file(tmp_path / "a.json", {"version": "1.1", "data": data})
        opened = open_file(name)
        assert (opened.format.key, opened.grade) == ("stereoset", "bias")
        first = opened.parsed.examples[0][1]
        prompt = "Near the key the nurse said"
        assert (first.pair, first.group) == (Pair(prompt, prompt, " she", " he"), "gender")
        assert len(opened.parsed.examples) == 12
        assert "BLANK is the first word" in problems(name)[13]
        assert "1 entry of intersentence is left out" in notes(name)


class TestHints:
    def test_a_renamed_file_is_told_names_that_make_sense(self, tmp_path):
        rows = [
            {"clean": "a", "corrupted_prompt": "b", "right": "c", "wrong": "d", "id": 1},
        ]
        said = problems(jsonl_file(tmp_path / "a.jsonl", rows))[0]
        assert said.endswith("a.jsonl?answer=right&foil=wrong&corrupt=corrupted_prompt")
        rows = [{"instruction": "a", "output": "b", "text_id": 3}]
        said = problems(jsonl_file(tmp_path / "b.jsonl", rows))[0]
        assert said.endswith("b.jsonl?prompt=instruction&target=output")

    def test_the_name_that_eap_ig_gives_a_counterfactual_is_known(self, tmp_path):
        rows = [
            {"clean": p.clean, "corrupted": p.corrupt, "answer": p.answer, "foil": p.foil}
            for p in PAIRS
        ]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert pairs(name) == list(PAIRS)
        assert "corrupted as corrupt" in notes(name)
        mapped = [
            {"clean": p.clean, "corrupted": p.corrupt, "a": p.answer, "b": p.foil} for p in PAIRS
        ]
        assert pairs(f"{jsonl_file(tmp_path / 'b.jsonl', mapped)}?answer=a&foil=b") == list(PAIRS)


class TestFewExamples:
    def test_a_small_file_is_halved_where_nothing_is_trained(self, tmp_path):
        task = find_task(jsonl_file(tmp_path / "a.jsonl", ROWS[:12]))
        assert sum(task.size(split) for split in ("train", "dev", "test")) == task.size() == 12
        both = task.untrained()
        assert (both.size("train"), both.size("dev"), both.size()) == (6, 6, 12)
        train = {e.prompt for e in both.examples(64, split="train")}
        dev = {e.prompt for e in both.examples(64, split="dev")}
        assert len(train) == len(dev) == 6
        assert not train & dev
        assert {e.prompt for e in both.examples(64, split="test", seed=1)} == dev
        assert len(both.pairs(64, split="dev")) == 6
        assert "6 to find a circuit on and 6 to judge it on" in notes(task.file)

    def test_two_prompts_can_be_discovered_on_and_one_cannot(self, tmp_path):
        two = find_task(jsonl_file(tmp_path / "two.jsonl", ROWS[:2])).untrained()
        assert two.size("train") == two.size("dev") == 1
        one = find_task(jsonl_file(tmp_path / "one.jsonl", ROWS[:1])).untrained()
        with pytest.raises(BadTask, match="at least two different prompts"):
            one.examples(1, split="train")

    def test_a_file_that_names_its_splits_or_is_large_stays_divided(self, tmp_path):
        rows = [{**row, "split": "dev" if k else "train"} for k, row in enumerate(ROWS)]
        own = find_task(jsonl_file(tmp_path / "a.jsonl", rows))
        assert own.untrained().size("train") == own.size("train") == 1
        many = [{**ROWS[0], "clean": f"{k} keys", "corrupt": f"{k} key"} for k in range(2000)]
        large = find_task(jsonl_file(tmp_path / "b.jsonl", many))
        assert large.untrained() == large
        assert "Few examples" not in notes(large.file)

    def test_drawn_examples_have_no_size(self):
        task = find_task("sva")
        assert task.size("dev") is None
        assert task.untrained() == task

    def test_a_repeated_prompt_counts_once_in_pairs_and_comes_last_in_examples(self, tmp_path):
        rows = [{**row, "split": "train"} for row in ROWS[:4]]
        rows += [{**row, "foil": " has", "split": "train"} for row in ROWS[:4]]
        task = find_task(jsonl_file(tmp_path / "a.jsonl", rows))
        for seed in range(5):
            drawn = [e.prompt for e in task.examples(8, split="train", seed=seed)]
            assert len(set(drawn[:4])) == 4
            assert len({p.clean for p in task.pairs(8, split="train", seed=seed)}) == 4
            assert len(task.pairs(8, split="train", seed=seed)) == 4
        assert "4 examples have the prompt of another one" in notes(task.file)

    def test_check_says_how_few_there_are(self, tmp_path, capsys):
        name = jsonl_file(tmp_path / "a.jsonl", ROWS[:12])
        assert main(["check", name, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert any("of 12 there are" in note for note in said["notes"])


class TestTwice:
    """Of a name that comes twice, only one value could be read."""

    def test_in_the_header_of_a_table(self, tmp_path):
        lines = [f"{p.clean},{p.corrupt},{p.answer},{p.foil}, was" for p in PAIRS]
        name = tmp_path / "a.csv"
        name.write_text("\n".join(["clean,corrupt,answer,foil,answer", *lines]))
        book = [["clean", "answer", "foil", "answer"], ["The key", " is", " are", " was"]]
        sheet = workbook(tmp_path / "a.xlsx", {"pairs": book})
        table = pd.DataFrame(ROWS)
        table.insert(4, "answer", " was", allow_duplicates=True)
        with (tmp_path / "a.parquet").open("wb") as file:
            columns = [pa.array(table.iloc[:, at]) for at in range(5)]
            pq.write_table(pa.table(columns, names=list(table.columns)), file)
        for each in (str(name), sheet, str(tmp_path / "a.parquet")):
            assert "'answer' is there twice" in problems(each)[0]
            assert not examples(each)

    @pytest.mark.parametrize(("ending", "line"), [("jsonl", 24), ("json", 1)])
    def test_in_an_object(self, tmp_path, ending, line):
        twice = json.dumps(ROWS[0])[:-1] + ', "answer": " was"}'
        rows = [*map(json.dumps, ROWS[1:]), twice]
        text = "\n".join(rows) if ending == "jsonl" else f"[{twice}, {', '.join(rows)}]"
        (tmp_path / f"a.{ending}").write_text(text)
        assert "'answer' is there twice" in problems(str(tmp_path / f"a.{ending}"))[line]


class TestSeparators:
    @pytest.mark.parametrize("quote", ["", '"'])
    def test_a_space_after_each_separator_is_no_part_of_a_prompt(self, tmp_path, quote):
        rows = [list(ROWS[0]), *(list(map(str.strip, row.values())) for row in ROWS)]
        text = "\n".join(", ".join(f"{quote}{cell}{quote}" for cell in row) for row in rows)
        (tmp_path / "a.csv").write_text(text)
        assert pairs(str(tmp_path / "a.csv")) == list(PAIRS)
        assert "a space after each separator" in notes(str(tmp_path / "a.csv"))

    @pytest.mark.parametrize("between", [";", "|", "\t"])
    def test_it_is_looked_for_outside_of_quotes(self, tmp_path, between):
        rows = [[*ROWS[0], '"a, b, c, d, e, f"'], *([*row.values(), "x"] for row in ROWS)]
        (tmp_path / "a.csv").write_text("\n".join(between.join(row) for row in rows))
        assert pairs(str(tmp_path / "a.csv")) == list(PAIRS)


class TestSplits:
    def test_names_of_other_tools(self, tmp_path):
        called = ["training", "Train", "validation", "val", "valid", "TEST"]
        rows = [{**row, "split": called[k % 6]} for k, row in enumerate(ROWS)]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert [find_task(name).size(split) for split in ("train", "dev", "test")] == [8, 12, 4]
        assert "Lines of split validation are dev." in notes(name)
        name = jsonl_file(tmp_path / "b.jsonl", [*rows, {**ROWS[0], "split": "all", "foil": " x"}])
        assert "split is 'all', but must be train, dev, test" in problems(name)[25]

    def test_an_object_of_splits(self, tmp_path):
        held = {"train": ROWS[:12], "validation": ROWS[12:18], "test": ROWS[18:]}
        name = json_file(tmp_path / "a.json", held)
        assert pairs(name) == list(PAIRS)
        assert [find_task(name).size(split) for split in held if split != "validation"] == [12, 6]

    @pytest.mark.parametrize("orient", ["columns", "index"])
    def test_the_index_of_pandas_may_have_names(self, tmp_path, orient):
        pd.DataFrame(ROWS, index=list("abcdefghijklmnopqrstuvwx")).to_json(
            tmp_path / "a.json", orient=orient
        )
        assert pairs(str(tmp_path / "a.json")) == list(PAIRS)


class TestNumbersAsTheyArePrinted:
    @pytest.mark.parametrize(
        "written", ["{}.0", "tensor({})", "[{}]", "tensor([{}])", "array([{}], dtype=int64)"]
    )
    def test_ids_in_any_form(self, tmp_path, written):
        rows = [
            {
                "clean": p.clean,
                "corrupted": p.corrupt,
                "correct_idx": written.format(token(p.answer)),
                "incorrect_idx": written.format(token(p.foil)),
            }
            for p in PAIRS
        ]
        name = table_file(tmp_path / "a.csv", rows)
        assert "correct_idx and incorrect_idx hold nothing but whole numbers" in problems(name)[0]
        assert pairs(f"{name}?ids=tiny") == list(PAIRS)

    def test_a_list_of_one_id(self, tmp_path):
        rows = [{**row, "answer": [token(row["answer"])], "foil": [3]} for row in ROWS]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert "answer and foil hold nothing but whole numbers" in problems(name)[0]

    def test_one_word_among_ids_makes_no_words_of_them(self, tmp_path):
        rows = [
            {"clean": p.clean, "corrupted": p.corrupt, "correct_idx": 318, "incorrect_idx": 389}
            for p in PAIRS
        ]
        rows[0]["correct_idx"] = " is"
        for every in (rows, [{**row, "correct_idx": " is"} for row in rows[:-1]] + rows[-1:]):
            name = jsonl_file(tmp_path / f"{len(str(every))}.jsonl", every)
            assert "correct_idx and incorrect_idx hold numbers" in problems(name)[0]

    @pytest.mark.parametrize("number", [-1, 0.25, -0.5])
    def test_numbers_that_are_no_ids_are_asked_about_and_never_made_words(self, tmp_path, number):
        rows = [{**row, "answer": number} for row in ROWS]
        name = jsonl_file(tmp_path / "a.jsonl", rows)
        assert f"answer holds numbers, such as {number}" in problems(name)[0]
        told = problems(f"{name}?ids=tiny")
        assert told[1] == f"answer is {number}, which is no token's id"


class TestChats:
    def test_content_in_parts(self, tmp_path):
        def message(role: str, *texts: str) -> dict[str, object]:
            return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}

        good = {"messages": [message("user", "Where", "?"), message("assistant", "Here.")]}
        seen = {"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}
        seen["messages"].append(message("assistant", "A cat."))
        calls = {"messages": [message("user", "Add"), message("assistant", "3")]}
        calls["messages"].insert(1, {"role": "assistant", "content": "", "tool_calls": [{}]})
        name = jsonl_file(tmp_path / "a.jsonl", [good, seen, calls])
        assert [(e.prompt, e.target) for e in examples(name)] == [
            ("User: Where?\nAssistant:", " Here.\n")
        ]
        assert problems(name) == {
            2: "a message of the user has a part that is no text (image)",
            3: "a message calls a tool, which is no text",
        }

    def test_sharegpt(self, tmp_path):
        rows = [
            {"conversations": [{"from": "human", "value": noun}, {"from": "gpt", "value": "Yes."}]}
            for noun in NOUNS
        ]
        assert examples(jsonl_file(tmp_path / "a.jsonl", rows))[1] == Example(
            "User: hat\nAssistant:", " Yes.\n", accepted=("Yes.",)
        )

    def test_alpaca_keeps_its_input(self, tmp_path):
        rows = [{"instruction": "Name it.", "input": noun, "output": "A thing."} for noun in NOUNS]
        rows += [{"instruction": "Say hello.", "input": "", "output": "Hello."}]
        found = examples(json_file(tmp_path / "a.json", rows))
        assert found[0].prompt == "Instruction: Name it.\nInput: key\nOutput:"
        assert (found[-1].prompt, found[-1].target) == (
            "Instruction: Say hello.\nOutput:",
            " Hello.\n",
        )


def test_targets_alone_are_said_to_be_for_tuning(tmp_path, capsys):
    rows = [{"prompt": f"The {noun} is", "target": " old"} for noun in NOUNS[:6]]
    name = jsonl_file(tmp_path / "a.jsonl", rows)
    assert "so it is for tuning" in notes(name)
    assert "halved" not in notes(name)
    assert main(["check", name]) == 1
    assert "cannot be used yet: None of the 6 examples" in capsys.readouterr().out
