"""Sums of small decision trees, by gradient boosting (J. Friedman, "Greedy function approximation",
Annals of Statistics 29, 2001)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]
"""Shape (rows, columns), float64: the values that the trees ask for."""


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """`columns` names the columns that the trees were fitted to, in the order of the table.

    All nodes of all trees are kept in the same arrays, each of shape (nodes,): `feature` (int64,
    the number of a column; -1: a leaf), `threshold` (float64; to the left when the value does not
    exceed it), `left` and `right` (int64, numbers of nodes) and `value` (float64, log odds: the
    mean of the leaves below the node). `roots` (trees,) has the number of each tree's first node.
    """

    columns: tuple[str, ...]
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
        if nodes and not -1 <= self.feature.min() <= self.feature.max() < len(self.columns):
            raise ValueError(f"feature: not between -1 and {len(self.columns) - 1}")
        if len(self.roots) and not 0 <= self.roots.min() <= self.roots.max() < nodes:
            raise ValueError(f"roots: no node of {nodes}")
        inner = np.flatnonzero(self.feature >= 0)
        for name in ("left", "right"):
            child = getattr(self, name)[inner]
            # A child comes after its parent, so that every walk ends at a leaf.
            if (child <= inner).any() or (child >= nodes).any():
                raise ValueError(f"{name}: a child that does not come after its parent")

    def calibrated(self, slope: float, intercept: float) -> Self:
        """The trees whose log odds are those of these, times `slope`, plus `intercept`."""
        value = slope * self.value
        first = slice(0, self.roots[1] if len(self.roots) > 1 else None)
        value[first] += intercept
        return replace(self, value=value)

    def require_columns(self, columns: Sequence[str]) -> None:
        """Refuse a table of other columns, or of the same in another order: trees would read one
        value for another, and nothing would show it.

        Raises:
            ValueError: names what is missing or new, or says that the order is another.
        """
        if self.columns == tuple(columns):
            return
        differences = [
            f"{what} {', '.join(names)}"
            for what, names in (
                ("without", [name for name in columns if name not in self.columns]),
                ("with", [name for name in self.columns if name not in columns]),
            )
            if names
        ]
        raise ValueError(f"fitted to other columns: {'; '.join(differences) or 'in another order'}")

    def odds(self, table: Table) -> npt.NDArray[np.float64]:
        """Log odds of each row, shape (rows,).

        Like the sum of `steps`, in half the time: a walk that has reached its leaf is not looked at
        again.
        """
        rows, trees = len(table), len(self.roots)
        values = table.ravel()
        at = np.tile(self.roots, rows)
        beginning = np.repeat(np.arange(rows) * len(self.columns), trees)
        walking = np.arange(len(at))
        while True:
            node = at[walking]
            asked = self.feature[node]
            inner = asked >= 0
            if not inner.all():
                walking, node, asked = walking[inner], node[inner], asked[inner]
            if not len(walking):
                return np.asarray(self.value[at].reshape(rows, trees).sum(axis=1))
            exceeds = values[beginning[walking] + asked] > self.threshold[node]
            at[walking] = np.where(exceeds, self.right[node], self.left[node])

    def steps(
        self, table: Table
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """Walk all trees one level at a time: the number of the column that each node asks for, and
        the change in log odds that its answer makes.

        Both of shape (rows, trees); at a leaf nothing changes.
        """
        at = np.broadcast_to(self.roots, (len(table), len(self.roots)))
        rows = np.arange(len(table))[:, None]
        while True:
            asked = self.feature[at]
            inner = asked >= 0
            if not inner.any():
                return
            exceeds = table[rows, asked] > self.threshold[at]
            following = np.where(inner, np.where(exceeds, self.right[at], self.left[at]), at)
            yield asked, self.value[following] - self.value[at]
            at = following

    def as_object(self) -> dict[str, object]:
        """As JSON values; `of_object` reads them."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"columns": list(self.columns), **arrays}

    @classmethod
    def of_object(cls, stored: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError: it is of another form."""
        columns = stored["columns"]
        if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise TypeError("columns: no list of names")
        trees = cls(
            columns=tuple(columns),
            roots=np.array(stored["roots"], np.int64),
            feature=np.array(stored["feature"], np.int64),
            threshold=np.array(stored["threshold"], np.float64),
            left=np.array(stored["left"], np.int64),
            right=np.array(stored["right"], np.int64),
            value=np.array(stored["value"], np.float64),
        )
        if any(getattr(trees, name).ndim != 1 for name in _ARRAYS):
            raise ValueError("a part of the trees is no list of numbers")
        return trees


_ARRAYS = ("roots", "feature", "threshold", "left", "right", "value")
