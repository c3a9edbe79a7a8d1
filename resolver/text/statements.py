"""Statements: a text that is several affiliations, cut into them.

"Inria, Paris, France and Nanyang Technological University, Singapore" makes two statements, each
with a place of its own. Most texts are one statement, and in most of them ";" stands for a comma
("Department of Physics; University of Turku; Turku Finland"). So a text is cut only where both
sides stand by themselves: each has an organisation (`resolver.text.parts`), and before the cut
there is its place, or initials of authors, or after it the next number of a list. Where that is not
sure the text stays whole: an organisation that is cut off from its place, or a department from its
university, costs more than two statements in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

from resolver.text import vocabulary
from resolver.text.country import COUNTRY_FORMS, ENGLISH_NAMES
from resolver.text.gazetteer import STATE_CODES
from resolver.text.parts import Part, PartKind, parts
from resolver.text.words import words


class _Mark(Enum):
    """What stands between two pieces of a text."""

    NUMBER = auto()
    """The next number or letter of a list: "[2]", "(2)", "$^{2}$", "2", "b"."""

    SEMICOLON = auto()
    CONJUNCTION = auto()
    """ "and" in some language, after a place."""

    COMMA = auto()
    """A comma or full stop after a country."""

    NONE = auto()
    """Nothing but white space, before "University of …"."""


@dataclass(frozen=True, slots=True)
class _Boundary:
    """A mark, `text[start:end]`, between two pieces."""

    mark: _Mark
    start: int
    end: int


_SEMICOLON = re.compile(r"[;\s]*;[;\s]*(?:(?:and|&|y|et|und)\s+)?")
_CONJUNCTION = re.compile(r"\s(?:and|as well as|&|y|e|et|und)\s")
_SHORTEST = 15
"""Fewer characters after a country are no affiliation: "Singapore, Singapore"."""

_STATE = re.compile(rf"\b(?:{'|'.join(sorted(STATE_CODES))})[\s\d]*\Z")
_COMMA = re.compile(r",|\.\s")
_BRACKETS = re.compile(r"[\s,]*\(([^()]*)\)[\s.,;]*\Z")
_BETWEEN_INITIALS = re.compile(r"[\s,;&]+|\band\b")
_INITIALS = re.compile(r"(?:[^\W\d_]\.-?){2,5}")

_NUMBERED = (
    re.compile(r"\[(\d{1,2})\]|(?<![\w.])(\d{1,2})\]"),
    re.compile(r"(?<!\w)\((\d{1,2})\)"),
    re.compile(r"\$?\^\{?(\d{1,2})\}?\$?"),
)
"""Marks of numbered lists that are no words; a text has one kind."""

_NUMBERED_BARE = (
    re.compile(r"(?<![^\s;,.])(\d{1,2})[.):]?\s?(?=[^\W\d_])"),
    re.compile(r"(?<![^\s;,.])([a-h])\)?\s?(?=[A-Z])"),
)
"""Bare numbers and letters, also before a word: "2Institute". They count only after a full stop,
a semicolon or a country."""

_LATEST_FIRST = 3
"""The first number of a list has at most so many characters before it."""

_FIRST = re.compile(r"\W{0,3}[1a](?![\da-z])")
"""A text that begins with the first number or letter of a list."""

_UNIVERSITY_OF = re.compile(r"\s+(?=(?:University of|Universit[àé] d[ei]|Universidad de)\s)")
_BEFORE_UNIVERSITY = re.compile(
    r"(?:medical|techn\w+|national|state|federal|agricultural|american|catholic|open|free|royal"
    r"|islamic|normal|polytechnic|international|european|private|the|of|at|and|for|de|la|le|&)\Z",
    re.IGNORECASE,
)
"""Words before "University of" that belong to the same name."""

_CODE = re.compile(r"[A-Z]+[\s_-]*[A-Z]?\d+")
"""A number of a research unit, no postcode: "ULR 4515"."""

_LONGEST_INITIALS = 200
"""Most characters of initials in brackets."""

_LONGEST_PLACE = 100
"""Most characters of a part that are looked at for the country at its end."""

_TRIMMED = " ,;"
_NO_ORGANISATION = frozenset({PartKind.PLACE, PartKind.NUMBER, PartKind.PERSON, PartKind.REMARK})
_LONGEST_TOWN = 2
"""Most words of a bare name that may be a town."""

_LEAST_LISTED = 3
"""Organisations without any place that make a list."""


def statements(text: str) -> list[tuple[int, int]]:
    """Where the statements of a normalised text stand, in order: first character, and the one after
    the last. A text that is one statement is whole."""
    boundaries, begin = _boundaries(text)
    cuts = _cuts(text, boundaries, begin) if boundaries else []
    if not cuts:
        return [(0, len(text))]
    begins = [begin, *(cut.end for cut in cuts)]
    ends = [*(cut.start for cut in cuts), len(text)]
    return [_trimmed(text, *span) for span in zip(begins, ends, strict=True)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without initials at the end, and punctuation and white space at either end."""
    piece = text[start:end]
    piece = piece[: _before_initials(piece)].rstrip(_TRIMMED)
    start += len(piece) - len(piece.lstrip(_TRIMMED))
    return start, start + len(piece.lstrip(_TRIMMED))


