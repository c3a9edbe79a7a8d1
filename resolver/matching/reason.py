"""Why an affiliation has no link: from what its parts are and the candidates that fell short.

A pure function. Tried in this order:

1. two organisations of one name that together reach the threshold, and no place named to tell
   them apart: ambiguous
2. no part that could be an organisation: department, place, or person and noise
3. else it depends on the most probable candidate: if it is near, below the threshold; if not, what
   is named is not in the registry
"""

from __future__ import annotations

from collections.abc import Sequence

from resolver.matching.outcome import Reason
from resolver.matching.place import NamedPlaces, place_names
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation
from resolver.text.parts import Part, PartKind
from resolver.text.text import Text, registry_text
from resolver.text.words import matched_words

NEAR = 0.05
"""A candidate is near from this probability on. It separated strings whose organisation was among
the candidates from those it was taken out of in 81 to 95 of 100 (docs/explain.md); how many words
of a candidate's name the text has separated them less well."""

Near = Sequence[tuple[Document, float]]
"""Candidates with their probabilities, most probable first."""


def why_none(affiliation: Affiliation, near: Near, accept_probability: float) -> Reason:
    """The reason for no link of an affiliation that was searched."""
    documents = [document for document, _ in near]
    if _namesakes(affiliation, near, accept_probability):
        return Reason.AMBIGUOUS
    close = [document for document, probability in near if probability >= NEAR]
    parts = affiliation.parts(place_names(documents))
    if organisations(parts, documents):
        return Reason.BELOW_THRESHOLD if close else Reason.NOT_IN_REGISTRY
    kinds = {part.kind for part in parts}
    if PartKind.UNIT in kinds:
        return Reason.DEPARTMENT_ONLY
    names = [Text(p.text).units for p in parts if p.kind in {PartKind.NAME, PartKind.ACRONYM}]
    if any(matched_words(name, _units(document)) for name in names for document in close):
        return Reason.BELOW_THRESHOLD
    if kinds & {PartKind.PERSON, PartKind.REMARK} or PartKind.PLACE not in kinds:
        return Reason.PERSON_OR_NOISE
    return Reason.PLACE_ONLY


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
    units, name = Text(part.text).units, _units(document)
    matched = matched_words(units, name)
    return len(matched) == len(name) and 2 * len(matched) > len(units)


def _namesakes(affiliation: Affiliation, near: Near, accept_probability: float) -> bool:
    """Whether two organisations of one name share what would be enough for one.

    Neither's city, region or country may be named, or there would be something to tell them apart.
    """
    if len(near) < 2:
        return False
    (best, probability), *others = near
    if not _units(best):
        return False
    folded = registry_text(best.name).folded
    same = [(d, p) for d, p in others if registry_text(d.name).folded == folded]
    if not same or probability + sum(p for _, p in same) < accept_probability:
        return False
    places = NamedPlaces.of(affiliation, (document for document, _ in near))
    return not any(any(places.agreement(d)) for d in [best, *(d for d, _ in same)])


def _units(document: Document) -> Sequence[str]:
    return registry_text(document.name).units
