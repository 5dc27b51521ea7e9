"""WinoBias: sentences with two occupations and a pronoun (Zhao et al. 2018, arXiv 1804.06876).

Two forms of a line are read: a JSON object with the sentence, and the original text, which has the
occupation that the pronoun refers to, and the pronoun, in brackets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ctviz.tasks.example import Example, Pair
from ctviz.tasks.files.parsing import first_line, json_record, lines_of, read_each, text_in
from ctviz.tasks.files.rows import BadLine, Document, Parsed, Problem, counted

__all__ = ["FORMAT", "partner_name"]

# The forms that each pronoun has for the other gender; the first one unless more is known.
_OTHERS: Final[dict[str, tuple[str, ...]]] = {
    "she": ("he",),
    "he": ("she",),
    "her": ("him", "his"),
    "him": ("her",),
    "his": ("her", "hers"),
    "hers": ("his",),
    "herself": ("himself",),
    "himself": ("herself",),
}
_FEMALE: Final = ("she", "her", "hers", "herself")
_STEREOTYPES: Final = ("pro", "anti")
_UNKNOWN: Final = (
    "nothing says whether the pronoun is the stereotypical one: neither a field stereotype (pro or "
    "anti) nor the word pro or anti in the file's name"
)
_BRACKETS: Final = re.compile(r"\[([^][]*)\]")
_NUMBERED: Final = re.compile(r"^\s*\d+[.)]?\s+")
_ARTICLE: Final = re.compile(r"^(?:the|an?)\s+", re.IGNORECASE)
_IN_NAME: Final = re.compile(r"(?<![a-z])(pro|anti)(?![a-z])", re.IGNORECASE)
# Where "her" stands for "him": after verbs that take a person, and in front of words that do not
# begin with a possession.
_BEFORE_HIM: Final = frozenset(
    (
        *("give", "gave", "gives", "giving", "offer", "offered", "wish", "wished", "tell", "told"),
        *("ask", "asked", "sell", "sold", "lend", "lent", "pay", "paid", "show", "showed", "send"),
        *("sent", "hand", "handed", "buy", "bought", "bring", "brought", "teach", "taught", "make"),
        *("made", "help", "helped", "let", "thank", "thanked"),
    )
)
_AFTER_HIM: Final = frozenset(
    (
        *("a", "an", "the", "this", "that", "these", "those", "some", "any", "all", "no", "every"),
        *("one", "many", "several", "to", "of", "in", "on", "at", "for", "with", "about", "from"),
        *("by", "as", "into", "onto", "over", "under", "after", "before", "during", "out", "up"),
        *("down", "off", "away", "back", "through", "without", "and", "or", "but", "because", "so"),
        *("if", "when", "while", "where", "what", "which", "who", "why", "how", "whether", "again"),
        *("not", "never", "always", "too", "also", "there", "here", "home", "today", "tomorrow"),
        *("yesterday", "once", "twice", "more", "less", "well", "instead", "it", "something"),
        *("anything", "everything", "nothing", "anywhere", "somewhere"),
    )
)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence up to its pronoun, and what is said about it.

    ``occupation`` is what the pronoun refers to, ``participant`` the other one, both without
    article; "" if it is not known. ``after`` is the text after the pronoun. ``stereotype`` is "pro"
    or "anti", "" if the line does not say it.
    """

    before: str
    pronoun: str
    after: str
    occupation: str
    participant: str
    stereotype: str


def _recognizes(text: str) -> bool:
    """Whether the first line that is not empty has WinoBias's fields or a pronoun in brackets."""
    first = first_line(text)
    if first.lstrip().startswith("{"):
        return all(f'"{field}"' in first for field in ("occupation", "pronoun"))
    inside = [part.strip().lower() for part in _BRACKETS.findall(first)]
    return len(inside) > 1 and any(part in _OTHERS for part in inside)


def _noun(phrase: str) -> str:
    """An occupation without its article: "the designer" -> "designer"."""
    return _ARTICLE.sub("", " ".join(phrase.split()))


def _tidy(text: str) -> str:
    """Single spaces, and none in front of "'s" and punctuation."""
    return re.sub(r" (?=['’]s\b|[.,;:!?])", "", re.sub(r"\s+", " ", text))


def _of_brackets(text: str) -> _Sentence:
    """The parts of the original form; raises BadLine with what is wrong."""
    marks = list(_BRACKETS.finditer(text))
    if len(marks) < 2:
        raise BadLine(
            "there must be two parts in brackets, an occupation and a pronoun, as in "
            "“[The nurse] was late because [she] slept.”"
        )
    pronoun = next((m for m in marks if m[1].strip().lower() in _OTHERS), None)
    if pronoun is None:
        raise BadLine(f"no part in brackets is a pronoun ({', '.join(_OTHERS)})")
    if pronoun is marks[0]:
        raise BadLine("the pronoun in brackets stands in front of the occupation")
    plain = _NUMBERED.sub("", text[: pronoun.start()])
    return _Sentence(
        before=_tidy(_BRACKETS.sub(r"\1", plain)).strip(),
        pronoun=pronoun[1].strip().lower(),
        after=_tidy(_BRACKETS.sub(r"\1", text[pronoun.end() :])).strip(),
        occupation=_noun(marks[0][1]),
        participant="",
        stereotype="",
    )


