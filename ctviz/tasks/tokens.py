"""How a model's tokenizer cuts prompts, answers and foils, and what it cannot use. Without torch:
`ctviz.tasks.batch` and `ctviz.tasks.texts` make tensors of what is cut here.

A prompt and what follows it are cut as one text. The prompt's tokens are those of the prompt alone,
without what the tokenizer puts after every text (an end of text, say); the tokens of an answer are
those that prompt and answer together have after them. Where the tokens of both together do not
begin with those of the prompt, there is no boundary between the two, and the example is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ctviz.circuits.choices import Metric
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files.rows import counted
from ctviz.tasks.spacing import takes_space
from ctviz.tasks.token_text import Decoder, token_text

__all__ = ["Cut", "Tokenizer", "Tokens", "pair_problem", "prompt_notes", "text_problem"]

SHOWN = 4  # tokens that a message names
PROBES = ("a", "The", "1")  # texts that show what a tokenizer puts around a text


class Tokenizer(Decoder, Protocol):
    """What is needed of a tokenizer; Hugging Face's tokenizers are called like this too."""

    @property
    def eos_token(self) -> Any:
        """The text of the token that ends a text; None if there is none."""
        ...

    @property
    def unk_token_id(self) -> Any:
        """The id that stands for all that has no token; None if there is none."""
        ...

    def __call__(self, text: Any, /, *, add_special_tokens: bool, verbose: bool) -> Any:
        """The ids of a text, as ``["input_ids"]``; ``verbose``: warn if there are many."""
        ...


@dataclass(frozen=True, slots=True)
class Cut:
    """A pair as token ids.

    ``shared`` are the first tokens that answer and foil have in common; they count to the prompt.
    ``answer`` and ``foil`` are what is left of both. ``wrong`` says why prompts and answer cannot
    be divided or have no place in the model, ``foil_wrong`` the same of the foil; empty if they
    can, and what cannot has no tokens here.
    """

    clean: list[int]
    corrupt: list[int]
    shared: list[int]
    answer: list[int]
    foil: list[int]
    wrong: str = ""
    foil_wrong: str = ""


