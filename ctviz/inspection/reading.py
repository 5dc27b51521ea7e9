"""Run a prompt once and read what one node does on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from ctviz.circuits.graph import kind_of, layer_of
from ctviz.inspection.answers import (
    Neuron,
    NodeReading,
    Prompt,
    PromptReading,
)
from ctviz.inspection.lens import added_logits, direct_attribution, extremes
from ctviz.inspection.neurons import neurons_of
from ctviz.inspection.patterns import attention_patterns
from ctviz.models.anatomy import Anatomy
from ctviz.models.hooks import Hook, hooked
from ctviz.models.loading import Loaded
from ctviz.models.parts import Block
from ctviz.models.writes import source_outputs, writes
from ctviz.tasks.token_text import token_text

__all__ = [
    "LastPosition",
    "compared",
    "head_of",
    "neuron_outputs",
    "read_last_position",
    "read_node",
    "read_prompt",
    "top_tokens",
    "with_answer",
]

TOKENS = 8  # that a node is said to promote, and to suppress
NEURONS = 10
NEURON_TOKENS = 5
PREDICTIONS = 10


def with_answer(loaded: Loaded, prompt: Prompt) -> Prompt:
    """The prompt with an answer: where none was given, the token that the model finds likeliest."""
    if prompt.answer is not None:
        return prompt
    with torch.no_grad():
        hidden = loaded.anatomy.hidden(_ids(loaded.anatomy, prompt))
        return replace(prompt, answer=int(_last_logits(loaded.anatomy, hidden).argmax()))


def compared(logits: Tensor, answer: int, foil: int | None) -> Tensor:
    """`PromptReading.value` of logits [..., vocabulary]: [...]."""
    return logits[..., answer] - (logits.mean(dim=-1) if foil is None else logits[..., foil])


def top_tokens(loaded: Loaded, logits: Tensor) -> tuple[tuple[str, float], ...]:
    """The likeliest tokens by [vocabulary] logits, with their probabilities."""
    count = min(PREDICTIONS, logits.shape[-1])
    values, tokens = logits.softmax(dim=-1).topk(count)
    pairs = zip(tokens.tolist(), values.tolist(), strict=True)
    return tuple((token_text(loaded.tokenizer, token), value) for token, value in pairs)


@torch.no_grad()
def read_prompt(loaded: Loaded, prompt: Prompt) -> PromptReading:
    """Run a prompt, `with_answer` if it has no answer; see `PromptReading`."""
    prompt = with_answer(loaded, prompt)
    return _whole(loaded, prompt, read_last_position(loaded.anatomy, prompt))


@torch.no_grad()
def read_node(loaded: Loaded, prompt: Prompt, node: str) -> NodeReading:
    """Run a prompt, `with_answer` if it has no answer, and look at a head or an MLP.

    Raises UnknownName for a node that the model does not have.
    """
    anatomy, prompt = loaded.anatomy, with_answer(loaded, prompt)
    row = anatomy.graph.source(node)
    run = read_last_position(anatomy, prompt, node)
    added = added_logits(anatomy, run.outputs[row], run.residual)
    promotes, suppresses = extremes(loaded, added, TOKENS)
    attention = None
    if run.attention is not None:
        pattern = run.attention[head_of(node)]
        attention = pattern.float().cpu().numpy().astype(np.float32)
    whole = _whole(loaded, prompt, run)
    return NodeReading(whole, attention, promotes, suppresses, _neurons(loaded, prompt, node, run))


def head_of(node: str) -> int:
    """The number of a head in its layer."""
    return int(node.rpartition(".h")[2])


def neuron_outputs(block: Block, run: LastPosition) -> Tensor:
    """What each neuron of an MLP adds to the residual stream at the last position.

    [neuron, d_model]. A norm that follows the output projection divides by the sigma of all that
    the projection writes, its bias included.
    """
    assert run.activations is not None
    assert run.projected is not None
    module = block.mlp_out
    weight = module.weight if isinstance(module, Conv1D) else module.weight.T
    outputs, post = weight.to(run.activations.dtype) * run.activations[:, None], block.mlp_post_norm
    if post is None:
        return outputs
    outputs = outputs * post.standardize(run.projected)[1]
    return outputs if post.scale is None else outputs * post.scale.to(outputs.dtype)


@dataclass(slots=True, eq=False)
class LastPosition:
    """What was read at the last position: outputs [source, d_model], residual [d_model], logits
    [vocabulary]; of a head's layer attention [head, query, key]; of an MLP its activations [neuron]
    and what its output projection wrote [d_model]."""

    outputs: Tensor
    residual: Tensor
    logits: Tensor
    attention: Tensor | None = None
    activations: Tensor | None = None
    projected: Tensor | None = None


def read_last_position(anatomy: Anatomy, prompt: Prompt, node: str | None = None) -> LastPosition:
    """One run; with a node, what is asked of its layer is read as well."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        """Keep the last position of a tensor; OPT's MLP has no batch dimension."""
        return lambda x: found.__setitem__(name, x.reshape(-1, x.shape[-1])[-1].float())

    before: list[Hook] = [(anatomy.final_norm.module, keep("residual"))]
    after: list[Hook] = []
    if node is not None and kind_of(node) == "mlp":
        out = anatomy.blocks[layer_of(node, anatomy.graph.n_layers)].mlp_out
        before.append((out, keep("activations")))
        after.append((out, keep("projected")))
    ids = _ids(anatomy, prompt)
    with writes(anatomy) as kept, hooked(before=before, after=after):
        hidden = anatomy.hidden(ids)
    last = kept.map(lambda written: written[:, -1:])
    run = LastPosition(
        outputs=source_outputs(anatomy, last)[:, 0].float(),
        logits=_last_logits(anatomy, hidden),
        **found,
    )
    if node is not None and kind_of(node) == "head":
        layer = layer_of(node, anatomy.graph.n_layers)
        patterns = attention_patterns(anatomy, ids, hidden, [layer])
        run.attention = None if patterns is None else patterns[0][0]
    return run