def _of_fields(line: str) -> _Sentence:
    """The parts of a JSON line; raises BadLine with what is wrong."""
    record = json_record(line, having="a sentence")
    participant, stereotype = _noun(text_in(record, "participant")), text_in(record, "stereotype")
    if stereotype and stereotype not in _STEREOTYPES:
        raise BadLine(f'"stereotype" is {stereotype!r}, but must be "pro" or "anti"')
    if _BRACKETS.search(original := text_in(record, "orig_sentence")):
        found = _of_brackets(original)
    else:
        found = _around_pronoun(record)
    return _Sentence(
        found.before, found.pronoun, found.after, found.occupation, participant, stereotype
    )


def _around_pronoun(record: dict[str, Any]) -> _Sentence:
    """The sentence of a record, cut at the first place of its pronoun after the occupation."""
    fields = {field: text_in(record, field) for field in ("sentence", "pronoun", "occupation")}
    for field, value in fields.items():
        if not value:
            raise BadLine(f'there is no "{field}"')
    sentence, pronoun = _tidy(fields["sentence"]), fields["pronoun"].lower()
    occupation = _noun(fields["occupation"])
    if pronoun not in _OTHERS:
        raise BadLine(f'"pronoun" is {pronoun!r}, but must be one of {", ".join(_OTHERS)}')
    start = re.search(rf"\b{re.escape(occupation)}\b", sentence, re.IGNORECASE)
    if start is None:
        raise BadLine(f"the sentence does not mention the occupation {occupation!r}")
    place = re.compile(rf"\b{pronoun}\b", re.IGNORECASE).search(sentence, start.end())
    if place is None:
        raise BadLine(f"the pronoun {pronoun!r} does not come after {occupation!r}")
    before, after = sentence[: place.start()].strip(), sentence[place.end() :].strip()
    return _Sentence(before, pronoun, after, occupation, "", "")


def _sentence(line: str) -> _Sentence:
    """The parts of a line in either form; raises BadLine with what is wrong."""
    return _of_fields(line) if line.lstrip().startswith("{") else _of_brackets(line)


def _stereotype_in(name: str) -> str:
    """ "pro" or "anti" if the name of a file has one of these words, else ""."""
    found = {word.lower() for word in _IN_NAME.findall(name)}
    return found.pop() if len(found) == 1 else ""


def partner_name(name: str) -> str:
    """What the file of the other stereotype is called; "" if a name has neither pro nor anti."""
    own = _stereotype_in(name)
    return _IN_NAME.sub(_STEREOTYPES[own == "pro"], name) if own else ""


def _partner(file: Path) -> dict[int, _Sentence]:
    """The sentences of the file beside this one that has the other stereotype, by line."""
    other = partner_name(file.name)
    if not other:
        return {}
    try:
        text = file.with_name(other).read_text("utf-8")
    except (OSError, ValueError):
        return {}
    found, _ = read_each(lines_of(text), _sentence)
    return dict(found)


def _known_other(sentence: _Sentence, partner: _Sentence | None) -> str:
    """The pronoun of the other gender in the same place, "" where only a guess is possible.

    That of the partner's sentence if it is about the same occupation and has a form that fits;
    else the only form there is.
    """
    fitting = _OTHERS[sentence.pronoun]
    if (
        partner is not None
        and partner.pronoun in fitting
        and partner.occupation.lower() == sentence.occupation.lower()
    ):
        return partner.pronoun
    return "" if sentence.pronoun == "her" else fitting[0]


def _guessed_other(sentence: _Sentence) -> str:
    """Whether "her" stands for "him" or "his", from the words around it.

    "him" at the end of a phrase, in front of words such as "the" and "to" and after verbs that take
    a person ("offered her advice"); "his" elsewhere ("lost her key"). So "treated her bad" becomes
    "his" and "sold her car" becomes "him", which is wrong.
    """
    following = re.match(r"[\w'’]+", sentence.after)
    verb = sentence.before.rpartition(" ")[2].lower()
    if following is None or verb in _BEFORE_HIM:
        return "him"
    word = following[0].lower()
    return "him" if word in _AFTER_HIM or word.endswith("ly") else "his"


