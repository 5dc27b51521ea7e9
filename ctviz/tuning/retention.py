"""What tuning did to everything else: general English, neutral prompts, and the other tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from ctviz import paths
from ctviz.errors import BadTask
from ctviz.models.loading import Loaded
from ctviz.runs.config import TuneConfig
from ctviz.tasks import TASKS, Task
from ctviz.tasks.example import Example
from ctviz.tasks.grading import chance, grade
from ctviz.tasks.neutral import neutral_texts
from ctviz.tasks.tokens import Tokens, text_problem

__all__ = ["Retention"]

LARGEST = 700.0  # nats: more is no number


class Retention:
    """Remembers what the untuned model does, and measures what is left of it.

    ``perplexity``: of the general English that ships with ctviz, exp of the mean cross-entropy of
    its tokens, in windows; absent if the untuned model knows that no better than by guessing among
    half of its tokens, as the bundled model does, which has never seen most of the words.
    ``retention_kl``: KL(untuned || model) in nats a token, mean over the tokens of neutral prompts;
    0 at step 0. ``other_accuracy``: mean accuracy on those of the
    config's ``other_tasks`` that the untuned model does better than by chance, as ``other.<task>``
    says for each; absent if there is none. ``others`` are these tasks, where they are known
    already.
    """

    def __init__(
        self,
        loaded: Loaded,
        task: Task,
        config: TuneConfig,
        *,
        others: Sequence[str] | None = None,
    ) -> None:
        self._loaded, self._config = loaded, config
        self._tokens = Tokens(loaded.tokenizer, loaded.anatomy.vocabulary)
        self._prompts = [
            torch.tensor([self._ids(text)], device=loaded.anatomy.device)
            for text in neutral_texts(config.retention_prompts)
        ]
        self._untuned = [self._distribution(ids) for ids in self._prompts]
        self._reads_english = self.perplexity(thorough=False) < loaded.anatomy.vocabulary / 2
        asked = [key for key in config.other_tasks if key != task.key and key not in task.rivals]
        self._others = {
            key: examples
            for key in (asked if others is None else others)
            if (examples := self._readable(key))
            and (others is not None or self._above_chance(key, examples))
        }

    @property
    def others(self) -> tuple[str, ...]:
        """The other tasks that are measured."""
        return tuple(self._others)

    def measure(self, *, thorough: bool = False) -> dict[str, float]:
        """The numbers, of the model as it is now; ``thorough``: on more text and more examples."""
        config = self._config
        n = config.retention_test_examples if thorough else config.retention_examples
        found = {"retention_kl": self.divergence()}
        if self._reads_english:
            found["perplexity"] = self.perplexity(thorough)
        for task, examples in self._others.items():
            result = grade(self._loaded, TASKS[task], examples[:n])
            found[f"other.{task}"] = result["accuracy"]
        accuracies = [value for key, value in found.items() if key.startswith("other.")]
        if accuracies:
            found["other_accuracy"] = sum(accuracies) / len(accuracies)
        return found

    def divergence(self) -> float:
        """KL(untuned || model now) on neutral prompts, nats a token."""
        total = tokens = 0.0
        for ids, before in zip(self._prompts, self._untuned, strict=True):
            now = self._distribution(ids)
            total += float((before.exp() * (before - now)).sum())
            tokens += ids.shape[1]
        return total / tokens

    @torch.no_grad()
    def perplexity(self, thorough: bool = True) -> float:
        """Of general English."""
        anatomy, total, tokens = self._loaded.anatomy, 0.0, 0
        enough = self._config.retention_tokens
        for ids in self._windows:
            if tokens and not thorough and tokens + ids.shape[1] > enough:
                break
            logits = anatomy.logits_at(anatomy.hidden(ids), self._places(ids))[0].float()
            total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
            tokens += ids.shape[1] - 1
        return math.exp(min(total / tokens, LARGEST))

    def _ids(self, text: str) -> list[int]:
        """The tokens of a text; raises BadTask if the model has no embedding for one of them."""
        ids = self._tokens.prompt(text)
        if wrong := self._tokens.id_problem(ids, "text"):
            raise BadTask(f"Retention is measured on {text[:80]!r}, but {wrong}.")
        return ids

    def _places(self, ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1] - 1, device=ids.device)[None]

    @cached_property
    def _windows(self) -> list[Tensor]:
        """Passages in windows, each int64 [1, position]."""
        anatomy = self._loaded.anatomy
        window = self._config.retention_window
        size = min(window, anatomy.context or window)
        text = (paths.data() / "english" / "general.txt").read_text(encoding="utf-8")
        windows = []
        for passage in text.strip().split("\n\n"):
            ids = self._ids(" ".join(passage.split()))
            windows += [ids[at : at + size] for at in range(0, len(ids), size)]
        return [torch.tensor([w], device=anatomy.device) for w in windows if len(w) > 1]

    def _above_chance(self, key: str, examples: list[Example]) -> bool:
        """Whether the model does a task better than guessing would by two standard errors."""
        quick = examples[: self._config.retention_examples]
        guess = chance(TASKS[key], quick)
        if guess is None:
            return False
        right = grade(self._loaded, TASKS[key], quick)["accuracy"]
        return right - 2 * math.sqrt(guess * (1 - guess) / len(quick)) > guess

    def _readable(self, key: str) -> list[Example]:
        """Test examples of a task that fit into the model's context."""
        longest = self._loaded.anatomy.context
        n, seed = self._config.retention_test_examples, self._config.examples_seed
        examples = TASKS[key].examples(n, split="test", seed=seed)
        return [example for example in examples if not text_problem(example, self._tokens, longest)]

    @torch.no_grad()
    def _distribution(self, ids: Tensor) -> Tensor:
        anatomy = self._loaded.anatomy
        places_ = torch.arange(ids.shape[1], device=ids.device)[None]
        return anatomy.logits_at(anatomy.hidden(ids), places_)[0].float().log_softmax(dim=-1)
