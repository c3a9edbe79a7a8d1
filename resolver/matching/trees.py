"""Sums of small decision trees, by gradient boosting (J. Friedman, "Greedy function approximation",
Annals of Statistics 29, 2001)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from resolver.matching import tree_graph

if TYPE_CHECKING:
    import onnxruntime

Table = npt.NDArray[np.float64]
"""Shape (rows, columns), float64: the values that the trees ask for."""


class Steps(NamedTuple):
    """Steps of rows down the trees, each array of shape (steps,): the number of the `row`, the
    number of the `column` that a node asks for, and how much its answer `added` to the log odds."""

    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    added: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trees:
    """They are computed in ONNX Runtime, of a graph that is made when it is first needed.

    `columns` names the columns that the trees were fitted to, in the order of the table.

    All nodes of all trees are kept in the same arrays, each of shape (nodes,): `feature` (int64,
    the number of a column; -1: a leaf), `threshold` (float64; to the left when the value does not
    exceed it), `left` and `right` (int64, numbers of nodes) and `value` (float64, log odds: the
    mean of the leaves below the node). `roots` (trees,) has the number of each tree's first node.
    Trees that forecast a logit sum up to that, and not to log odds.
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
        if not len(self.roots):
            raise ValueError("roots: no trees")
        for name in ("threshold", "left", "right", "value"):
            if len(getattr(self, name)) != nodes:
                raise ValueError(f"{name}: {len(getattr(self, name))} entries for {nodes} nodes")
        if nodes and not -1 <= self.feature.min() <= self.feature.max() < len(self.columns):
            raise ValueError(f"feature: not between -1 and {len(self.columns) - 1}")
        if not 0 <= self.roots.min() <= self.roots.max() < nodes:
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
        """Log odds of each row, shape (rows,): the sum of its leaves in all trees."""
        if not len(table):
            return np.zeros(0)
        (odds,) = self._session.run(None, {tree_graph.INPUT: np.ascontiguousarray(table)})
        return np.asarray(odds[:, 0])

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        # Here, not above: a worker's parent imports this module and forks afterwards.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        graph = tree_graph.graph(len(self.columns), *(getattr(self, name) for name in _ARRAYS))
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def steps(self, table: Table) -> Steps:
        """All steps of all rows, those nearest to the roots first."""
        trees = len(self.roots)
        values = table.ravel()
        node = np.tile(self.roots, len(table))
        row = np.repeat(np.arange(len(table)), trees)
        levels = [Steps(row[:0], row[:0], np.zeros(0))]
        while True:
            inner = self.feature[node] >= 0
            node, row = node[inner], row[inner]
            if not len(node):
                return Steps(*map(np.concatenate, zip(*levels, strict=True)))
            column = self.feature[node]
            exceeds = values[row * len(self.columns) + column] > self.threshold[node]
            following = np.where(exceeds, self.right[node], self.left[node])
            levels.append(Steps(row, column, self.value[following] - self.value[node]))
            node = following

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
