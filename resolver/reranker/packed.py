"""The engine that scores token sequences with a cross-encoder, packed instead of padded.

The sequences of a batch lie one behind the other, so linear layers compute no padding; the last
layer computes only the first token of each. Batches are cut by tokens. On a GPU the next batch is
put together and copied while this one is computed. On a CPU the whole job takes a fifth to a
quarter less time than with `CrossEncoder.predict` (docs/benchmarks.md). Needs only torch and NumPy.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resolver.reranker.architecture import ARCHITECTURES, Head, Trunk
from resolver.reranker.attention import Attention, Batch, best_attention
from resolver.reranker.sequences import Numbers, Sequences, packed, padded, spans

log = logging.getLogger(__name__)

CPU_BUDGET = 3072
"""Tokens of a batch on a CPU: the activations of a layer stay within the caches."""

GPU_BUDGET = 49_152
"""Tokens of a batch on a GPU: enough for large products; about 2 GB of activations with
the 306M model in half precision."""

SMALLEST_BUDGET = 512
"""Smallest budget, however little memory there is."""

AHEAD = 2
"""Batches that are put together and copied while another is computed."""


@dataclass(slots=True)
class Engine:
    """Scores `Sequences` with the weights of a model of transformers.

    Threads may share it: the batches of one call are given to the device before those of another,
    and while it computes them the next call's are put together.

    `model` is one of `ARCHITECTURES` (`supports`), in float32 and with one label. `dtype` is what
    the trunk computes in. `attention` None: packed where the device has a kernel for it
    (`best_attention`), else padded. `budget` is tokens of a batch; it is halved whenever memory
    runs out.
    """

    model: Any
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    attention: Attention | None = None
    budget: int | None = None
    trunk: Trunk = field(init=False)
    head: Head = field(init=False)
    _copies: Any = field(init=False, default=None)
    _turn: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        with torch.no_grad():
            trunk, self.head = ARCHITECTURES[type(self.model).__name__](self.model)
            self.trunk = trunk.to(self.device, self.dtype).eval()
            self.head.to(self.device, torch.float32).eval()
        cuda = self.device.type == "cuda"
        if self.budget is None:
            self.budget = GPU_BUDGET if cuda else CPU_BUDGET
        if self.attention is None:
            heads = self.trunk.layers[0].heads
            width = self.trunk.layers[0].qkv.weight.shape[0] // 3 // heads
            self.attention = best_attention(self.device, self.dtype, heads, width)
        if cuda:
            self._copies = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    @property
    def pads(self) -> bool:
        """Whether attention pads."""
        assert self.attention is not None
        return self.attention.pads

    @property
    def narrow(self) -> bool:
        """Whether it computes in half precision."""
        return self.dtype != torch.float32

    def score(self, parts: Iterable[Sequences]) -> npt.NDArray[np.float32]:
        """Logits of all sequences of all parts, in their order.

        On a GPU, parts are taken from another thread, so that what makes them (a tokenizer)
        works while the GPU does.

        Raises:
            ValueError: a sequence is empty, or longer than the model has positions.
            torch.OutOfMemoryError: a single sequence does not fit.
        """
        numbers: list[Numbers] = []
        scores: list[Tensor] = []
        total = 0

        def batches() -> Iterator[Batch]:
            nonlocal total
            for part in parts:
                yield from self._batches(part, total)
                total += len(part)

        with torch.inference_mode():
            with self._turn:
                stream = batches() if self._copies is None else ahead(batches(), AHEAD)
                for batch in stream:
                    for part_numbers, logits in self._scored(batch):
                        numbers.append(part_numbers)
                        scores.append(logits)
            # Waits until a GPU is done.
            ordered = np.empty(total, np.float32)
            if scores:
                ordered[np.concatenate(numbers)] = torch.cat(scores).cpu().numpy()
        return ordered

    def _batches(self, part: Sequences, offset: int) -> Iterator[Batch]:
        lengths = part.lengths
        if len(lengths) and (lengths.min() < 1 or lengths.max() > self.trunk.longest):
            raise ValueError(
                f"sequences have {lengths.min()} to {lengths.max()} tokens, "
                f"the model reads 1 to {self.trunk.longest}"
            )
        assert self.attention is not None
        assert self.budget is not None
        cut = padded if self.attention.pads else packed
        for numbers in cut(lengths, self.budget):
            yield self._batch(part.take(numbers), numbers + offset)

    def _batch(self, some: Sequences, numbers: Numbers) -> Batch:
        assert self.attention is not None
        lengths = some.lengths
        longest = int(lengths.max())
        within = spans(np.zeros_like(lengths), lengths)
        places = mask = None
        if self.attention.pads and longest != lengths.min():
            places = within + np.repeat(np.arange(len(some)) * longest, lengths)
            mask = np.arange(longest) < lengths[:, None]
        batch = Batch(
            some,
            numbers,
            torch.from_numpy(some.ids),
            torch.from_numpy(self._positions(some, within).astype(np.int32)),
            None if some.types is None else torch.from_numpy(some.types),
            torch.from_numpy(some.bounds.astype(np.int32)),
            longest,
            None if places is None else torch.from_numpy(places),
            None if mask is None else torch.from_numpy(mask),
        )
        return batch if self.device.type == "cpu" else self._sent(batch)

    def _positions(self, some: Sequences, within: Numbers) -> Numbers:
        if self.trunk.counted_from is None:
            return within
        padding = self.trunk.counted_from - 1
        taken = some.ids != padding
        count = np.cumsum(taken)
        starts = some.bounds[:-1]
        count = count - np.repeat(count[starts] - taken[starts], some.lengths)
        return np.where(taken, count, 0) + padding

    def _sent(self, batch: Batch) -> Batch:
        """The batch on the device. The copy runs beside the computing: `ready` says when it is
        there."""

        def send(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            pinned = tensor.pin_memory() if self._copies else tensor
            return pinned.to(self.device, non_blocking=True)

        def sent() -> Batch:
            ids, positions, types, bounds, places, mask = map(send, batch.tensors)
            assert ids is not None
            assert positions is not None
            assert bounds is not None
            return Batch(
                batch.sequences,
                batch.numbers,
                ids,
                positions,
                types,
                bounds,
                batch.longest,
                places,
                mask,
            )

        if self._copies is None:
            return sent()
        with torch.cuda.stream(self._copies):
            there = sent()
            there.ready = self._copies.record_event()
        return there

    def _scored(self, batch: Batch) -> Iterator[tuple[Numbers, Tensor]]:
        """Numbers and logits of a batch, in several pieces where memory is short."""
        assert self.attention is not None
        assert self.budget is not None
        count = len(batch.numbers)
        size = batch.longest * count if self.attention.pads else len(batch.ids)
        if size > self.budget and count > 1:
            yield from self._halves(batch)
            return
        try:
            scores = self._logits(batch)
        except torch.OutOfMemoryError:
            if count == 1:
                raise
            scores = None
        # Outside of the handler, whose traceback would keep the tensors of the failed attempt.
        if scores is not None:
            yield batch.numbers, scores
            return
        self.budget = max(SMALLEST_BUDGET, min(self.budget, size) // 2)
        log.warning(
            "out of memory on %s with %d tokens; batches have %d from now on",
            self.device,
            size,
            self.budget,
        )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        yield from self._halves(batch)

    def _halves(self, batch: Batch) -> Iterator[tuple[Numbers, Tensor]]:
        count = len(batch.numbers)
        for half in np.array_split(np.arange(count), 2):
            part = self._batch(batch.sequences.take(half), batch.numbers[half])
            yield from self._scored(part)

    def _logits(self, batch: Batch) -> Tensor:
        assert self.attention is not None
        if batch.ready is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(batch.ready)
            for tensor in batch.tensors:
                if tensor is not None:
                    tensor.record_stream(stream)
        logits: Tensor = self.head(self.trunk(batch, self.attention))
        return logits


def ahead(batches: Iterator[Batch], depth: int) -> Iterator[Batch]:
    """The same batches, up to `depth` of them made in advance by a thread."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting = deque(pool.submit(next, batches, None) for _ in range(depth))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, batches, None))
            yield batch
