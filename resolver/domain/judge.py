"""Judges: evidence → how probable it is that an affiliation names a candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from resolver.domain.evidence import FEATURES, Features
from resolver.domain.odds import probability

Weighed = tuple[tuple[str, float], ...]
"""What each kind of evidence added to the log odds of one candidate."""


class Judge(Protocol):
    def probability(self, features: Features) -> npt.NDArray[np.float64]:
        """Probabilities in [0, 1], shape (candidates,)."""
        ...

    def weighed(self, features: Features) -> list[Weighed]:
        """For each candidate what made its log odds; with the judge's constant they are the sum."""
        ...

    def as_object(self) -> dict[str, object]:
        """As JSON values; `judge_of` reads them."""
        ...


@dataclass(frozen=True, slots=True)
class LogitJudge:
    """One that hears the reranker alone: for models that no judge was fitted with."""

    slope: float
    intercept: float

    def probability(self, features: Features) -> npt.NDArray[np.float64]:
        return probability(self.slope * features[:, _LOGIT] + self.intercept)

    def weighed(self, features: Features) -> list[Weighed]:
        return [((FEATURES[_LOGIT], self.slope * row[_LOGIT]),) for row in features.tolist()]

    def as_object(self) -> dict[str, object]:
        return {"slope": self.slope, "intercept": self.intercept}


_LOGIT = FEATURES.index("logit")


@dataclass(frozen=True, slots=True, eq=False)
class TreeJudge:
    """A sum of small decision trees, by gradient boosting (J. Friedman, "Greedy function
    approximation", Annals of Statistics 29, 2001).

    All nodes of all trees stand in one row of columns, each of shape (nodes,): `feature` (its
    place in `FEATURES`, int64; -1: a leaf), `threshold` (float64; to the left when the evidence
    does not exceed it), `left` and `right` (int64, places of nodes) and `value` (float64, what a
    node says of the log odds: the mean of the leaves below it). `roots` (trees,) says where each
    tree begins. It is fitted on candidates of the real first stage, so that its probabilities can
    be taken at their word (``resolver train --part judge``).
    """

    roots: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        nodes = len(self.feature)
        for name in ("threshold", "left", "right", "value"):
            if len(getattr(self, name)) != nodes:
                raise ValueError(f"{name}: {len(getattr(self, name))} entries for {nodes} nodes")
        if nodes and not -1 <= self.feature.min() <= self.feature.max() < len(FEATURES):
            raise ValueError(f"feature: not between -1 and {len(FEATURES) - 1}")
        if len(self.roots) and not 0 <= self.roots.min() <= self.roots.max() < nodes:
            raise ValueError(f"roots: no node of {nodes}")
        inner = np.flatnonzero(self.feature >= 0)
        for name in ("left", "right"):
            child = getattr(self, name)[inner]
            # A child comes after its parent, so that every walk ends.
            if (child <= inner).any() or (child >= nodes).any():
                raise ValueError(f"{name}: a child that does not come after its parent")

    def probability(self, features: Features) -> npt.NDArray[np.float64]:
        odds = np.full(len(features), self.value[self.roots].sum())
        for _, added in self._steps(features):
            odds += added.sum(axis=1)
        return probability(odds)

    def weighed(self, features: Features) -> list[Weighed]:
        """What a feature added is how much the trees changed their mind when they asked for it
        (A. Saabas, "Interpreting random forests", 2014)."""
        summed = np.zeros((len(features), len(FEATURES)))
        rows = np.broadcast_to(np.arange(len(features))[:, None], (len(features), len(self.roots)))
        for asked, added in self._steps(features):
            np.add.at(summed, (rows, asked), added)
        return [
            tuple((FEATURES[i], row[i]) for i in range(len(FEATURES)) if row[i])
            for row in summed.tolist()
        ]

    def _steps(
        self, features: Features
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """Walk all trees one step at a time: which feature was asked, and what that changed.

        Both of shape (candidates, trees); at a leaf nothing changes.
        """
        at = np.broadcast_to(self.roots, (len(features), len(self.roots)))
        rows = np.arange(len(features))[:, None]
        while True:
            asked = self.feature[at]
            inner = asked >= 0
            if not inner.any():
                return
            exceeds = features[rows, asked] > self.threshold[at]
            following = np.where(inner, np.where(exceeds, self.right[at], self.left[at]), at)
            yield asked, self.value[following] - self.value[at]
            at = following

    def as_object(self) -> dict[str, object]:
        return {name: getattr(self, name).tolist() for name in _COLUMNS}


_COLUMNS = ("roots", "feature", "threshold", "left", "right", "value")


def judge_of(stored: Mapping[str, object]) -> Judge:
    """The judge that `as_object` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is of another form.
    """
    if "slope" in stored:
        return LogitJudge(_number(stored["slope"]), _number(stored["intercept"]))
    trees = TreeJudge(
        roots=np.array(stored["roots"], np.int64),
        feature=np.array(stored["feature"], np.int64),
        threshold=np.array(stored["threshold"], np.float64),
        left=np.array(stored["left"], np.int64),
        right=np.array(stored["right"], np.int64),
        value=np.array(stored["value"], np.float64),
    )
    if any(getattr(trees, name).ndim != 1 for name in _COLUMNS):
        raise ValueError("a column of the trees is no list of numbers")
    return trees


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