def _ids(anatomy: Anatomy, prompt: Prompt) -> Tensor:
    return torch.tensor([prompt.ids], device=anatomy.device)


def _last_logits(anatomy: Anatomy, hidden: Tensor) -> Tensor:
    """[vocabulary] after the last position of a single prompt."""
    at = torch.tensor([[hidden.shape[1] - 1]], device=hidden.device)
    return anatomy.logits_at(hidden, at)[0, 0].float()


def _whole(loaded: Loaded, prompt: Prompt, run: LastPosition) -> PromptReading:
    assert prompt.answer is not None
    found = direct_attribution(
        loaded.anatomy, run.outputs, run.residual, prompt.answer, prompt.foil
    )
    return PromptReading(
        top=top_tokens(loaded, run.logits),
        value=float(compared(run.logits, prompt.answer, prompt.foil)),
        attribution=np.append(found.cpu().numpy(), np.nan).astype(np.float32),
    )


def _neurons(loaded: Loaded, prompt: Prompt, node: str, run: LastPosition) -> tuple[Neuron, ...]:
    if run.activations is None:
        return ()
    assert prompt.answer is not None
    anatomy = loaded.anatomy
    block = anatomy.blocks[layer_of(node, anatomy.graph.n_layers)]
    outputs = neuron_outputs(block, run)
    found = direct_attribution(anatomy, outputs, run.residual, prompt.answer, prompt.foil)
    own = neurons_of(anatomy, node)
    count = min(NEURONS, own.stop - own.start)
    strongest = found[own].abs().topk(count).indices + own.start
    added = added_logits(anatomy, outputs[strongest], run.residual)
    return tuple(
        Neuron(
            index=index,
            activation=float(run.activations[index]),
            attribution=float(found[index]),
            promotes=extremes(loaded, row, NEURON_TOKENS)[0],
        )
        for index, row in zip(strongest.tolist(), added, strict=True)
    )
