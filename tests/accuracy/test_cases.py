"""Strings that the resolver or others once got wrong, by kind of difficulty, on a whole release.

`RIGHT` and `LINKED` say what the built-in models reach on release 2.9 by default: no kind may fall
below it. What they say of each kind is set anew whenever models are fitted.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import orjson
import pytest
from support.paths import SHARED

from resolver.matching.matcher import Matcher
from resolver.registry.organisation import NameKind, Organisation, OrganisationStatus
from resolver.text.gazetteer import STATES

CASES = SHARED / "cases/affiliations.jsonl"

# fmt: off
RIGHT = {
    "LaTeX accents": 2,  # of 2
    "OCR noise, missing or extra spaces": 3,  # of 3
    "US state or other region with the name of a country": 4,  # of 5
    "acronym + place": 3,  # of 3
    "acronym alone": 5,  # of 6
    "acronym of a laboratory or department, borne by another organisation": 2,  # of 7
    "another country in the organisation’s own name": 2,  # of 2
    "campus of a system": 6,  # of 8
    "capitals, lower case, Web of Science abbreviations": 4,  # of 4
    "company and its subsidiaries": 6,  # of 7
    "exact name, address in another country than the registry’s": 3,  # of 6
    "funder or government": 2,  # of 3
    "generic or short name": 6,  # of 8
    "hospital, medical school, university": 1,  # of 3
    "identifier in the string": 3,  # of 3
    "long or prose form": 1,  # of 1
    "markup, entities, footnote marks": 5,  # of 5
    "mojibake, spacing accents, lost accents": 3,  # of 4
    "near name of another organisation": 6,  # of 10
    "non-Latin script": 7,  # of 9
    "one name, several organisations": 3,  # of 5
    "own acronym in brackets is linked to another organisation": 7,  # of 8
    "person, role, status or remark": 8,  # of 8
    "place only": 7,  # of 7
    "postal or state code read as an acronym": 4,  # of 4
    "renamed, merged, withdrawn": 3,  # of 4
    "several organisations glued together": 3,  # of 3
    "several organisations, separated": 3,  # of 5
    "transliteration and several languages": 2,  # of 2
    "unit of a national research organisation": 3,  # of 3
}
# fmt: on
"""Kind → how many of its strings get exactly the organisations that they name."""

MADE = 600
"""Strings of each kind that are made of records of the release."""


class Case(NamedTuple):
    affiliation: str
    expected: frozenset[str]


class Made(NamedTuple):
    """A kind of made strings, and the largest share of them that may have a link too many."""

    kind: str
    most_extra: float


CITY, ACRONYM = "City, ST", "Name (ACRONYM), City, Country"
LINKED = [
    pytest.param(Made(CITY, 0.02), id="a town names nobody"),
    pytest.param(Made(ACRONYM, 0.01), id="an acronym in brackets is the name's"),
]


@cache
def cases() -> dict[str, list[Case]]:
    """The strings of each kind."""
    by_kind: dict[str, list[Case]] = {}
    for row in map(orjson.loads, CASES.read_bytes().splitlines()):
        case = Case(row["affiliation"], frozenset(row["expected"]))
        by_kind.setdefault(row["kind"], []).append(case)
    return by_kind


def made(kind: str, release: Sequence[Organisation]) -> list[Case]:
    """Always the same strings of a release."""
    placed = [o for o in release if o.status is OrganisationStatus.ACTIVE and o.place]
    if kind == CITY:
        towns = {
            f"{o.place.city}, {STATES['US'][o.place.region]}"
            for o in placed
            if o.place and o.place.country_code == "US"
            if o.place.city and o.place.region in STATES["US"]
        }
        return [Case(town, frozenset()) for town in _sample(sorted(towns))]
    named = [
        Case(
            f"{o.display_name} ({acronym}), {o.place.city}, {o.place.country}",
            frozenset({o.ror_id}),
        )
        for o in placed
        if o.place and o.place.city and o.place.country
        if (acronym := next((n.value for n in o.names if NameKind.ACRONYM in n.kinds), None))
    ]
    return _sample(sorted(named))


def _sample(cases: Sequence[Case] | Sequence[str]) -> list:
    return random.Random(7).sample(cases, min(MADE, len(cases)))


def wrong(matcher: Matcher, asked: Sequence[Case]) -> Iterable[tuple[Case, set[str], str]]:
    """The cases that get other organisations, with these, and in words."""
    outcomes = matcher.resolve([case.affiliation for case in asked])
    for case, outcome in zip(asked, outcomes, strict=True):
        linked = {link.ror_id for link in outcome.links}
        if linked != case.expected:
            names = [f"{link.ror_id} {link.name}" for link in outcome.links]
            got = "; ".join(names) or str(outcome.reason)
            wanted = ", ".join(sorted(case.expected)) or "none"
            yield case, linked, f"{case.affiliation}\n    wanted {wanted}, got {got}"


pytestmark = pytest.mark.slow
needs_cases = pytest.mark.skipif(not CASES.is_file(), reason=f"no cases under {SHARED}")


@needs_cases
def test_every_kind_of_case_is_in_the_table() -> None:
    assert Counter({kind: len(of) for kind, of in cases().items()}) >= Counter(RIGHT)
    assert cases().keys() == RIGHT.keys()


@needs_cases
@pytest.mark.parametrize("kind", RIGHT)
def test_no_kind_of_case_gets_worse(whole_matcher: Matcher, kind: str) -> None:
    asked = cases()[kind]
    mistakes = [told for _, _, told in wrong(whole_matcher, asked)]
    right = len(asked) - len(mistakes)
    told = "\n".join([f"{kind}: {right} of {len(asked)} right", *mistakes])
    print(told)
    assert right >= RIGHT[kind], told


@pytest.mark.parametrize("probe", LINKED)
def test_made_strings_get_no_link_too_many(
    whole_release: Sequence[Organisation], whole_matcher: Matcher, probe: Made
) -> None:
    asked = made(probe.kind, whole_release)
    assert len(asked) == MADE
    extra = [told for case, linked, told in wrong(whole_matcher, asked) if linked - case.expected]
    told = "\n".join([f"{probe.kind}: {len(extra)} of {len(asked)} with a link too many", *extra])
    print(told)
    assert len(extra) <= probe.most_extra * len(asked), told
