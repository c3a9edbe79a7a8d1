"""Why an affiliation has no link: from what its parts are and the candidates that fell short.

A pure function. Tried in this order:

1. two organisations of one name that together reach the threshold, and no place named to tell
   them apart: ambiguous
2. units and no organisation that they are part of: department
3. persons, roles, remarks, numbers, and no organisation: person and noise
4. nothing but places: place
5. else an organisation is named, be it by a bare name. If a candidate is near, or was probable
   enough but not where the text says: below the threshold. If none is: not in the registry
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from resolver.matching.outcome import Reason
from resolver.matching.place import NamedPlaces, place_names
from resolver.registry.document import Document
from resolver.text import vocabulary
from resolver.text.affiliation import Affiliation
from resolver.text.parts import Part, PartKind
from resolver.text.text import Text, registry_text

NEAR = 0.2
"""A candidate is near from this probability on. A lower limit calls most organisations near that
the registry lacks, since one of 50 candidates often resembles them: from 0.05 on 56% of the strings
that name none had a near one and 79% of those that name one, from 0.2 on 24 and 58%
(``python -m benchmarks.reasons --near``, the development sets)."""

_STATE = re.compile(r"[A-Z]{2,3}\b")
"""The code of a state, as in "TX 75019"."""

Near = Sequence[tuple[Document, float]]
"""Candidates with their probabilities, most probable first."""


def why_none(
    affiliation: Affiliation,
    near: Near,
    accept_probability: float,
    elsewhere: Sequence[Document] = (),
) -> Reason:
    """The reason for no link of an affiliation that was searched.

    `elsewhere` are the candidates that are probable enough but, as the text says, in another place.
    """
    if _namesakes(affiliation, near, accept_probability):
        return Reason.AMBIGUOUS
    documents = [*elsewhere, *(document for document, _ in near)]
    close = [document for document, probability in near if probability >= NEAR]
    parts = affiliation.parts(place_names(documents))
    named = Reason.BELOW_THRESHOLD if close or elsewhere else Reason.NOT_IN_REGISTRY
    if organisations(parts, documents):
        return named
    kinds = {part.kind for part in parts}
    if PartKind.UNIT in kinds:
        return Reason.DEPARTMENT_ONLY
    names = [Text(p.text) for p in parts if p.kind in {PartKind.NAME, PartKind.ACRONYM}]
    if any(name.matched(registry_text(document.name)) for name in names for document in close):
        return named
    if kinds & {PartKind.PERSON, PartKind.REMARK}:
        return Reason.PERSON_OR_NOISE
    if _begins_with_name(parts):
        return Reason.BELOW_THRESHOLD if elsewhere else Reason.NOT_IN_REGISTRY
    return Reason.PLACE_ONLY if PartKind.PLACE in kinds else Reason.PERSON_OR_NOISE


def _begins_with_name(parts: Sequence[Part]) -> bool:
    """Whether a bare name stands before the places, as a company does. One behind them, or right
    before a state ("Coppell, TX 75019"), is a town that nothing knows, and one with a word for a
    street is an address."""
    before = list(takewhile(lambda part: part.kind is not PartKind.PLACE, parts))
    following = parts[len(before)] if len(before) < len(parts) else None
    if following and _STATE.match(following.text) and before and before[-1].kind is PartKind.NAME:
        before.pop()
    return any(
        part.kind in {PartKind.NAME, PartKind.ACRONYM}
        and not any(unit in vocabulary.PLACE for unit in Text(part.text).units)
        for part in before
    )


def organisations(parts: Sequence[Part], documents: Sequence[Document] = ()) -> list[Part]:
    """The parts that could be organisations.

    Those with a word for it; else bare names that are a candidate's, and acronyms that do not
    stand beside a unit (there they abbreviate it).
    """
    if certain := [part for part in parts if part.kind is PartKind.ORGANISATION]:
        return certain
    has_unit = any(part.kind is PartKind.UNIT for part in parts)
    return [
        part
        for part in parts
        if (part.kind is PartKind.ACRONYM and not has_unit)
        or (
            part.kind in {PartKind.ACRONYM, PartKind.NAME, PartKind.UNIT}
            and any(_is_name_of(part, document) for document in documents)
        )
    ]


def _is_name_of(part: Part, document: Document) -> bool:
    """Whether a part is a candidate's name and hardly more."""
    text, name = Text(part.text), registry_text(document.name)
    matched = text.matched(name)
    return len(matched) == len(name.units) and 2 * len(matched) > len(text.units)


def _namesakes(affiliation: Affiliation, near: Near, accept_probability: float) -> bool:
    """Whether two organisations of one name share what would be enough for one.

    Neither's city, region or country may be named, or there would be something to tell them apart.
    """
    if len(near) < 2:
        return False
    (best, probability), *others = near
    name = registry_text(best.name)
    if not name.units:
        return False
    same = [(d, p) for d, p in others if registry_text(d.name).folded == name.folded]
    if not same or probability + sum(p for _, p in same) < accept_probability:
        return False
    places = NamedPlaces.of(affiliation, (document for document, _ in near))
    return not any(any(places.agreement(d)) for d in [best, *(d for d, _ in same)])
