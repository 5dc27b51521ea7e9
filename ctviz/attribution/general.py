"""What every edge does for text in general, beside which its score on a task can be seen.

The effect of an edge on general text is how far corrupting it moves what the model says of
ordinary sentences. Of a sentence t, with everything else as it is,

    s_t(u -> v) = log p(t) - log p(t, with u -> v alone at its mean)

is estimated by edge attribution patching (`ctviz.attribution.attribute`) with mean ablation, since
a sentence has no counterfactual, and the log-probability of all its tokens after the first word as
the metric. The effect is its root mean square over sentences, in nats:

    g(u -> v) = sqrt(mean over t of s_t(u -> v)^2)

Not the mean, in which what helps with one sentence and hurts with another would cancel. Half of
g^2 is also, to second order, the KL divergence on such text that corrupting the edge causes, as far
as the sentences are what the model would say itself: the mean of squared derivatives of log p is
its Fisher information. The effect of a node is the same of the sum over its outgoing edges.
"""

from __future__ import annotations

import numpy as np

from ctviz.attribution.attribute import attribute
from ctviz.circuits.choices import Metric
from ctviz.circuits.scores import General, NodeScores, Scores
from ctviz.models.anatomy import Anatomy
from ctviz.models.loading import Loaded
from ctviz.tasks.batch import Batch, encode, fitting
from ctviz.tasks.example import Pair
from ctviz.tasks.neutral import neutral_texts

__all__ = ["general_batch", "general_effect"]

TEXTS = 24
SEED = 1  # retention measures what is forgotten on others, those of seed 0
METRIC: Metric = "log_probability"
AT_ONCE = 8  # texts: each has logits of the whole vocabulary at every token


def general_batch(loaded: Loaded) -> Batch:
    """The sentences, each as its first word and, as its answer, all that follows.

    Raises BadTask if none of them fits the model.
    """
    anatomy, tokenizer = loaded.anatomy, loaded.tokenizer
    pairs = []
    for text in sorted(neutral_texts(TEXTS, seed=SEED), key=len):  # little padding
        word = text.partition(" ")[0]
        pairs.append(Pair(word, word, text.removeprefix(word), ""))
    metric, vocabulary = METRIC, anatomy.vocabulary
    known = fitting(pairs, tokenizer, metric=metric, longest=anatomy.context, vocabulary=vocabulary)
    batch = encode(known.pairs, tokenizer, metric=metric, vocabulary=vocabulary)
    return batch.to(anatomy.device)


def general_effect(anatomy: Anatomy, batch: Batch) -> General:
    """The effect of every edge and node of a model, as it is now, on general text.

    ``batch``: what `general_batch` gives. Raises UndefinedMetric as `attribute` does.
    """
    scores = attribute(anatomy, batch, ablation="mean", metric=METRIC, micro_batch=AT_ONCE)
    return General(_root_mean_square(scores), _root_mean_square(scores.nodes()))


def _root_mean_square(scores: Scores | NodeScores) -> np.ndarray:
    """float32, over examples: from their mean and the standard error of that."""
    assert scores.error is not None
    assert scores.examples is not None
    spread = np.nan_to_num(scores.error.astype(np.float64))  # NaN for a single example
    square = scores.values.astype(np.float64) ** 2 + (scores.examples - 1) * spread**2
    found: np.ndarray = np.sqrt(square).astype(np.float32)
    return found
