"""Encoders: texts → vectors, dense ones by a model, sparse ones by the words themselves.

Which model a name stands for, and how to add another kind: `resolver.encoder.loading`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

DenseVectors = npt.NDArray[np.float32]
"""Shape (texts, dimension), float32, each row of unit length."""


class Encoder(Protocol):
    """A dense text encoder.

    `fingerprint` changes with the weights: an index records the one it was built
    with, and an encoder with another one is refused.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def encode_queries(self, texts: Sequence[str]) -> DenseVectors:
        """Affiliations, or segments of them, → (len(texts), dimension). Empty texts are allowed."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> DenseVectors:
        """Organisation names → (len(texts), dimension)."""
        ...
