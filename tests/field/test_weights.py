"""Weights that no file supplies: refused, or mended and said; never random numbers in silence."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from ctviz.cli import main
from ctviz.errors import MissingModel, UnsupportedModel
from ctviz.models.loading import load
from tests.field.models import (
    TINY,
    TOKENIZER,
    change_weights,
    llama,
    measured,
    metric_of,
    renamed,
    set_config,
    tiny_copy,
    without,
)
from tests.random_models import SPECIMENS, random_model


@pytest.fixture(scope="module")
def right() -> float:
    """The bundled model's metric by transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(TINY)
    return metric_of(model, AutoTokenizer.from_pretrained(TINY))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "base_model.model.", "module.", "a.b.model."])
def test_a_common_prefix_is_taken_off_and_said(tmp_path, right, prefix):
    folder = renamed(tiny_copy(tmp_path / "m"), lambda name: prefix + name)
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(right, abs=1e-4)
    [note] = loaded.notes
    assert repr(prefix) in note
    assert "was taken off" in note
    loaded.model.save_pretrained(tmp_path / "saved")  # under the model's own names
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert metric_of(saved, loaded.tokenizer) == pytest.approx(right, abs=1e-4)


def test_a_prefix_before_names_of_the_base_model(tmp_path, right):
    folder = tiny_copy(tmp_path / "m")
    renamed(folder, lambda name: "_orig_mod." + name.removeprefix("transformer."))
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(right, abs=1e-4)
    assert "'_orig_mod.'" in loaded.notes[0]


def test_a_prefix_in_shards_of_an_untied_model(tmp_path):
    folder = llama(tmp_path / "m")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    names = sorted(set(index["weight_map"].values()))
    assert len(names) > 1
    for name in names:
        tensors = load_file(folder / name)
        wrapped = {f"module.{key}": value.clone() for key, value in tensors.items()}
        save_file(wrapped, folder / name, metadata={"format": "pt"})
    index["weight_map"] = {f"module.{k}": v for k, v in index["weight_map"].items()}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(metric_of(model, loaded.tokenizer), abs=1e-4)


@pytest.mark.parametrize("part", ["_fsdp_wrapped_module", "_orig_mod"])
def test_a_part_within_the_names_is_taken_out_and_said(tmp_path, part):
    """Wrappers of single modules: of each block here, and of the model within its output layer."""
    folder = llama(tmp_path / "m")
    right = metric_of(
        AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(TINY)
    )

    def wrapped(name: str) -> str:
        name = re.sub(r"^model\.", f"model.{part}.", name)
        return re.sub(r"layers\.(\d+)\.", rf"layers.\1.{part}.", name)

    loaded = load(renamed(folder, wrapped))
    assert measured(loaded) == pytest.approx(right, abs=1e-4)
    [note] = loaded.notes
    assert f"hold the part {part!r}" in note


def test_an_adapter_that_was_saved_within_its_base_is_refused(tmp_path):
    """All of a wrapped model, factors beside base: names that no model of transformers has."""

    def wrapped(name: str) -> str:
        return "base_model.model." + name.replace("c_attn.", "c_attn.base_layer.")

    folder = renamed(tiny_copy(tmp_path / "m"), wrapped)
    factors = {"base_model.model.transformer.h.0.attn.c_attn.lora_A.default.weight": torch.ones(2)}
    change_weights(folder, lambda w: w | factors)
    with pytest.raises(UnsupportedModel, match="of the 52 weights"):
        load(folder)


def test_two_wrapped_copies_are_not_chosen_from(tmp_path):
    folder = change_weights(
        tiny_copy(tmp_path / "m"),
        lambda w: {f"{who}.{k}": v.clone() for who in ("student", "teacher") for k, v in w.items()},
    )
    with pytest.raises(UnsupportedModel, match="52 of the 52 weights"):
        load(folder)


