"""Whose an acronym of an affiliation is: what the text says beside it, and the registry's names.

An acronym that the text spells out is that organisation's or nobody's. So what an organisation is
called otherwise is looked for there, and a link takes its acronym with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum

from resolver.registry.document import Document
from resolver.text import vocabulary
from resolver.text.acronyms import Acronym, not_acronyms
from resolver.text.affiliation import Affiliation
from resolver.text.cached_property import cached_property
from resolver.text.text import Text, registry_text
from resolver.text.word_kind import WordKind, word_kind

FULL = 0.8
"""From this share of its words on, those that join left out, a text has a name."""

_BOUNDARY = re.compile(r"[,;:|/()\[\]{}\n]|\s[-\u2010-\u2014]\s")
_JOIN = re.compile(r"[-\u2010-\u2014+&]")
_RESEARCH_UNIT = re.compile(r"(?:umr|usr|upr|umi|ums|umrs|fre|ura|ea|ua|u|unit|unite)?_?[a-z]?\d*")
"""A word for a research unit, its number, or both: "UMR", "5558", "U1073"."""

_ANOTHER = 0.5
"""From more than this share on of words that no name of an organisation matches, what an acronym is
spelled out as is another one."""


class Standing(IntEnum):
    """How freely a word stands in a text, by that of its two neighbours that belongs to it more."""

    AMONG_WORDS = 1
    """Beside another word: "MRC Centre"."""

    JOINED = 2
    """Joined to another word by a hyphen or the like: "CNRS-Université"."""

    LISTED = 3
    """Beside other acronyms, the number of a research unit or words that join: "UMR 5558
    CNRS-INRA", "INRA and CNRS"."""

    ALONE = 4
    """By itself between commas, brackets, slashes and the like."""


