"""Whose an acronym of an affiliation is: what the text says beside it, and the registry's names.

An acronym that the text spells out is that organisation's or nobody's. So what an organisation is
called otherwise is looked for there, and a link takes its acronym with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache

from resolver.registry.document import Document
from resolver.text import vocabulary
from resolver.text.acronyms import Acronym, not_acronyms
from resolver.text.affiliation import Affiliation
from resolver.text.text import Text, registry_text

FULL = 0.8
"""From this share of its words on, those that join left out, a text has a name."""


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
        own = {_as_acronym(name) for name in (document.name, *document.other_names)} & self._units
        return frozenset(p for p in self.at if self.affiliation.units[p] in own) if own else _NONE

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


@lru_cache(maxsize=1 << 15)
def _as_acronym(name: str) -> str:
    """A name as it stands among the units of a text if it is an acronym; "" if it is none."""
    units = registry_text(name).units if " " not in name else ()
    return units[0] if len(units) == 1 else ""


def _names(document: Document) -> Iterator[Text]:
    """All names of an organisation, that of the document first."""
    yield registry_text(document.name)
    if document.display_name != document.name:
        yield registry_text(document.display_name)
    for name in document.other_names:
        if name != document.display_name:
            yield registry_text(name)
