"""Load a model's weights such that every one of them comes from the file.

transformers fills in what a file lacks with random numbers, and a model that is partly random runs
and gives numbers like any other. Here it is refused, unless all that is wrong is a prefix in front
of every name, as torch.compile and other wrappers leave it: that is taken off, and said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PreTrainedModel

from ctviz.errors import UnsupportedModel
from ctviz.models.bars import reading_weights
from ctviz.models.families import FAMILIES
from ctviz.models.weight_files import quantized, tensor_heads, weight_files
from ctviz.progress import tick

__all__ = ["check_finite", "check_supplied", "load_weights"]

SHOWN = 3  # names in a message
PACKED = re.compile(  # what names of quantized weights and their scales end with
    r"\.(q?weight_?(scale(_inv)?|packed|shape|format)|qweight|qzeros|scales|SCB|absmax|quant_map)$"
)
OLD_BUFFERS = re.compile(r"rotary_emb\.inv_freq$|\.(attn|attention|self_attn)\.(masked_)?bias$")


def load_weights(
    where: str, config: Any, dtype: torch.dtype, *, alone: bool = False
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model of a folder or hub id with its weights, and what is to be said of them.

    ``alone``: leave out an adapter that lies beside the weights, which transformers would apply.
    Raises UnsupportedModel if a weight is not in the files or is not finite, or if the files hold
    more of the model's parts than the config says, and what `weight_files` raises.
    """
    files = weight_files(where)
    notes: tuple[str, ...] = ()
    if alone and files:
        model, info = _from_tensors(config, _read(files), dtype)
    else:
        auto: Any = AutoModelForCausalLM
        with reading_weights():
            model, info = auto.from_pretrained(
                where,
                config=config,
                dtype=dtype,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # to name them below
            )
        files = weight_files(where)
    heads = {name: head for file in files for name, head in tensor_heads(file).items()}
    types = {name: head["dtype"] for name, head in heads.items()}
    names = list(types)
    _check_float(model, types, _called(files))
    if _missing(model, info):
        for short, note in _unwrapped(model, names, _called(files)):
            tensors = {short[name]: value for name, value in _read(files).items()}
            other, found = _from_tensors(config, tensors, dtype)
            if not _missing(other, found):
                model, info, notes = other, found, (note,)
                break
    notes += check_supplied(model, info, _called(files) or where, names)
    check_finite(model)
    return model, notes


def _check_float(model: PreTrainedModel, types: dict[str, str], file: str) -> None:
    """Raise UnsupportedModel for weights that are whole numbers, or come with their scales."""
    usual = {part for name in _parameters(model) for part in name.split(".")}
    whole = [n for n, kind in types.items() if n.endswith(".weight") and kind[0] in "IU"]
    packed = [n for n in types if PACKED.search(n) and n.rpartition(".")[2] not in usual]
    if found := whole or packed:
        raise quantized(f"Weights in {file}", f"it holds {_some(sorted(found))}")


def check_supplied(
    model: PreTrainedModel, info: dict[str, Any], file: str, names: Sequence[str] = ()
) -> tuple[str, ...]:
    """Whether a model's weights all come from a file, by the report of transformers on loading it.

    ``names``: those of the file's tensors. Returns what is to be said of tensors that are not used.
    Raises UnsupportedModel.
    """
    kind = model.config.model_type
    if info["mismatched_keys"]:
        raise UnsupportedModel(_misshapen(model, info, file))
    if missing := _missing(model, info):
        raise UnsupportedModel(_lacking(model, missing, file, names))
    extra = _unexpected(model, info["unexpected_keys"])
    if inside := [name for name in extra if _inside(model, name)]:
        raise UnsupportedModel(
            f"{file} holds {_counted(inside)} of parts of this {kind} model that it does not have: "
            f"{_some(inside)}. So config.json is not that of these weights, and what it "
            "describes would compute something else. Take the config.json that belongs to them."
        )
    if not extra:
        return ()
    are = "is not of this model and is" if len(extra) == 1 else "are not of this model and are"
    return (f"{_counted(extra)} in {file} {are} not used: {_some(extra)}.",)


