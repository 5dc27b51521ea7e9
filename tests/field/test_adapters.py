"""Adapter folders: merged into their base where it is at hand, else the base is named."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from ctviz.cli import main
from ctviz.errors import MissingExtra, MissingModel, UnsupportedModel
from ctviz.models.loading import load
from ctviz.models.places import place_of
from ctviz.models.reader import open_reader
from ctviz.models.stored import stored_json
from tests.field.models import (
    TINY,
    adapter,
    change_weights,
    llama,
    measured,
    metric_of,
    set_config,
    tiny_copy,
)

C_ATTN: dict[str, Any] = {"target_modules": ["c_attn"], "fan_in_fan_out": True}
Q_PROJ: dict[str, Any] = {"target_modules": ["q_proj", "down_proj"]}


def by_transformers(folder: Path, base: Path) -> float:
    """The metric of an adapter on its base, unmerged, by peft and transformers alone."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    return metric_of(model.eval(), AutoTokenizer.from_pretrained(base))


@pytest.mark.parametrize("also", [(), ("config.json",), ("config.json", "model.safetensors")])
def test_an_adapter_is_merged_onto_its_base(tmp_path, also):
    """Alone, beside its base's config, and beside its base's weights."""
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    for name in also:
        shutil.copy(TINY / name, folder)
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(by_transformers(folder, TINY), abs=1e-4)
    assert abs(measured(loaded) - measured(load("tiny"))) > 0.1
    [note] = loaded.notes
    assert f"{folder} is a LoRA adapter: it was merged into its base, {TINY}" in note
    assert ("are those of the base" in note) == ("model.safetensors" in also)
    assert loaded.stored
    assert loaded.name == str(folder)
    loaded.model.save_pretrained(tmp_path / "saved")  # an ordinary model, no adapter
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert metric_of(saved, loaded.tokenizer) == pytest.approx(measured(loaded), abs=1e-4)
    assert not (tmp_path / "saved" / "adapter_config.json").exists()


@pytest.mark.parametrize(
    "kind",
    [
        {"use_rslora": True, "lora_alpha": 3},
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"rank_pattern": {"down_proj": 2}, "layers_to_transform": [1]},
    ],
    ids=lambda kind: next(iter(kind)),
)
def test_kinds_of_lora_that_are_changes_of_weights(tmp_path, kind):
    base = llama(tmp_path / "base")
    folder = adapter(tmp_path / "a", base, **(Q_PROJ | kind))
    if "modules_to_save" in kind or "bias" in kind:  # as if they had been trained
        file = folder / "adapter_model.safetensors"
        tensors = {k: v + 0.05 * torch.randn_like(v) for k, v in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(by_transformers(folder, base), abs=1e-3)


def test_the_revision_is_of_base_and_adapter(tmp_path):
    base = llama(tmp_path / "base")
    folder = adapter(tmp_path / "a", base, **Q_PROJ)
    first = load(folder).revision
    assert load(folder).revision == first
    assert first not in (load(base).revision, load("tiny").revision)
    set_config(folder, "adapter_config.json", lora_alpha=16)
    second = load(folder).revision
    llama(base, seed=1)
    third = load(folder).revision
    assert len({first, second, third}) == 3


def test_a_base_beside_the_adapter_by_a_relative_name(tmp_path, monkeypatch):
    base = llama(tmp_path / "base")
    folder = adapter(tmp_path / "a", base, words=False, **Q_PROJ)
    set_config(folder, "adapter_config.json", base_model_name_or_path="../base")
    monkeypatch.chdir(tmp_path / "a")
    loaded = load("../a")
    assert measured(loaded) == pytest.approx(by_transformers(folder, base), abs=1e-4)
    assert place_of(str(folder)).tokenizer == str(base)  # it has none of its own


def test_a_base_by_its_hub_id_that_ctviz_has_fetched_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("CTVIZ_CACHE", str(tmp_path / "cache"))
    base = llama(tmp_path / "cache" / "models" / "smollm2-135m")
    folder = adapter(tmp_path / "a", base, **Q_PROJ)
    hub = "HuggingFaceTB/SmolLM2-135M-Instruct"
    set_config(folder, "adapter_config.json", base_model_name_or_path=hub)
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(by_transformers(folder, base), abs=1e-4)
    assert hub in loaded.notes[0]


def test_what_is_asked_without_torch_is_asked_of_the_base(tmp_path):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    about = stored_json(place_of(str(folder)).weights, "config.json")
    assert (about["n_positions"], about["vocab_size"]) == (64, 1829)


def test_a_base_that_is_not_at_hand_is_named(tmp_path, monkeypatch, capsys):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    set_config(folder, "adapter_config.json", base_model_name_or_path="/data/models/mine")
    said = "is a LoRA adapter of /data/models/mine, which is not at hand"
    with pytest.raises(MissingModel, match=said):
        load(folder)
    assert main(["discover", "--model", str(folder), "--out", str(tmp_path / "o")]) == 1
    assert said in capsys.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    set_config(folder, "adapter_config.json", base_model_name_or_path="meta-llama/Llama-2-7b-hf")
    with pytest.raises(MissingModel, match=r"adapter of meta-llama/Llama-2-7b-hf, .*not at hand"):
        load(folder)
    set_config(folder, "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(MissingModel, match="does not name the base model"):
        load(folder)


def test_weights_beside_that_have_it_merged_in_already(tmp_path):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    merged = load(folder)
    right = measured(merged)
    merged.model.save_pretrained(folder)  # what merge_and_unload and save_pretrained leave
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(right, abs=1e-4)  # not merged twice
    assert "have it merged in already" in loaded.notes[0]


def test_weights_beside_that_are_neither(tmp_path):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    other = change_weights(tiny_copy(tmp_path / "m"), lambda w: {k: 1.5 * v for k, v in w.items()})
    for name in ("config.json", "model.safetensors"):
        shutil.copy(other / name, folder)
    with pytest.raises(UnsupportedModel, match=r"not clear what the model is.*Take adapter_config"):
        load(folder)


def test_an_adapter_of_itself_in_one_folder(tmp_path):
    """Its config names the very folder that holds its base."""
    folder = llama(tmp_path / "m")
    right_base = llama(tmp_path / "base")
    adapter(folder, right_base, words=False, **Q_PROJ)
    set_config(folder, "adapter_config.json", base_model_name_or_path=str(folder))
    assert measured(load(folder)) == pytest.approx(by_transformers(folder, right_base), abs=1e-4)


def prompt_tuned(folder: Path) -> None:
    from peft import PromptTuningConfig

    save(folder, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))


def ia3(folder: Path) -> None:
    from peft import IA3Config

    targets = {"target_modules": ["c_attn", "mlp.c_proj"], "feedforward_modules": ["mlp.c_proj"]}
    save(folder, IA3Config(task_type="CAUSAL_LM", fan_in_fan_out=True, **targets))


def save(folder: Path, config: Any) -> None:
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get_peft_model(AutoModelForCausalLM.from_pretrained(TINY), config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "kind"), [(prompt_tuned, "PROMPT_TUNING adapter"), (ia3, "IA3 adapter")]
)
def test_other_kinds_are_refused_by_name(tmp_path, make, kind):
    make(tmp_path / "a")
    with pytest.raises(UnsupportedModel, match=f"is a {kind} of .*Only LoRA is merged"):
        load(tmp_path / "a", tokenizer="tiny")


