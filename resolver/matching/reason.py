"""Why an affiliation has no link: a reading of its parts and of the candidates that fell short.

A pure function. Tried in this order:

1. two organisations of one name that together reach the threshold, and no place named to tell
   them by: ambiguous
2. no part that could be an organisation: department, place, or person and noise
3. else it depends on the most probable candidate: near, and below the threshold, or far, and
   what is named is not in the registry
"""

from __future__ import annotations

from collections.abc import Sequence

from resolver.matching.outcome import Reason
from resolver.matching.place import NamedPlaces, place_names
from resolver.registry.document import Document
from resolver.text.parts import Kind, Part, parts
from resolver.text.words import fold, ground, units

NEAR = 0.05
"""A candidate is near from this probability on. It told strings whose organisation was among the
candidates from those it was taken out of in 81 to 95 of 100 (docs/explain.md); how much of the
words a candidate's name covers told less."""

Near = Sequence[tuple[Document, float]]
"""Candidates with their probabilities, most probable first."""


def why_none(affiliation: str, near: Near, accept_probability: float) -> Reason:
    """The reason for no link of a normalised affiliation that has some text."""
    documents = [document for document, _ in near]
    if _namesakes(affiliation, near, accept_probability):
        return Reason.AMBIGUOUS
    close = [document for document, probability in near if probability >= NEAR]
    found = parts(affiliation, place_names(documents))
    if organisations(found, documents):
        return Reason.BELOW_THRESHOLD if close else Reason.NOT_IN_REGISTRY
    kinds = {part.kind for part in found}
    if Kind.UNIT in kinds:
        return Reason.DEPARTMENT_ONLY
    names = [units(part.text) for part in found if part.kind in {Kind.NAME, Kind.ACRONYM}]
    if any(ground(name, units(document.name)) for name in names for document in close):
        return Reason.BELOW_THRESHOLD
    if kinds & {Kind.PERSON, Kind.REMARK} or Kind.PLACE not in kinds:
        return Reason.PERSON_OR_NOISE
    return Reason.PLACE_ONLY


def organisations(found: Sequence[Part], documents: Sequence[Document] = ()) -> list[Part]:
    """The parts that could be organisations.

    Those with a word for it; else bare names that a candidate bears, and acronyms that stand
    beside no unit (there they abbreviate it).
    """
    if certain := [part for part in found if part.kind is Kind.ORGANISATION]:
        return certain
    has_unit = any(part.kind is Kind.UNIT for part in found)
    return [
        part
        for part in found
        if (part.kind is Kind.ACRONYM and not has_unit)
        or (
            part.kind in {Kind.ACRONYM, Kind.NAME, Kind.UNIT}
            and any(_bears(part, document) for document in documents)
        )
    ]


def _bears(part: Part, document: Document) -> bool:
    """Whether a part is a candidate's name and hardly more."""
    sequence, name = units(part.text), units(document.name)
    stands = ground(sequence, name)
    return len(stands) == len(name) and 2 * len(stands) > len(sequence)


def _namesakes(affiliation: str, near: Near, accept_probability: float) -> bool:
    """Whether two organisations of one name share what would be enough for one.

    Neither's city or country may be named, or there would be something to tell them by.
    """
    if len(near) < 2:
        return False
    (best, probability), *others = near
    if not units(best.name):
        return False
    same = [(d, p) for d, p in others if fold(d.name) == fold(best.name)]
    if not same or probability + sum(p for _, p in same) < accept_probability:
        return False
    places = NamedPlaces.of(affiliation, (document for document, _ in near))
    return not any(any(places.agreement(d)) for d in [best, *(d for d, _ in same)])