@torch.no_grad()
def check_finite(model: PreTrainedModel, of: str = "") -> None:
    """Raise UnsupportedModel, naming the tensor, if a weight is not a finite number in floating
    point; ``of``: what else is to be said of the weights."""
    for name, weight in model.named_parameters():
        tick()
        if not weight.is_floating_point():
            raise quantized(f"The weights in {name}", f"{weight.dtype}")
        if weight.numel() and weight.device.type != "meta":
            low, high = torch.aminmax(weight)
            if not bool(torch.isfinite(low) & torch.isfinite(high)):
                raise UnsupportedModel(
                    f"The weights in {name}{of} hold numbers that are not finite (NaN or "
                    "infinity), so nothing can be measured. The model was saved after it diverged, "
                    "or in a type with too small a range: take an earlier checkpoint."
                )


def _from_tensors(
    config: Any, tensors: dict[str, Tensor], dtype: torch.dtype
) -> tuple[PreTrainedModel, dict[str, Any]]:
    made: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with reading_weights():
        found = made.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    return cast("tuple[PreTrainedModel, dict[str, Any]]", found)


def _read(files: Iterable[Path]) -> dict[str, Tensor]:
    return {name: value for file in files for name, value in load_file(file).items()}


def _parameters(model: PreTrainedModel) -> list[str]:
    """Names of all parameters; a tied one has several."""
    return [name for name, _ in model.named_parameters(remove_duplicate=False)]


def _missing(model: PreTrainedModel, info: dict[str, Any]) -> list[str]:
    """Parameters that no file has supplied; what a buffer holds is computed, not random."""
    return [name for name in _needed(model) if name in info["missing_keys"]]


def _unexpected(model: PreTrainedModel, names: Iterable[str]) -> list[str]:
    """Names in the file that mean nothing to the model, but for buffers of older versions."""
    buffers = {name for name, _ in model.named_buffers()}
    inner = f"{model.base_model_prefix}."
    return sorted(
        name
        for name in names
        if not {name, inner + name} & buffers and not OLD_BUFFERS.search(name)
    )


