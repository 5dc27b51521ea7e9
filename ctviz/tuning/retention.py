"""What tuning did to everything else: general English, neutral prompts, and the other tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ctviz import paths
from ctviz.errors import BadTask
from ctviz.models.loading import Loaded
from ctviz.progress import parts, share
from ctviz.runs.config import TuneConfig
from ctviz.tasks import TASKS, Task
from ctviz.tasks.example import Example
from ctviz.tasks.grading import chance, chosen_rightly, grade
from ctviz.tasks.neutral import neutral_texts
from ctviz.tasks.tokens import Tokens, text_problem
from ctviz.tuning.baselines import Baselines, key_of

__all__ = ["Retention", "Scope"]

T = TypeVar("T")
LARGEST = 700.0  # nats: more is no number
GENERAL = 0.3  # of the time that is not for other tasks
AT_ONCE = 512  # tokens in one run of the model
PADDED = 1.2  # times as many tokens as without padding, at most
FEW = 6  # neutral prompts, at least: two of each kind
LOGITS = 128  # tokens at a time after which the logits of the whole vocabulary are looked at


class _Rows(NamedTuple):
    """Texts of token ids, int64 [text, position], and where they have a token, bool."""

    ids: Tensor
    real: Tensor


class Scope(NamedTuple):
    """What a model can do: whether it reads general English, and the other tasks that it does
    better than by chance, with their examples."""

    english: bool
    others: dict[str, list[Example]]


class Retention:
    """Remembers what the untuned model does, and measures what is left of it.

    The model is asked when something is measured first, or by `prepare`: it has to be the untuned
    one then.

    ``perplexity``: of the general English that ships with ctviz, exp of the mean cross-entropy of
    its tokens, in windows; absent if the untuned model knows that no better than by guessing among
    half of its tokens, as the bundled model does, which has never seen most of the words.
    ``retention_kl``: KL(untuned || model) in nats a token, mean over the tokens of neutral prompts;
    0 at step 0. ``other_accuracy``: mean accuracy on those of the
    config's ``other_tasks`` that the untuned model does better than by chance, as ``other.<task>``
    says for each; absent if there is none. `quick` takes the first neutral prompts, as many as have
    ``quick_tokens`` tokens and `FEW` at least. ``baselines`` may know some of the untuned model's.
    ``scope``: those of another model that decide what is measured, instead of its own.
    """

    def __init__(
        self,
        loaded: Loaded,
        task: Task,
        config: TuneConfig,
        *,
        baselines: Baselines | None = None,
        quick_tokens: float = math.inf,
        scope: Scope | None = None,
    ) -> None:
        self._loaded, self._config = loaded, config
        self._tokens = Tokens(loaded.tokenizer, loaded.anatomy.vocabulary)
        texts = [self._ids(text) for text in neutral_texts(config.retention_prompts)]
        so_far = accumulate(map(len, texts))
        fit = sum(tokens <= quick_tokens for tokens in so_far)
        self.quick_prompts = min(len(texts), max(FEW, fit))
        quick, rest = texts[: self.quick_prompts], texts[self.quick_prompts :]
        self._quick_rows = self._rows(quick)
        self._prompts = self._quick_rows + self._rows(rest)
        self._task, self._baselines = task, baselines
        self._right: dict[str, list[bool]] = {}  # by task: whether the untuned model was right
        self._given = scope

    def of(self, loaded: Loaded) -> Retention:
        """The same for another model of the same kind, which is compared with the untuned one."""
        self.prepare()
        other = copy(self)
        other._loaded = loaded
        return other

    def prepare(self) -> None:
        """Ask the untuned model all that will be compared with; once, and before anything moves."""
        for ask in parts(
            (lambda: self._untuned, lambda: self._reads_english, lambda: self._others)
        ):
            ask()

    @cached_property
    def _untuned(self) -> list[Tensor]:
        return [each for rows in self._prompts for each in self._distributions(rows)]

    @cached_property
    def _reads_english(self) -> bool:
        if self._given is not None:
            return self._given.english
        return self._perplexity_before(thorough=False) < self._loaded.anatomy.vocabulary / 2

    @cached_property
    def _others(self) -> dict[str, list[Example]]:
        """The other tasks that are measured, with their examples."""
        if self._given is not None:
            return self._given.others
        rivals = (self._task.key, *self._task.rivals)
        asked = [key for key in self._config.other_tasks if key not in rivals]
        return {
            key: examples
            for key in parts(asked)
            if (examples := self._readable(key)) and self._above_chance(key, examples)
        }

    @property
    def scope(self) -> Scope:
        """What of the untuned model is worth measuring."""
        return Scope(self._reads_english, self._others)

    @property
    def others(self) -> tuple[str, ...]:
        """The other tasks that are measured."""
        return tuple(self._others)

    def quick(self) -> dict[str, float]:
        """What costs least: the distance from the untuned model, on a part of the prompts."""
        return {"retention_kl": self._divergence(self._quick_rows)}

    def measure(self, *, thorough: bool = False) -> dict[str, float]:
        """The numbers, of the model as it is now; ``thorough``: on more text and more examples."""
        config = self._config
        n = config.retention_test_examples if thorough else config.retention_examples
        with share(0.0, GENERAL):
            found = {"retention_kl": self._divergence(self._prompts)}
            if self._reads_english:
                found["perplexity"] = self.perplexity(thorough)
        with share(GENERAL, 1.0):
            for task, examples in parts(self._others.items()):
                result = grade(self._loaded, TASKS[task], examples[:n])
                found[f"other.{task}"] = result["accuracy"]
        return _with_mean(found)

    def untuned(self) -> dict[str, float]:
        """The thorough numbers of the untuned model, which has not moved yet.

        What it was asked in order to know what to measure is not asked again.
        """
        found = {"retention_kl": 0.0}  # from itself
        with share(0.0, GENERAL):
            if self._reads_english:
                found["perplexity"] = self._perplexity_before(thorough=True)
        with share(GENERAL, 1.0):
            for task, examples in parts(self._others.items()):
                right = self._right_before(task, examples)
                found[f"other.{task}"] = sum(right) / len(right)
        return _with_mean(found)

    def _remembered(self, what: str, key: dict[str, Any], measure: Callable[[], T]) -> T:
        baselines = self._baselines
        return measure() if baselines is None else baselines.remembered(what, key, measure)

    def _perplexity_before(self, *, thorough: bool) -> float:
        key = {"windows": key_of(self._windows_read(thorough))}
        return self._remembered("perplexity", key, lambda: self.perplexity(thorough))

    def _right_before(self, task: str, examples: list[Example]) -> list[bool]:
        """Whether the untuned model is right, of each example; it is asked those that are new."""
        known = self._right.setdefault(task, [])
        if new := examples[len(known) :]:
            key = {"examples": key_of(new)}
            known += self._remembered("right", key, lambda: chosen_rightly(self._loaded, new))
        return known[: len(examples)]

    def _divergence(self, prompts: list[_Rows]) -> float:
        """KL(untuned || model now) on the first neutral prompts, nats a token."""
        total = tokens = 0.0
        untuned = iter(self._untuned)
        for rows in parts(prompts):
            for now in self._distributions(rows):
                before = next(untuned)
                total += float((before.exp() * (before - now)).sum())
                tokens += len(before)
        return total / tokens

    @torch.no_grad()
    def perplexity(self, thorough: bool = True) -> float:
        """Of general English."""
        anatomy, total = self._loaded.anatomy, 0.0
        chosen = self._windows_read(thorough)
        tokens = sum(len(ids) - 1 for ids in chosen)
        for rows in parts(self._rows(chosen)):
            real = rows.real.clone()
            real[:, -1] = False  # nothing follows the last position
            real[:, :-1] &= rows.real[:, 1:]
            follow = rows.ids[:, 1:][rows.real[:, 1:]].split(LOGITS)
            for some, ids in zip(anatomy.hidden(rows.ids)[real].split(LOGITS), follow, strict=True):
                said = anatomy.unembedded(some).float()
                total += float(torch.nn.functional.cross_entropy(said, ids, reduction="sum"))
        return math.exp(min(total / tokens, LARGEST))

    def _windows_read(self, thorough: bool) -> list[list[int]]:
        """The windows whose perplexity is measured, as token ids: all, or enough of them."""
        tokens = 0
        chosen: list[list[int]] = []
        for ids in self._windows:
            if chosen and not thorough and tokens + len(ids) > self._config.retention_tokens:
                break
            chosen.append(ids)
            tokens += len(ids) - 1
        return chosen

    def _ids(self, text: str) -> list[int]:
        """The tokens of a text; raises BadTask if the model has no embedding for one of them."""
        ids = self._tokens.prompt(text)
        if wrong := self._tokens.id_problem(ids, "text"):
            raise BadTask(f"Retention is measured on {text[:80]!r}, but {wrong}.")
        return ids

    def _rows(self, texts: list[list[int]]) -> list[_Rows]:
        """Texts of similar length together, as many as have `AT_ONCE` tokens with the padding."""
        by_length = sorted(texts, key=len)
        found, at = [], 0
        while at < len(by_length):
            n, real_tokens = 0, 0
            for text in by_length[at:]:  # the longest of them decides how wide all are
                real_tokens += len(text)
                wide = (n + 1) * len(text)
                if n and (wide > AT_ONCE or wide > PADDED * real_tokens):
                    break
                n += 1
            some = by_length[at : at + n]
            width = len(some[-1])
            ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in some])
            real = torch.arange(width)[None] < torch.tensor([[len(text)] for text in some])
            device = self._loaded.anatomy.device
            found.append(_Rows(ids.to(device), real.to(device)))
            at += n
        return found

    @cached_property
    def _windows(self) -> list[list[int]]:
        """Passages in windows, as token ids."""
        anatomy = self._loaded.anatomy
        window = self._config.retention_window
        size = min(window, anatomy.context or window)
        text = (paths.data() / "english" / "general.txt").read_text(encoding="utf-8")
        windows = []
        for passage in text.strip().split("\n\n"):
            ids = self._ids(" ".join(passage.split()))
            windows += [ids[at : at + size] for at in range(0, len(ids), size)]
        return [w for w in windows if len(w) > 1]

    def _above_chance(self, key: str, examples: list[Example]) -> bool:
        """Whether the model does a task better than guessing would by two standard errors."""
        quick = examples[: self._config.retention_examples]
        guess = chance(TASKS[key], quick)
        if guess is None:
            return False
        found = self._right_before(key, quick)
        right = sum(found) / len(found)
        return right - 2 * math.sqrt(guess * (1 - guess) / len(quick)) > guess

    def _readable(self, key: str) -> list[Example]:
        """Test examples of a task that fit into the model's context."""
        longest = self._loaded.anatomy.context
        n, seed = self._config.retention_test_examples, self._config.examples_seed
        examples = TASKS[key].examples(n, split="test", seed=seed)
        return [example for example in examples if not text_problem(example, self._tokens, longest)]

    @torch.no_grad()
    def _distributions(self, rows: _Rows) -> Iterator[Tensor]:
        """Log-probabilities of the next token after each token, [token, vocabulary], of some tokens
        at a time."""
        anatomy = self._loaded.anatomy
        for some in anatomy.hidden(rows.ids)[rows.real].split(LOGITS):
            yield anatomy.unembedded(some).float().log_softmax(dim=-1)


def _with_mean(found: dict[str, float]) -> dict[str, float]:
    """The numbers with the mean accuracy on the other tasks, if there are any."""
    accuracies = [value for key, value in found.items() if key.startswith("other.")]
    return found | {"other_accuracy": sum(accuracies) / len(accuracies)} if accuracies else found
