"""Platt scaling: fitting calibrated probabilities to logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from resolver.errors import ModelError
from resolver.reranker import Calibration
from resolver.reranker.odds import probability

ITERATIONS = 100
"""Newton's method needs about ten."""


def fit(
    logits: npt.NDArray[np.floating[Any]],
    labels: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.float64] | None = None,
) -> Calibration:
    """The maximum-likelihood slope and intercept, with Platt's smoothed targets.

    `logits`, `labels` and the `weights` of the pairs (None: all alike) have shape (pairs,); the
    pairs should be what the first stage brings in deployment, since the share of right ones is part
    of what is fitted.

    Raises:
        ModelError: one label is missing, or higher logits do not go with right pairs.
    """
    right, wrong = int(labels.sum()), int((~labels).sum())
    if not right or not wrong:
        raise ModelError(
            f"cannot calibrate on {right} right and {wrong} wrong pairs",
            remedy="give more gold strings, with organisations of the registry at hand",
        )
    x = np.stack([logits.astype(np.float64), np.ones(len(logits))], axis=1)
    target = np.where(labels, (right + 1) / (right + 2), 1 / (wrong + 2))
    weight = np.ones(len(logits)) if weights is None else weights
    line = np.array([1.0, 0.0])
    loss = _loss(x, target, weight, line)
    for _ in range(ITERATIONS):
        p = probability(x @ line)
        gradient = x.T @ (weight * (p - target))
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # Halving the step keeps Newton from overshooting where the curve is flat.
        while (better := _loss(x, target, weight, line - step)) > loss and np.abs(
            step
        ).max() > 1e-12:
            step /= 2
        line -= step
        if loss - better < 1e-10 * max(loss, 1.0):
            break
        loss = better
    if line[0] <= 0:
        raise ModelError(
            f"calibration slope {line[0]:.3g}: higher logits do not go with right pairs",
            remedy="train longer, or check the labels",
        )
    return Calibration(float(line[0]), float(line[1]))


def _loss(
    x: npt.NDArray[np.float64],
    target: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
    line: npt.NDArray[np.float64],
) -> float:
    z = x @ line
    return float((weight * (np.logaddexp(0.0, z) - target * z)).sum())
