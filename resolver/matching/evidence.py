"""What speaks for a candidate beside the reranker's score: numbers that a person can check.

One row of `FEATURES` for each candidate of a shortlist. The reranker reads one pair at a time;
these say how the pair stands among the others, and bring what was known before
(`resolver.matching.reading`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from resolver.matching.reading import STANDING, Reading, Relation, best

FORM = 1
"""Form of the evidence. Raise it with every change after which the same affiliation, the same
registry and the same models could give other numbers: a column of `FEATURES` added, moved or taken
out, or computed otherwise, here or in what it rests on (how a text is normalised and cut into words
and parts, places, identifiers, the first stage and how its lists are joined).

It is part of the resolver version, so that answers of another form are due, and of the judge's
file, since what was fitted to other numbers means nothing: fit it again.
``tests/matching/test_forms.py`` fails where the numbers change and this does not."""

RELATIVE = (
    "logit",
    "rival_gap",
    "best_gap",
    "better_rivals",
    "better",
    "first_gap",
    "strong_others",
    "within_better",
    "namesake_gap",
    "parent_of_better",
    "child_of_better",
    "relative_of_better",
)
"""The columns that scores add, in order; *better* candidates have a higher logit:

- ``logit``: the reranker's score; ``rival_gap``, ``best_gap``, ``first_gap``: minus that of the
  best rival, of the best other candidate, of the first of the shortlist; ``better_rivals``,
  ``better``: how many are better; ``strong_others``: on how many other grounds of the text there
  is a candidate with a logit above `STRONG`
- ``within_better``: share of its ground that a better rival with more words stands on
- ``namesake_gap``: the logit minus that of the best other candidate of the same name
  (`NO_NAMESAKE` without one)
- ``parent_of_better``, ``child_of_better``, ``relative_of_better``: how the registry relates it to
  a better candidate
"""

FEATURES = (*STANDING, *RELATIVE)

STRONG = 1.0
"""A logit above which three in four candidates are right (calibration of the built-in reranker)."""

NO_NAMESAKE = 10.0
"""Larger than any difference of two logits that bears on a decision."""

Features = npt.NDArray[np.float64]
"""Shape (candidates, len(FEATURES)), float64."""


def evidence(reading: Reading, shortlist: Sequence[int], logits: Sequence[float]) -> Features:
    """The features of a shortlist: places of candidates in the reading, and the logit of each."""
    if not shortlist:
        return np.empty((0, len(FEATURES)))
    logit = np.asarray(logits, np.float64)
    places = np.asarray(shortlist, np.int64)
    among = np.ix_(places, places)
    rivals, namesakes = reading.competing[among], reading.namesakes[among]
    others = ~np.eye(len(places), dtype=np.bool_)
    better = logit > logit[:, None]
    relative = [
        logit,
        logit - best(logit, rivals),
        logit - best(logit, others),
        (better & rivals).sum(axis=1),
        better.sum(axis=1),
        logit - logit[0],
        _strong_beside(reading, places.tolist(), logit, rivals),
        _within(reading.shared[among], better & rivals),
        np.where(namesakes.any(axis=1), logit - best(logit, namesakes), NO_NAMESAKE),
        *_relations(reading, places.tolist(), better),
    ]
    return np.column_stack([reading.standing[places], *relative])


def _strong_beside(
    reading: Reading, places: Sequence[int], logit: npt.NDArray[np.float64], rivals: Relation
) -> list[int]:
    strong = np.flatnonzero(logit > STRONG).tolist()
    return [
        len({reading.grounds[places[j]] for j in strong if j != i and not rivals[i, j]})
        for i in range(len(places))
    ]


def _within(shared: npt.NDArray[np.int64], better: Relation) -> npt.NDArray[np.float64]:
    size = shared.diagonal()[:, None]
    longer = better & (shared.diagonal() > size) & (size > 0)
    held = np.where(longer, shared / np.maximum(size, 1), 0.0)
    return np.asarray(held.max(axis=1, initial=0.0))


def _relations(
    reading: Reading, places: Sequence[int], better: Relation
) -> tuple[list[bool], list[bool], list[bool]]:
    parent, child, relative = [], [], []
    for place, row in zip(places, better, strict=True):
        one = reading.documents[place]
        above = [reading.documents[places[j]] for j in np.flatnonzero(row).tolist()]
        ids = {other.ror_id for other in above}
        parent.append(any(one.ror_id in other.parents for other in above))
        child.append(not ids.isdisjoint(one.parents))
        relative.append(not ids.isdisjoint((*one.relatives, *one.successors)))
    return parent, child, relative