def test_the_command_line_has_the_right_metric_and_the_note(tmp_path, capsys, caplog):
    def metric(model: Path) -> float:
        out = str(tmp_path / f"out-{model.name}")
        command = ["discover", "--model", str(model), "--task", "sva", "--examples", "8"]
        assert main([*command, "--out", out, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert all(f"note: {note}" in caplog.messages for note in found["notes"])
        assert bool(found["notes"]) == (model.name != "sound")
        return found["metric_clean"]

    sound = metric(tiny_copy(tmp_path / "sound"))
    wrapped = renamed(tiny_copy(tmp_path / "compiled"), "_orig_mod.{}".format)
    assert metric(wrapped) == pytest.approx(sound, abs=1e-5)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["h.1.mlp.c_fc.weight"], "1 of the 52 weights .* transformer.h.1.mlp.c_fc.weight"),
        (["h.2."], r"12 of the 52 weights .* \(all of them under transformer.h.2\)"),
        (["ln_f.bias"], "1 of the 52 weights .*transformer.ln_f.bias"),
        (["wte"], "1 of the 52 weights .*transformer.wte.weight"),
    ],
)
def test_a_missing_weight_is_refused_by_name(tmp_path, parts, said):
    with pytest.raises(UnsupportedModel, match=said):
        load(without(tiny_copy(tmp_path / "m"), *parts))


def test_a_prefix_that_is_not_all_that_is_wrong(tmp_path):
    folder = without(tiny_copy(tmp_path / "m"), "h.3.attn")
    renamed(folder, "_orig_mod.{}".format)
    with pytest.raises(UnsupportedModel, match=r"begins with '_orig_mod.'; without it, 48 of 52"):
        load(folder)


def test_an_output_layer_that_is_missing(tmp_path):
    folder = tiny_copy(tmp_path / "m", tie_word_embeddings=False)
    with pytest.raises(UnsupportedModel, match=r"lm_head.weight.*set tie_word_embeddings to true"):
        load(folder)


