"""Rerankers that compute from token ids, so that texts may be tokenised in another process."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from resolver.errors import ModelError
from resolver.reranker import Reranker
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokens import PairTokenizer


class TokenReranker(Reranker, Protocol):
    """A reranker whose tokenising and computing can be called apart."""

    @property
    def tokens(self) -> PairTokenizer: ...

    @property
    def batch_tokens(self) -> int:
        """Tokens that it computes at a time; more are cut into several batches."""
        ...

    def logits(self, sequences: Sequences) -> npt.NDArray[np.float32]:
        """One for each of the sequences, which `tokens` or an equal tokenizer made."""
        ...


def token_reranker(reranker: Reranker) -> TokenReranker:
    """The same reranker, if it computes from token ids.

    Raises:
        ModelError: it takes texts only.
    """
    if getattr(reranker, "tokens", None) is None:
        raise ModelError(
            f"reranker {reranker.name} takes texts, not tokens: it cannot run in a scorer",
            remedy="let each worker process load it: without RESOLVER_SCORER and --scorer",
        )
    return reranker  # type: ignore[return-value]


def to_bytes(sequences: Sequences) -> bytes:
    """Sequences as safetensors: `lengths`, `ids` and, where there are any, `types`; all int32."""
    tensors = {"lengths": sequences.lengths.astype(np.int32), "ids": sequences.ids}
    if sequences.types is not None:
        tensors["types"] = sequences.types
    return safetensors.numpy.save(tensors)


def from_bytes(content: bytes, tokens: PairTokenizer) -> Sequences:
    """What `to_bytes` wrote. It is checked to be what `tokens` could have made, since ids that a
    model has no row for may end the process.

    Raises:
        ValueError: it is something else.
    """
    try:
        tensors = safetensors.numpy.load(content)
    except SafetensorError as error:
        raise ValueError(f"not safetensors: {error}") from error
    expected = {"lengths", "ids", "types"} if tokens.typed else {"lengths", "ids"}
    if tensors.keys() != expected:
        raise ValueError(f"tensors {sorted(tensors)}, not {sorted(expected)}")
    if any(tensor.dtype != np.int32 or tensor.ndim != 1 for tensor in tensors.values()):
        raise ValueError("not all tensors are int32 of one dimension")
    lengths, ids, types = tensors["lengths"], tensors["ids"], tensors.get("types")
    if not _within(lengths, 1, tokens.max_length):
        raise ValueError(f"lengths are not all from 1 to {tokens.max_length}")
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    if bounds[-1] != len(ids) or (types is not None and len(types) != len(ids)):
        raise ValueError("ids are more or fewer than lengths say")
    if not _within(ids, 0, tokens.vocabulary - 1):
        raise ValueError(f"ids are not all below {tokens.vocabulary}")
    if types is not None and not _within(types, 0, 1):
        raise ValueError("types are not all 0 or 1")
    return Sequences(ids, bounds, types)


def _within(numbers: npt.NDArray[np.int32], least: int, most: int) -> bool:
    return not len(numbers) or (int(numbers.min()) >= least and int(numbers.max()) <= most)
