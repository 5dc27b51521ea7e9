"""Models whose circuit is known, because it was built in: known answers to check discovery against.

Each is an ordinary GPT-2 with weights set by hand (or, in `few-heads`, drawn at random and mostly
silenced), so that the engine runs on it as on any other model. `KNOWN_ANSWERS` lists them;
importing this module does not import torch.

`true_edges` are the edges that carry the behaviour *under counterfactual ablation on the model's
own task*: those whose corruption, one at a time, changes the metric. What is part of the mechanism
but the same on the clean and the corrupt prompt is not among them, and no method that compares the
two prompts can see it: the previous-token head's queries and keys, for example, read only
positions, and both prompts have the same ones. Zero or mean ablation would see them.

True edges need not add up. In the induction models each of them, corrupted alone, turns the
prediction around, but query and keys corrupted together match again and turn it back. And first
order underestimates the edges into an attention pattern, since attention is already near 1.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ctviz import english
from ctviz.circuits.graph import Graph

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

__all__ = ["KNOWN_ANSWERS", "KnownAnswer", "fingerprint"]


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A model with a known circuit.

    ``task`` is the key, in ``ctviz.tasks.TASKS``, of what it was built to do. ``roles`` says what
    the nodes of the circuit are for; ``silent`` are the nodes that write exactly zero, whatever
    they read; all other nodes write where nobody reads. ``build`` makes model and tokenizer, the
    same each time.
    """

    key: str
    title: str
    explanation: str
    parameters: str
    task: str
    graph: Graph
    true_edges: tuple[str, ...]
    roles: dict[str, str]
    silent: tuple[str, ...]
    build: Callable[[], tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]]


# ---------------------------------------------------------------------- the registry


def _build_induction() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    from ctviz.models.handmade import induction

    return induction.build()


def _build_induction_mlp() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    from ctviz.models.handmade import induction_mlp

    return induction_mlp.build()


def _build_few_heads() -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast]:
    from ctviz.models.handmade import few_heads

    return few_heads.build()


_FEW: Final = ("a0.h2", "a1.h0", "a1.h3", "a2.h1")
_FEW_GRAPH: Final = Graph(n_layers=3, n_heads=4)


def _edges_among(graph: Graph, nodes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all edges of the graph that lead from one of the nodes to another."""
    return tuple(
        f"{source}->{slot.name}"
        for slot in graph.slots
        for source in graph.sources[: slot.n_sources]
        if source in nodes and set(slot.feeds) & set(nodes)
    )


KNOWN_ANSWERS: Final[dict[str, KnownAnswer]] = {
    known.key: known
    for known in (
        KnownAnswer(
            key="induction",
            title="Induction by hand (GPT-2, 2 layers x 4 heads, 5 true edges)",
            explanation=(
                "Two heads continue what was there before: after “… hat key … hat” comes “key”. "
                "The previous-token head a0.h1 looks one position back, wherever it stands, and "
                "notes which word it saw there. The induction head a1.h2 takes the current word "
                "(its query) and looks for the position whose note (its key) is that same word: "
                "it finds the word that followed last time, and copies it (its value) to the "
                "output. That its keys are made by an earlier head is called K-composition, and "
                "it is the edge a0.h1->a1.h2<k>. The counterfactual prompt exchanges two word "
                "pairs, so that the word asked for, its place and what follows it all change: "
                "each of the five edges then carries a difference. The other six heads attend "
                "too, but four write nothing and two write where nobody reads; the MLPs write "
                "nothing."
            ),
            parameters="0.2 M",
            task="induction",
            graph=Graph(n_layers=2, n_heads=4),
            true_edges=(
                "input->a0.h1<v>",
                "input->a1.h2<q>",
                "a0.h1->a1.h2<k>",
                "input->a1.h2<v>",
                "a1.h2->logits",
            ),
            roles={
                "a0.h1": "previous-token head: notes the word one position back",
                "a1.h2": "induction head: finds what followed the current word, and copies it",
            },
            silent=("a0.h0", "a0.h2", "m0", "a1.h0", "a1.h3", "m1"),
            build=_build_induction,
        ),
        KnownAnswer(
            key="induction-mlp",
            title="Induction, then an MLP, by hand (GPT-2, 2 layers x 4 heads, 6 true edges)",
            explanation=(
                "Attention moves information, an MLP computes with it. After “… Anna heavy Tom "
                "clean Anna” this model says “light”: a previous-token head (a0.h2) and an "
                "induction head (a1.h0) find the word that followed “Anna” last time, as in the "
                "model `induction`, but the induction head's output means nothing to the "
                "unembedding. Only the last MLP reads it. It has one ReLU neuron a word, which is "
                "on if that word was found and then writes the word's opposite: m1->logits is the "
                "only way to the prediction. The first MLP is busy too, but writes where nobody "
                "reads."
            ),
            parameters="0.4 M",
            task="opposite",
            graph=Graph(n_layers=2, n_heads=4),
            true_edges=(
                "input->a0.h2<v>",
                "input->a1.h0<q>",
                "a0.h2->a1.h0<k>",
                "input->a1.h0<v>",
                "a1.h0->m1",
                "m1->logits",
            ),
            roles={
                "a0.h2": "previous-token head: notes the name one position back",
                "a1.h0": "induction head: finds what followed the current name",
                "m1": "dictionary: turns the word that was found into its opposite",
            },
            silent=("a0.h0", "a0.h3", "a1.h1", "a1.h2"),
            build=_build_induction_mlp,
        ),
        KnownAnswer(
            key="few-heads",
            title="Few heads at random (GPT-2, 3 layers x 4 heads, 32 true edges)",
            explanation=(
                "Weights drawn at random, then all heads but four and all MLPs silenced: their "
                "output projections are zero. What a silent node reads cannot matter, nor what it "
                "is read for, so its edges score exactly zero; every edge among the input, the "
                "four heads and the logits has some effect, helpful or harmful. The model says "
                "the last word again, since the embeddings are also the unembedding; the heads "
                "add noise to that, which is all they do. Unlike in the other models, a circuit "
                "here is nothing to understand: it is what must be found if scores are right."
            ),
            parameters="0.2 M",
            task="echo",
            graph=_FEW_GRAPH,
            true_edges=_edges_among(_FEW_GRAPH, ("input", *_FEW, "logits")),
            roles={head: "a random head that is not silenced" for head in _FEW},
            silent=tuple(n for n in _FEW_GRAPH.sources if n != "input" and n not in _FEW),
            build=_build_few_heads,
        ),
    )
}


@functools.cache
def fingerprint() -> str:
    """Eight hexadecimal digits that change when the code that builds these models does.

    Stored weights carry it in the name of their folder, so that weights of another version of this
    package are never taken for this one's.
    """
    here = Path(__file__).parent
    words = Path(english.__file__).parent / "words.py"
    digest = hashlib.sha256()
    for file in [*sorted(here.glob("*.py")), words]:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:8]
