"""What is asked of a run's model at a step, and what is answered: values alone, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "Firing",
    "ModelAtStep",
    "Neuron",
    "NeuronOnTask",
    "NodeReading",
    "OnPrompt",
    "OnTask",
    "PreparedPrompt",
    "Prompt",
    "PromptReading",
]


@dataclass(frozen=True, slots=True)
class ModelAtStep:
    """The model of a run at a step; ``stamp`` changes with its weights, settings and examples."""

    folder: str
    step: int
    stamp: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, and as text in ``tokens``.

    ``answer`` and ``foil`` are ids that are compared after its last token; None where none was
    given. ``corrupt``: ids of its counterfactual, of the same number; None without one. ``notes``
    say in sentences where answer or foil were read otherwise than typed.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    answer: int | None = None
    foil: int | None = None
    corrupt: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A prompt that has an answer, with answer and foil as text ("" for none).

    ``likeliest``: no answer was given, so it is the token that the model finds likeliest.
    """

    prompt: Prompt
    answer: str
    foil: str
    likeliest: bool


@dataclass(frozen=True, slots=True, eq=False)
class PromptReading:
    """What a model does on a prompt.

    ``top``: the likeliest next tokens with their probabilities. ``value``: logit(answer) -
    logit(foil), or without a foil logit(answer) above the mean over all tokens. ``attribution``:
    float32 [node], what each node's output at the last position adds to it directly, in logits (see
    `ctviz.inspection.lens`); NaN for ``logits``.
    """

    top: tuple[tuple[str, float], ...]
    value: float
    attribution: np.ndarray


@dataclass(frozen=True, slots=True)
class Neuron:
    """One neuron of an MLP at the last position.

    ``activation``: what the output projection reads of it (behind a gate where there is one);
    ``attribution``: what it adds directly to the logit difference; ``promotes``: tokens whose
    logits it raises most here, and by how much above the mean.
    """

    index: int
    activation: float
    attribution: float
    promotes: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class NodeReading:
    """What a head or an MLP does on a prompt.

    ``attention``: float32 [query, key] of a head; None for an MLP, and for a model whose attention
    is another one when it is computed step by step (Falcon with ALiBi in transformers).
    ``promotes`` and ``suppresses``: the tokens whose logits its output at the last position raises
    and lowers most, above the mean over tokens. ``neurons``: those of an MLP with the largest
    \\|attribution\\|, empty for a head. The bias of an MLP's output belongs to none of its neurons.
    """

    whole: PromptReading
    attention: np.ndarray | None
    promotes: tuple[tuple[str, float], ...]
    suppresses: tuple[tuple[str, float], ...]
    neurons: tuple[Neuron, ...]


@dataclass(frozen=True, slots=True)
class Firing:
    """A neuron's activation at the last of some tokens, which are the end of what it has read."""

    activation: float
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeuronOnTask:
    """One neuron of an MLP on the task's prompts.

    ``writes``: its largest activation, of either sign, times the length of what it writes for one
    of 1. ``firings``: where its activation is largest, of either sign, that first, each text once.
    ``raises`` and ``lowers``: the tokens whose logits its output weights raise and lower most, in
    that order, while its activation is positive.
    """

    index: int
    writes: float
    firings: tuple[Firing, ...]
    raises: tuple[str, ...]
    lowers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OnPrompt:
    """What switching a node off does to one prompt: `PromptReading.value` and ``top``, twice."""

    before: float
    after: float
    top_before: tuple[tuple[str, float], ...]
    top_after: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class OnTask:
    """What switching a node off does to the metric on the task's dev pairs.

    Means over ``examples``; ``error`` is the standard error of the mean of their differences.
    """

    before: float
    after: float
    error: float
    examples: int
