"""Log odds ↔ probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SUREST = 20.0
"""Beyond it a probability cannot be told from 0 or 1 well enough."""


def probability(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logistic function, in [0, 1], of the same shape; without overflow at either end."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * log_odds)))


def log_odds(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse, of the same shape, between `-SUREST` and `SUREST`."""
    least = 1 / (1 + np.exp(SUREST))
    inside = np.clip(probability, least, 1 - least)
    return np.asarray(np.log(inside) - np.log1p(-inside))