def _before_initials(text: str) -> int:
    """Where the authors' initials begin that a text ends with, in brackets: "(D.R.H.)", "(Y.B.,
    S.M.)". Its length where there are none."""
    brackets = _BRACKETS.search(text[-_LONGEST_INITIALS:])
    written = list(filter(None, _BETWEEN_INITIALS.split(brackets[1]))) if brackets else []
    if not brackets or not written or not all(map(_INITIALS.fullmatch, written)):
        return len(text)
    return max(0, len(text) - _LONGEST_INITIALS) + brackets.start()


def _boundaries(text: str) -> tuple[list[_Boundary], int]:
    """Where a text may be cut, in order, and where its first statement begins."""
    found: list[_Boundary] = []
    begin = 0
    if ";" in text:
        found += _matches(_Mark.SEMICOLON, _SEMICOLON, text)
    if numbers := _numbers(text):
        begin = numbers[0].end
        found += numbers[1:]
    found += [
        boundary
        for boundary in _matches(_Mark.CONJUNCTION, _CONJUNCTION, text)
        if _country_before(text, boundary.start) is not None
    ]
    found += [
        boundary
        for boundary in _matches(_Mark.COMMA, _COMMA, text)
        if boundary.end <= len(text) - _SHORTEST
        and _country_before(text, boundary.start) == 0
        and not _STATE.search(text, 0, boundary.start)
    ]
    if not found and "," not in text:
        found += _matches(_Mark.NONE, _UNIVERSITY_OF, text)
    return _merged(text, sorted(found, key=lambda b: b.start)), begin


def _matches(mark: _Mark, pattern: re.Pattern[str], text: str) -> Iterator[_Boundary]:
    for match in pattern.finditer(text):
        if match.start() > 0 and match.end() < len(text):
            yield _Boundary(mark, *match.span())


def _merged(text: str, boundaries: Sequence[_Boundary]) -> list[_Boundary]:
    """Those with no word between them as one, of the mark that says most."""
    merged: list[_Boundary] = []
    for boundary in boundaries:
        last = merged[-1] if merged else None
        if last and not any(map(str.isalnum, text[last.end : boundary.start])):
            mark = min(last.mark, boundary.mark, key=lambda mark: mark.value)
            merged[-1] = _Boundary(mark, last.start, max(last.end, boundary.end))
        else:
            merged.append(boundary)
    return merged


def _numbers(text: str) -> list[_Boundary]:
    """The numbers of a list, in order from 1 (or "a"); none where there are fewer than two."""
    if not _FIRST.match(text):
        return []
    for pattern in (*_NUMBERED, *_NUMBERED_BARE):
        numbers: list[_Boundary] = []
        for match in pattern.finditer(text):
            number = next(filter(None, match.groups()))
            expected = len(numbers) + 1
            if number not in {str(expected), chr(ord("a") + expected - 1)}:
                continue
            if not numbers and match.start() > _LATEST_FIRST:
                break
            if numbers and pattern in _NUMBERED_BARE and not _ended(text, match.start()):
                continue
            numbers.append(_Boundary(_Mark.NUMBER, *match.span()))
        if len(numbers) > 1:
            return numbers
    return []


def _ended(text: str, position: int) -> bool:
    before = text[:position].rstrip()
    return before.endswith((";", ".")) or _country_before(text, position) is not None


def _country_before(text: str, position: int) -> int | None:
    """How many words the part before a position has besides the country or state, and a postcode,
    that it ends with; None where it ends with no country or state."""
    end = position
    while end and text[end - 1] in " .,;":
        end -= 1
    # Most words are no end of a country, and this is asked at every comma.
    last = text[text.rfind(" ", max(0, end - _LONGEST_PLACE), end) + 1 : end]
    if not _may_end_country(last):
        return None
    begin = max(0, end - _LONGEST_PLACE)
    begin = 1 + max(text.rfind(",", begin, end), text.rfind(";", begin, end), begin - 1)
    part = text[begin:end].split()
    while part and any(map(str.isdigit, part[-1])):
        part.pop()
    if part and part[-1] in STATE_CODES:
        return len(part) - 1
    for length in range(1, min(len(part), _LONGEST_COUNTRY) + 1):
        if tuple(words(" ".join(part[-length:]))) in _countries():
            return len(part) - length
    return None


def _may_end_country(word: str) -> bool:
    return (
        word.strip(".()").casefold() in _last_words()
        or word in STATE_CODES
        or any(map(str.isdigit, word))
    )


_LONGEST_COUNTRY = 5
"""Most words of a country that are compared."""


@cache
def _countries() -> frozenset[tuple[str, ...]]:
    """All forms of countries, as folded words."""
    return frozenset(tuple(words(form)) for form in _forms())