def drop_a_factor(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.pop(next(name for name in tensors if "lora_A" in name))
    save_file(tensors, file, metadata={"format": "pt"})


def add_an_embedding(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    more = {"base_model.model.transformer.wte.weight": torch.zeros(1830, 128)}
    save_file(load_file(file) | more, file, metadata={"format": "pt"})


def as_a_pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def cut_off(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def of_another_base(folder: Path) -> None:
    base = llama(folder.parent / "llama")
    set_config(folder, "adapter_config.json", base_model_name_or_path=str(base))


def of_a_wider_base(folder: Path) -> None:
    set_config(folder, "adapter_config.json", r=2)


def invoked_by_tokens(folder: Path) -> None:
    set_config(folder, "adapter_config.json", alora_invocation_tokens=[5, 6])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop_a_factor, "1 of its tensors are not in its file, such as .*lora_A"),
        (add_an_embedding, "1 of its tensors are not in its file, such as .*lm_head"),
        (as_a_pickle, "not there as safetensors .* is a pickle"),
        (cut_off, "adapter_model.safetensors is cut off"),
        (of_another_base, "could not be put onto its base .*llama.*c_attn"),
        (of_a_wider_base, r"is \(4, 128\), where this base needs \(2, 128\)"),
        (invoked_by_tokens, "with alora_invocation_tokens"),
    ],
)
def test_an_adapter_that_does_not_fit(tmp_path, spoil, said):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    spoil(folder)
    with pytest.raises((MissingModel, UnsupportedModel), match=said):
        load(folder)


