"""Log odds → probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def probability(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logistic function, in [0, 1], of the same shape; without overflow at either end."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * log_odds)))
