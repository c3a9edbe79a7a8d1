"""What speaks for a candidate beside the reranker's score: numbers that a person can check.

One row of `FEATURES` for each candidate of a shortlist. The reranker reads one pair at a time;
these say how the pair stands among the others, how much of the name the text holds, and whether
place and text agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from resolver.domain.candidate import Candidate
from resolver.domain.country import names_country
from resolver.domain.odds import probability
from resolver.domain.organisation import OrganisationStatus
from resolver.domain.words import CJK, ground, units, words

FEATURES = (
    "logit",
    "rival_gap",
    "sparse",
    "sparse_gap",
    "dense",
    "dense_gap",
    "reciprocal_rank",
    "coverage",
    "whole_name",
    "name_length",
    "text_share",
    "acronym",
    "city",
    "country",
    "other_country",
    "inactive",
)
"""The columns, in order:

- ``logit``: the reranker's score; ``rival_gap``: minus the best of its rivals, which stand
  on the same words of the text (0 stands for a rival where there is none)
- ``sparse``, ``dense``: scores of the first stage (0 where it did not find the candidate that
  way); ``sparse_gap``, ``dense_gap``: minus the best of its rivals
- ``reciprocal_rank``: 1 / place in the first stage's fused list
- ``coverage``: share of the name's words that the text holds in one place, ``whole_name``:
  all of them; ``name_length``: ln(1 + words of the name); ``text_share``: share of the text's
  words that the name stands on
- ``acronym``: the name is nothing but an acronym
- ``city``, ``country``: the text names the organisation's; ``other_country``: it names that
  of another candidate and not this one's
- ``inactive``: the organisation has ended
"""

Features = npt.NDArray[np.float64]
"""Shape (candidates, len(FEATURES)), float64."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Evidence → probability: logistic regression, one weight for each of `FEATURES`.

    Linear, so that a person can read it: weight × feature is what that feature adds to the log
    odds. It is fitted on candidates of the real first stage, so that its probabilities can be
    taken at their word (``resolver train --part judge``).
    """

    weights: tuple[float, ...]
    intercept: float

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES):
            raise ValueError(f"{len(self.weights)} weights for {len(FEATURES)} features")

    @classmethod
    def of_logit(cls, slope: float, intercept: float) -> Self:
        """One that hears the reranker alone: for models that no judge was fitted with."""
        weights = (slope if name == "logit" else 0.0 for name in FEATURES)
        return cls(tuple(weights), intercept)

    def probability(self, features: Features) -> npt.NDArray[np.float64]:
        """Probabilities in [0, 1], shape (candidates,)."""
        return probability(features @ np.array(self.weights) + self.intercept)


def evidence(text: str, candidates: Sequence[Candidate], logits: Sequence[float]) -> Features:
    """The features of a shortlist, which is in the first stage's order, as `logits` are."""
    if not candidates:
        return np.empty((0, len(FEATURES)))
    text_units = units(text)
    flat = f" {' '.join(words(text))} "
    named = [
        names_country(flat, candidate.document.country_code, candidate.document.country)
        for candidate in candidates
    ]
    countries = {
        candidate.document.country_code
        for candidate, is_named in zip(candidates, named, strict=True)
        if is_named
    }
    sparse = [candidate.sparse.score if candidate.sparse else 0.0 for candidate in candidates]
    dense = [candidate.dense.score if candidate.dense else 0.0 for candidate in candidates]
    names = [units(candidate.document.name) for candidate in candidates]
    grounds = [ground(text_units, name) for name in names]
    rows = []
    for i, candidate in enumerate(candidates):
        document, name, stands = candidate.document, names[i], grounds[i]
        coverage = len(stands) / len(name) if name else 0.0
        rivals = [j for j in range(len(names)) if j != i and _overlap(stands, grounds[j])]
        rows.append(
            (
                logits[i],
                logits[i] - max((logits[j] for j in rivals), default=0.0),
                sparse[i],
                sparse[i] - max((sparse[j] for j in rivals), default=0.0),
                dense[i],
                dense[i] - max((dense[j] for j in rivals), default=0.0),
                1 / (i + 1),
                coverage,
                coverage == 1.0,
                math.log1p(_length(name)),
                len(stands) / len(text_units) if text_units else 0.0,
                document.is_acronym,
                _holds(flat, document.city),
                named[i],
                bool(countries) and not named[i],
                document.status is not OrganisationStatus.ACTIVE,
            )
        )
    return np.array(rows, np.float64)


def _overlap(one: frozenset[int], other: frozenset[int]) -> bool:
    """Whether two names compete: at least half of the smaller ground is the other's too.

    A name that stands on nothing (another script) competes with all.
    """
    smaller = min(len(one), len(other))
    return smaller == 0 or 2 * len(one & other) >= smaller


def _holds(flat: str, phrase: str | None) -> bool:
    """Whether folded words, joined and padded by spaces, hold those of a phrase."""
    found = " ".join(words(phrase)) if phrase else ""
    return bool(found) and (f" {found} " in flat)


def _length(name: Sequence[str]) -> int:
    """Words of a name; two CJK characters make about one."""
    characters = sum(bool(CJK.fullmatch(unit)) for unit in name)
    return len(name) - characters + (characters + 1) // 2
