"""Any sentence-transformers cross-encoder as the reranker, by local path or hub id."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resolver import weights
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.calibration import CALIBRATION, read_calibration
from resolver.weights import checkpoints, soundness

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

log = logging.getLogger(__name__)

BATCH = 64

MAX_LENGTH = 128
"""Tokens of a pair where the model names no shorter limit. Pairs have about 45; models for
passages allow 512 to 8,192, and padding or attention at that length is wasted."""


class CrossEncoderReranker:
    """A cross-encoder with one label; scores are its bare logits."""

    def __init__(
        self, name: str, model: CrossEncoder, calibration: Calibration, fingerprint: str
    ) -> None:
        self._name = name
        self._model = model
        self._calibration = calibration
        self._fingerprint = fingerprint
        self._truncated = 0
        # Its own copy counts tokens: the model's is set to cut and to pad.
        self._tokenizer = copy.deepcopy(model.tokenizer.backend_tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._room = model.max_seq_length - model.tokenizer.num_special_tokens_to_add(pair=True)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def calibration(self) -> Calibration:
        return self._calibration

    @property
    def truncated(self) -> int:
        return self._truncated

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        import torch

        require_texts(pairs)
        if not pairs:
            return np.empty(0, np.float32)
        position = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        texts = [(weights.encodable(one), weights.encodable(other)) for one, other in position]
        self._count_cut(texts)
        logits = self._model.predict(
            texts,
            batch_size=BATCH,
            # The class's default for one label is a sigmoid, which ties at both ends.
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(logits, np.float32)[[position[pair] for pair in pairs]]

    def _count_cut(self, pairs: Sequence[Pair]) -> None:
        """Count what the tokenizer is about to cut.

        It shortens the longer text first, down to the length of the other: a long affiliation
        before its document, and a document only to what the affiliation leaves or half of the
        room.
        """
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        length = {text: len(one) for text, one in zip(texts, encodings, strict=True)}
        cut = sum(length[one] + length[other] > self._room for one, other in pairs)
        if cut:
            self._truncated += cut
            log.info(
                "%s: cut %d of %d pairs to %d tokens",
                self._name,
                cut,
                len(pairs),
                self._model.max_seq_length,
            )


def load_cross_encoder(name: str, device: str | None) -> CrossEncoderReranker:
    """Load a cross-encoder; remote code, pickled weights and random numbers are refused.

    A ``calibration.json`` beside the weights is used; without one the probabilities are the
    plain sigmoid.

    Raises:
        ModelError: it is missing or damaged, needs code of its own, is no cross-encoder with one
            label, lacks weights or has others, or its tokenizer is another model's.
    """
    checkpoints.require_models(name)
    source = checkpoints.located(name)
    with checkpoints.opened(name, source=source) as folder:
        soundness.require_classifier(folder, name=name)
        soundness.require_tokenizer(folder, name=name)
        from sentence_transformers import CrossEncoder

        with soundness.loading(name, folder):
            model = CrossEncoder(
                str(folder),
                device=device,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
    model.max_seq_length = min(model.max_seq_length or MAX_LENGTH, MAX_LENGTH)
    model.tokenizer.truncation_side = "right"
    return CrossEncoderReranker(
        name,
        model,
        read_calibration(source / CALIBRATION, name=name),
        checkpoints.checkpoint_fingerprint(source),
    )
