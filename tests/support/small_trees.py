"""Trees small enough to be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resolver.matching.trees import Trees


def leaf(columns: Sequence[str], value: float) -> Trees:
    """One value for every row."""
    nothing = np.array([-1])
    return Trees(
        tuple(columns),
        np.array([0]),
        feature=nothing,
        threshold=np.zeros(1),
        left=nothing,
        right=nothing,
        value=np.array([value]),
    )


def stump(columns: Sequence[str], name: str, threshold: float, low: float, high: float) -> Trees:
    """`high` where a column exceeds the threshold, else `low`."""
    return Trees(
        tuple(columns),
        np.array([0]),
        feature=np.array([columns.index(name), -1, -1]),
        threshold=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        value=np.array([(low + high) / 2, low, high]),
    )
