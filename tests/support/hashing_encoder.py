"""A real dense encoder that needs no weights: hashed character trigrams."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from resolver.encoder import DenseVectors


class HashingEncoder:
    """Counts of hashed character trigrams, signed, of unit length. Knows spelling, not meaning."""

    def __init__(self, dimension: int = 64, *, name: str = "character-hashing") -> None:
        self._dimension = dimension
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return f"{self._name}-{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def encode_queries(self, texts: Sequence[str]) -> DenseVectors:
        return self._encode(texts)

    def encode_documents(self, texts: Sequence[str]) -> DenseVectors:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> DenseVectors:
        vectors = np.zeros((len(texts), self._dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            padded = f"  {text.casefold()} "
            for i in range(len(padded) - 2):
                code = zlib.crc32(padded[i : i + 3].encode("utf-8", "surrogatepass"))
                row[code % self._dimension] += 1.0 if code & 0x8000_0000 else -1.0
            norm = np.linalg.norm(row)
            if norm == 0:
                row[0] = norm = 1.0
            row /= norm
        return vectors
