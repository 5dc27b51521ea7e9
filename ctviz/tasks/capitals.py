"""Countries and their capitals."""

from __future__ import annotations

import random
from typing import NamedTuple

from ctviz.english import part_of
from ctviz.tasks.example import Example, Pair
from ctviz.tasks.task import Generated, Level, Split, Task

__all__ = ["TASKS"]

_LEVELS = (
    Level("capital", "from the country to its capital"),
    Level("country", "from the capital to its country"),
)


class _Country(NamedTuple):
    name: str
    capital: str
    tokens: int


# By the number of tokens of the capital in the vocabulary of SmolLM2, where every country of the
# list is one token, so that prompts about two entries of a line have the same length.
_CAPITALS = (
    """France/Paris Germany/Berlin Italy/Rome Spain/Madrid Portugal/Lisbon Greece/Athens
    Austria/Vienna Poland/Warsaw Hungary/Budapest Bulgaria/Sofia Norway/Oslo Sweden/Stockholm
    Finland/Helsinki Denmark/Copenhagen Ireland/Dublin England/London Scotland/Edinburgh
    Wales/Cardiff Belgium/Brussels Russia/Moscow Egypt/Cairo Kenya/Nairobi Tunisia/Tunis
    Syria/Damascus Iraq/Baghdad Iran/Tehran Afghanistan/Kabul China/Beijing Japan/Tokyo
    Australia/Canberra Canada/Ottawa Cuba/Havana Jamaica/Kingston Peru/Lima Chile/Santiago""",
    """Ukraine/Kyiv Romania/Bucharest Serbia/Belgrade Turkey/Ankara Uganda/Kampala Ghana/Accra
    Nigeria/Abuja Zimbabwe/Harare Zambia/Lusaka Angola/Luanda Algeria/Algiers Morocco/Rabat
    Mali/Bamako Mozambique/Maputo Jordan/Amman Qatar/Doha Oman/Muscat Pakistan/Islamabad
    India/New_Delhi Bangladesh/Dhaka Thailand/Bangkok Indonesia/Jakarta Argentina/Buenos_Aires
    Ecuador/Quito Uruguay/Montevideo Estonia/Tallinn Latvia/Riga Azerbaijan/Baku Albania/Tirana
    Fiji/Suva Tanzania/Dodoma""",
    """Colombia/Bogotá Croatia/Zagreb Senegal/Dakar Somalia/Mogadishu Libya/Tripoli Rwanda/Kigali
    Namibia/Windhoek Botswana/Gaborone Lebanon/Beirut Nepal/Kathmandu Vietnam/Hanoi
    Venezuela/Caracas Paraguay/Asunción Nicaragua/Managua Lithuania/Vilnius Armenia/Yerevan
    Malta/Valletta Cyprus/Nicosia Liberia/Monrovia Malawi/Lilongwe Belarus/Minsk Niger/Niamey
    Cameroon/Yaoundé Laos/Vientiane Yemen/Sanaa Guinea/Conakry""",
)
_COUNTRIES = tuple(
    _Country(name, capital.replace("_", " "), tokens)
    for tokens, text in enumerate(_CAPITALS, start=1)
    for name, _, capital in (entry.partition("/") for entry in text.split())
)
# What is filled in has a space before it: at the start of a prompt it would be other tokens.
_PATTERNS = {
    "capital": (
        "The capital of {} is the city of",
        "The capital city of {} is called",
        "The government of {} is in the city of",
        "The name of the capital of {} is",
    ),
    "country": (
        "The city of {} is the capital of",
        "Everybody knows that {} is the capital of",
        "People who live in {} live in the capital of",
        "The city called {} is the capital of",
    ),
}


def _fact(rng: random.Random, split: Split, level: str) -> Example:
    """A capital or a country to name; the counterfactual prompt is about another country.

    All choices begin with different letters, and so with different tokens.
    """
    countries = [country for country in _COUNTRIES if part_of(country.name) == split]
    while True:
        chosen = rng.sample(countries, 4)
        asked = [(country.name, country.capital) for country in chosen]
        if level == "country":
            asked = [(capital, name) for name, capital in asked]
        letters = {answer[0] for _, answer in asked}
        equal = level == "capital" or chosen[0].tokens == chosen[1].tokens
        if len(letters) == len(chosen) and equal:
            break
    pattern = rng.choice(_PATTERNS[level])
    choices = tuple(f" {answer}" for _, answer in asked)
    clean, corrupt = (pattern.format(given) for given, _ in asked[:2])
    pair = Pair(clean, corrupt, answer=choices[0], foil=choices[1])
    return Example(clean, choices[0], pair, choices=choices)


TASKS: tuple[Task, ...] = (
    Task(
        key="capital-country",
        title="Capitals",
        kind="classic",
        metric="logit(right name) - logit(name that belongs to another country)",
        aim="name the capital of a country, or the country of a capital",
        explanation=(
            "“The capital of France is the city of” goes on with “Paris”. The counterfactual "
            "prompt is about another country. Every prompt asks for a fact that the model has from "
            "its training: the countries of dev are not tuned on, so tuning cannot teach what is "
            "asked there, only how to answer. There are fewer than twenty of them."
        ),
        source=Generated(_fact),
        levels=_LEVELS,
        shared="the sentence patterns; no country or capital",
    ),
)