class Acronyms:
    """The acronyms of an affiliation; `at` has them by their positions.

    In the methods `matched` are the positions of the affiliation's units that match the name of a
    document.
    """

    def __init__(self, affiliation: Affiliation) -> None:
        self.affiliation = affiliation
        self.at = {acronym.position: acronym for acronym in affiliation.acronyms}
        self._units = {affiliation.units[position] for position in self.at}
        self._any_spelled_out = any(a.spelled_out for a in self.at.values())
        self._by_initials = [a for a in self.at.values() if a.by_initials]

    @cached_property
    def none(self) -> frozenset[int]:
        """Positions of words that are no acronym (`resolver.text.acronyms.not_acronyms`)."""
        return not_acronyms(self.affiliation)

    def own(self, document: Document) -> frozenset[int]:
        """Positions of the acronyms that the registry has for an organisation."""
        if not self.at:
            return _NONE
        own = self._units.intersection(_words_alone(document))
        return frozenset(p for p in self.at if self.affiliation.units[p] in own) if own else _NONE

    def short_names(self, document: Document) -> frozenset[int]:
        """Positions of the words that are a whole name of an organisation: its acronyms, also those
        that are written as words ("Inserm").

        What the text spells out as something else, and what cannot be an acronym, is left out.
        """
        names = self._naming.keys() & _words_alone(document)
        if not names:
            return _NONE
        return frozenset(
            position
            for unit in names
            for position in self._naming[unit]
            if self.otherwise(document, frozenset({position}), by_initials=True) <= _ANOTHER
        )

    @cached_property
    def _naming(self) -> dict[str, list[int]]:
        """The words that may be a name by themselves, each with its positions."""
        naming: dict[str, list[int]] = {}
        for position, unit in enumerate(self.affiliation.units):
            if word_kind(unit) is WordKind.OWN and position not in self.none:
                naming.setdefault(unit, []).append(position)
        return naming

    def standing(self, position: int) -> Standing:
        """How the word at a position stands in its part of the text."""
        text, spans = self.affiliation.text, self.affiliation.spans
        start, end = spans[position]
        before = text[spans[position - 1][1] : start] if position else ","
        after = text[end : spans[position + 1][0]] if position + 1 < len(spans) else ","
        return min(self._side(before, position - 1), self._side(after, position + 1))

    def _side(self, between: str, beside: int) -> Standing:
        """How a word stands towards the unit `beside` it; `between` is the text between the two."""
        if _BOUNDARY.search(between):
            return Standing.ALONE
        unit = self.affiliation.units[beside]
        if beside in self.at or unit in vocabulary.LINK or _RESEARCH_UNIT.fullmatch(unit):
            return Standing.LISTED
        return Standing.JOINED if _JOIN.search(between) else Standing.AMONG_WORDS

    def _spelled_out(self, matched: frozenset[int]) -> list[Acronym]:
        """The acronyms that a name matches; none where it matches anything else, or where the text
        does not spell them all out."""
        if not matched or not self._any_spelled_out:
            return []
        acronyms = [self.at[p] for p in matched if p in self.at]
        if len(acronyms) < len(matched) or not all(a.spelled_out for a in acronyms):
            return []
        return acronyms

    def otherwise(self, document: Document, matched: frozenset[int], *, by_initials: bool) -> float:
        """The share, from 0 to 1, of the words that an acronym is spelled out as which no name of
        an organisation matches.

        0 where the name matches more than an acronym, or one that is not spelled out.
        `by_initials` chooses between the two rules of `resolver.text.acronyms`.
        """
        acronyms = self._spelled_out(matched)
        if not acronyms or any(a.by_initials for a in acronyms) != by_initials:
            return 0.0
        words = frozenset().union(*(a.spelled_out for a in acronyms))
        return 1 - max(self._agreement(name, words) for name in _names(document))

    def confirmed(self, document: Document, matched: frozenset[int]) -> bool:
        """Whether the text has both an acronym of an organisation and a full name of it."""
        if not self.at or not matched:
            return False
        for acronym in self._by_initials:
            words = matched & acronym.spelled_out
            if (
                acronym.position not in matched
                and len(self._content(words)) >= FULL * len(self._content(acronym.spelled_out))
                and self._has(registry_text(document.name), words)
            ):
                return True
        own = self.own(document)
        if not own:
            return False
        return any(
            self._has(name, self.affiliation.matched(name, own))
            for name in _names(document)
            if len(name.units) > 1
        )

    def claimed(self, document: Document, matched: frozenset[int]) -> frozenset[int]:
        """Positions of all names of a linked organisation: those `matched`, acronyms of which the
        text says by initials that they are short for these, and its other names and acronyms in
        the registry."""
        given = (
            acronym.position
            for acronym in self._by_initials
            if 2 * len(acronym.spelled_out & matched) > len(acronym.spelled_out)
        )
        claimed = matched | self.own(document) | frozenset(given)
        for name in _names(document):
            if len(name.units) > 1:
                claimed = claimed.union(*self.affiliation.where(name))
        return claimed

    def _agreement(self, name: Text, words: frozenset[int]) -> float:
        """The share of these words that a name has, or of the name's words that are among them,
        whichever is more."""
        content = self._content(words)
        found = self._content(self.affiliation.matched(name) & words)
        own = sum(unit not in vocabulary.LINK for unit in name.units)
        of_name = len(found) / own if own > 1 else 0.0
        return max(len(found) / len(content), of_name) if content else 1.0

    def _content(self, positions: frozenset[int]) -> frozenset[int]:
        """Those positions whose words do more than join others."""
        units = self.affiliation.units
        return frozenset(p for p in positions if units[p] not in vocabulary.LINK)

    def _has(self, name: Text, matched: frozenset[int]) -> bool:
        """Whether these positions are enough of a name of two words or more."""
        content = sum(unit not in vocabulary.LINK for unit in name.units)
        return content > 1 and len(self._content(matched)) >= FULL * content


_NONE: frozenset[int] = frozenset()


def _words_alone(document: Document) -> list[str]:
    """Those names of an organisation that are one word, as it stands among the units of a text."""
    words: list[str] = []
    for name in (document.name, *document.other_names):
        if " " in name:
            continue
        # Most are made of ASCII letters, and folding these is making them small.
        if name.isascii() and name.isalnum():
            words.append(name.lower())
        elif len(units := registry_text(name).units) == 1:
            words.append(units[0])
    return words


def _names(document: Document) -> Iterator[Text]:
    """All names of an organisation, that of the document first."""
    yield registry_text(document.name)
    if document.display_name != document.name:
        yield registry_text(document.display_name)
    for name in document.other_names:
        if name != document.display_name:
            yield registry_text(name)
