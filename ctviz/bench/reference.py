"""The usual implementation of edge attribution patching, to compare speed and scores with.

It is written on TransformerLens as its users write it, with the structure and the cost of EAP-IG
(https://github.com/hannamw/EAP-IG), from the published algorithm (Syed et al. 2023, arXiv
2310.10348; Hanna et al. 2024, arXiv 2403.17806). In three steps:

1. run the corrupt prompts, with a hook at each source's output that subtracts it from one tensor of
   activation differences, [example, position, source, d_model]: heads by their own results, split
   query, key and value inputs, and a hook where the MLP reads;
2. run the clean prompts with hooks that add the same outputs, and with a backward hook at every
   read of the residual stream;
3. differentiate the metric: each backward hook contracts the differences of the sources before it
   with the gradient that it is given.

EAP-IG runs on HookedTransformer, which TransformerLens had up to version 3 and which is used here
where it exists and knows the model; otherwise TransformerBridge is, its successor, with the same
hooks. What EAP-IG does beyond the algorithm is left out in the reference's favour: another clean
run for metrics that need its logits.
"""

from __future__ import annotations

import copy
import importlib.metadata
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ctviz.circuits.choices import Attribution
from ctviz.circuits.graph import Graph
from ctviz.errors import UnsupportedModel
from ctviz.extras import need
from ctviz.models.anatomy import Anatomy
from ctviz.tasks.batch import Batch

__all__ = ["Reference", "build_reference", "reference_scores"]

