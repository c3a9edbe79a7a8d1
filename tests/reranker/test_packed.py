"""The engine against transformers' own classes, one sequence at a time and without padding."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_models import NTK, save_bert, save_older_gte, save_tokenizer

from resolver.reranker.sequences import Sequences
from resolver.weights.checkpoints import opened

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4


def _gte(folder: Path, **config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    with opened(save_older_gte(folder, **config)) as readable:
        return AutoModelForSequenceClassification.from_pretrained(readable).eval()


def _bert(folder: Path) -> Any:
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(save_bert(folder, labels=1)).eval()


def _xlm_roberta(folder: Path) -> Any:
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    torch.manual_seed(0)
    return XLMRobertaForSequenceClassification(
        XLMRobertaConfig(
            vocab_size=save_tokenizer(folder).get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=66,
            type_vocab_size=1,
            pad_token_id=1,
            initializer_range=0.5,
            num_labels=1,
        )
    ).eval()


MODELS: dict[str, Callable[[Path], Any]] = {
    "GTE, NTK": lambda folder: _gte(folder, rope_scaling=NTK),
    "GTE, plain": lambda folder: _gte(folder, rope_scaling=None, rope_theta=500000),
    "GTE, types": lambda folder: _gte(folder, type_vocab_size=2),
    "GTE, no types": lambda folder: _gte(folder, type_vocab_size=0),
    "BERT": _bert,
    "XLM-RoBERTa": _xlm_roberta,
}
LONGEST = {"GTE, NTK": 8192, "GTE, plain": 600, "GTE, types": 300, "GTE, no types": 300}


class Case:
    """A model, sequences of many lengths, and what the model says of each by itself."""

    def __init__(self, name: str, folder: Path) -> None:
        import torch

        folder.mkdir()
        self.model = MODELS[name](folder)
        rng = np.random.default_rng(7)
        longest = LONGEST.get(name, 64)
        lengths = [1, 2, 3, longest, *rng.integers(1, min(longest, 150), 30), 17, 17]
        bounds = np.cumsum([0, *lengths])
        ids = rng.integers(4, self.model.config.vocab_size, bounds[-1]).astype(np.int32)
        # Two alike, the second in other company.
        ids[bounds[-2] : bounds[-1]] = ids[bounds[-3] : bounds[-2]]
        typed = getattr(self.model.config, "type_vocab_size", 0) > 1
        types = rng.integers(0, 2, len(ids)).astype(np.int32) if typed else None
        self.sequences = Sequences(ids, bounds, types)
        with torch.inference_mode():
            self.expected = np.array([self._logit(i) for i in range(len(lengths))])
        assert self.expected.std() > 0.1

    def _logit(self, number: int) -> float:
        import torch

        part = slice(*self.sequences.bounds[number : number + 2])
        inputs = {"input_ids": torch.from_numpy(self.sequences.ids[None, part]).long()}
        if self.sequences.types is not None:
            inputs["token_type_ids"] = torch.from_numpy(self.sequences.types[None, part]).long()
        return float(self.model(**inputs).logits)


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(request.param, tmp_path_factory.mktemp("packed") / "model")


@pytest.fixture(scope="module")
def gte(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case("GTE, NTK", tmp_path_factory.mktemp("packed") / "model")


def attentions() -> dict[str, Any]:
    from benchmarks.gpu import by_sequence
    from resolver.reranker.attention import Padded, Varlen

    return {"padded": Padded(), "packed": Varlen(by_sequence)}


@pytest.mark.parametrize("budget", [1, 1000, 100_000])
@pytest.mark.parametrize("how", ["padded", "packed"])
def test_scores_are_the_models_own(case: Case, how: str, budget: int) -> None:
    from resolver.reranker.packed import Engine

    engine = Engine(case.model, attention=attentions()[how], budget=budget)
    scores = engine.score([case.sequences])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, case.expected, atol=TOLERANCE)


def test_parts_are_scored_in_order(case: Case) -> None:
    from resolver.reranker.packed import Engine

    count = len(case.sequences)
    parts = [case.sequences.take(one) for one in np.split(np.arange(count), [3, 3, 20])]
    np.testing.assert_allclose(Engine(case.model).score(parts), case.expected, atol=TOLERANCE)


def test_threads_share_an_engine(gte: Case) -> None:
    from resolver.reranker.packed import Engine

    engine = Engine(gte.model, budget=300)
    with ThreadPoolExecutor(3) as pool:
        scores = list(pool.map(engine.score, [[gte.sequences]] * 6))
    for found in scores:
        np.testing.assert_allclose(found, gte.expected, atol=TOLERANCE)


def test_nothing_gives_nothing(case: Case) -> None:
    from resolver.reranker.packed import Engine

    none = case.sequences.take(np.array([], np.int64))
    assert Engine(case.model).score([]).shape == (0,)
    assert Engine(case.model).score([none]).shape == (0,)


def test_padding_in_a_text_is_read_as_the_model_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A text may spell "<pad>". RoBERTa then gives that token no position of its own."""
    import torch

    from resolver.reranker.packed import Engine

    model = _xlm_roberta(tmp_path_factory.mktemp("padding"))
    ids = np.array([0, 9, 1, 12, 2], np.int32)
    with torch.inference_mode():
        expected = float(model(torch.from_numpy(ids[None]).long()).logits)
    (found,) = Engine(model).score([Sequences(ids, np.array([0, 5]))])
    assert found == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(("dtype", "correlation"), [("float16", 0.999), ("bfloat16", 0.99)])