def _needed(model: PreTrainedModel) -> list[str]:
    """Names that a file has to have: one of each tied group."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    return [name for name in _parameters(model) if name not in tied]


def _unwrapped(
    model: PreTrainedModel, names: Sequence[str], file: str
) -> Iterator[tuple[dict[str, str], str]]:
    """Ways to read a file's names as a model's: the names without their wrapper, and a note."""
    if prefix := _prefix(model, names):
        yield (
            {name: name.removeprefix(prefix) for name in names},
            f"The names of the weights in {file} begin with {prefix!r}, which was taken off: so "
            "they are those of the model.",
        )
    if part := _part(model, names):
        yield (
            {name: _taken_out(name, part) for name in names},
            f"Names in {file} hold the part {part!r}, which was taken out: so they are those of "
            "the model.",
        )


def _prefix(model: PreTrainedModel, names: Sequence[str]) -> str:
    """The one prefix without which most names of a file are those of the model; "" if there is
    none, or more than one such. Files may name a matrix otherwise than the model does.
    """
    needed = _needed(model)
    inner = f"{model.base_model_prefix}."
    known = {*needed, *(name.removeprefix(inner) for name in needed)}
    fits: Counter[str] = Counter()
    for name in names:
        starts = [at + 1 for at, letter in enumerate(name) if letter == "."]
        fits.update({name[:at] for at in starts if name[at:] in known})
    most = max(fits.values(), default=0)
    best = sorted((prefix for prefix, count in fits.items() if count == most), key=len)
    if 2 * most < len(needed) or best[-1] not in (best[0], best[0] + inner) or len(best) > 2:
        return ""
    return best[0]


def _part(model: PreTrainedModel, names: Sequence[str]) -> str:
    """The one part between dots without which most names of a file are those of the model, each
    still another one; "" if there is none. Wrappers of single modules leave it.
    """
    needed, here = set(_needed(model)), set(names)
    usual = {part for name in needed for part in name.split(".")}
    found = set()
    for part in {part for name in names for part in name.split(".")} - usual:
        short = {_taken_out(name, part) for name in names}
        more = len(short & needed) - len(here & needed)
        if len(short) == len(names) and more > 0 and 2 * len(short & needed) >= len(needed):
            found.add(part)
    return found.pop() if len(found) == 1 else ""


def _taken_out(name: str, part: str) -> str:
    return ".".join(each for each in name.split(".") if each != part)


def _misshapen(model: PreTrainedModel, info: dict[str, Any], file: str) -> str:
    found = sorted((key, tuple(have), tuple(want)) for key, have, want in info["mismatched_keys"])
    name, have, want = found[0]
    empty = [key for key, have, _ in found if 0 in have]
    if empty:
        return (
            f"{len(empty)} of the {len(_parameters(model))} tensors of {file} are empty, such as "
            f"{empty[0]}: the model was saved while DeepSpeed (ZeRO-3) had its weights spread over "
            "processes. Put them together from its checkpoint (zero_to_fp32.py), or save with "
            "stage3_gather_16bit_weights_on_model_save."
        )
    said = (
        f"{len(found)} of the {len(_parameters(model))} tensors of {file} have another shape than "
        f"config.json says: {name} is {have} in the file, {want} by the config."
    )
    ends = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    ids = {n: id(p) for n, p in model.named_parameters(remove_duplicate=False)}
    if ids.get(name) in ends and have[1:] == want[1:]:
        return (
            f"{said} So the vocabulary does not fit: set vocab_size to {have[0]} in config.json if "
            f"the tokenizer has {have[0]:,} tokens, or take the weights that belong to it."
        )
    return f"{said} Take the config.json that belongs to these weights."


def _lacking(model: PreTrainedModel, missing: list[str], file: str, names: Sequence[str]) -> str:
    kind, total = model.config.model_type, len(_needed(model))
    said = (
        f"{len(missing)} of the {total} weights of this {kind} model are not in {file}: "
        f"{_some(missing)}{_under(missing)}. They would be random numbers."
    )
    flat = next((n for n in names if "flat_param" in n), None)
    if flat:
        return (
            f"{said} The file holds flat parameters of FSDP ({flat}), in which the weights are not "
            "told apart. Save the model with its full state dict (FULL_STATE_DICT)."
        )
    head = [n for n in _parameters(model) if n.startswith("lm_head.") or n == "embed_out.weight"]
    if set(missing) <= set(head):
        return (
            f"{said} If the model's output layer is its embedding, set tie_word_embeddings to true "
            "in config.json; else save the model again with its output layer."
        )
    common, fit = _best_prefix(_needed(model), names)
    if common:
        return (
            f"{said} Every name in the file begins with {common!r}; without it, {fit} of {total} "
            "fit. Save the model itself, not what it is wrapped in."
        )
    if names and not set(names) & set(_parameters(model)):
        return (
            f"{said} The names in the file are such as {names[0]}: config.json, or what the model "
            "was wrapped in when it was saved, does not fit these weights. Take the config.json "
            "that belongs to them, or save the model itself."
        )
    return f"{said} Save, copy or download the model again."


def _best_prefix(needed: Sequence[str], names: Sequence[str]) -> tuple[str, int]:
    """What all names of a file begin with such that most fit without it, and how many do."""
    parts = _common(names).split(".")[:-1]
    tried = []
    for count in range(1, len(parts) + 1):
        prefix = "".join(f"{part}." for part in parts[:count])
        without = {name.removeprefix(prefix) for name in names}
        tried.append((sum(name in without for name in needed), prefix))
    fit, prefix = max(tried, default=(0, ""))
    return (prefix, fit) if fit else ("", 0)


def _inside(model: PreTrainedModel, name: str) -> bool:
    """Whether a tensor would belong to the blocks of a model, or to another module that it has."""
    blocks = f"{FAMILIES[model.config.model_type].table(model.config).blocks}."
    module, base = name.rpartition(".")[0], f"{model.base_model_prefix}."
    parts = dict(model.named_modules())
    return (
        name.startswith((blocks, blocks.removeprefix(base)))
        or module in parts
        or (bool(module) and base + module in parts)
    )


def _common(names: Sequence[str]) -> str:
    """What all names begin with, up to a dot."""
    first, last = min(names, default=""), max(names, default="")
    alike = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    start, dot, _ = first[:alike].rpartition(".")
    return start + dot if len(names) > 1 else ""


def _under(names: Sequence[str]) -> str:
    common = _common(names)
    return f" (all of them under {common[:-1]})" if common else ""


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _counted(names: Sequence[str]) -> str:
    return f"{len(names):,} tensor{'' if len(names) == 1 else 's'}"


def _called(files: Sequence[Path]) -> str:
    """The files as a message calls them."""
    if len(files) > 1:
        return f"the {len(files)} safetensors files of {files[0].parent}"
    return str(files[0]) if files else ""
