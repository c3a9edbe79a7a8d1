"""The built-in encoder: a weighted mean of token vectors, from one int8 table.

There is no network to run: a text costs its tokenisation and a gather. That suits names and
affiliations, where the words decide and their order hardly does (S. Tulkens & T. van Dongen,
"Model2Vec", 2024, is the idea's best-known form).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from tokenizers import Tokenizer

from resolver import weights
from resolver.encoder import DenseVectors
from resolver.errors import ModelError

WEIGHTS = "encoder.safetensors"
TABLE = "table"
SCALES = "scales"
"""Tensors of the weight file: `table` (vocabulary, dimension) int8, `scales` (vocabulary,)
float16. Row × scale is a token's vector, its weight in the mean included."""

BATCH = 1024
"""Texts gathered at once: 1,024 × 30 tokens × 96 float32 are 12 MB."""


class StaticEncoder:
    """Mean of token vectors, normalised. Queries and documents are treated alike.

    A text without a known token becomes the first unit vector, so that every row has
    unit length.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        table: npt.NDArray[np.int8],
        scales: npt.NDArray[np.float32],
        fingerprint: str,
    ) -> None:
        self._name = name
        self._tokenizer = tokenizer
        self._table = table
        self._scales = scales
        self._fingerprint = fingerprint

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return int(self._table.shape[1])

    def encode_queries(self, texts: Sequence[str]) -> DenseVectors:
        return self._encode(texts)

    def encode_documents(self, texts: Sequence[str]) -> DenseVectors:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> DenseVectors:
        vectors = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), BATCH):
            batch = [weights.encodable(text) for text in texts[start : start + BATCH]]
            encodings = self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            vectors[start : start + len(batch)] = self._means([e.ids for e in encodings])
        return vectors

    def _means(self, ids: Sequence[Sequence[int]]) -> DenseVectors:
        lengths = np.array([len(text) for text in ids])
        flat = np.fromiter(chain.from_iterable(ids), np.int64, lengths.sum())
        sums = np.zeros((len(ids), self.dimension), np.float32)
        if len(flat):
            tokens = self._table[flat] * self._scales[flat, None]
            filled = np.flatnonzero(lengths)
            starts = np.concatenate([[0], np.cumsum(lengths[filled])[:-1]])
            sums[filled] = np.add.reduceat(tokens, starts, axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        sums[norms[:, 0] == 0, 0] = 1.0
        return np.asarray(sums / np.where(norms == 0, 1.0, norms), np.float32)


def load_static(folder: Path, *, name: str) -> StaticEncoder:
    """Load `WEIGHTS` of a folder, with its tokenizer or the one that its parent shares.

    Raises:
        ModelError: a file is missing, damaged, or the two do not belong together.
    """
    path = folder / WEIGHTS
    tokenizer_path = weights.tokenizer_path(folder)
    tokenizer = weights.shared_tokenizer(tokenizer_path)
    try:
        tensors = safetensors.numpy.load(weights.read(path))
        table, scales = tensors[TABLE], tensors[SCALES]
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"{path} is damaged: {error!r}", remedy=weights.REMEDY) from error
    vocabulary = tokenizer.get_vocab_size()
    if table.dtype != np.int8 or table.ndim != 2 or scales.shape != table.shape[:1]:
        raise ModelError(
            f"{path}: table {table.dtype} {table.shape}, scales {scales.shape}",
            remedy=weights.REMEDY,
        )
    if len(table) != vocabulary:
        raise ModelError(
            f"{path} has {len(table)} tokens and {tokenizer_path} {vocabulary}",
            remedy=weights.REMEDY,
        )
    return StaticEncoder(
        name,
        tokenizer,
        table,
        scales.astype(np.float32),
        weights.fingerprint([path, tokenizer_path]),
    )