FAMILIES = ("gpt2", "llama")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A TransformerLens copy of a model, set up for edge attribution, and what it is called."""

    model: Any
    graph: Graph
    name: str


def build_reference(anatomy: Anatomy) -> Reference:
    """The same weights as a TransformerLens model with all the hooks that the algorithm needs.

    Raises MissingExtra if there is no TransformerLens, and UnsupportedModel for a family that
    it is not set up for here.
    """
    family = anatomy.model.config.model_type
    if family not in FAMILIES:
        raise UnsupportedModel(
            f"The reference is set up for the families {', '.join(FAMILIES)}, not for {family}."
        )
    need("reference", "The usual implementation")
    version = importlib.metadata.version("transformer-lens")
    hooked = family == "gpt2" and _has_hooked_transformer()
    model = _hooked_transformer(anatomy.model) if hooked else _bridge(anatomy.model)
    model.eval()
    model.set_use_attn_result(True)
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    return Reference(model, anatomy.graph, f"TransformerLens {version}, {type(model).__name__}")


def _has_hooked_transformer() -> bool:
    try:
        from transformer_lens import HookedTransformer  # noqa: F401
    except ImportError:
        return False
    return True


def _hooked_transformer(model: PreTrainedModel) -> Any:
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

    config = model.config
    settings = HookedTransformerConfig(
        n_layers=config.n_layer,
        n_heads=config.n_head,
        d_model=config.n_embd,
        d_head=config.n_embd // config.n_head,
        d_mlp=config.n_inner or 4 * config.n_embd,
        d_vocab=config.vocab_size,
        n_ctx=config.n_positions,
        act_fn=config.activation_function,
        eps=config.layer_norm_epsilon,
        normalization_type="LN",
        dtype=model.dtype,
        device=str(model.device),
    )
    hooked = HookedTransformer(settings)
    hooked.load_and_process_state_dict(
        convert_gpt2_weights(model, settings),
        fold_ln=False,
        fold_value_biases=False,
        center_writing_weights=False,
        center_unembed=False,
    )
    return hooked


def _bridge(model: PreTrainedModel) -> Any:
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    own = copy.deepcopy(model)  # a bridge changes the model that it is put around
    return build_bridge_from_module(own, type(own).__name__, hf_config=own.config)


def reference_scores(
    reference: Reference,
    batch: Batch,
    *,
    method: Attribution = "eap",
    steps: int = 5,
    frozen: bool = False,
) -> Tensor:
    """Scores of all edges, [source, slot], mean over examples; metric and sign as in `attribute`.

    ``method`` is ``eap`` or ``eap-ig`` with ``steps`` runs. EAP-IG leaves the parameters as they
    are loaded, so that gradients of all of them are computed too; ``frozen`` spares these, as a
    careful user might.
    """
    model, graph = reference.model, reference.graph
    for parameter in model.parameters():
        parameter.requires_grad_(not frozen)
    n_examples, n_positions = batch.clean.shape
    shape = (n_examples, n_positions, len(graph.sources), model.cfg.d_model)
    device, dtype = batch.clean.device, next(model.parameters()).dtype
    difference = torch.zeros(shape, device=device, dtype=dtype)
    scores = torch.zeros(graph.exists.shape, device=device, dtype=dtype)
    runs = steps if method == "eap-ig" else 1

    with torch.inference_mode():
        with model.hooks(fwd_hooks=_write_hooks(graph, difference, -1)):
            model(batch.corrupt)
        if method == "eap-ig":
            corrupt = -difference[:, :, 0]
            with model.hooks(fwd_hooks=_write_hooks(graph, difference, 1)):
                model(batch.clean)
            change = difference[:, :, 0].clone()

    def start(x: Tensor, hook: Any, *, share: float) -> Tensor:
        return (x.detach() if share == 1 else corrupt + share * change).requires_grad_()

    for run in range(1, runs + 1):
        writes = [] if method == "eap-ig" else _write_hooks(graph, difference, 1)
        if method == "eap-ig" or frozen:
            writes.append(("blocks.0.hook_resid_pre", partial(start, share=run / runs)))
        reads = _read_hooks(graph, difference, scores)
        with model.hooks(fwd_hooks=writes, bwd_hooks=reads):
            _metric(model(batch.clean), batch).sum().backward()
        model.zero_grad(set_to_none=True)
    return scores / (n_examples * runs)


def _metric(logits: Tensor, batch: Batch) -> Tensor:
    """logit(answer) - logit(foil), from logits at all positions as the models return them."""
    rows = torch.arange(len(batch), device=logits.device)
    logits = logits[rows, batch.last]
    return logits[rows, batch.answer[:, -1]] - logits[rows, batch.foil]


def _write_hooks(graph: Graph, difference: Tensor, sign: int) -> list[tuple[str, Any]]:
    """Forward hooks that add (or subtract) what each source writes."""

    def add(x: Tensor, hook: Any, *, sources: int | slice) -> None:
        difference[:, :, sources].add_(x.detach(), alpha=sign)

    hooks: list[tuple[str, Any]] = [("blocks.0.hook_resid_pre", partial(add, sources=0))]
    row = 1
    for layer in range(graph.n_layers):
        heads = slice(row, row + graph.n_heads)
        hooks.append((f"blocks.{layer}.attn.hook_result", partial(add, sources=heads)))
        hooks.append((f"blocks.{layer}.hook_mlp_out", partial(add, sources=heads.stop)))
        row = heads.stop + 1
    return hooks


def _read_hooks(graph: Graph, difference: Tensor, scores: Tensor) -> list[tuple[str, Any]]:
    """Backward hooks that score the edges into each slot."""

    def score(gradient: Tensor, hook: Any, *, slots: slice) -> None:
        reach = graph.slots[slots.start].n_sources
        gradient = gradient.detach()
        if gradient.ndim == 3:  # MLPs and logits: [example, position, d_model], no heads
            gradient = gradient.unsqueeze(2)
        found = torch.einsum("bpfd,bpsd->fs", difference[:, :, :reach], gradient)
        scores[:reach, slots] += found

    hooks: list[tuple[str, Any]] = []
    column = 0

    def read(name: str, width: int) -> None:
        nonlocal column
        hooks.append((name, partial(score, slots=slice(column, column + width))))
        column += width

    for layer in range(graph.n_layers):
        read(f"blocks.{layer}.hook_q_input", graph.n_heads)
        read(f"blocks.{layer}.hook_k_input", graph.kv_heads)
        read(f"blocks.{layer}.hook_v_input", graph.kv_heads)
        read(f"blocks.{layer}.hook_mlp_in", 1)
    read(f"blocks.{graph.n_layers - 1}.hook_resid_post", 1)
    return hooks