def test_an_output_layer_that_is_not_the_embedding(tmp_path):
    """Both are in the file and differ: transformers leaves them apart, and so does the engine."""
    folder = change_weights(
        tiny_copy(tmp_path / "m"),
        lambda w: w | {"lm_head.weight": 2 * w["transformer.wte.weight"]},
    )
    loaded = load(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert measured(loaded) == pytest.approx(metric_of(model, loaded.tokenizer), abs=1e-4)


@pytest.mark.parametrize("only", ["config", "with-shapes"])
def test_a_config_of_another_family(tmp_path, only):
    sizes = {"hidden_size": 128, "num_hidden_layers": 4, "intermediate_size": 512}
    folder = tiny_copy(
        tmp_path / "m",
        model_type="llama",
        architectures=["LlamaForCausalLM"],
        **({"num_attention_heads": 4, **sizes} if only == "with-shapes" else {"hidden_size": 128}),
    )
    with pytest.raises(UnsupportedModel, match=r"weights of this llama model.*such as transformer"):
        load(folder)


def test_biases_that_the_config_does_not_have(tmp_path):
    """All that a Llama needs is there, but the model has biases too: it would compute without."""
    folder = llama(tmp_path / "m", attention_bias=True)
    set_config(folder, attention_bias=False)
    with pytest.raises(UnsupportedModel, match=r"8 tensors of parts .*k_proj.bias"):
        load(folder)


def test_more_layers_than_the_config_says(tmp_path):
    folder = set_config(llama(tmp_path / "m", layers=3), num_hidden_layers=2)
    with pytest.raises(UnsupportedModel, match=r"9 tensors of parts .*model.layers.2"):
        load(folder)


def test_a_further_head_is_a_note(tmp_path, right):
    head = {"v_head.summary.weight": torch.ones(1, 128), "v_head.summary.bias": torch.ones(1)}
    loaded = load(change_weights(tiny_copy(tmp_path / "m"), lambda w: w | head))
    assert measured(loaded) == pytest.approx(right, abs=1e-4)
    [note] = loaded.notes
    assert note.startswith("2 tensors in ")
    assert "are not used: v_head.summary.bias, v_head.summary.weight" in note


@pytest.mark.parametrize("name", ["lm_head.bias", "model.norm.bias", "norm.bias"])
def test_a_part_that_has_more_than_the_config_says(tmp_path, name):
    more = {name: torch.ones(32)}
    folder = change_weights(llama(tmp_path / "m"), lambda w: w | more)
    with pytest.raises(UnsupportedModel, match=f"holds 1 tensor of parts .*: {name}. So config"):
        load(folder)


def test_buffers_of_older_versions_are_none(tmp_path):
    old = {"transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64)}
    old["transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)
    assert load(change_weights(tiny_copy(tmp_path / "m"), lambda w: w | old)).notes == ()
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    assert load(change_weights(llama(tmp_path / "l"), lambda w: w | old)).notes == ()


def test_a_vocabulary_that_does_not_fit(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"wte.*\(1829, 128\).*set vocab_size to 1829"):
        load(tiny_copy(tmp_path / "m", vocab_size=1900))


def test_another_width(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"12 of the 53 tensors .* another shape"):
        load(tiny_copy(tmp_path / "m", n_inner=256))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_no_number(tmp_path, value):
    def spoil(tensors):
        tensors["transformer.h.2.attn.c_proj.weight"][3, 5] = value
        return tensors

    folder = change_weights(tiny_copy(tmp_path / "m"), spoil)
    with pytest.raises(UnsupportedModel, match=r"transformer.h.2.attn.c_proj.weight .*not finite"):
        load(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(UnsupportedModel, match=r"transformer.h.2.attn.c_proj.weight .*not finite"):
        load(model, tokenizer="tiny")


def test_a_model_in_memory_without_numbers():
    config = AutoConfig.from_pretrained(TINY)
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    with pytest.raises(UnsupportedModel, match="device meta"):
        load(model, tokenizer="tiny")


def test_half_precision_is_checked_alike(tmp_path, right):
    folder = renamed(tiny_copy(tmp_path / "m"), "_orig_mod.{}".format)
    loaded = load(folder, dtype="bfloat16")
    assert loaded.model.dtype == torch.bfloat16
    assert measured(loaded) == pytest.approx(right, abs=0.2)
    with pytest.raises(UnsupportedModel, match="1 of the 52"):
        load(without(tiny_copy(tmp_path / "n"), "ln_f.bias"), dtype="bfloat16")


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_in_the_header(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def pointer(folder: Path, name: str = "model.safetensors") -> None:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4147624\n"
    (folder / name).write_text(text)


def page(folder: Path) -> None:
    (folder / "model.safetensors").write_text("<!doctype html><title>Sign in</title>")


def gone(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def other_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")


def pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "training_args.bin").write_bytes(b"")


def gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.Q4_K.gguf")


def shard_gone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def index_gone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"")


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{'vocab_size': 1829}")


def no_kind(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (cut, "model.safetensors is cut off: it has 2,073,812 of at least 4,147,624 bytes"),
        (cut_in_the_header, "model.safetensors is cut off: it has 200 of at least"),
        (pointer, "model.safetensors is a git-lfs pointer, .* Run `git lfs pull`"),
        (lambda folder: pointer(folder, "config.json"), "config.json is a git-lfs pointer"),
        (lambda folder: pointer(folder, "tokenizer.json"), "tokenizer.json is a git-lfs pointer"),
        (page, "model.safetensors is not a safetensors file"),
        (gone, "has a config.json but no weights"),
        (other_name, "no model.safetensors, but model.fp16.safetensors.* rename it"),
        (pickle, "as pytorch_model.bin, a pickle.*use_safetensors=False"),
        (gguf, r"but model.Q4_K.gguf: weights that are quantized"),
        (shard_gone, "lacks 1 of the 2 files .*: model-00002-of-00002.safetensors"),
        (index_gone, "has 2 safetensors files but no model.safetensors.index.json"),
        (no_json, "config.json is not a JSON object"),
        (no_kind, "could not be loaded: Unrecognized model"),
    ],
)
def test_a_damaged_folder_is_told_in_a_sentence(tmp_path, capsys, break_it, said):
    folder = tiny_copy(tmp_path / "m")
    break_it(folder)
    with pytest.raises((MissingModel, UnsupportedModel), match=said) as caught:
        load(folder)
    assert "network" not in str(caught.value)
    assert main(["discover", "--model", str(folder), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert str(caught.value) in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("about", "method"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm"}, "awq"),
        ({"quant_method": "a-new-one"}, "a-new-one"),
    ],
)
def test_quantized_weights_are_refused_before_they_are_read(tmp_path, about, method):
    folder = tiny_copy(tmp_path / "m", quantization_config=about)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match=rf"quantized \({method}, .* original checkpoint"):
        load(folder)


@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3", "flex_attention"])
def test_a_stored_attention_implementation_is_no_reason_to_fail(tmp_path, right, name):
    folder = tiny_copy(tmp_path / "m", attn_implementation=name, _attn_implementation=name)
    loaded = load(folder)
    assert measured(loaded) == pytest.approx(right, abs=1e-4)
    [note] = loaded.notes
    assert name in note


def test_eager_attention_is_left_as_it_is(tmp_path, right):
    loaded = load(tiny_copy(tmp_path / "m", attn_implementation="eager"))
    assert loaded.notes == ()
    assert measured(loaded) == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_a_sound_model_of_each_family_loads_without_a_note(tmp_path, name):
    """No buffer or tied matrix of any family is taken for something missing or too much."""
    model = random_model(name)
    model.save_pretrained(tmp_path / "m")
    loaded = load(tmp_path / "m", tokenizer="tiny", dtype="float64")
    assert loaded.notes == ()
    ids = torch.arange(6)[None]
    assert torch.allclose(loaded.model(ids).logits, model.double()(ids).logits, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SPECIMENS))
def test_each_family_behind_a_prefix(tmp_path, name):
    model = random_model(name)
    model.save_pretrained(tmp_path / "m")
    renamed(tmp_path / "m", "_orig_mod.{}".format)
    loaded = load(tmp_path / "m", tokenizer="tiny", dtype="float64")
    assert "'_orig_mod.'" in loaded.notes[0]
    ids = torch.arange(6)[None]
    assert torch.allclose(loaded.model(ids).logits, model.double()(ids).logits, atol=1e-5)


def packed_as_gptq(weights):
    """AutoGPTQ's own files: no quantization_config, but whole numbers with their scales."""
    found = {}
    for name, value in weights.items():
        if "proj" not in name:
            found[name] = value
            continue
        start = name.removesuffix("weight")
        found[f"{start}qweight"] = torch.zeros(4, value.shape[0], dtype=torch.int32)
        found[f"{start}scales"] = torch.ones(1, value.shape[0])
    return found


QUANTIZED = {
    "gptq": packed_as_gptq,
    "int8": lambda w: {k: (100 * v).to(torch.int8) if "proj" in k else v for k, v in w.items()},
    "fp8": lambda w: (
        {k: v.to(torch.float8_e4m3fn) if "proj" in k else v for k, v in w.items()}
        | {f"{k}_scale": torch.ones(1) for k in w if "proj" in k}
    ),
}


@pytest.mark.parametrize("kind", QUANTIZED)
def test_quantized_weights_that_no_config_tells_of(tmp_path, kind):
    folder = change_weights(llama(tmp_path / "model"), QUANTIZED[kind])
    with pytest.raises(UnsupportedModel, match=r"are quantized \(it holds model.layers.0"):
        load(str(folder))


@pytest.mark.parametrize("only_matrices", [True, False])
def test_weights_that_were_spread_over_processes(tmp_path, only_matrices):
    """As DeepSpeed's ZeRO-3 leaves them where nobody gathers them."""
    folder = change_weights(
        llama(tmp_path / "model"),
        lambda w: {k: v if only_matrices and v.ndim < 2 else torch.zeros(0) for k, v in w.items()},
    )
    said = f"{16 if only_matrices else 21} of the 21 tensors .* are empty.*ZeRO-3.*zero_to_fp32.py"
    with pytest.raises(UnsupportedModel, match=said):
        load(str(folder))


def test_a_flat_parameter_of_fsdp(tmp_path):
    folder = change_weights(
        llama(tmp_path / "model"),
        lambda w: {"_fsdp_wrapped_module._flat_param": torch.cat([v.ravel() for v in w.values()])},
    )
    with pytest.raises(UnsupportedModel, match=r"flat parameters of FSDP.*FULL_STATE_DICT"):
        load(str(folder))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("global_step10/zero_pp_rank_0_mp_rank_00_model_states.pt", "DeepSpeed.*zero_to_fp32.py"),
        ("pytorch_model_fsdp_0/__0_0.distcp", "FSDP.*accelerate merge-weights"),
        ("tf_model.h5", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("onnx/model.onnx", "exported to ONNX"),
        ("model.safetensors.index.json", "does not say which tensor is in which file"),
    ],
)
def test_what_lies_in_place_of_the_weights_is_named(tmp_path, name, said):
    folder = llama(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("[]")
    with pytest.raises(MissingModel, match=said):
        load(str(folder))


class TestLinks:
    """A copy of the hub's cache has links to where the files themselves were not copied."""

    def test_to_weights(self, tmp_path):
        folder = llama(tmp_path / "model")
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to("../../blobs/abc")
        with pytest.raises(MissingModel, match=r"model.safetensors in .* is a link .*cp -rL"):
            load(str(folder))

    def test_to_everything(self, tmp_path):
        (tmp_path / "config.json").symlink_to("../../blobs/abc")
        with pytest.raises(MissingModel, match="only a link to a file that is not there"):
            load(str(tmp_path))

    def test_the_folder_of_a_model_in_the_hubs_cache(self, tmp_path):
        llama(tmp_path / "models--a--b" / "snapshots" / "abc123")
        with pytest.raises(MissingModel, match="holds some: snapshots/abc123"):
            load(str(tmp_path / "models--a--b"))

    def test_checkpoints_with_and_without_a_number(self, tmp_path):
        for name in ("checkpoint-20", "checkpoint-100", "checkpoint-best"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "config.json").write_text("{}")
        said = "holds some: checkpoint-best, checkpoint-20, checkpoint-100"
        with pytest.raises(MissingModel, match=said):
            load(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [("m.Q4.gguf", "GGUF file alone is quantized"), ("params.json", "its makers' own layout")],
)
def test_a_folder_in_another_layout(tmp_path, name, said):
    (tmp_path / name).write_text("{}")
    with pytest.raises(MissingModel, match=said):
        load(str(tmp_path))


class TestTies:
    """An output layer that is, or is not, the embedding, whichever of the two was stored."""

    def test_a_file_with_the_output_layer_only(self, tmp_path):
        folder = llama(tmp_path / "model", tie_word_embeddings=True)
        right = metric_of(AutoModelForCausalLM.from_pretrained(folder), TOKENIZER)
        renamed(folder, lambda k: "lm_head.weight" if "embed_tokens" in k else k)
        assert measured(load(str(folder))) == pytest.approx(right, abs=1e-5)

    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_a_config_that_says_tied_of_two_that_differ(self, tmp_path, prefix):
        folder = llama(tmp_path / "model")
        right = metric_of(AutoModelForCausalLM.from_pretrained(folder), TOKENIZER)
        set_config(renamed(folder, lambda k: prefix + k), tie_word_embeddings=True)
        assert measured(load(str(folder))) == pytest.approx(right, abs=1e-5)
