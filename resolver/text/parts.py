"""What each part of an affiliation is: organisation, unit, place, person, remark.

It goes by generic vocabulary (`resolver.text.vocabulary`) and places (`resolver.text.gazetteer`)
alone and knows no organisation. It serves to say why an affiliation has no link, never to decide
whether it has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from resolver.text import vocabulary
from resolver.text.gazetteer import STATE_CODES, mentions
from resolver.text.text import Text, registry_text
from resolver.text.words import CJK


class PartKind(StrEnum):
    """What a part is, or seems to be."""

    ORGANISATION = "organisation"
    """It has a word for organisations, such as "university", and a name."""

    UNIT = "unit"
    """A department or the like, or nothing but a field of study."""

    ACRONYM = "acronym"
    NAME = "name"
    """A bare name: no word tells whether it is that of a company, a town or a person."""

    PLACE = "place"
    PERSON = "person"
    REMARK = "remark"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a text, `text[start:end]` of it."""

    kind: PartKind
    text: str
    start: int
    end: int


_BOUNDARY = re.compile(r"[,;:|/()\[\]{}\n、，；：،؛]+|\s[-–—]\s|(?<=[^\W\d_]{6})\.(?:\s+|$)")

WEB = re.compile(
    r"\S+@\S+|\[email\s+protected\]|https?://\S+|www\.\S+|\b10\.\d{4,9}/\S+"
    r"|\b\d{4}-\d{4}-\d{4}-\d{3}[\dX]\b",
    re.IGNORECASE,
)
"""Addresses of mail and web, DOIs, ORCIDs."""

_ABBREVIATED = re.compile(
    r"\b(?:S\.? ?p\.? ?A|s\.? ?r\.? ?[ol]|d\.o\.o|S\.A(?:\.[SU])?|G\.K|A\.Ş|e\.V|N\.V|B\.V)\b"
    r"|\b(?-i:[^\W\d_]{3,} (?:U|Co)(?:\.|$))|\b(?-i:U\. of)\b",
    re.IGNORECASE,
)
"""Organisations that words alone do not show: legal forms with points, "Carleton U.", "Metal
Co"."""

_INITIALS = re.compile(
    r"(?:^|\s)(?:[^\W\d_]\.\s?)+(?=[^\W\d_]{2})|[^\W\d_]{2}\s(?:[^\W\d_]\.)+$|\bet al\b"
)
"""As in "J. R. Smith", "Smith J.", "Smith et al."."""

_OWN_INITIALS = re.compile(r"\b(?:[^\W\d_]\.\s?){2,}")
"""As in "K.L.N. College of Engineering": letters that name it."""

_MAX_NAME = 4
"""Most words of a bare name; more of them, mostly in small letters, are a sentence."""

_POSTCODE_LETTERS = 3
"""Most letters of a word that counts as part of a postcode beside numbers: "SW", "CEP"."""

_SHOUTED_ACRONYM = 5
"""Most letters of an acronym where the whole text is in capitals."""


def parts(text: str, places: Iterable[str] = ()) -> list[Part]:
    """The parts of a normalised affiliation, in order.

    Places are those of the gazetteer (`resolver.text.gazetteer`); `places` are the names of further
    cities and regions that may be meant.
    """
    blank = WEB.sub(lambda address: " " * len(address.group()), text)
    known = _Places(_by_first(set(places)), _mentioned(Text(blank)))
    shouted = not any(map(str.islower, text))
    read = [
        Part(PartKind.REMARK, address.group(), address.start(), address.end())
        for address in WEB.finditer(text)
    ]
    start = 0
    for boundary in [*_BOUNDARY.finditer(blank), None]:
        end = boundary.start() if boundary else len(blank)
        piece = blank[start:end]
        left = start + len(piece) - len(piece.lstrip())
        piece = piece.strip()
        if any(map(str.isalnum, piece)):
            kind = _kind(piece, left, known, shouted=shouted)
            read.append(Part(kind, piece, left, left + len(piece)))
        start = boundary.end() if boundary else end
    return sorted(read, key=lambda part: part.start)


@dataclass(frozen=True, slots=True)
class _Places:
    """Names of places as tuples of `units`, by their first one, and the characters of the text that
    the gazetteer reads as places."""

    names: Mapping[str, Sequence[tuple[str, ...]]]
    mentioned: frozenset[int]

    def covered(self, piece: Text, offset: int) -> set[int]:
        """Positions in a piece of the text that stand in the name of a place."""
        covered = {
            position
            for position, (start, _) in enumerate(piece.spans)
            if offset + start in self.mentioned
        }
        for position, unit in enumerate(piece.units):
            for name in self.names.get(unit, ()):
                if piece.units[position : position + len(name)] == name:
                    covered.update(range(position, position + len(name)))
        return covered


