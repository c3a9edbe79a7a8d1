"""What the words of names and texts say: what something is, what it is called, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

from resolver.text import vocabulary
from resolver.text.words import CJK


class WordKind(IntEnum):
    """What a word of a name or text says."""

    LINK = 0
    """Nothing by itself: "of", a postcode, a single letter."""

    NUMBER = 1
    """Which of several: "2", "II"."""

    KIND = 2
    """What something is: "university", "hospital", "department"."""

    FIELD = 3
    """What is studied, taught or treated: "technology"."""

    OWN = 4
    """What something is called: any other word."""


_ROMAN = frozenset({"ii", "iii", "iv", "vi", "vii", "viii", "ix", "xi", "xii", "xiii"})

_DISTINGUISHING = frozenset({"new", "state", "provincial", "regional"})
"""Words that join in the vocabulary, and that names differ by: "University of Montana", "Montana
State University"."""

_DIGITS = 2
"""Most digits of a number that tells which of several organisations: "Paris 13"."""


@lru_cache(maxsize=1 << 16)
def word_kind(unit: str) -> WordKind:
    """The kind of a folded word that is not CJK."""
    if unit in _ROMAN or (unit.isdigit() and len(unit) <= _DIGITS):
        return WordKind.NUMBER
    if unit in _DISTINGUISHING:
        return WordKind.OWN
    if unit in vocabulary.LINK or len(unit) == 1 or unit.isdigit():
        return WordKind.LINK
    if any(
        unit in lexicon for lexicon in (vocabulary.ORGANISATION, vocabulary.UNIT, vocabulary.EITHER)
    ):
        return WordKind.KIND
    return WordKind.FIELD if unit in vocabulary.FIELD else WordKind.OWN


def kinds_of_units(words: Iterable[str]) -> list[WordKind]:
    """The kind of each unit of folded words; an unbroken run of CJK characters is one word, and
    each of its characters a unit."""
    kinds: list[WordKind] = []
    for word in words:
        if CJK.fullmatch(word):
            kinds += _cjk_kinds(word)
        else:
            kinds.append(word_kind(word))
    return kinds


def _cjk_kinds(word: str) -> list[WordKind]:
    kinds = [WordKind.OWN] * len(word)
    for lexicon, kind in (
        (vocabulary.FIELD, WordKind.FIELD),
        (vocabulary.EITHER, WordKind.KIND),
        (vocabulary.UNIT, WordKind.KIND),
        (vocabulary.ORGANISATION, WordKind.KIND),
    ):
        if lexicon.pieces:
            for piece in lexicon.pieces.finditer(word):
                kinds[piece.start() : piece.end()] = [kind] * len(piece.group())
    return kinds


@lru_cache(maxsize=1 << 16)
def sorts_of_word(word: str) -> frozenset[str]:
    """The sorts of organisations that a folded word names, by the names of `vocabulary.SORTS`; a
    run of CJK characters may name several."""
    return frozenset(
        sort
        for sort, lexicon in vocabulary.SORTS.items()
        if word in lexicon or lexicon.within(word)
    )
