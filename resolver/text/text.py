"""A normalised text as a value that is made once and handed on.

The matcher, the evidence, the decision, the reasons and the evaluation all ask for the words of the
same few texts. They take a `Text` instead of a string, so that each of these things is worked out
once, by whoever asks first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

from resolver.text.cached_property import cached_property
from resolver.text.word_kind import WordKind, kinds_of_units, sorts_of_word
from resolver.text.words import (
    ByBeginning,
    by_beginning,
    capitals,
    fold,
    matched_words,
    matching,
    spans,
    split_cjk,
    with_articles,
    words_of_folded,
)

_JOINING = re.compile(r"[\s.'’\-‐–]*")
"""What stands between two words of one name."""

_HYPHENATED = re.compile(r"[A-Z]{1,5}(?:-[A-Z]{1,5})+")


@dataclass(frozen=True)
class Text:
    """A normalised text. Equal texts are equal, whatever has been worked out of them."""

    text: str

    @cached_property
    def folded(self) -> str:
        """Lower case without accents (`resolver.text.words.fold`)."""
        return fold(self.text)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Folded words in order, an unbroken run of CJK characters being one."""
        return tuple(words_of_folded(self.folded))

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The same with each CJK character by itself: what names are compared by."""
        return self.words if self.folded.isascii() else tuple(split_cjk(self.words))

    @cached_property
    def unit_set(self) -> frozenset[str]:
        """The `units`, each once."""
        return frozenset(self.units)

    @cached_property
    def kinds(self) -> tuple[WordKind, ...]:
        """What each of the `units` says."""
        return tuple(kinds_of_units(self.words))

    @cached_property
    def sorts(self) -> frozenset[str]:
        """The sorts of organisations that the text names, by the names of
        `resolver.text.vocabulary.SORTS`."""
        return frozenset().union(*map(sorts_of_word, self.words))

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """For each of the `units` where it stands in `text`: first character, and the one after
        its last."""
        return tuple(spans(self.text))

    @cached_property
    def padded(self) -> str:
        """The `words` joined by spaces, with a space at either end; empty without any."""
        return f" {' '.join(self.words)} " if self.words else ""

    @cached_property
    def capitals(self) -> frozenset[str]:
        """The `units` that are written as acronyms (`resolver.text.words.capitals`)."""
        return capitals(self.text)

    @cached_property
    def joined(self) -> str:
        """The folded letters of a text that is an acronym with hyphens: "aphp" of "AP-HP". "" of
        any other text."""
        is_acronym = "-" in self.text and _HYPHENATED.fullmatch(self.text)
        return self.folded.replace("-", "") if is_acronym else ""

    @cached_property
    def _positions(self) -> _Positions:
        return _Positions(self._by_beginning, self.capitals)

    @cached_property
    def _by_beginning(self) -> ByBeginning:
        return by_beginning(self.units)

    def stretches(self, positions: Collection[int]) -> list[tuple[int, int]]:
        """Where the `units` at these positions stand in `text`, for people: in order, with the
        articles that belong to them (`resolver.text.words.with_articles`), and neighbours with
        nothing but white space, hyphens, apostrophes or dots between them as one."""
        wide = with_articles(self.text, self.spans)
        stretches: list[tuple[int, int]] = []
        before: int | None = None
        for position in sorted(positions):
            start, end = wide[position]
            if before == position - 1 and _JOINING.fullmatch(self.text[stretches[-1][1] : start]):
                stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
            else:
                stretches.append((start, end))
            before = position
        return stretches

    def matching(self, name: Text) -> list[list[int]]:
        """For each unit of a name the positions of those `units` that are the same word, ascending
        (`resolver.text.words.matching`).

        Of an acronym that the name writes with hyphens and this text without them ("AP-HP",
        "APHP") each unit is there.
        """
        capitals = name.capitals
        if not capitals:
            alike = list(map(self._positions.__getitem__, name.units))
        elif capitals.isdisjoint(self.unit_set):
            alike = [[] if word in capitals else self._positions[word] for word in name.units]
        else:
            alike = matching(self._by_beginning, name.units, self.capitals | capitals)
        if name.joined and name.joined in self.capitals:
            there = [p for p, unit in enumerate(self.units) if unit == name.joined]
            return [sorted({*positions, *there}) for positions in alike]
        return alike

    def matched(self, name: Text, claimed: frozenset[int] = frozenset()) -> frozenset[int]:
        """Positions of those `units` that match a name and are not `claimed`
        (`resolver.text.words.matched_words`)."""
        return matched_words(self.matching(name), claimed)

    def holds(self, phrase: Text) -> bool:
        """Whether the words of a phrase stand in this text, one after the other."""
        padded = phrase.padded
        return bool(padded) and padded in self.padded

    def where(self, phrase: Text) -> Iterator[frozenset[int]]:
        """The positions of the units of each place where those of a phrase stand, one after the
        other and spelt the same."""
        units, wanted = self.units, phrase.units
        for start in range(len(units) - len(wanted) + 1):
            if units[start : start + len(wanted)] == wanted:
                yield frozenset(range(start, start + len(wanted)))


class _Positions(dict[str, list[int]]):
    """For each word that is no acronym in its name the positions of the units of a text that are
    the same word. A text is compared with many names, and these share most of their words, so
    each word is looked for when it is first asked for."""

    def __init__(self, text: ByBeginning, capitals: frozenset[str]) -> None:
        self._text, self._capitals = text, capitals

    def __missing__(self, word: str) -> list[int]:
        [positions] = matching(self._text, (word,), self._capitals)
        self[word] = positions
        return positions


@lru_cache(maxsize=1 << 15)
def registry_text(text: str) -> Text:
    """The `Text` of a name or place of the registry.

    These come back with every other affiliation, unlike affiliations themselves, so the last used
    are kept, up to 25 MB in a process. Without that the evidence that the sieve asks for takes 1.4
    times as long.
    """
    return Text(text)
