"""Any sentence-transformers model as the dense encoder, by local path or hub id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from resolver import weights
from resolver.encoder import DenseVectors
from resolver.errors import ModelError
from resolver.weights import checkpoints, soundness

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 64


class SentenceEncoder:
    """A sentence-transformers model. Its own prompts "query" and "document" are put before
    the texts, where it has them."""

    def __init__(self, name: str, model: SentenceTransformer, fingerprint: str) -> None:
        self._name = name
        self._model = model
        self._fingerprint = fingerprint

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return int(self._model.get_embedding_dimension() or 0)

    def encode_queries(self, texts: Sequence[str]) -> DenseVectors:
        return self._unit(
            self._model.encode_query(
                [weights.encodable(text) for text in texts],
                batch_size=BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        )

    def encode_documents(self, texts: Sequence[str]) -> DenseVectors:
        return self._unit(
            self._model.encode_document(
                [weights.encodable(text) for text in texts],
                batch_size=BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        )

    def _unit(self, vectors: object) -> DenseVectors:
        rows = np.array(vectors, np.float32).reshape(-1, self.dimension)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        # A model without a normalising layer may give zero for an empty text.
        rows[norms[:, 0] == 0, 0] = 1.0
        return np.asarray(rows / np.where(norms == 0, 1.0, norms), np.float32)


def load_sentence_encoder(name: str, device: str | None) -> SentenceEncoder:
    """Load a sentence-transformers model; remote code, pickles and random numbers are refused.

    Raises:
        ModelError: it is missing or damaged, needs code of its own, or lacks weights.
    """
    checkpoints.require_models(name)
    source = checkpoints.located(name)
    with checkpoints.opened(name, source=source) as folder:
        soundness.require_encoder(folder, name=name)
        from sentence_transformers import SentenceTransformer

        with soundness.loading(name, folder):
            model = SentenceTransformer(str(folder), device=device, local_files_only=True)
    if not model.get_embedding_dimension():
        raise ModelError(
            f"{name} does not say the dimension of its vectors",
            remedy="give a sentence-transformers model with a pooling module",
        )
    return SentenceEncoder(name, model, checkpoints.checkpoint_fingerprint(source))
