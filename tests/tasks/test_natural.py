"""The sentences and the text written by hand."""

from __future__ import annotations

import random
import re

from ctviz import paths
from ctviz.english import NUMBERS, part_of
from ctviz.tasks.example import Pair
from ctviz.tasks.natural import draw_natural, sentences
from ctviz.tasks.task import SPLITS


class TestEnglish:
    def test_agreement_sentences_have_a_subject_and_a_verb_in_both_numbers(self):
        every = [sentence for split in SPLITS for sentence in sentences(split)]
        assert len(every) == len({sentence.subject for sentence in every}) == 120
        for sentence in every:
            words = sentence.prompt("plural").split()
            assert 7 <= len(words) <= 17
            assert sentence.subject[0] != sentence.subject[1]
            assert sentence.verb[0] != sentence.verb[1]
            assert sentence.before == "" or sentence.before.endswith(" ")

    def test_splits_have_their_own_subjects_and_enough_of_them(self):
        for split in SPLITS:
            assert len(sentences(split)) >= 20
            assert all(part_of(sentence.subject[0]) == split for sentence in sentences(split))

    def test_drawing_gives_both_numbers_with_the_counterfactual(self):
        rng = random.Random(0)
        drawn = {draw_natural(rng, "dev", "") for _ in range(1000)}
        known = {s.pair(number) for s in sentences("dev") for number in NUMBERS}
        assert drawn == known
        assert all(Pair(p.corrupt, p.clean, answer=p.foil, foil=p.answer) in known for p in known)

    def test_general_text_is_long_and_varied(self):
        text = (paths.data() / "english" / "general.txt").read_text(encoding="utf-8")
        passages = text.strip().split("\n\n")
        assert len(passages) == 32
        assert all(60 <= len(passage.split()) <= 110 for passage in passages)
        words = re.findall(r"[a-z]+", text.lower())
        assert len(words) >= 2400
        assert len(set(words)) >= 1000