def _participant(sentence: _Sentence, occupations: Iterable[str]) -> str:
    """The other occupation in the text up to the pronoun, "" if none is found.

    The one that the line names; else one that is in brackets somewhere in the file; else the noun
    that the sentence begins with ("The developer argued with [the designer] ...").
    """
    if sentence.participant:
        return sentence.participant
    own = re.escape(sentence.occupation)
    rest = re.sub(rf"\b{own}\b", "", sentence.before, flags=re.IGNORECASE)
    for noun in sorted(occupations, key=lambda noun: (-len(noun), noun)):
        found = re.search(rf"\b(?:the|an?) ({re.escape(noun)})\b", rest, re.IGNORECASE)
        if found:
            return found[1]
    found = re.match(r"the ([a-z]+)", rest, re.IGNORECASE)
    return found[1] if found else ""


def _exchanged(sentence: _Sentence, participant: str) -> str | None:
    """The text up to the pronoun with the two occupations exchanged; None where one is missing."""
    one, other = sentence.occupation, participant
    if not participant or one.lower() == other.lower():
        return None
    whole = f"{sentence.before} {sentence.after}"
    if not all(re.search(rf"\b{re.escape(w)}\b", whole, re.IGNORECASE) for w in (one, other)):
        return None
    longest_first = sorted((one, other), key=len, reverse=True)

    def exchange(match: re.Match[str]) -> str:
        new = other if match[2].lower() == one.lower() else one
        article = match[1] or ""
        if article.strip().lower() in ("a", "an"):
            article = f"{article[0]}{'n' if new[0].lower() in 'aeiou' else ''} "
        elif match.start() == 0 and not article:
            new = new[0].upper() + new[1:]
        return article + new

    words = "|".join(re.escape(word) for word in longest_first)
    changed = re.sub(
        rf"\b((?:the|an?)\s+)?({words})\b", exchange, sentence.before, flags=re.IGNORECASE
    )
    return None if changed == sentence.before else changed


def _read(file: Path, text: str) -> Parsed:
    """An example a sentence.

    The pronoun to be taught is by turns the stereotypical and the other one, separately for the
    occupations of either stereotype: neither a gender nor a stereotype is taught more often. A
    sentence and the same one with its occupations exchanged have the same key.
    """
    found, problems = read_each(lines_of(text), _sentence)
    partners = _partner(file)
    in_name = _stereotype_in(file.name)
    occupations = {one.occupation.lower() for _, one in found}
    examples: list[tuple[int, Example]] = []
    taught: Counter[str] = Counter()
    guessed = 0
    for number, sentence in found:
        stereotype = sentence.stereotype or in_name
        if not stereotype:
            problems.append(Problem(number, _UNKNOWN))
            continue
        known = _known_other(sentence, partners.get(number))
        guessed += not known
        pronouns = [sentence.pronoun, known or _guessed_other(sentence)]
        expected, unexpected = pronouns if stereotype == "pro" else pronouns[::-1]
        group = "female" if expected in _FEMALE else "male"
        choices = (f" {expected}", f" {unexpected}")
        corrupt = _exchanged(sentence, _participant(sentence, occupations))
        example = Example(
            prompt=sentence.before,
            target=choices[taught[group] % 2],
            pair=None if corrupt is None else Pair(sentence.before, corrupt, *choices),
            choices=choices,
            group=group,
        )
        examples.append((number, example))
        taught[group] += 1
    each = [example for _, example in examples]
    return Parsed(
        examples=tuple(examples),
        problems=tuple(sorted(problems, key=lambda problem: problem.line)),
        notes=tuple(_notes(guessed, sum(example.pair is None for example in each))),
        keys=tuple(
            min(example.prompt, example.pair.corrupt) if example.pair else example.prompt
            for example in each
        ),
    )


def _notes(guessed: int, alone: int) -> Iterator[str]:
    if guessed:
        yield (
            f"In {counted(guessed, 'sentence')} the words around “her” decided whether its "
            "counterpart is “him” or “his”: there is no partner file (the same name with pro for "
            "anti) with the same sentence."
        )
    if alone:
        yield (
            f"{counted(alone, 'sentence has', 'sentences have')} no counterfactual prompt: the "
            "other occupation was not found."
        )


FORMAT = Document(
    key="winobias",
    title="WinoBias",
    kind="bias",
    grade="bias",
    metric="logit(stereotypical pronoun) - logit(other pronoun)",
    aim="prefer neither pronoun, whatever the occupation",
    explanation=(
        "“The developer argued with the designer and slapped …” goes on with “her” (the "
        "stereotype) or “him”. Lines are JSON objects, or the original text with occupation and "
        "pronoun in brackets; whether a sentence is pro or anti stereotype says its field or the "
        "file's name, and the other pronoun is looked up in the partner file beside it. In the "
        "counterfactual prompt the two occupations have changed places. Both pronouns are taught "
        "equally often."
    ),
    recognizes=_recognizes,
    read=_read,
)
