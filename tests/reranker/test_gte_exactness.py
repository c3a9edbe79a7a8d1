"""Older-form GTE checkpoints against the definition of the architecture (`gte_reference`).

The reference computes in float64; transformers' own classes in float32 must agree to 1e-4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.gte_reference import Reference
from support.tiny_models import NTK, save_older_gte

from resolver.weights.checkpoints import opened

TOLERANCE = 1e-4
LENGTHS = (
    1,
    2,
    3,
    17,
    128,
    512,
    pytest.param(2048, marks=pytest.mark.slowest),
    pytest.param(8192, marks=pytest.mark.slowest),
)

CONFIGS: dict[str, dict[str, Any]] = {
    # Heads are 64 wide, as in the published checkpoints.
    "NTK": {"rope_scaling": NTK, "rope_theta": 20000},
    "plain": {"rope_scaling": None, "rope_theta": 500000},
    "no token types": {"rope_scaling": None, "rope_theta": 10000, "type_vocab_size": 0},
    "narrow heads": {"num_attention_heads": 4, "type_vocab_size": 2, "rope_scaling": NTK},
}

pytestmark = pytest.mark.slow


class Loaded:
    """One checkpoint, as the loader and as the reference see it."""

    def __init__(self, folder: Path) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        with opened(folder) as readable:
            self.model = AutoModelForSequenceClassification.from_pretrained(
                readable, dtype=torch.float32
            ).eval()
        self.reference = Reference(folder)

    def ids(self, length: int, seed: int = 0) -> list[int]:
        rng = np.random.default_rng((length, seed))
        return [0, *rng.integers(4, self.reference.config["vocab_size"], length - 1).tolist()]


@pytest.fixture(scope="module", params=CONFIGS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("gte") / "model"
    return Loaded(save_older_gte(folder, **CONFIGS[request.param]))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return Loaded(save_older_gte(tmp_path_factory.mktemp("gte") / "model", **CONFIGS["NTK"]))


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield


@pytest.mark.parametrize("length", LENGTHS)
def test_one_sequence(loaded: Loaded, length: int) -> None:
    import torch

    ids = loaded.ids(length)
    found = loaded.model(torch.tensor([ids])).logits.item()
    assert found == pytest.approx(loaded.reference.logit(ids), abs=TOLERANCE)


@pytest.mark.parametrize(
    "lengths", [(1, 2, 3, 17), (128, 17, 512), (2048, 3)], ids=lambda lengths: str(max(lengths))
)
def test_padded_batches(loaded: Loaded, lengths: Sequence[int]) -> None:
    import torch

    sequences = [loaded.ids(length, seed=1) for length in lengths]
    width = max(lengths)
    padded = torch.tensor([ids + [1] * (width - len(ids)) for ids in sequences])
    mask = torch.tensor([[1] * n + [0] * (width - n) for n in lengths])
    found = loaded.model(padded, attention_mask=mask).logits[:, 0].tolist()
    expected = [loaded.reference.logit(ids) for ids in sequences]
    assert found == pytest.approx(expected, abs=TOLERANCE)


def test_token_types_are_those_of_the_pair(tmp_path: Path) -> None:
    import torch

    loaded = Loaded(save_older_gte(tmp_path / "model", type_vocab_size=2))
    ids, types = loaded.ids(17), [0] * 7 + [1] * 10
    found = loaded.model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits.item()
    expected = loaded.reference.logit(ids, types)
    assert found == pytest.approx(expected, abs=TOLERANCE)
    assert abs(expected - loaded.reference.logit(ids)) > 100 * TOLERANCE


@pytest.mark.parametrize("kernel", ["mask", "lengths"])
@pytest.mark.parametrize(
    "lengths", [(1, 2, 3), (17, 128, 5, 512), (2048, 300)], ids=lambda lengths: str(max(lengths))
)
def test_packed_sequences(published: Loaded, kernel: str, lengths: Sequence[int]) -> None:
    """Several sequences in one row: a block mask for kernels that take one, and for the others
    (flash attention) the sequences' bounds, which transformers hands through to the kernel."""
    sequences = [published.ids(length, seed=2) for length in lengths]
    found = {"mask": _packed_by_mask, "lengths": _packed_by_lengths}[kernel](published, sequences)
    expected = [published.reference.logit(ids) for ids in sequences]
    assert found == pytest.approx(expected, abs=TOLERANCE)


