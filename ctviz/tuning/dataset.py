"""What a run works on: a task's examples as tensors that fit one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctviz.circuits.choices import Metric
from ctviz.errors import BadTask
from ctviz.models.loading import Loaded
from ctviz.runs.config import QUICK_PAIRS, TuneConfig
from ctviz.tasks import Example, Pair, Task, find_task
from ctviz.tasks.batch import Batch, encode
from ctviz.tasks.fitting import fitting_examples
from ctviz.tasks.texts import Texts, encode_texts

__all__ = ["Dataset", "make_dataset", "pairs_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Train texts with the pairs that circuits are discovered on; dev examples with theirs.

    ``score_pairs`` score the edges at snapshots (``scored`` are their fingerprints); ``dev_pairs``
    judge the model by its metric, ``graded`` by the task's grade, and those of ``judged_pairs`` the
    circuit that comes of the scores.
    ``pair_row``: for each train example its row in ``train_pairs``, -1 if it has no pair.
    ``metric``: what the config asks for, else the logit difference. ``paired``: whether the task
    has pairs; where it has none, a pair is prompt and target, the metric log_probability, and
    corrupting is mean or zero ablation. ``same``: whether every train
    text is a pair's clean prompt and then its answer, one token, so that one run of the model does
    for both. ``sides``: int64 [example, 3], where the texts have two sides: the position at which a
    pair's answer or its foil comes next, and the two tokens; -1 for one without a pair, and for all
    unless the config has ``debias``. ``left_out`` says why examples of the task were not taken.
    """

    task: Task
    metric: Metric
    paired: bool
    train: Texts
    train_pairs: Batch
    pair_row: tuple[int, ...]
    sides: Tensor
    score_pairs: Batch
    scored: tuple[str, ...]
    graded: tuple[Example, ...]
    dev_pairs: Batch
    judged_pairs: Batch
    probe_pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]
    same: bool

    def tokens_a_step(self, config: TuneConfig) -> float:
        """How many tokens a step trains on, in the mean."""
        return config.batch_size * float((self.train.last + 1).double().mean())

    def pairs_of(self, rows: Sequence[int]) -> Batch | None:
        """The pairs of some train examples, None if they have none."""
        found = [self.pair_row[row] for row in rows if self.pair_row[row] >= 0]
        return self.train_pairs[torch.tensor(found)] if found else None


def make_dataset(loaded: Loaded, config: TuneConfig) -> Dataset:
    """Read or generate the examples of a run; raises BadTask if nothing of them fits the model."""
    task, device = find_task(config.task), loaded.anatomy.device
    asked: Metric = "logit_difference" if config.metric == "auto" else config.metric
    n, seed = config.examples, config.examples_seed
    train, left_out = fitting_examples(
        loaded, task, config.train_examples, "train", config.seed, metric=asked
    )
    dev, _ = fitting_examples(loaded, task, n, "dev", seed, metric=asked)
    graded = dev
    if config.graded_examples:
        wanted = config.graded_examples
        graded, _ = fitting_examples(loaded, task, wanted, "dev", seed, metric=asked)
    paired = any(example.pair for example in train)
    metric = asked if paired else "log_probability"
    if config.metric not in ("auto", metric):
        raise BadTask(
            f"{task.name} has prompts and targets but no pairs, so of the metrics only "
            f"log_probability can be computed on it, not {config.metric}. Leave --metric out."
        )
    if config.debias and not paired:
        raise BadTask(
            f"{task.name} has prompts and targets but no pairs of answer and foil, so there are no "
            "two sides for debias to even out. Leave --debias out, or take a task with pairs."
        )
    _check_ablation(config, task, train)
    pairs: list[Pair] = []
    rows = []
    for example in train:
        pair = _pair(example, paired=paired)
        rows.append(len(pairs) if pair else -1)
        pairs += [pair] if pair else []
    dev_pairs = pairs_of(dev, paired=paired)
    if not dev_pairs:
        raise BadTask(f"None of the {len(dev)} dev examples of {task.name} has a pair.")
    split = config.scored_on
    scored, _ = fitting_examples(loaded, task, n, split, seed, metric=asked)
    score_pairs = pairs_of(scored, paired=paired)
    if not score_pairs:
        raise BadTask(f"None of the {len(scored)} {split} examples of {task.name} has a pair.")
    tokenizer, vocabulary = loaded.tokenizer, loaded.anatomy.vocabulary
    longest = loaded.anatomy.context
    texts = encode_texts(train, tokenizer, longest=longest, vocabulary=vocabulary)
    train_pairs = encode(pairs, tokenizer, metric=metric, vocabulary=vocabulary)
    score_batch = encode(score_pairs, tokenizer, metric=metric, vocabulary=vocabulary)
    dev_batch = encode(dev_pairs, tokenizer, metric=metric, vocabulary=vocabulary)
    sides = torch.full((len(texts), 3), -1)
    if config.debias:
        sided = encode(pairs, tokenizer, vocabulary=vocabulary)
        sides = _sides(texts, sided, rows, task.name)
    judged = dev_batch[:QUICK_PAIRS] if config.evaluate == "quick" else dev_batch
    return Dataset(
        task=task,
        metric=metric,
        paired=paired,
        train=texts.to(device),
        train_pairs=train_pairs.to(device),
        pair_row=tuple(rows),
        sides=sides.to(device),
        score_pairs=score_batch.to(device),
        scored=tuple(pair.fingerprint for pair in score_pairs),
        graded=tuple(graded),
        dev_pairs=dev_batch.to(device),
        judged_pairs=judged.to(device),
        probe_pairs=_two_kinds(dev_pairs) if paired else (),
        left_out=tuple(left_out),
        same=_same(texts, train_pairs),
    )


