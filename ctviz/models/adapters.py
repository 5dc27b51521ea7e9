"""Merge an adapter of the peft library into the model that it was trained on."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from ctviz.errors import MissingModel, UnsupportedModel
from ctviz.extras import need
from ctviz.models.explaining import said
from ctviz.models.places import Adapter, kind
from ctviz.models.stored import hub_commit, is_folder, stored_file
from ctviz.models.supplied import check_finite
from ctviz.models.weight_files import check_files, tensor_heads

__all__ = ["adapter_revision", "check_adapter", "merge_adapter", "needing_base", "saved_vocabulary"]

WEIGHTS = "adapter_model.safetensors"
EMBEDDINGS = re.compile(  # names of embeddings and output layers that peft saves as a whole
    r"\.(embed_tokens|wte|embed_in|word_embeddings|lm_head|embed_out)"
    r"(\.base_layer|\.modules_to_save|\.original_module)?\.weight$"
)
AGREE = {torch.float32: 1e-3, torch.float64: 1e-6}  # of the largest logit; other types: 0.1


def check_adapter(adapter: Adapter, base: str) -> None:
    """Raise before anything is loaded if an adapter cannot be merged into its base, which lies at
    ``base``.

    Raises UnsupportedModel for a kind that is not LoRA or changes more than weights, and for
    another revision of its base than the one at hand; MissingModel if its weights are not there as
    safetensors; MissingExtra without peft.
    """
    config, what = adapter.config, f"{adapter.where} is a {kind(adapter)} of {adapter.base}"
    check_files(adapter.where)
    if str(config.get("peft_type")).upper() != "LORA":
        raise UnsupportedModel(
            f"{what}. Only LoRA is merged here, since the others do not, or not all, become "
            "weights of the model. If it can be merged, do so with merge_and_unload of peft, save "
            "the result and give that folder."
        )
    for name in ("alora_invocation_tokens", "layer_replication"):
        if config.get(name):
            raise UnsupportedModel(
                f"{what}, but with {name}, which is more than a change of weights: it cannot be "
                "merged into its base."
            )
    revision = str(config.get("revision") or "main")
    if not is_folder(base) and revision not in ("main", hub_commit(base)):
        raise UnsupportedModel(
            f"{what} at the revision {revision}, but of a hub's model ctviz takes the latest one. "
            f"Bring that revision (`hf download {adapter.base} --revision {revision} --local-dir "
            "FOLDER`) and write FOLDER into adapter_config.json, as base_model_name_or_path."
        )
    if is_folder(adapter.where):
        file = stored_file(adapter.where, WEIGHTS)
        if file is None:
            other = Path(adapter.where).expanduser() / "adapter_model.bin"
            raise MissingModel(
                f"{what}, but its weights are not there as safetensors ({WEIGHTS})."
                + (" adapter_model.bin is a pickle: save it anew." if other.is_file() else "")
            )
        tensor_heads(file)
    need("lora", f"The {kind(adapter)} {adapter.where}")


@contextmanager
def needing_base(adapter: Adapter | None) -> Iterator[None]:
    """Say of a base that is missing that it is the base of an adapter."""
    try:
        yield
    except MissingModel as error:
        if adapter is None:
            raise
        raise MissingModel(
            f"{adapter.where} is a {kind(adapter)} of {adapter.base}, which is not at hand. "
            f"{error} If it lies elsewhere, write its folder or hub id into adapter_config.json, "
            "as base_model_name_or_path."
        ) from error


def merge_adapter(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """The base model with an adapter added to its weights; the base is changed.

    Raises UnsupportedModel if the adapter is not one of this base, brings more or less than its
    config says, or gives other logits when it is merged.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    what = f"The {kind(adapter)} {adapter.where}"
    of = f"put onto its base {adapter.base}"
    model.name_or_path = model.name_or_path or adapter.base
    with said(what, adapter.where):
        tensors = load_file(_weights(adapter))
        rows = _vocabulary({name: tensor.shape for name, tensor in tensors.items()})
        if rows is not None and rows != model.config.vocab_size:
            _resize(model, rows, tensors, what)
        config = PeftConfig.from_pretrained(adapter.where)
        config.inference_mode = True
        try:
            with _quiet():
                wrapped = PeftModel(model, config)
        except ValueError as error:
            raise UnsupportedModel(f"{what} could not be {of}: {error}") from error
        wanted = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
        if set(tensors) - set(wanted) and rows is not None:  # whole embeddings lie beside
            wanted = get_peft_model_state_dict(wrapped, save_embedding_layers=True)
        lacking = sorted(set(wanted) - set(tensors))
        beyond = sorted(set(tensors) - set(wanted))
        if lacking or beyond:
            n, way = (lacking, "not in its file") if lacking else (beyond, "not of that model")
            own = f" (which holds {beyond[0]})" if lacking and beyond else ""
            raise UnsupportedModel(
                f"{what} cannot be {of}: {len(n)} of its tensors are {way}{own}, such as {n[0]}. "
                "Take the base that it was trained on, or merge it where it was trained "
                "(merge_and_unload of peft) and give that folder."
            )
        other = next((n for n in wanted if wanted[n].shape != tensors[n].shape), None)
        if other is not None:
            raise UnsupportedModel(
                f"{what} cannot be {of}: {other} is {tuple(tensors[other].shape)}, where this base "
                f"needs {tuple(wanted[other].shape)}. Take the base that it was trained on."
            )
        set_peft_model_state_dict(wrapped, tensors)
        wrapped.eval()
        before = _logits(wrapped, model)
        with _quiet():
            merged: Any = wrapped.merge_and_unload()
        check_finite(merged, f", with the {kind(adapter)} {adapter.where} merged in,")
        _check_same(before, _logits(merged, merged), what)
    merged.__dict__.pop("peft_config", None)  # it is an ordinary model again, also when saved
    ends = merged.get_input_embeddings(), merged.get_output_embeddings()
    if not torch.equal(ends[0].weight, ends[1].weight):
        merged.config.tie_word_embeddings = False  # the adapter has changed one of them
    return merged  # type: ignore[no-any-return]


