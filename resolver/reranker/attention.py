"""Attention over packed sequences: by a kernel for it, or by padding them for this step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from resolver.reranker.sequences import Numbers, Sequences, spans

log = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Any]
"""`torch.nn.attention.varlen.varlen_attn` or what computes the same: queries, keys, values, each
(tokens, heads, width), bounds of the queries' and of the keys' sequences, the longest of each."""


@dataclass(slots=True)
class Batch:
    """Some sequences as tensors.

    `ids`, `positions` and `types` have shape (tokens,), `bounds` (sequences + 1,), all int32.
    Where sequences differ in length and attention has to pad, `places`, shape (tokens,), says
    where each token is in (sequences, longest), and `mask`, bool, which places hold a token.
    """

    sequences: Sequences
    numbers: Numbers
    ids: Tensor
    positions: Tensor
    types: Tensor | None
    bounds: Tensor
    longest: int
    places: Tensor | None = None
    mask: Tensor | None = None
    ready: Any = None

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        return (self.ids, self.positions, self.types, self.bounds, self.places, self.mask)


class Attention(Protocol):
    """How tokens see each other within their sequence, and how batches are cut for it."""

    pads: bool

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, batch: Batch) -> Tensor:
        """Of shape (queries, heads, width); queries are all tokens, or one a sequence."""
        ...


class Varlen:
    """Attention over packed sequences, by a kernel that takes their bounds."""

    pads = False

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, batch: Batch) -> Tensor:
        bounds, longest = batch.bounds, batch.longest
        if len(query) == len(key):
            out = self._kernel(query, key, value, bounds, bounds, longest, longest)
        else:
            single = torch.arange(len(bounds), dtype=torch.int32, device=bounds.device)
            out = self._kernel(query, key, value, single, bounds, 1, longest)
        assert isinstance(out, Tensor)
        return out


class Padded:
    """Attention over sequences padded to the longest. Everything else stays packed."""

    pads = True

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, batch: Batch) -> Tensor:
        rows = len(batch.bounds) - 1
        single = len(query) == rows and len(key) != rows
        q = query.unsqueeze(1) if single else self._spread(query, batch)
        k, v = self._spread(key, batch), self._spread(value, batch)
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            None if batch.mask is None else batch.mask[:, None, None, :],
        ).transpose(1, 2)
        if single:
            return out.squeeze(1)
        out = out.reshape(-1, *query.shape[1:])
        return out if batch.places is None else out.index_select(0, batch.places)

    def _spread(self, x: Tensor, batch: Batch) -> Tensor:
        """(tokens, heads, width) → (sequences, longest, heads, width)."""
        rows = len(batch.bounds) - 1
        if batch.places is not None:
            room = x.new_zeros(rows * batch.longest, *x.shape[1:])
            x = room.index_copy_(0, batch.places, x)
        return x.reshape(rows, batch.longest, *x.shape[1:])


def best_attention(device: torch.device, dtype: torch.dtype, heads: int, width: int) -> Attention:
    """Packed attention where the device has a kernel that agrees with the padded one.

    The kernel is for Nvidia GPUs from Ampere on and for half precision.
    """
    if device.type != "cuda" or dtype == torch.float32:
        return Padded()
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        log.warning("torch %s has no packed attention; batches are padded", torch.__version__)
        return Padded()
    attention = Varlen(varlen_attn)
    try:
        difference = disagreement(attention, device, dtype, heads, width)
    # Kernels that were not built, or not for this GPU, say so with one of these.
    except (RuntimeError, NotImplementedError, ValueError) as error:
        log.warning("packed attention does not run on %s (%s); batches are padded", device, error)
        return Padded()
    if difference > ALLOWED[dtype]:
        log.warning("packed attention on %s is off by %.1e; batches are padded", device, difference)
        return Padded()
    return attention


ALLOWED = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference of two ways to compute attention over standard normal numbers."""


def disagreement(
    attention: Attention, device: torch.device, dtype: torch.dtype, heads: int, width: int
) -> float:
    """Largest difference from padded attention, over sequences of several lengths."""
    lengths = np.array([1, 2, 7, 64, 65, 200, 33])
    total, count = int(lengths.sum()), len(lengths)
    longest = int(lengths.max())
    within = spans(np.zeros_like(lengths), lengths)
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    zeros = torch.zeros(total, dtype=torch.int32, device=device)
    batch = Batch(
        Sequences(np.zeros(total, np.int32), bounds.astype(np.int64)),
        np.arange(count),
        zeros,
        zeros,
        None,
        torch.from_numpy(bounds).to(device),
        longest,
        torch.from_numpy(within + np.repeat(np.arange(count) * longest, lengths)).to(device),
        torch.from_numpy(np.arange(longest) < lengths[:, None]).to(device),
    )
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(total, 3, heads, width, generator=generator).to(device, dtype)
    query, key, value = qkv.unbind(1)
    starts = batch.bounds[:-1]
    with torch.inference_mode():
        return max(
            float((attention(q, key, value, batch) - Padded()(q, key, value, batch)).abs().max())
            for q in (query, query.index_select(0, starts))
        )