def test_packed_to_the_longest(published: Loaded) -> None:
    sequences = [published.ids(length, seed=3) for length in (8192, 17)]
    found = _packed_by_lengths(published, sequences)
    expected = [published.reference.logit(ids) for ids in sequences]
    assert found == pytest.approx(expected, abs=TOLERANCE)


def _packed(loaded: Loaded, sequences: Sequence[Sequence[int]], **attention: Any) -> list[float]:
    """The head of the model on the first token of each packed sequence."""
    import torch

    body = loaded.model.gte(
        torch.tensor([[token for ids in sequences for token in ids]]),
        position_ids=torch.cat([torch.arange(len(ids)) for ids in sequences])[None],
        **attention,
    )
    starts = np.cumsum([0, *map(len, sequences[:-1])])
    first = body.last_hidden_state[0, starts]
    pooled = loaded.model.gte.pooler(first[:, None])
    return list(loaded.model.classifier(pooled)[:, 0].tolist())


def _packed_by_mask(loaded: Loaded, sequences: Sequence[Sequence[int]]) -> list[float]:
    import torch

    owner = torch.repeat_interleave(torch.tensor([len(ids) for ids in sequences]))
    mask = (owner[:, None] == owner)[None, None]
    return _packed(loaded, sequences, attention_mask=mask)


def _packed_by_lengths(loaded: Loaded, sequences: Sequence[Sequence[int]]) -> list[float]:
    import torch
    from transformers import AttentionInterface

    AttentionInterface.register("by_lengths", _attention_by_lengths)
    before = loaded.model.config._attn_implementation
    bounds = torch.tensor(np.cumsum([0, *map(len, sequences)]), dtype=torch.int32)
    loaded.model.set_attn_implementation("by_lengths")
    try:
        return _packed(loaded, sequences, cu_seq_lens_q=bounds, cu_seq_lens_k=bounds)
    finally:
        loaded.model.set_attn_implementation(before)


def _attention_by_lengths(
    _module: object, query: Any, key: Any, value: Any, attention_mask: object, **kwargs: Any
) -> tuple[Any, None]:
    """What a variable-length kernel does: attention within each sequence of the row."""
    import torch

    assert attention_mask is None
    bounds = kwargs["cu_seq_lens_q"].tolist()
    parts = [
        torch.nn.functional.scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            scale=kwargs["scaling"],
        )
        for start, end in itertools.pairwise(bounds)
    ]
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


def _theta_alone(config: dict[str, Any]) -> None:
    config["rope_scaling"] = None


def _native_default(config: dict[str, Any]) -> None:
    config |= {"rope_theta": 160000, "rope_scaling": None}


@pytest.mark.parametrize("mistake", [_theta_alone, _native_default], ids=lambda f: f.__name__)
def test_a_wrong_rotary_embedding_shows(
    published: Loaded, mistake: Callable[[dict[str, Any]], None]
) -> None:
    """The weights make positions matter: what this file proves could fail."""
    wrong = Reference.__new__(Reference)
    wrong.config, wrong.weights = dict(published.reference.config), published.reference.weights
    mistake(wrong.config)
    for length in (17, 512):
        ids = published.ids(length)
        assert abs(wrong.logit(ids) - published.reference.logit(ids)) > 20 * TOLERANCE


def test_the_halves_of_the_fused_product_are_told_apart(published: Loaded) -> None:
    swapped = Reference.__new__(Reference)
    swapped.config, swapped.weights = published.reference.config, {}
    for key, value in published.reference.weights.items():
        halves = np.split(value, 2) if "up_gate_proj" in key else []
        swapped.weights[key] = np.concatenate(halves[::-1]) if halves else value
    ids = published.ids(17)
    assert abs(swapped.logit(ids) - published.reference.logit(ids)) > 100 * TOLERANCE