def _resize(model: PreTrainedModel, rows: int, names: Iterable[str], what: str) -> None:
    """Give a model the embeddings of ``rows`` tokens, all of which the adapter has to bring."""
    model.resize_token_embeddings(rows, mean_resizing=False)
    ends: tuple[Any, ...] = model.get_input_embeddings(), model.get_output_embeddings()
    if ends[0].weight is ends[1].weight:
        ends = ends[:1]
    brought = {found[1] for name in names if (found := EMBEDDINGS.search(name))}
    for name, module in model.named_modules():
        if module in ends and name.rpartition(".")[2] not in brought:
            raise UnsupportedModel(
                f"{what} is of a base with {rows:,} tokens and does not bring {name} for those "
                "that were added, which would be random numbers. Merge it where it was trained "
                "(merge_and_unload of peft) and give that folder."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what peft and transformers warn of, which is seen to here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def saved_vocabulary(adapter: Adapter) -> int | None:
    """For how many tokens an adapter brings embeddings of its own, None if it brings none."""
    file = stored_file(adapter.where, WEIGHTS)
    heads = tensor_heads(file) if file is not None else {}
    return _vocabulary({name: head["shape"] for name, head in heads.items()})


def _vocabulary(shapes: Mapping[str, Sequence[int]]) -> int | None:
    """The rows of the embeddings among tensors of these shapes, None if there are none."""
    rows = {shape[0] for name, shape in shapes.items() if EMBEDDINGS.search(name)}
    return max(rows, default=None)


def adapter_revision(base: str, adapter: Adapter) -> str:
    """Which weights a base of a revision has become by an adapter."""
    digest = hashlib.sha256(base.encode())
    digest.update(repr(sorted((k, repr(v)) for k, v in adapter.config.items())).encode())
    digest.update(_weights(adapter).read_bytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def _weights(adapter: Adapter) -> Path:
    file = stored_file(adapter.where, WEIGHTS)
    if file is not None:
        return file
    from huggingface_hub import hf_hub_download

    with said(f"The {kind(adapter)} {adapter.where!r}", adapter.where):
        return Path(hf_hub_download(adapter.where, WEIGHTS))


@torch.no_grad()
def _logits(model: Any, base: PreTrainedModel) -> Tensor:
    """Next-token logits on a few tokens, [1, tokens, vocabulary]."""
    ids = torch.arange(min(8, base.config.vocab_size), device=base.device)[None]
    found: Tensor = model(input_ids=ids).logits
    return found.clone()


def _check_same(before: Tensor, after: Tensor, what: str) -> None:
    allowed = AGREE.get(before.dtype, 0.1) * max(1.0, float(before.abs().max()))
    off = float((before - after).abs().max())
    if not off <= allowed:
        raise UnsupportedModel(
            f"{what} gives other logits when it is merged into its base (by {off:.3g}), so it is "
            "more than a change of weights and cannot be used here."
        )