def _sides(texts: Texts, pairs: Batch, rows: Sequence[int], name: str) -> Tensor:
    """`Dataset.sides` of some pairs; raises BadTask for a text that begins otherwise than its pair.

    ``rows``: for each text its row in the pairs, or -1.
    """
    found = torch.full((len(texts), 3), -1)
    for text, row in enumerate(rows):
        if row < 0:
            continue
        at = int(pairs.last[row])
        if texts.ids[text, : at + 1].tolist() != pairs.clean[row, : at + 1].tolist():
            raise BadTask(
                f"Train example {text} of {name} does not begin with the clean prompt of its pair, "
                "so its two sides cannot be read off the same run. Leave --debias out."
            )
        found[text] = torch.tensor([at, int(pairs.answer[row, -1]), int(pairs.foil[row])])
    return found


def _same(texts: Texts, pairs: Batch) -> bool:
    """Whether each text is the clean prompt of the pair in its row and then one answer token."""
    if len(texts) != len(pairs) or bool((texts.begin != texts.last).any()):
        return False
    prompts = zip(texts.ids.tolist(), pairs.clean.tolist(), texts.last.tolist(), strict=True)
    answers = texts.ids[torch.arange(len(texts)), texts.last]
    return (
        torch.equal(texts.last, pairs.last + 1)
        and torch.equal(answers, pairs.answer[:, -1])
        and all(text[:n] == prompt[:n] for text, prompt, n in prompts)
    )


def _pair(example: Example, *, paired: bool) -> Pair | None:
    """Its pair; for a task without any, its prompt and its target."""
    return example.pair if paired else Pair(example.prompt, example.prompt, example.target, "")


def pairs_of(examples: Sequence[Example], *, paired: bool) -> list[Pair]:
    """The pairs of examples; where a task has none, their prompts and targets as such."""
    return [pair for pair in (_pair(e, paired=paired) for e in examples) if pair]


def _check_ablation(config: TuneConfig, task: Task, examples: Sequence[Example]) -> None:
    if config.ablation != "counterfactual":
        return
    if all(e.pair is None or e.pair.clean == e.pair.corrupt for e in examples):
        raise BadTask(
            f"{task.name} has no counterfactual prompts, so corrupting with them would change "
            "nothing. Use mean or zero ablation (--ablation mean)."
        )


def _two_kinds(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The first pair and the first one with another answer: they show the task from both sides."""
    others = [pair for pair in pairs if pair.answer != pairs[0].answer]
    return (pairs[0], *others[:1])
