"""Model folders as people have them on disk, built from the bundled model or from a tiny Llama."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ctviz import paths
from ctviz.models.loading import Loaded

TINY = paths.data() / "tiny"
WORDS = ("tokenizer.json", "tokenizer_config.json")
TOKENIZER = AutoTokenizer.from_pretrained(TINY)
PAIRS = (
    ("The key to the cabinets", " is", " are"),
    ("The keys to the cabinet", " are", " is"),
    ("The boy near the doors", " runs", " run"),
)


def tiny_copy(folder: Path, **config: Any) -> Path:
    """The bundled model in a folder of its own; ``config`` changes its config.json."""
    shutil.copytree(TINY, folder)
    return set_config(folder, **config)


def llama(folder: Path, *, layers: int = 2, seed: int = 0, **config: Any) -> Path:
    """A tiny random Llama with the bundled tokenizer and an output layer of its own."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 1829,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": False,
    }
    LlamaForCausalLM(LlamaConfig(**settings | config)).save_pretrained(folder)
    for name in WORDS:
        shutil.copy(TINY / name, folder)
    return folder


def set_config(folder: Path, name: str = "config.json", **changes: Any) -> Path:
    file = folder / name
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | changes))
    return folder


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """Write what ``change`` makes of a folder's tensors in their place."""
    file = folder / "model.safetensors"
    tensors = {name: value.clone().contiguous() for name, value in load_file(file).items()}
    save_file(change(tensors), file, metadata={"format": "pt"})
    return folder


def renamed(folder: Path, name: Callable[[str], str]) -> Path:
    return change_weights(folder, lambda w: {name(key): value for key, value in w.items()})


def without(folder: Path, *parts: str) -> Path:
    """Without the tensors whose names hold any of the parts."""
    return change_weights(
        folder,
        lambda w: {key: v for key, v in w.items() if not any(part in key for part in parts)},
    )


def adapter(folder: Path, base: Path, *, words: bool = True, **config: Any) -> Path:
    """A LoRA adapter with random factors, as peft saves it."""
    import warnings

    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(base)
        torch.manual_seed(7)
        usual = {"r": 4, "task_type": "CAUSAL_LM", "init_lora_weights": False}
        wrapped = get_peft_model(model, LoraConfig(**usual | config))
        wrapped.save_pretrained(folder)
    for name in WORDS if words else ():
        shutil.copy(base / name, folder)
    return folder


def metric_of(model: Any, tokenizer: Any) -> float:
    """Mean logit difference of `PAIRS` by transformers alone."""
    differences = []
    for prompt, answer, foil in PAIRS:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            last = model(ids).logits[0, -1].double()
        one, other = (tokenizer(text).input_ids[-1] for text in (answer, foil))
        differences.append(float(last[one] - last[other]))
    return sum(differences) / len(differences)


def measured(loaded: Loaded) -> float:
    """The same through the engine."""
    differences = []
    for prompt, answer, foil in PAIRS:
        ids = loaded.tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            hidden = loaded.anatomy.hidden(ids)
            place = torch.tensor([[ids.shape[1] - 1]])
            last = loaded.anatomy.logits_at(hidden, place)[0, 0].double()
        one, other = (loaded.tokenizer(text).input_ids[-1] for text in (answer, foil))
        differences.append(float(last[one] - last[other]))
    return sum(differences) / len(differences)
