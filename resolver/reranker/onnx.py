"""The built-in cross-encoder, and any that `resolver train` exported: ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from resolver import weights
from resolver.errors import ModelError
from resolver.hardware import cores
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.calibration import CALIBRATION, read_calibration

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

MODEL = "model.onnx"

BATCH_TOKENS = 3072
"""Tokens of a batch, padding included: activations of a layer stay within a core's cache."""

Ids = npt.NDArray[np.int32]


class PairTokens:
    """Pairs → token ids ``<s> affiliation </s></s> document </s>``, at most `max_length`.

    A text that occurs in several pairs is tokenised once. The affiliation is cut first,
    from its end; the document keeps up to half of the room. `truncated` counts the pairs cut.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_length: int) -> None:
        self.max_length = max_length
        self.truncated = 0
        self.padding = _id(tokenizer, "<pad>")
        self._tokenizer = tokenizer
        start, end = _id(tokenizer, "<s>"), _id(tokenizer, "</s>")
        self._start = np.array([start], np.int32)
        self._middle = np.array([end, end], np.int32)
        self._end = np.array([end], np.int32)

    def encode(self, pairs: Sequence[Pair]) -> list[Ids]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        encodings = self._tokenizer.encode_batch_fast(
            [weights.encodable(text) for text in texts], add_special_tokens=False
        )
        ids = {
            text: np.array(encoding.ids, np.int32)
            for text, encoding in zip(texts, encodings, strict=True)
        }
        return [self._join(ids[affiliation], ids[document]) for affiliation, document in pairs]

    def _join(self, affiliation: Ids, document: Ids) -> Ids:
        room = self.max_length - 4
        self.truncated += len(affiliation) + len(document) > room
        document = document[: max(room // 2, room - len(affiliation))]
        affiliation = affiliation[: room - len(document)]
        return np.concatenate([self._start, affiliation, self._middle, document, self._end])


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ModelError(
            f"the tokenizer has no {token}", remedy="the ONNX form is for XLM-R-like tokenizers"
        )
    return int(found)


class OnnxReranker:
    """An exported cross-encoder. A pair's score does not depend on its batch."""

    def __init__(
        self,
        name: str,
        session: onnxruntime.InferenceSession,
        tokens: PairTokens,
        calibration: Calibration,
        fingerprint: str,
    ) -> None:
        self._name = name
        self._session = session
        self._tokens = tokens
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

    @property
    def truncated(self) -> int:
        return self._tokens.truncated

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        require_texts(pairs)
        distinct = list(dict.fromkeys(pairs))
        before = self.truncated
        ids = self._tokens.encode(distinct)
        if cut := self.truncated - before:
            log.info(
                "%s: cut %d of %d pairs to %d tokens",
                self._name,
                cut,
                len(distinct),
                self._tokens.max_length,
            )
        scores = np.empty(len(distinct), np.float32)
        for batch in batches([len(one) for one in ids]):
            width = len(ids[batch[-1]])
            rows = np.full((len(batch), width), self._tokens.padding, np.int32)
            mask = np.zeros((len(batch), width), np.int32)
            for row, number in enumerate(batch):
                rows[row, : len(ids[number])] = ids[number]
                mask[row, : len(ids[number])] = 1
            (scores[batch],) = self._session.run(None, {"input_ids": rows, "mask": mask})
        position = {pair: i for i, pair in enumerate(distinct)}
        return scores[[position[pair] for pair in pairs]]


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Item numbers by rising length, in batches of at most `BATCH_TOKENS` padded tokens."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[number] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def load_onnx(folder: Path, *, name: str, threads: int | None = None) -> OnnxReranker:
    """Load `MODEL` and its calibration from a folder, the tokenizer from there or its parent.

    `threads` share one product; None: one for each core.

    Raises:
        ModelError: a file is missing, damaged, or does not fit the others.
    """
    # Here, not above: a worker's parent imports this module and forks afterwards.
    import onnxruntime

    path, tokenizer_path = folder / MODEL, weights.tokenizer_path(folder)
    tokenizer = weights.read_tokenizer(tokenizer_path)
    content = weights.read(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        length = int(session.get_modelmeta().custom_metadata_map["max_length"])
    # ONNX Runtime raises one bare class for each kind of failure.
    except Exception as error:
        raise ModelError(f"{path} is damaged: {error}", remedy=weights.REMEDY) from error
    return OnnxReranker(
        name,
        session,
        PairTokens(tokenizer, max_length=length),
        read_calibration(folder / CALIBRATION, name=name),
        weights.fingerprint([path, tokenizer_path]),
    )
