"""A prompt as one model's tokens, with what should come next and what should not."""

from __future__ import annotations

from dataclasses import dataclass

from ctviz.errors import BadTask
from ctviz.models.loading import Loaded
from ctviz.tasks import Pair
from ctviz.tasks.batch import problem
from ctviz.tasks.tokens import Tokens

__all__ = ["LONGEST", "Prompt", "own_prompt", "pair_prompt"]

LONGEST = 2048  # tokens: attention patterns take the square of it


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of a prompt, and as text in ``tokens``.

    ``answer`` and ``foil`` are ids that are compared after its last token; None where none was
    given. ``corrupt``: ids of its counterfactual, of the same number; None without one.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    answer: int | None = None
    foil: int | None = None
    corrupt: tuple[int, ...] | None = None


def own_prompt(loaded: Loaded, text: str, *, answer: str = "", foil: str = "") -> Prompt:
    """Any text as a prompt. Raises BadTask if it cannot be run, saying why.

    With an answer and a foil they are compared at the first token in which they differ, and what
    they begin with alike is put at the end of the prompt; an answer alone is its first token.
    """
    tokens = Tokens(loaded.tokenizer)
    ids = tokens.prompt(text) if text else []
    if not ids:
        raise BadTask("The prompt is empty: type some text.")
    if foil and not answer:
        raise BadTask("There is a foil but no answer to compare it with: give an answer as well.")
    if answer and foil:
        _check_length(loaded, ids)
        return pair_prompt(loaded, Pair(text, text, answer, foil))
    said = tokens.continuation(answer) if answer else []
    if answer and not said:
        raise BadTask(f"The answer {answer!r} has no tokens.")
    return _prompt(loaded, ids, said[0] if said else None, None, None)


def pair_prompt(loaded: Loaded, pair: Pair) -> Prompt:
    """A pair's clean prompt; raises BadTask if the tokenizer cannot make a pair of it."""
    parts = Tokens(loaded.tokenizer).cut(pair)
    if reason := problem(parts, "logit_difference"):
        raise BadTask(f"{pair.clean[:80]!r}: {reason}.")
    corrupt = None if pair.clean == pair.corrupt else parts.corrupt + parts.shared
    return _prompt(loaded, parts.clean + parts.shared, parts.answer[0], parts.foil[0], corrupt)


def _prompt(
    loaded: Loaded, ids: list[int], answer: int | None, foil: int | None, corrupt: list[int] | None
) -> Prompt:
    _check_length(loaded, ids)
    texts = tuple(str(loaded.tokenizer.decode([token])) for token in ids)
    return Prompt(tuple(ids), texts, answer, foil, None if corrupt is None else tuple(corrupt))


def _check_length(loaded: Loaded, ids: list[int]) -> None:
    reads = loaded.anatomy.context
    most = min(LONGEST, reads or LONGEST)
    if len(ids) <= most:
        return
    who = "the model reads" if most == reads else "inspection takes"
    raise BadTask(
        f"The prompt has {len(ids):,} tokens, but {who} at most {most:,}: {len(ids) - most:,} too "
        "many. Shorten it."
    )
