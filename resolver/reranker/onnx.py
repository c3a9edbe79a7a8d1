"""The built-in cross-encoder, and any that `resolver train` exported: ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from resolver import weights
from resolver.errors import ModelError
from resolver.hardware import hardware
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.calibration import CALIBRATION, read_calibration
from resolver.reranker.sequences import Numbers, Sequences, padded
from resolver.reranker.tokens import PairTokenizer

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

MODEL = "model.onnx"

BATCH_TOKENS = 512
"""Tokens of a batch, padding included. The widest activations of a layer, 1536 floats a token,
stay near a core's second-level cache: with 3072 tokens a pair took a fifth longer."""

EXACT = "session.x64quantprecision"
"""An option of ONNX Runtime's for x86 processors without 8-bit dot products. They sum two products
uint8 × int8 in 16 bits, which can overflow and is cut off; with it they multiply uint8 × uint8,
slower and exactly. Where there are dot products it would cost speed and change nothing."""


class OnnxReranker:
    """An exported cross-encoder. A pair's score does not depend on its batch.

    `threads` batches run at a time, each on one thread. Threads that share one batch would wait
    for each other after every operator, and spin while they wait.
    """

    def __init__(
        self,
        name: str,
        session: onnxruntime.InferenceSession,
        tokens: PairTokenizer,
        padding: int,
        calibration: Calibration,
        fingerprint: str,
        *,
        threads: int,
    ) -> None:
        self._name = name
        self._session = session
        self._tokens = tokens
        self._padding = padding
        self._calibration = calibration
        self._fingerprint = fingerprint
        self._threads = threads
        # Its threads start with the first batches, not here.
        self._pool = ThreadPoolExecutor(threads, "reranker") if threads > 1 else None

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

    @property
    def tokens(self) -> PairTokenizer:
        return self._tokens

    @property
    def batch_tokens(self) -> int:
        return BATCH_TOKENS * self._threads

    def close(self) -> None:
        """Nothing outside of this process is held."""

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        require_texts(pairs)
        distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        sequences = self._tokens.encode(list(distinct))
        if sequences.truncated:
            log.info(
                "%s: cut %d of %d pairs to %d tokens",
                self._name,
                sequences.truncated,
                len(distinct),
                self._tokens.max_length,
            )
        return self.logits(sequences)[[distinct[pair] for pair in pairs]]

    def logits(self, sequences: Sequences) -> npt.NDArray[np.float32]:
        scores = np.empty(len(sequences), np.float32)

        def run(batch: Numbers) -> None:
            ids, mask = sequences.padded(batch, self._padding)
            (scores[batch],) = self._session.run(None, {"input_ids": ids, "mask": mask})

        work = batches(sequences.lengths, self._threads)
        if self._pool is None or len(work) == 1:
            for batch in work:
                run(batch)
        else:
            for _ in self._pool.map(run, work):
                pass
        return scores


def batches(lengths: Numbers, threads: int) -> list[Numbers]:
    """Numbers of sequences by length, in batches of at most `BATCH_TOKENS` padded tokens.

    Few sequences make a batch for each thread at least. The longest come first: what is left
    over at the end, for one thread while others are idle, is then small.
    """
    budget = BATCH_TOKENS
    if threads > 1:
        budget = min(budget, -(-int(lengths.sum()) // threads))
    return list(padded(lengths, budget))[::-1]


def padding_id(tokenizer: Tokenizer) -> int:
    """The id of XLM-R's padding.

    Raises:
        ModelError: the tokenizer is of another kind, whose token types the graph does not read.
    """
    padding = tokenizer.token_to_id("<pad>")
    if padding is None:
        raise ModelError(
            "the tokenizer has no <pad>", remedy="the ONNX form is for XLM-R-like tokenizers"
        )
    return int(padding)


def load_onnx(folder: Path, *, name: str, threads: int | None = None) -> OnnxReranker:
    """Load `MODEL` and its calibration from a folder, the tokenizer from there or its parent.

    `threads` None: one for each core.

    Raises:
        ModelError: a file is missing, damaged, or does not fit the others.
    """
    # Here, not above: a worker's parent imports this module and forks afterwards.
    import onnxruntime

    path, tokenizer_path = folder / MODEL, weights.tokenizer_path(folder)
    tokenizer = weights.shared_tokenizer(tokenizer_path)
    content = weights.read(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors; they are raised as well
    machine = hardware(threads)
    if not machine.dot_products:
        options.add_session_config_entry(EXACT, "1")
    try:
        session = onnxruntime.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
        )
        length = int(session.get_modelmeta().custom_metadata_map["max_length"])
    # ONNX Runtime raises one bare class for each kind of failure.
    except Exception as error:
        raise ModelError(f"{path} is damaged: {error}", remedy=weights.REMEDY) from error
    log.info("%s: 8-bit products in ONNX Runtime, %s", name, machine)
    return OnnxReranker(
        name,
        session,
        PairTokenizer(tokenizer, max_length=length),
        padding_id(tokenizer),
        read_calibration(folder / CALIBRATION, name=name),
        weights.fingerprint([path, tokenizer_path]),
        threads=machine.threads,
    )
