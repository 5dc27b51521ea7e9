"""Text is cut by the rules that lie beside the model, the same way each time."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import ctviz
from ctviz.cli import main
from ctviz.errors import BadTask, UnsupportedModel
from ctviz.inspection.prompt import own_prompt
from ctviz.models.loading import load
from ctviz.models.reader import open_reader
from ctviz.serving.engine import check_file
from ctviz.tasks import Example, Pair
from ctviz.tasks.batch import encode
from ctviz.tasks.tokens import Tokens, pair_problem, text_problem
from tests.field.models import set_config
from tests.field.tokenizers import (
    byte_level,
    change_file,
    llama,
    llama_folder,
    sentencepiece,
    words_only,
)
from tests.written_files import jsonl

TWO_LETTERS = {  # a pre-tokenizer that no class of transformers builds: words are cut after two
    "type": "Sequence",
    "pretokenizers": [
        {
            "type": "Split",
            "pattern": {"Regex": r"\p{N}| ?\p{L}{1,2}|[^\s\p{L}\p{N}]+|\s+"},
            "behavior": "Isolated",
            "invert": False,
        },
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ],
}
ROWS = [{"clean": "The keys", "corrupt": "The runs", "answer": " are", "foil": " is"}]


def folder_of(path, tokenizer_class):
    folder = llama_folder(path, byte_level())
    change_file(folder, pre_tokenizer=TWO_LETTERS)
    return set_config(folder, "tokenizer_config.json", tokenizer_class=tokenizer_class)


@pytest.mark.parametrize("made", ["GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer"])
def test_rules_in_the_file_are_followed_where_a_class_builds_its_own(tmp_path, made):
    folder = folder_of(tmp_path / "model", made)
    filed = Tokenizer.from_file(str(folder / "tokenizer.json"))
    right = filed.encode("The keys").ids
    assert AutoTokenizer.from_pretrained(folder)("The keys").input_ids != right  # why this is here
    loaded, reader = load(str(folder)), open_reader(str(folder))
    for tokenizer in (loaded.tokenizer, reader.tokenizer):
        assert Tokens(tokenizer).prompt("The keys") == right
    for notes in (loaded.notes, reader.notes):
        assert "Text is cut by the rules in tokenizer.json" in notes[0]
    # by transformers alone, on the ids of the file
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    answer, foil = (filed.encode(f"The keys{text}").ids[len(right)] for text in (" are", " is"))
    with torch.no_grad():
        last = model(torch.tensor([right])).logits[0, -1]
    pair = Pair("The keys", "The runs", " are", " is")
    batch = encode([pair], loaded.tokenizer)
    assert batch.clean.tolist() == [right]
    hidden = loaded.anatomy.hidden(batch.clean)
    logits = loaded.anatomy.logits_at(hidden, batch.positions)[0, 0]
    assert (batch.answer[0, -1], batch.foil[0]) == (answer, foil)
    assert torch.allclose(logits, last, atol=1e-5)


def test_the_check_says_it_on_the_command_line_and_on_the_page(tmp_path, capsys):
    folder = folder_of(tmp_path / "model", "GPT2Tokenizer")
    name = jsonl(tmp_path / "a.jsonl", ROWS)
    main(["check", name, "--model", str(folder), "--json"])
    (said,) = (n for n in json.loads(capsys.readouterr().out)["notes"] if "by the rules" in n)
    assert said in check_file(name, str(folder)).notes


@pytest.mark.parametrize(
    "made", ["PreTrainedTokenizerFast", "LlamaTokenizerFast", "GemmaTokenizer"]
)
def test_a_sentencepiece_layout_is_cut_as_its_file_says(tmp_path, made):
    folder = llama_folder(tmp_path / "model", sentencepiece())
    set_config(folder, "tokenizer_config.json", tokenizer_class=made)
    filed = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = Tokens(load(str(folder)).tokenizer)
    for text in ("The keys", " The keys", "The  keys are", "a\n1"):
        assert tokens.prompt(text) == filed.encode(text).ids


def test_what_is_put_around_a_text_stays(tmp_path):
    folder = llama_folder(tmp_path / "model", sentencepiece(bos=True, eos=True))
    set_config(folder, "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    assert load(str(folder)).tokenizer("The").input_ids[0] == 1


def test_a_class_that_agrees_with_its_file_is_not_spoken_of(tmp_path):
    folder = llama_folder(tmp_path / "model", byte_level())
    set_config(folder, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    assert load(str(folder)).notes == ()


def test_a_space_in_front_that_the_settings_ask_for_stays(tmp_path):
    folder = llama_folder(tmp_path / "model", byte_level())
    set_config(
        folder, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer", add_prefix_space=True
    )
    loaded = load(str(folder))
    assert loaded.notes == ()
    assert loaded.tokenizer("The").input_ids == loaded.tokenizer(" The").input_ids


@pytest.mark.parametrize("setting", ["truncation", "padding"])
def test_neither_truncation_nor_padding_of_the_file_is_followed(tmp_path, setting):
    tokenizer = byte_level()
    right = Tokens(tokenizer).prompt("The keys")
    folder = llama_folder(tmp_path / "model", tokenizer)
    rules = {
        "truncation": {
            "direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0,
        },
        "padding": {
            "strategy": {"Fixed": 12}, "direction": "Left", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<|end|>",
        },
    }  # fmt: skip
    change_file(folder, **{setting: rules[setting]})
    assert Tokens(load(str(folder)).tokenizer).prompt("The keys") == right


def test_a_tokenizer_with_code_of_its_own(tmp_path):
    folder = llama_folder(tmp_path / "model", byte_level())
    own = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    set_config(folder, "tokenizer_config.json", **own)
    with pytest.raises(UnsupportedModel, match=r"needs code of its own.*PreTrainedTokenizerFast"):
        load(str(folder))
    set_config(
        folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", auto_map={}
    )
    assert load(str(folder)).notes == ()


class TestDropout:
    def test_a_tokenizer_that_cuts_at_random_is_refused(self, tmp_path):
        folder = llama_folder(tmp_path / "model", byte_level())
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        change_file(folder, model=model | {"dropout": 0.1})
        for opened in (load, open_reader):
            with pytest.raises(UnsupportedModel, match=r"at random \(BPE dropout 0.1.*to null"):
                opened(str(folder))

    def test_in_memory_too(self):
        tokenizer = byte_level()
        tokenizer.backend_tokenizer.model.dropout = 0.1
        with pytest.raises(UnsupportedModel, match="cuts text at random"):
            load(llama(len(tokenizer)), tokenizer=tokenizer)


class TestUnknown:
    """What a tokenizer does not know has one token in common, which says nothing of it."""

    KNOWN = words_only("The", "key", "keys", "is", "are")

    def test_an_answer_or_foil_that_is_unknown_is_refused(self):
        tokens = Tokens(self.KNOWN)
        for pair, name in (
            (Pair("The key", "The keys", " runs", " is"), "answer"),
            (Pair("The key", "The keys", " is", " runs"), "foil"),
        ):
            wrong = pair_problem(tokens.cut(pair))
            assert f"the {name} has something that this tokenizer does not know" in wrong
            assert "read as '<unk>'" in wrong
        assert pair_problem(tokens.cut(Pair("The key", "The keys", " is", " are"))) == ""

    def test_so_is_a_target_and_a_choice(self):
        tokens = Tokens(self.KNOWN)
        assert "the target has something" in text_problem(Example("The key", " runs"), tokens)
        example = Example("The key", " is", choices=(" is", " runs"))
        assert "the choice has something" in text_problem(example, tokens)

    def test_the_token_itself_can_be_asked_for(self):
        pair = Pair("The key", "The keys", " is", " <unk>")
        assert pair_problem(Tokens(self.KNOWN).cut(pair)) == ""

    def test_prompts_that_differ_in_unknown_words_only_are_the_same(self):
        pair = Pair("The zebra", "The lion", " is", " are")
        assert "are the same tokens" in pair_problem(Tokens(self.KNOWN).cut(pair))

    def test_discovery_leaves_them_out_and_speaks_of_unknown_prompts(self, tmp_path, caplog):
        folder = llama_folder(tmp_path / "model", self.KNOWN)
        rows = [
            {"clean": "The key", "corrupt": "The keys", "answer": " is", "foil": " runs"},
            {"clean": "The big keys", "corrupt": "The big key", "answer": " are", "foil": " is"},
        ]
        name = jsonl(tmp_path / "a.jsonl", [{**row, "split": "dev"} for row in rows])
        found = ctviz.discover(str(folder), name, edges=5, method="eap", draws=1)
        model, ids = AutoModelForCausalLM.from_pretrained(folder).eval(), self.KNOWN
        with torch.no_grad():
            last = model(ids("The big keys", return_tensors="pt").input_ids).logits[0, -1]
        right = last[ids("are").input_ids[0]] - last[ids("is").input_ids[0]]
        assert found.about["metric_clean"] == pytest.approx(float(right), abs=1e-5)
        assert "2 prompts have something that this tokenizer does not know" in caplog.text
        assert main(["check", name, "--model", str(folder)]) == 1

    def test_inspection_says_it(self):
        loaded = load(llama(len(self.KNOWN)), tokenizer=self.KNOWN)
        with pytest.raises(BadTask, match="the answer has something that this tokenizer"):
            own_prompt(loaded, "The key", answer="runs")
        assert "1 prompt has something" in own_prompt(loaded, "The zebra").notes[0]

    def test_an_unknown_token_that_ends_texts_too_is_not_taken_for_one(self):
        tokens = Tokens(byte_level(bos=True))  # one token is both, as GPT-2 has it
        assert pair_problem(tokens.cut(Pair("The key", "The keys", " is", " are"))) == ""
        assert tokens.words("The") == Tokens(byte_level()).prompt("The")