def test_half_precision_keeps_the_order(gte: Case, dtype: str, correlation: float) -> None:
    import torch

    from resolver.reranker.packed import Engine

    for attention in attentions().values():
        engine = Engine(gte.model, dtype=getattr(torch, dtype), attention=attention)
        scores = engine.score([gte.sequences])
        ranks = [np.argsort(np.argsort(one)) for one in (scores, gte.expected)]
        assert np.corrcoef(*ranks)[0, 1] >= correlation
    # The model that lent its weights is as it was.
    assert {one.dtype for one in gte.model.parameters()} == {torch.float32}
    np.testing.assert_allclose(Engine(gte.model).score([gte.sequences]), gte.expected, atol=1e-4)


@pytest.mark.parametrize("length", [0, 8193])
def test_a_length_without_positions_is_refused(gte: Case, length: int) -> None:
    from resolver.reranker.packed import Engine

    ids = np.full(length + 3, 5, np.int32)
    with pytest.raises(ValueError, match="the model reads 1 to 8192"):
        Engine(gte.model).score([Sequences(ids, np.array([0, 3, length + 3]))])


def test_when_memory_runs_out_batches_get_smaller(
    gte: Case, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    from resolver.reranker.packed import Engine

    class Scarce:
        """Memory for so many tokens, and then some for a single long sequence."""

        pads = False

        def __init__(self) -> None:
            self.attention, self.refused = attentions()["packed"], 0

        def __call__(self, query: Any, key: Any, value: Any, batch: Any) -> Any:
            if len(key) > 900 and len(batch.numbers) > 1:
                self.refused += 1
                raise torch.OutOfMemoryError("no memory")
            return self.attention(query, key, value, batch)

    scarce = Scarce()
    engine = Engine(gte.model, attention=scarce, budget=20_000)
    with caplog.at_level(logging.WARNING, logger="resolver"):
        scores = engine.score([gte.sequences])
    np.testing.assert_allclose(scores, gte.expected, atol=TOLERANCE)
    assert scarce.refused
    assert engine.budget is not None
    assert 512 <= engine.budget <= 10_000
    assert f"batches have {engine.budget} from now on" in caplog.messages[-1]
    # What was learnt holds: batches of what is left of the budget may fail once more, then none.
    engine.score([gte.sequences])
    before = scarce.refused
    engine.score([gte.sequences])
    assert scarce.refused == before


def test_a_sequence_too_long_for_memory_is_an_error(gte: Case) -> None:
    import torch

    from resolver.reranker.packed import Engine

    class None_:
        pads = False

        def __call__(self, *_: object) -> Any:
            raise torch.OutOfMemoryError("no memory")

    engine = Engine(gte.model, attention=None_())
    with pytest.raises(torch.OutOfMemoryError):
        engine.score([gte.sequences])


def test_ways_of_attention_agree() -> None:
    import torch

    from benchmarks.gpu import by_sequence
    from resolver.reranker.attention import ALLOWED, Varlen, disagreement

    cpu = torch.device("cpu")
    for dtype, allowed in ALLOWED.items():
        assert disagreement(Varlen(by_sequence), cpu, dtype, 4, 64) <= allowed

    def wrong(query: Any, *rest: Any) -> Any:
        return by_sequence(query, *rest) * 1.1

    assert disagreement(Varlen(wrong), cpu, torch.bfloat16, 4, 64) > ALLOWED[torch.bfloat16]


def test_batches_are_made_ahead_and_in_order() -> None:
    from resolver.reranker.packed import ahead

    made: list[int] = []

    def batches(count: int, *, broken: bool = False) -> Iterator[Any]:
        for number in range(1, count + 1):
            made.append(number)
            yield number
        if broken:
            raise RuntimeError("the tokenizer stopped")

    stream = ahead(batches(5), 2)
    assert next(stream) == 1
    assert list(stream) == [2, 3, 4, 5]
    assert made == [1, 2, 3, 4, 5]
    assert list(ahead(batches(0), 2)) == []
    with pytest.raises(RuntimeError, match="the tokenizer stopped"):
        list(ahead(batches(1, broken=True), 2))
    # Who takes no more stops the rest.
    made.clear()
    stream = ahead(batches(1000), 2)
    next(stream)
    stream.close()
    assert len(made) < 10


@pytest.mark.parametrize(
    ("change", "supported"),
    [
        ({}, True),
        ({"num_labels": 2}, False),
        ({"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, False),
    ],
    ids=["as it is", "two labels", "angles that change"],
)
def test_what_is_supported(gte: Case, change: dict[str, Any], supported: bool) -> None:
    import copy

    from resolver.reranker.architecture import supports

    model = copy.copy(gte.model)
    model.config = copy.deepcopy(gte.model.config)
    for key, value in change.items():
        setattr(model.config, key, value)
    assert supports(model) == supported


def test_another_architecture_is_not_supported(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from resolver.reranker.architecture import supports

    config = DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=32, num_labels=1)
    assert not supports(DistilBertForSequenceClassification(config))