def test_an_embedding_that_is_no_longer_the_output_layer(tmp_path):
    folder = adapter(tmp_path / "a", TINY, **(C_ATTN | {"modules_to_save": ["wte"]}))
    file = folder / "adapter_model.safetensors"
    torch.manual_seed(3)
    tensors = {k: v + torch.randn_like(v) if "wte" in k else v for k, v in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    right = by_transformers(folder, TINY)
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(right, abs=1e-3)
    loaded.model.save_pretrained(tmp_path / "saved")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert metric_of(saved, loaded.tokenizer) == pytest.approx(right, abs=1e-3)


def test_without_peft(tmp_path, monkeypatch):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    monkeypatch.setattr("ctviz.extras.lacking", lambda extra: ("peft",))
    with pytest.raises(MissingExtra, match=r"LoRA adapter .*pip install 'ctviz\[lora\]'"):
        load(folder)


def test_a_base_that_is_quantized_is_named(tmp_path):
    base = tiny_copy(tmp_path / "base")
    folder = adapter(tmp_path / "a", base, **C_ATTN)
    set_config(base, quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(UnsupportedModel, match=r"weights of .*/base are quantized"):
        load(folder)


def test_the_command_line_runs_it_and_says_so(tmp_path, capsys, caplog):
    folder = adapter(tmp_path / "a", TINY, **C_ATTN)
    command = ["discover", "--model", str(folder), "--task", "sva", "--examples", "4"]
    assert main([*command, "--out", str(tmp_path / "o"), "--json"]) == 0
    [note] = json.loads(capsys.readouterr().out)["notes"]
    assert "is a LoRA adapter: it was merged into its base" in note
    assert f"note: {note}" in caplog.messages


@pytest.mark.parametrize(
    ("settings", "saved"),
    [
        ({}, True),
        ({"modules_to_save": ["embed_tokens", "lm_head"]}, "auto"),
        ({"target_modules": ["q_proj", "embed_tokens", "lm_head"]}, "auto"),
    ],
)
def test_added_tokens_come_with_their_embeddings(tmp_path, settings, saved):
    """A chat adapter: tokens were added and the embeddings resized before it was trained."""
    from peft import LoraConfig, get_peft_model

    base, folder = llama(tmp_path / "base"), tmp_path / "a"
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<new>"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base)
        model.resize_token_embeddings(len(tokenizer))
        lora = LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False, **settings)
        wrapped = get_peft_model(model, lora).eval()
        wrapped.save_pretrained(folder, save_embedding_layers=saved)
    tokenizer.save_pretrained(folder)
    set_config(folder, "adapter_config.json", base_model_name_or_path=str(base))
    loaded = load(str(folder))
    assert measured(loaded) == pytest.approx(metric_of(wrapped, tokenizer), abs=1e-4)
    ids = tokenizer("The <new>", return_tensors="pt").input_ids
    assert int(ids.max()) == 1829
    with torch.no_grad():
        right = wrapped(ids).logits[0, -1]
        found = loaded.anatomy.unembedding(loaded.anatomy.hidden(ids))[0, -1]
    assert torch.allclose(found, right, atol=1e-4)
    assert loaded.anatomy.vocabulary == open_reader(str(folder)).vocabulary == 1830


def test_added_tokens_with_half_of_what_they_need(tmp_path):
    base = llama(tmp_path / "base")
    wide = AutoModelForCausalLM.from_pretrained(base)
    wide.resize_token_embeddings(1830, mean_resizing=False)
    wide.save_pretrained(tmp_path / "wide")
    folder = adapter(
        tmp_path / "a", tmp_path / "wide", words=False, target_modules=["embed_tokens"]
    )
    set_config(folder, "adapter_config.json", base_model_name_or_path=str(base))
    shutil.copy(base / "tokenizer.json", folder)
    file = folder / "adapter_model.safetensors"
    embedding = wide.get_input_embeddings().weight.detach().clone()
    name = "base_model.model.model.embed_tokens.base_layer.weight"
    save_file(load_file(file) | {name: embedding}, file, metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"base with 1,830 tokens .* bring lm_head"):
        load(str(folder))


def test_added_tokens_without_embeddings_are_named(tmp_path):
    base = llama(tmp_path / "base")
    folder = adapter(tmp_path / "a", base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)
    assert len(load(str(folder)).tokenizer) == 1830
    assert open_reader(str(folder)).vocabulary == 1829


@pytest.mark.parametrize("part", ["q_proj.lora_A", "v_proj.lora_B"])
def test_an_adapter_that_diverged(tmp_path, part):
    """Attention on a CPU can swallow a NaN in a query, so that no logit shows it."""
    folder = adapter(tmp_path / "a", llama(tmp_path / "base"))
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[f"base_model.model.model.layers.0.self_attn.{part}.weight"][0, 0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"with the LoRA adapter .* are not finite"):
        load(str(folder))


def test_a_revision_of_the_base_that_is_not_the_latest(tmp_path):
    folder = adapter(tmp_path / "a", llama(tmp_path / "base"))
    changes = {"base_model_name_or_path": "somebody/model", "revision": "abc123"}
    set_config(folder, "adapter_config.json", **changes)
    with pytest.raises(UnsupportedModel, match=r"at the revision abc123.*hf download somebody"):
        load(str(folder))


def test_names_of_another_wrapper_are_shown(tmp_path):
    folder = adapter(tmp_path / "a", llama(tmp_path / "base"))
    file = folder / "adapter_model.safetensors"
    tensors = {f"module.{name}": value for name, value in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match=r"which holds module\.base_model"):
        load(str(folder))
