"""How probable it is that a release changes a stored answer.

A logistic regression on what is stored with an answer and on the changed names that are near its
text. `WEIGHTS` were fitted by ``python -m benchmarks.selection --fit``, which resolves texts by two
releases and so knows which answers differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resolver.reranker.odds import log_odds, probability

Numbers = npt.NDArray[np.float64]
"""Shape (answers,), float64."""

NAMES = 283_313
"""Names of release 2.8, by whose statistics the sparse scores were that `WEIGHTS` were fitted
on."""

FARTHEST = 6.0
"""Difference of log odds beyond which an answer is certain."""

LEAST_NAMED, MOST_NAMED = 1e-4, 1 - 1e-4
"""A probability of the sieve counts as one of these where it is beyond them."""

LEAST = 0.004
"""The probability from which an answer is selected: docs/benchmarks.md says what other values find
and cost."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of answers, each of shape (answers,).

    `links` is how many links an answer has. `distance` is how far its least certain probability is
    from the threshold of its policy, in log odds: that of a link, or of what came nearest where
    there is no link. `sparse_linked` and `dense_linked` are the scores of the weakest link, 0
    without one.

    `sparse` is the highest sparse score of a changed name near the text, as it would be among
    `NAMES` names, `dense` the dense score of
    that name, `fit` the highest `NearName.fit`, and `named` the sieve's highest probability that
    the text names one of them; all are 0 where none is near.
    """

    links: Numbers
    distance: Numbers
    sparse_linked: Numbers
    dense_linked: Numbers
    sparse: Numbers
    dense: Numbers
    fit: Numbers
    named: Numbers

    def __len__(self) -> int:
        return len(self.links)

    @property
    def linked(self) -> npt.NDArray[np.bool_]:
        return self.links > 0

    @property
    def named_odds(self) -> Numbers:
        return log_odds(np.clip(self.named, LEAST_NAMED, MOST_NAMED))


@dataclass(frozen=True, slots=True)
class Feature:
    """A number that the prediction weighs; `column` gives it for each answer."""

    name: str
    column: Callable[[Signs], npt.ArrayLike]


FEATURES = (
    Feature("linked", lambda s: s.linked),
    Feature("several links", lambda s: s.links > 1),
    Feature("distance", lambda s: s.distance),
    Feature("root of distance", lambda s: np.sqrt(s.distance)),
    Feature("distance without link", lambda s: np.where(s.linked, 0.0, s.distance)),
    Feature("named", lambda s: s.named_odds),
    Feature("named beside link", lambda s: np.where(s.linked, s.named_odds, 0.0)),
    Feature("named and distance", lambda s: s.named_odds * s.distance),
    Feature("fit", lambda s: s.fit),
    Feature("fit above 3", lambda s: np.maximum(s.fit - 3.0, 0.0)),
    Feature("fit and distance", lambda s: s.fit * s.distance),
    Feature("sparse", lambda s: s.sparse),
    Feature(
        "sparse above link",
        lambda s: np.where(s.linked, np.maximum(s.sparse - s.sparse_linked, 0.0), 0.0),
    ),
    Feature(
        "sparse beside link",
        lambda s: np.where(s.linked, np.clip(s.sparse - s.sparse_linked, -3.0, 3.0), 0.0),
    ),
    Feature(
        "dense beside link",
        lambda s: np.where(s.linked, np.clip(s.dense - s.dense_linked, -1.0, 1.0), 0.0),
    ),
)

INTERCEPT = -1.472
WEIGHTS = {
    "linked": 0.659,
    "several links": -0.642,
    "distance": -0.084,
    "root of distance": -0.930,
    "distance without link": 0.547,
    "named": 0.148,
    "named beside link": 0.074,
    "named and distance": 0.119,
    "fit": -1.098,
    "fit above 3": 2.432,
    "fit and distance": -0.057,
    "sparse": 0.657,
    "sparse above link": -0.273,
    "sparse beside link": 0.290,
    "dense beside link": 0.259,
}
"""In log odds. Fitted on the answers to 13,000 texts by release 2.8, by 2.9 and by a made-up one
(`benchmarks.made_up_release`), from each to each other: 845 of the 73,000 that link to no changed
organisation changed. docs/benchmarks.md has the command. The higher what the sieve says, the higher
the probability, whatever the rest is."""


def sparse_scale(names: int) -> float:
    """What a sparse score among so many names is multiplied with to be as it would be among
    `NAMES`: it grows with the root of the inverse document frequency of rare words."""
    return math.sqrt(math.log1p(NAMES) / math.log1p(max(names, 1)))


def table(signs: Signs) -> npt.NDArray[np.float64]:
    """The `FEATURES`, shape (answers, features)."""
    columns = [np.asarray(feature.column(signs), np.float64) for feature in FEATURES]
    return np.column_stack(columns)


def change_probability(signs: Signs) -> Numbers:
    """How probable it is that each answer changes, in [0, 1]."""
    weights = np.array([WEIGHTS[feature.name] for feature in FEATURES])
    return probability(table(signs) @ weights + INTERCEPT)
