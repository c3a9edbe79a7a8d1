"""Sparse vectors: their dot product says how much of a name an affiliation contains.

The two sides differ. A document (a name) weighs each of its terms by
idf² / (Σ idf²)^`LENGTH_EXPONENT`; a query (an affiliation) is binary. With exponent 1 the
dot product is the covered share of the name, whatever its length, so that a one-word name
beats a whole one; with 0.5 (cosine) it favours short names too. 0.75 prefers the longer of two
names that are both contained.

Term ids are CRC-32 values with the kind of term in the lowest bits, so that there is no
vocabulary to keep: of the 270k pairs of words in release 2.9 some 70 collide.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from resolver.registry.identifier import identifiers_in
from resolver.text.words import CJK, words

LENGTH_EXPONENT = 0.75
"""Of 0.65, 0.75, 0.8 and 0.85 the one with the best recall on the training strings."""

GRAM = 4
"""Characters of a gram, taken from words of `GRAM_WORD` characters and more: they carry typos,
compounds and inflections that whole words miss."""
GRAM_WORD = 5


class Term(IntEnum):
    """The kind of a term, which the lowest bits of its id hold."""

    WORD = 0
    CJK_PAIR = 1
    GRAM = 2
    WORD_PAIR = 3
    IDENTIFIER = 4


SHARE = {
    Term.WORD: 1.0,
    Term.CJK_PAIR: 1.0,
    Term.GRAM: 0.15,
    Term.WORD_PAIR: 0.3,
    Term.IDENTIFIER: 0.0,
}
"""What idf² is multiplied with. A long word has a dozen grams, which would drown the others at
full weight: R@5 of the sparse search rises from 82.6 to 91.1 with 0.15 for grams and to 92.3 with
pairs of neighbouring words beside them (1,500 training strings, release 2.9). An identifier is no
part of a name: `document_vector` weighs it by `IDENTIFIER_VALUE`."""

IDENTIFIER_VALUE = 10.0
"""More than any name scores: an affiliation with an organisation's ROR id or domain should find it
first."""

_KIND_BITS = 3
_KIND_MASK = (1 << _KIND_BITS) - 1
_SHARES = [SHARE[kind] for kind in Term]


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """`indices` (n,) uint32, ascending, distinct; `values` (n,) float32."""

    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indices)


def terms(text: str) -> set[int]:
    """Term ids of a text: words, pairs of neighbouring words, 4-grams of the longer words, and
    pairs of neighbouring characters of CJK runs."""
    text_words = words(text)
    ids: set[int] = set()
    for word in text_words:
        ids.update(_word_terms(word))
    for first, second in pairwise(text_words):
        ids.add(_id(Term.WORD_PAIR, f"{first} {second}"))
    return ids


def _id(kind: Term, spelling: str) -> int:
    return zlib.crc32(spelling.encode()) >> _KIND_BITS << _KIND_BITS | kind


@lru_cache(maxsize=200_000)
def _word_terms(word: str) -> tuple[int, ...]:
    if CJK.fullmatch(word):
        # A lone character is its own pair.
        pairs = [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        return tuple(_id(Term.CJK_PAIR, pair) for pair in pairs)
    grams = range(len(word) - GRAM + 1) if len(word) >= GRAM_WORD else range(0)
    return (
        _id(Term.WORD, word),
        *(_id(Term.GRAM, word[i : i + GRAM]) for i in grams),
    )


def kind(term: int) -> Term:
    return Term(term & _KIND_MASK)


TRANSLATED_SHARE = 0.7
"""Weight of translated terms, relative to a name's own in that script: they are guesses."""


def document_vector(
    document: set[int],
    idf: Mapping[int, float],
    translated: Mapping[int, float] | None = None,
    identifiers: Iterable[str] = (),
) -> SparseVector:
    """The weighted vector of a name; every term must be in `idf`.

    `translated` terms (`resolver.encoder.translation`), each with how likely it is, are weighed
    among themselves, so that a query in the name's own script scores as it would without them.
    """
    values = _weighted(document, idf)
    guesses = {t: likely for t, likely in (translated or {}).items() if t not in values}
    for term, value in _weighted(guesses, idf).items():
        values[term] = TRANSLATED_SHARE * guesses[term] * value
    for identifier in identifiers:
        values[_id(Term.IDENTIFIER, identifier)] = IDENTIFIER_VALUE
    indices = np.array(sorted(values), np.uint32)
    return SparseVector(indices, np.array([values[t] for t in indices.tolist()], np.float32))


def _weighted(found: Iterable[int], idf: Mapping[int, float]) -> dict[int, float]:
    squares = {term: _SHARES[term & _KIND_MASK] * idf[term] ** 2 for term in found}
    # Summed exactly: the same terms in another order are the same vector, bit for bit.
    norm = math.fsum(squares.values()) ** LENGTH_EXPONENT
    return {term: square / norm for term, square in squares.items()}


def query_vector(text: str) -> SparseVector:
    """The binary vector of an affiliation: its terms and the identifiers that it carries."""
    found = terms(text)
    found.update(_id(Term.IDENTIFIER, identifier) for identifier in identifiers_in(text))
    indices = np.fromiter(sorted(found), np.uint32, len(found))
    return SparseVector(indices, np.ones(len(indices), np.float32))
