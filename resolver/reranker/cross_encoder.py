"""Any sentence-transformers cross-encoder as the reranker, by local path or hub id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import Calibration, Pair, gte
from resolver.reranker.calibration import CALIBRATION, read_calibration

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

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

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def calibration(self) -> Calibration:
        return self._calibration

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        import torch

        if not pairs:
            return np.empty(0, np.float32)
        distinct = {pair: i for i, pair in enumerate(dict.fromkeys(pairs))}
        logits = self._model.predict(
            [(weights.encodable(one), weights.encodable(other)) for one, other in distinct],
            batch_size=BATCH,
            # The class's default for one label is a sigmoid, which ties at both ends.
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(logits, np.float32)[[distinct[pair] for pair in pairs]]


def load_cross_encoder(name: str, device: str | None) -> CrossEncoderReranker:
    """Load a cross-encoder; remote code and pickled weights are refused.

    A ``calibration.json`` beside the weights is used; without one the probabilities are the
    plain sigmoid.

    Raises:
        ModelError: it is missing, damaged, needs remote code, or has another number of labels.
    """
    weights.require_models(name)
    folder = weights.checkpoint(name)
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    try:
        with gte.readable(folder) as readable:
            model = CrossEncoder(
                str(readable),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"cross-encoder {name} cannot be loaded: {first}",
            remedy="give a safetensors model of an architecture that transformers has by itself",
        ) from error
    if model.num_labels != 1:
        raise ModelError(
            f"{name} has {model.num_labels} labels",
            remedy="a reranker has one: how well the document fits",
        )
    model.max_seq_length = min(model.max_seq_length or MAX_LENGTH, MAX_LENGTH)
    return CrossEncoderReranker(
        name,
        model,
        read_calibration(folder / CALIBRATION, name=name),
        weights.checkpoint_fingerprint(folder),
    )
