"""(affiliation, organisation text) pairs → scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pair = tuple[str, str]
"""Affiliation first, organisation text (`resolver.domain.document.Document.text`) second."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling of a reranker's logits: probability = sigmoid(slope·logit + intercept).

    J. Platt, "Probabilistic outputs for support vector machines", 1999. The default is the
    plain sigmoid, which is what an uncalibrated model of binary cross-entropy claims.
    """

    slope: float = 1.0
    intercept: float = 0.0


class Reranker(Protocol):
    """A cross-encoder. `fingerprint` changes with the weights."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def calibration(self) -> Calibration: ...

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """Logits, shape (len(pairs),), in the order of the pairs; higher is a better match."""
        ...
