"""A prompt as one model's tokens, with what should come next and what should not."""

from __future__ import annotations

from dataclasses import replace

from ctviz.errors import BadTask
from ctviz.inspection.answers import Prompt
from ctviz.models.loading import Loaded
from ctviz.tasks import Pair
from ctviz.tasks.batch import problem
from ctviz.tasks.spacing import takes_space
from ctviz.tasks.token_text import token_text
from ctviz.tasks.tokens import Tokens, prompt_notes

__all__ = ["LONGEST", "own_prompt", "pair_prompt"]

LONGEST = 2048  # tokens: attention patterns take the square of it
LISTED = 4  # tokens of an answer that a note names


def own_prompt(
    loaded: Loaded, text: str, *, answer: str = "", foil: str = "", corrupt: str = ""
) -> Prompt:
    """Any text as a prompt. Raises BadTask if it cannot be run, saying why.

    With an answer and a foil they are compared at the first token in which they differ, and what
    they begin with alike is put at the end of the prompt; an answer alone is its first token. A
    space is put in front of an answer or foil where that makes one token of several, unless the
    prompt ends in one or the script has none. ``corrupt``: its counterfactual, of as many tokens.
    """
    tokens = _tokens(loaded)
    ids = tokens.prompt(text) if text else []
    if not ids:
        raise BadTask("The prompt is empty: type some text.")
    if foil and not answer:
        raise BadTask("There is a foil but no answer to compare it with: give an answer as well.")
    if wrong := tokens.id_problem(ids, "prompt"):
        raise BadTask(f"{text[:80]!r}: {wrong}.")
    other = _counterfactual(tokens, ids, corrupt) if corrupt else None
    typed = {"answer": answer, "foil": foil}
    answer, foil = _spaced(tokens, text, answer, foil)
    notes = list(prompt_notes(tokens, [text]))
    for name, read in (("answer", answer), ("foil", foil)):
        if read != typed[name]:
            notes.append(f"The {name} is read as {read!r}, with the space in front.")
        elif read and takes_space(text, read):
            notes.append(
                f"The {name} goes on where the prompt ends, {f'{text[-12:]}{read[:20]}'!r}: type "
                "a space in front of it if a word of its own is meant."
            )
    if answer and foil:
        _check_length(loaded, ids)
        pair = Pair(text, corrupt or text, answer, foil)
        parts = tokens.cut(pair)
        notes += [
            _several(tokens, said, cut, whole=not parts.shared)
            for said, cut in ((answer, parts.answer), (foil, parts.foil))
            if len(cut) > 1
        ]
        return replace(pair_prompt(loaded, pair), notes=tuple(notes))
    if answer and (wrong := tokens.continuation_problem(text, answer, "answer")):
        raise BadTask(f"{text[:80]!r}: {wrong}.")
    said = tokens.continuation(text, answer)
    if len(said) > 1:
        notes.append(_several(tokens, answer, said, whole=True))
    made = _prompt(loaded, ids, said[0] if said else None, None, other)
    return replace(made, notes=tuple(notes))


def _counterfactual(tokens: Tokens, ids: list[int], text: str) -> list[int]:
    """The tokens of a prompt's counterfactual; raises BadTask if it cannot be one."""
    other = tokens.prompt(text)
    if wrong := tokens.id_problem(other, "counterfactual"):
        raise BadTask(f"{text[:80]!r}: {wrong}.")
    if len(other) != len(ids):
        raise BadTask(
            f"The prompt has {len(ids):,} tokens and the counterfactual {len(other):,}: they must "
            "have as many, since each position takes what is at the same place of the other."
        )
    if other == ids:
        raise BadTask("The counterfactual is the prompt itself: change the words that decide.")
    return other


def _tokens(loaded: Loaded) -> Tokens:
    return Tokens(loaded.tokenizer, loaded.anatomy.vocabulary)


def _spaced(tokens: Tokens, prompt: str, *texts: str) -> tuple[str, ...]:
    """The texts, with a space in front if that makes one token of several of any of them.

    Then all that are one token with a space have it, so that like is compared with like.
    """
    one = [
        bool(text)
        and takes_space(prompt, text)
        and len(tokens.continuation(prompt, f" {text}")) == 1
        for text in texts
    ]
    cut = [
        is_one and len(tokens.continuation(prompt, text)) != 1
        for text, is_one in zip(texts, one, strict=True)
    ]
    if not any(cut):
        return texts
    return tuple(f" {text}" if is_one else text for text, is_one in zip(texts, one, strict=True))


def _several(tokens: Tokens, text: str, ids: list[int], *, whole: bool) -> str:
    """That only the first of several tokens is compared; ``whole``: they are all of the text."""
    names = [repr(tokens.text(token)) for token in ids[:LISTED]]
    listed = ", ".join(names) + (" …" if len(ids) > LISTED else "")
    if len(ids) <= LISTED:
        listed = " and ".join((", ".join(names[:-1]), names[-1]))
    short = text if len(text) <= 40 else f"{text[:39]}…"
    of = "is read as" if whole else "goes on, where answer and foil part, with"
    return f"{short!r} {of} {len(ids):,} tokens, {listed}; only the first is compared."


def pair_prompt(loaded: Loaded, pair: Pair) -> Prompt:
    """A pair's clean prompt; raises BadTask if the tokenizer cannot make a pair of it."""
    parts = _tokens(loaded).cut(pair)
    if reason := problem(parts, "logit_difference"):
        raise BadTask(f"{pair.clean[:80]!r}: {reason}.")
    corrupt = None if pair.clean == pair.corrupt else parts.corrupt + parts.shared
    return _prompt(loaded, parts.clean + parts.shared, parts.answer[0], parts.foil[0], corrupt)


def _prompt(
    loaded: Loaded, ids: list[int], answer: int | None, foil: int | None, corrupt: list[int] | None
) -> Prompt:
    _check_length(loaded, ids)
    texts = tuple(token_text(loaded.tokenizer, token) for token in ids)
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