@cache
def _last_words() -> frozenset[str]:
    """The last word of each form."""
    return frozenset(form.split()[-1].strip(".()").casefold() for form in _forms())


def _forms() -> Iterator[str]:
    yield from ENGLISH_NAMES.values()
    for forms in COUNTRY_FORMS.values():
        yield from forms


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece between two boundaries, with its parts."""

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, text: str) -> _Piece:
        return cls(text.strip(), tuple(parts(text[: _before_initials(text)])))

    def has(self, *kinds: PartKind) -> bool:
        return any(part.kind in kinds for part in self.parts)

    @property
    def is_organisation(self) -> bool:
        """Whether it names an organisation, as far as can be told.

        A bare name is one where a town and a country follow: "Inria, Paris, France".
        """
        return self.has(PartKind.ORGANISATION, PartKind.ACRONYM) or (
            [part.kind for part in self.parts[:2]] == [PartKind.NAME] * 2 and self.has_place
        )

    @property
    def begins_with_name(self) -> bool:
        """Whether its first part is no address and no person."""
        return bool(self.parts) and self.parts[0].kind not in _NO_ORGANISATION

    @property
    def has_initials(self) -> bool:
        """Whether it ends with initials of authors."""
        return _before_initials(self.text) < len(self.text)

    @property
    def has_place(self) -> bool:
        """Whether its last part is a place and no organisation."""
        return (
            bool(self.parts)
            and self.parts[-1].kind not in {PartKind.ORGANISATION, PartKind.UNIT}
            and (
                (self.parts[-1].kind is PartKind.PLACE and not _CODE.fullmatch(self.parts[-1].text))
                or _country_before(self.text, len(self.text)) is not None
            )
        )

    @property
    def has_town(self) -> bool:
        """Whether it ends with what may be a town, after an organisation."""
        *before, last = self.parts or (None,)
        return (
            last is not None
            and last.kind is PartKind.NAME
            and len(last.text.split()) <= _LONGEST_TOWN
            and any(part.kind is PartKind.ORGANISATION for part in before)
        )


def _cuts(text: str, boundaries: Sequence[_Boundary], begin: int) -> list[_Boundary]:
    """The boundaries at which the text is cut; its first piece begins at `begin`."""
    begins = [begin, *(boundary.end for boundary in boundaries)]
    ends = [*(boundary.start for boundary in boundaries), len(text)]
    pieces = [_Piece.of(text[begin:end]) for begin, end in zip(begins, ends, strict=True)]
    if _is_list(boundaries, pieces):
        return list(boundaries)
    named_last = max((n for n, piece in enumerate(pieces) if piece.is_organisation), default=0)
    cuts = []
    named = False
    for number, boundary in enumerate(boundaries, start=1):
        named = named or pieces[number - 1].is_organisation
        if not named or number > named_last:
            continue
        before, after = pieces[number - 1 : number + 1]
        if boundary.mark is _Mark.NONE:
            cut = _is_university_of(text[begin : boundary.start])
        else:
            cut = _stands(boundary.mark, before, after)
        if cut:
            cuts.append(boundary)
            begin, named = boundary.end, False
    return cuts


def _is_list(boundaries: Sequence[_Boundary], pieces: Sequence[_Piece]) -> bool:
    """Whether all pieces are nothing but the names of organisations."""
    strong = sum(
        any(word in vocabulary.ORGANISATION for word in words(piece.text)) for piece in pieces
    )
    return (
        len(pieces) >= _LEAST_LISTED
        and strong > 1
        and all(boundary.mark is _Mark.SEMICOLON for boundary in boundaries)
        and all(len(piece.parts) == 1 and piece.is_organisation for piece in pieces)
        and all(_country_before(piece.text, len(piece.text)) is None for piece in pieces)
    )


def _is_university_of(name: str) -> bool:
    """Whether a text is complete with "University of …" at its end, so that another may follow."""
    return (
        bool(_UNIVERSITY_OF.search(f" {name} "))
        and name[-1].isalnum()
        and not _BEFORE_UNIVERSITY.fullmatch(name.split()[-1])
    )


def _stands(mark: _Mark, before: _Piece, after: _Piece) -> bool:
    """Whether what ends before a mark and what begins after it each stand by themselves.

    There is an organisation since the last cut, and there is one somewhere behind the mark.
    """
    match mark:
        case _Mark.NUMBER:
            return after.is_organisation
        case _Mark.CONJUNCTION:
            return before.has_place and after.begins_with_name and after.is_organisation
        case _Mark.COMMA:
            return (
                before.has_place
                and after.begins_with_name
                and after.has(PartKind.ORGANISATION)
                and after.has_place
            )
        case _:
            ends = before.has_initials or before.has_place
            towns = before.has_town and (after.has_town or after.has_place)
            # A unit belongs to the organisation that follows it, unless a place ends it.
            unit = after.has(PartKind.UNIT) and not after.has_place
            organisation = after.has(PartKind.ORGANISATION) or (
                after.is_organisation and after.has_place
            )
            return (ends or towns) and (organisation or unit)