class Tokens:
    """A tokenizer that remembers what it has cut.

    ``vocabulary``: the number of tokens for which the model has an embedding, None if that is not
    known.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary
        self._known: dict[tuple[str, bool], list[int]] = {}
        self._frame: tuple[int, int] | None = None

    def prompt(self, text: str) -> list[int]:
        """The ids of a prompt, with what the tokenizer puts in front of every text."""
        whole = self._ids(text, special=True)
        return whole[: len(whole) - self._around(text)[1]]

    def words(self, text: str) -> list[int]:
        """The ids of a prompt, without what the tokenizer puts in front of every text."""
        return self.prompt(text)[self._around(text)[0] :]

    def continuation(self, prompt: str, text: str) -> list[int]:
        """The ids of what comes after a prompt; none where they cannot be divided."""
        before, whole = self.prompt(prompt), self.prompt(prompt + text)
        return whole[len(before) :] if whole[: len(before)] == before else []

    def continuation_problem(self, prompt: str, text: str, what: str) -> str:
        """Why a text cannot be used after a prompt; empty if it can. ``what`` is its name.

        It has to have tokens of its own, each with an embedding, and none that stands for whatever
        the tokenizer does not know.
        """
        if wrong := self._boundary_problem(prompt, text, what):
            return wrong
        ids = self.continuation(prompt, text)
        if not ids:
            return f"the {what} has no tokens"
        if self.unknown(ids, text):
            return (
                f"the {what} has something that this tokenizer does not know, so it is read as "
                f"{self.text(self.tokenizer.unk_token_id)!r}, like whatever else it does not know. "
                "Use words that it knows"
            )
        return self.id_problem(ids, what)

    def _boundary_problem(self, prompt: str, text: str, what: str) -> str:
        """Why a text has no tokens of its own after a prompt; empty if it has."""
        before, whole = self.prompt(prompt), self.prompt(prompt + text)
        if whole[: len(before)] == before:
            return ""
        pairs = zip(before, whole, strict=False)
        at = next((i for i, (b, w) in enumerate(pairs) if b != w), min(len(before), len(whole)))
        if prompt[-1:].isspace() and not text[:1].isspace():
            help_ = f"End the prompt without a space, and begin the {what} with it"
        elif prompt and text and takes_space(prompt, text):
            help_ = f"Begin the {what} with a space, or with a whole word at another place"
        else:
            help_ = "Divide the text at another place"
        return (
            f"the {what} changes the tokens of its prompt: {self._listed(before[at:])} at the "
            f"prompt's end becomes {self._listed(whole[at:])} where the {what} follows. {help_}"
        )

    def id_problem(self, ids: Sequence[int], what: str) -> str:
        """Which token the model has no embedding for; empty if it has one for each."""
        most = self.vocabulary
        if most is None:
            return ""
        outside = next((i for i in ids if i >= most), None)
        if outside is None:
            return ""
        return (
            f"the {what} has the token {self.text(outside)!r} with the id {outside:,}, but the "
            f"model has embeddings for the ids 0 to {most - 1:,} only. Leave it out, or use the "
            "tokenizer that the model was trained with"
        )

    def unknown(self, ids: Sequence[int], text: str) -> bool:
        """Whether the tokenizer does not know a part of a text that it reads as these ids."""
        unknown = self.tokenizer.unk_token_id
        return unknown is not None and unknown in ids and self.text(unknown) not in text

    def doubled(self, text: str) -> str:
        """The special token with which a prompt begins twice, as its text begins with the one that
        the tokenizer puts in front by itself; empty if there is none."""
        front, ids = self._around(text)[0], self.prompt(text)
        twice = 0 < front < len(ids) and ids[front - 1] == ids[front]
        return self.text(ids[front]) if twice else ""

    def cut(self, pair: Pair) -> Cut:
        """The ids of a pair, divided where answer and foil part."""
        clean, corrupt = self.prompt(pair.clean), self.prompt(pair.corrupt)
        wrong = self.id_problem(clean, "prompt") or self.id_problem(corrupt, "counterfactual")
        if clean == corrupt and pair.clean != pair.corrupt:
            wrong = "the prompt and its counterfactual are the same tokens"
        wrong = wrong or self._pair_problem(pair, pair.answer, "answer")
        foil_wrong = self._pair_problem(pair, pair.foil, "foil")
        answer = [] if wrong else self.continuation(pair.clean, pair.answer)
        foil = [] if foil_wrong else self.continuation(pair.clean, pair.foil)
        both = zip(answer, foil, strict=False)
        alike = next((at for at, (a, f) in enumerate(both) if a != f), min(len(answer), len(foil)))
        return Cut(
            clean=clean,
            corrupt=corrupt,
            shared=answer[:alike],
            answer=answer[alike:],
            foil=foil[alike:],
            wrong=wrong,
            foil_wrong=foil_wrong,
        )

    def text(self, token: int) -> str:
        """One token as text."""
        return token_text(self.tokenizer, token)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        key = (text, special)
        if key not in self._known:
            found = self.tokenizer(text, add_special_tokens=special, verbose=False)
            self._known[key] = list(found["input_ids"])
        return self._known[key]

    def _around(self, text: str) -> tuple[int, int]:
        """How many tokens the tokenizer puts in front of a text and after it."""
        if self._frame is None:
            for probe in (*PROBES, text):
                whole, bare = self._ids(probe, special=True), self._ids(probe, special=False)
                for front in range(len(whole) - len(bare), -1, -1) if bare else ():
                    if whole[front : front + len(bare)] == bare:
                        self._frame = front, len(whole) - len(bare) - front
                        return self._frame
            return 0, 0
        return self._frame

    def _pair_problem(self, pair: Pair, text: str, what: str) -> str:
        for prompt in (pair.clean, pair.corrupt):
            if wrong := self.continuation_problem(prompt, text, what):
                return wrong
        said, other = (self.continuation(each, text) for each in (pair.clean, pair.corrupt))
        if said == other:
            return ""
        return (
            f"the {what} has the tokens {self._listed(said)} after the prompt, but "
            f"{self._listed(other)} after its counterfactual"
        )

    def _listed(self, ids: Sequence[int]) -> str:
        names = "|".join(self.text(each) for each in ids[:SHOWN])
        return repr(names + ("|…" if len(ids) > SHOWN else ""))


def pair_problem(
    parts: Cut, *, metric: Metric = "logit_difference", longest: int | None = None
) -> str:
    """Why a pair cannot be used, whatever the lengths of its prompts; empty if it can.

    ``longest`` is the number of tokens that the model reads, None if that is not bounded. For the
    metric ``log_probability`` the foil is not looked at.
    """
    if not parts.clean:
        return "clean has no tokens"
    if parts.wrong:
        return parts.wrong
    answer = parts.shared + parts.answer
    length = max(len(parts.clean), len(parts.corrupt)) + len(answer) - 1
    if metric != "log_probability":
        if parts.foil_wrong:
            return parts.foil_wrong
        if not parts.answer and not parts.foil:
            return "answer and foil are the same tokens"
        if not parts.answer or not parts.foil:
            one, other = ("foil", "answer") if parts.answer else ("answer", "foil")
            return f"the {one}'s tokens are the beginning of the {other}'s: they differ in none"
        length -= len(parts.answer) - 1
    if longest is not None and length > longest:
        return f"the prompt has {length:,} tokens, but the model reads at most {longest:,}"
    return ""


def text_problem(example: Example, tokens: Tokens, longest: int | None = None) -> str:
    """Why an example cannot be trained or judged on; empty if it can.

    What counts is the prompt with its target, and with each of its choices. ``longest`` is as for
    `pair_problem`.
    """
    prompt = tokens.prompt(example.prompt)
    if not prompt:
        return "the prompt has no tokens"
    if wrong := tokens.id_problem(prompt, "prompt"):
        return wrong
    said = 0
    for what, text in (("target", example.target), *(("choice", each) for each in example.choices)):
        if wrong := tokens.continuation_problem(example.prompt, text, what):
            return wrong
        said = max(said, len(tokens.continuation(example.prompt, text)))
    length = len(prompt) + said
    if longest is not None and length > longest:
        return f"prompt and target have {length:,} tokens, but the model reads at most {longest:,}"
    return ""


def prompt_notes(tokens: Tokens, prompts: Iterable[str]) -> Iterator[str]:
    """What is to be said of prompts: that some begin twice with the token that begins a text, and
    that some have what the tokenizer does not know."""
    prompts = tuple(prompts)
    twice = [token for prompt in prompts if (token := tokens.doubled(prompt))]
    if twice:
        yield (
            f"{counted(len(twice), 'prompt begins', 'prompts begin')} with {twice[0]} twice: this "
            "tokenizer puts it in front of every text by itself. Leave it out of the text, or the "
            "model reads both."
        )
    unknown = [prompt for prompt in prompts if tokens.unknown(tokens.words(prompt), prompt)]
    if unknown:
        yield (
            f"{counted(len(unknown), 'prompt has', 'prompts have')} something that this tokenizer "
            f"does not know and reads as {tokens.text(tokens.tokenizer.unk_token_id)!r}, such as "
            f"{unknown[0][:80]!r}: the model sees no more of it."
        )
