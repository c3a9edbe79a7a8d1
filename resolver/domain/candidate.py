"""Candidates: organisations that the first stage brings for an affiliation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from resolver.domain.document import Document

RRF_CONSTANT = 60
"""k of reciprocal rank fusion: G. Cormack et al., "Reciprocal rank fusion outperforms Condorcet
and individual rank learning methods", SIGIR 2009."""

MAX_SEGMENTS = 16
"""Segments of one affiliation that are searched by themselves: enough for all but lists of a dozen
organisations."""

_BOUNDARY = re.compile(r"[,;|/()\[\]\n:、，；]| [-–—] ")
_JOINED_ACRONYMS = re.compile(r"[A-Z]{2}\d*[-–+][A-Z]{2}")
_JOINT = re.compile(r"[-–+\s]")
_ACRONYM = re.compile(r"[A-Z][A-Za-z]*[A-Z]+\d*")
_LETTERS = re.compile(r"[^\W\d_]{3,}|[\u2e80-\u9fff\uac00-\ud7af]{2,}")


def divided(text: str) -> list[str]:
    """All that stands between commas and their like, in order, white space and all."""
    return _BOUNDARY.split(text)


def segments(text: str) -> list[str]:
    """The parts of an affiliation between its commas and their like, in order.

    Acronyms joined by hyphens ("CNRS-INSERM-ULP") are parts of their own, beside the whole. Only
    parts with a word of three letters count; an affiliation of one part has no
    segments beside itself. Beyond `MAX_SEGMENTS` the later ones are kept: departments come
    first, organisations later.
    """
    parts = []
    for part in divided(text):
        parts.append(part.strip())
        if _JOINED_ACRONYMS.search(part):
            parts += [word for word in _JOINT.split(part) if _ACRONYM.fullmatch(word)]
    parts = list(dict.fromkeys(part for part in parts if _LETTERS.search(part)))
    return [] if len(parts) == 1 and parts[0] == text else parts[-MAX_SEGMENTS:]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document at its place (from 1) in one result list, with that list's own score."""

    document: Document
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One organisation, shown by the name that fits best.

    `sparse` and `dense` say how each kind of search found it (None: it did not); a dense
    find is the best over the whole text and its segments. `fused` orders candidates.
    """

    document: Document
    sparse: Ranked | None
    dense: Ranked | None
    fused: float

    @property
    def ror_id(self) -> str:
        return self.document.ror_id


Results = Sequence[tuple[Document, float]]
"""One result list: names, best first, an organisation possibly several times."""


def by_organisation(results: Results) -> dict[str, Ranked]:
    """Each organisation at its best name; ranks count organisations, not names."""
    ranked: dict[str, Ranked] = {}
    for document, score in results:
        if document.ror_id not in ranked:
            ranked[document.ror_id] = Ranked(document, len(ranked) + 1, score)
    return ranked


def fuse(sparse: Results, dense: Sequence[Results], *, depth: int) -> list[Candidate]:
    """Candidates by reciprocal rank fusion, best first, at most `depth`.

    `dense` holds the result lists of the whole text and of each segment. An organisation's
    dense rank is its best one: a segment that is nothing but its name finds it first. Ties go
    to the better sparse score, then the better dense one, then the smaller ROR id.
    """
    by_words = by_organisation(sparse)
    by_meaning: dict[str, Ranked] = {}
    for results in dense:
        for ror_id, found in by_organisation(results).items():
            known = by_meaning.get(ror_id)
            if known is None or (found.rank, -found.score) < (known.rank, -known.score):
                by_meaning[ror_id] = found
    candidates = []
    for ror_id in by_words.keys() | by_meaning.keys():
        words, meaning = by_words.get(ror_id), by_meaning.get(ror_id)
        shown = words or meaning
        assert shown is not None
        candidates.append(
            Candidate(
                document=shown.document,
                sparse=words,
                dense=meaning,
                fused=sum(1 / (RRF_CONSTANT + found.rank) for found in (words, meaning) if found),
            )
        )
    candidates.sort(key=order)
    return candidates[:depth]


def order(candidate: Candidate) -> tuple[float, float, float, str]:
    """The first stage's order, best first, as a key to sort by."""
    sparse, dense = candidate.sparse, candidate.dense
    return (
        -candidate.fused,
        -(sparse.score if sparse else 0.0),
        -(dense.score if dense else 0.0),
        candidate.ror_id,
    )
