"""Words of one part alone: what train, dev and test may draw."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ctviz.english import NAMES, NOUNS, VERBS, WordsOf, part_of
from ctviz.english.lexicon import ADJECTIVES, BE, COLORS, HAVE, WAS, adjectives, word_forms

PARTS = ("train", "dev", "test")


def words_of(part: str, seed: int = 0) -> WordsOf:
    return WordsOf(random.Random(seed), part)


def test_a_word_is_always_in_the_same_part_and_six_of_ten_are_for_training():
    parts = Counter(part_of(f"word{i}") for i in range(10_000))
    assert set(parts) == set(PARTS)
    assert parts["train"] / 10_000 == pytest.approx(0.6, abs=0.02)  # four standard deviations
    assert parts["dev"] / 10_000 == pytest.approx(0.2, abs=0.016)
    assert part_of("word1") == part_of("word1")


@pytest.mark.parametrize("part", PARTS)
def test_only_words_of_the_part_are_drawn_and_all_of_them(part):
    words = words_of(part)
    nouns = {noun.lemma for noun in NOUNS if part_of(noun.lemma) == part}
    assert {words.choice(NOUNS).lemma for _ in range(3000)} == nouns
    names = [name for name in NAMES if part_of(name.text) == part]
    assert set(words.sample(NAMES, len(names))) == set(names)
    verbs = {words.choice(VERBS) for _ in range(2000)} - {BE, WAS, HAVE}
    assert verbs == {verb for verb in VERBS if part_of(verb.lemma) == part} - {BE, WAS, HAVE}
    colors = [color for color in COLORS if part_of(color) == part]
    assert {words.choice(COLORS) for _ in range(300)} == set(colors)


def test_be_have_and_what_is_no_word_of_the_lexicon_belong_to_all_parts():
    pool = (BE, WAS, HAVE, "of", 7)
    for part in PARTS:
        words = words_of(part)
        assert {words.choice(pool) for _ in range(200)} == set(pool)


def test_the_random_source_decides_what_is_drawn():
    one, same, other = (words_of("train", seed).sample(NOUNS, 20) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_pool_with_too_little_left_says_so():
    train = next(noun.singular for noun in NOUNS if part_of(noun.lemma) == "train")
    with pytest.raises(LookupError, match="dev has none of these 1 words"):
        words_of("dev").choice([train])
    with pytest.raises(LookupError, match="train has 1 words here, not 2"):
        words_of("train").sample([train], 2)


def test_colours_fit_what_can_be_seen_and_plain_adjectives_their_kinds():
    people = adjectives("person")
    assert not set(people) & set(COLORS)
    assert people == tuple(each.text for each in ADJECTIVES if "person" in each.kinds)
    assert adjectives("object")[-len(COLORS) :] == COLORS


def test_every_spelling_of_the_lexicon_is_there_once():
    forms = word_forms()
    assert len(forms) == len(set(forms))
    assert set(forms) >= {
        *(form for noun in NOUNS for form in (noun.singular, noun.plural)),
        *(form for verb in VERBS for form in (verb.singular, verb.plural)),
        *(name.text for name in NAMES),
        *COLORS,
    }