def _mentioned(text: Text) -> frozenset[int]:
    """The characters of a text that are read as places."""
    return frozenset(
        character
        for mention in mentions(text)
        for character in range(text.spans[mention.start][0], text.spans[mention.end - 1][1])
    )


def _by_first(names: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    by_first: dict[str, list[tuple[str, ...]]] = {}
    for name in names:
        if units := registry_text(name).units:
            by_first.setdefault(units[0], []).append(units)
    return by_first


def _kind(piece: str, offset: int, places: _Places, *, shouted: bool) -> PartKind:
    text = Text(piece)
    folded, sequence = text.folded, text.units
    written = [piece[start:end] for start, end in text.spans]
    numbers = {i for i, unit in enumerate(sequence) if any(map(str.isdigit, unit))}
    named = places.covered(text, offset)
    named |= {i for i, as_written in enumerate(written) if as_written in STATE_CODES}
    is_place = {i for i, unit in enumerate(sequence) if unit in vocabulary.PLACE} | named
    content = [
        i
        for i, unit in enumerate(sequence)
        if (i not in numbers and unit not in vocabulary.LINK and len(unit) > 1)
        or CJK.fullmatch(unit)
    ]
    if not content:
        return PartKind.PLACE if is_place else PartKind.NUMBER
    street = any(i in is_place - named for i in content)
    # "University Road" names no university.
    not_streets = [
        unit for unit, after in pairwise([*sequence, ""]) if after not in vocabulary.PLACE
    ]
    organisation = _has(vocabulary.ORGANISATION, not_streets, folded) or bool(
        _ABBREVIATED.search(piece)
    )
    if numbers and street and not organisation:
        return PartKind.PLACE
    unit = _has(vocabulary.UNIT, sequence, folded)
    if organisation or unit or _has(vocabulary.EITHER, sequence, folded):
        # The word that names it: neither generic nor a field of study.
        own = any(not is_generic(sequence[i]) for i in content) or _OWN_INITIALS.search(piece)
        if organisation:
            return PartKind.UNIT if unit and not own else PartKind.ORGANISATION
        if not own and sequence[0] in vocabulary.NEGATION:
            return PartKind.REMARK
        return PartKind.ORGANISATION if own and not unit else PartKind.UNIT
    # "sans objet", but not "Sans Souci".
    is_denial = sequence[0] in vocabulary.NEGATION and len(written) > 1 and written[1].islower()
    if is_denial or any(sequence[i] in vocabulary.REMARK for i in content):
        return PartKind.REMARK
    if all(i in is_place for i in content):
        return PartKind.PLACE
    if _has(vocabulary.PERSON, [sequence[i] for i in content], folded) or _INITIALS.search(piece):
        return PartKind.PERSON
    if all(sequence[i] in vocabulary.FIELD or i in is_place for i in content):
        return PartKind.UNIT
    if 0 in numbers or (numbers and all(len(sequence[i]) <= _POSTCODE_LETTERS for i in content)):
        return PartKind.PLACE
    if any(_is_acronym(written[i], shouted=shouted) for i in content):
        return PartKind.ACRONYM
    capitals = sum(written[i][0].isupper() for i in content)
    if len(content) > _MAX_NAME and any(map(str.islower, piece)) and 2 * capitals < len(content):
        return PartKind.REMARK
    return PartKind.NAME


def _has(lexicon: vocabulary.Lexicon, sequence: Sequence[str], folded: str) -> bool:
    return any(unit in lexicon for unit in sequence) or lexicon.within(folded)


def only_roles(text: Text) -> bool:
    """Whether a text has nothing but words for persons and remarks, and for what they work on:
    "Freelance consultant", "General practitioner"."""
    units = text.units
    return any(unit in vocabulary.PERSON for unit in units) and all(
        any(
            unit in lexicon
            for lexicon in (
                vocabulary.PERSON,
                vocabulary.REMARK,
                vocabulary.NEGATION,
                vocabulary.FIELD,
                vocabulary.LINK,
            )
        )
        for unit in units
    )


def is_generic(unit: str) -> bool:
    """Whether a folded word says what something is, and not what it is called."""
    return any(
        unit in lexicon
        for lexicon in (
            vocabulary.ORGANISATION,
            vocabulary.UNIT,
            vocabulary.EITHER,
            vocabulary.FIELD,
            vocabulary.LINK,
        )
    )


def _is_acronym(written: str, *, shouted: bool) -> bool:
    """Mostly capitals; where the whole text is in capitals it must be short too."""
    if shouted and len(written) > _SHOUTED_ACRONYM:
        return False
    return len(written) > 1 and sum(map(str.isupper, written)) > len(written) / 2
