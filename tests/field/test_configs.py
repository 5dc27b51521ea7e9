"""What a config.json says of a model that is otherwise than one may think."""

from __future__ import annotations

import json

import pytest
from transformers import AutoModelForCausalLM, OPTConfig, OPTForCausalLM

from ctviz.cli import main
from ctviz.errors import UnsupportedModel
from ctviz.models.loading import load
from ctviz.models.reader import open_reader
from tests.field.models import (
    TOKENIZER,
    change_weights,
    llama,
    measured,
    metric_of,
    set_config,
    tiny_copy,
)
from tests.written_files import jsonl


def test_code_of_its_own_is_not_run_and_that_is_said(tmp_path):
    folder = llama(tmp_path / "model")
    right = metric_of(AutoModelForCausalLM.from_pretrained(folder), TOKENIZER)
    (folder / "modeling_mine.py").write_text("raise SystemExit\n")
    classes = {"AutoModelForCausalLM": "modeling_mine.MyLlama"}
    loaded = load(str(set_config(folder, auto_map=classes, architectures=["MyLlama"])))
    (note,) = loaded.notes
    assert "modeling_mine.MyLlama), which is not run: it is read as LlamaForCausalLM" in note
    assert measured(loaded) == pytest.approx(right, abs=1e-5)


def test_a_classifier_is_read_as_a_language_model_and_that_is_said(tmp_path):
    folder = llama(tmp_path / "model", tie_word_embeddings=True)
    right = metric_of(AutoModelForCausalLM.from_pretrained(folder), TOKENIZER)
    set_config(folder, architectures=["LlamaForSequenceClassification"])
    change_weights(folder, lambda w: w | {"score.weight": w["model.norm.weight"][None].clone()})
    loaded = load(str(folder))
    assert "is a LlamaForSequenceClassification; it is read as LlamaForCausalLM" in loaded.notes[0]
    assert measured(loaded) == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize("found", [None, [], ["LlamaForCausalLM"]])
def test_usual_architectures_are_not_spoken_of(tmp_path, found):
    assert load(str(set_config(llama(tmp_path / "model"), architectures=found))).notes == ()


@pytest.mark.parametrize("setting", ["is_causal", "use_bidirectional_attention"])
def test_a_model_for_embeddings_is_refused(tmp_path, setting):
    folder = set_config(llama(tmp_path / "model"), **{setting: setting != "is_causal"})
    for opened in (load, open_reader):
        with pytest.raises(UnsupportedModel, match=f"both directions .{setting} is"):
            opened(str(folder))


@pytest.mark.parametrize(
    "settings",
    [
        {"return_dict": False},
        {"output_attentions": True, "output_hidden_states": True},
        {"torchscript": True, "use_cache": False, "gradient_checkpointing": True},
    ],
)
@pytest.mark.parametrize("make", [llama, tiny_copy])
def test_how_a_model_was_to_answer_changes_nothing(tmp_path, make, settings):
    folder = make(tmp_path / "model")
    right = metric_of(AutoModelForCausalLM.from_pretrained(folder), TOKENIZER)
    loaded = load(str(set_config(folder, **settings)))
    assert measured(loaded) == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hidden_act": "new_act"}, "KeyError: 'new_act'. Most likely a value in its config.json"),
        ({"num_attention_heads": "4"}, "'num_attention_heads' expected int, got str"),
        (
            {"rope_scaling": {"type": "new"}, "rope_parameters": None},
            "KeyError: 'new'. Most likely",
        ),
    ],
)
def test_a_value_that_transformers_does_not_know_is_named(tmp_path, settings, said):
    with pytest.raises(UnsupportedModel, match=said):
        load(str(set_config(llama(tmp_path / "model"), **settings)))


def test_embeddings_of_another_width_are_refused(tmp_path):
    config = OPTConfig(
        vocab_size=1829, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        word_embed_proj_dim=16, max_position_embeddings=64,
    )  # fmt: skip
    with pytest.raises(UnsupportedModel, match="are 16 wide and its residual stream 32"):
        load(OPTForCausalLM(config), tokenizer=TOKENIZER)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "t5"}, "of the family 't5'"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "are quantized (gptq"),
    ],
)
def test_a_check_judges_the_model_that_would_run(tmp_path, capsys, settings, said):
    folder = set_config(llama(tmp_path / "model"), **settings)
    name = jsonl(tmp_path / "a.jsonl", [{"prompt": "The keys", "target": " are"}])
    capsys.readouterr()
    asked = (["check", name], ["discover", "--task", name])
    told = []
    for command in asked:
        assert main([*command, "--model", str(folder)]) == 1
        told.append(capsys.readouterr().err)
    assert said in told[0]
    assert told[0] == told[1]


def test_nothing_is_asked_of_a_config_that_is_not_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({}))
    with pytest.raises(UnsupportedModel, match="model_type"):
        open_reader(str(tmp_path / "model"))
