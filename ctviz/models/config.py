"""A model's config: read from where it lies, and what it says of the model before any weight is."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from ctviz.errors import UnsupportedModel
from ctviz.models.adapters import needing_base
from ctviz.models.explaining import said
from ctviz.models.families import FAMILIES
from ctviz.models.fetching import bring_configs
from ctviz.models.places import Place
from ctviz.models.stored import is_folder, stored_json
from ctviz.models.weight_files import check_files, quantized

__all__ = ["check_causal", "check_family", "longest", "model_said", "read_config"]

FLOAT_ATTENTION = ("eager", "sdpa", None)  # what runs anywhere, in float32


def read_config(name: str, place: Place, *, offline: bool = False) -> tuple[Any, tuple[str, ...]]:
    """A model's config, and what of it is not followed.

    All that it can tell is looked at here: raises UnsupportedModel for a family without a table, a
    model that is not causal, and quantized weights; MissingModel if it is not there. ``offline``:
    from this machine's disk.
    """
    where = place.weights
    with needing_base(place.adapter):
        if not offline:
            bring_configs(where)
        with said(model_said(name, place), where):
            check_files(where)
            about = stored_json(where, "config.json")
            family = about.get("model_type")
            if isinstance(family, str):
                check_family(family, name)
            config = AutoConfig.from_pretrained(
                where, trust_remote_code=False, local_files_only=offline
            )
    check_family(config.model_type, name)
    check_causal(config, name)
    _check_float(config, where if place.adapter else name)
    config.return_dict = True  # some were stored to answer with tuples
    notes = _other_code(config, about)
    attention = config._attn_implementation
    if attention not in FLOAT_ATTENTION:
        config._attn_implementation = None
        notes += (
            f"The attention implementation that config.json asks for ({attention}) is not used; "
            "that of torch computes the same.",
        )
    return config, notes


def model_said(name: str, place: Place) -> str:
    """What a sentence on a model's weights begins with."""
    own = is_folder(place.weights) and not place.adapter
    return f"The model {(name if own else place.weights)!r}"


def check_family(found: str, name: str) -> None:
    """Raise UnsupportedModel for a family that has no architecture table."""
    if found not in FAMILIES:
        raise UnsupportedModel(
            f"{name} is of the family {found!r}, which has no architecture table. "
            f"Supported families: {', '.join(sorted(FAMILIES))}. CONTRIBUTING.md says how to "
            "add one."
        )


def check_causal(config: Any, name: str) -> None:
    """Raise UnsupportedModel for a model whose positions see those after them."""
    both = getattr(config, "use_bidirectional_attention", None)
    if both or getattr(config, "is_causal", None) is False:
        setting = "use_bidirectional_attention is true" if both else "is_causal is false"
        raise UnsupportedModel(
            f"{name} reads texts in both directions ({setting} in its config.json), as models for "
            "embeddings do, so it predicts no next token. Take a causal language model."
        )


def longest(config: Any) -> int | None:
    """The most tokens that a model reads, None if its config does not say.

    Where long prompts are computed with other frequencies than short ones (longrope), the most of
    the short ones: in a batch with a long prompt the others would be computed otherwise.
    """
    most: int | None = getattr(config, "max_position_embeddings", None)
    found = getattr(config, "rope_parameters", None) or {}
    for each in (found, *(part for part in found.values() if isinstance(part, dict))):
        if each.get("rope_type") == "longrope" and most is not None:
            short = each.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            most = min(most, short or most)
    return most


def _check_float(config: Any, what: str) -> None:
    packed = getattr(config, "quantization_config", None) or getattr(
        config, "compression_config", None
    )
    if packed:
        about = packed if isinstance(packed, dict) else packed.to_dict()
        how = about.get("quant_method") or about.get("format") or "an unnamed method"
        raise quantized(f"The weights of {what}", f"{how}, by quantization_config in config.json")


def _other_code(config: Any, about: dict[str, Any]) -> tuple[str, ...]:
    """That a model may have been something else than what transformers makes of its config."""
    ours = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]
    code, classes = about.get("auto_map"), about.get("architectures") or []
    own = code.get("AutoModelForCausalLM") if isinstance(code, dict) else None
    if own:
        return (
            f"config.json names code of its own for this model ({own}), which is not run: it is "
            f"read as {ours} of transformers. If that code computes something else, so did the "
            "model.",
        )
    if classes and ours not in classes:
        return (
            f"config.json says that this is a {', '.join(map(str, classes))}; it is read as "
            f"{ours}, a language model.",
        )
    return ()
