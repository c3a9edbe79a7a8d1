"""Token ids as bytes, and rerankers that compute from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from support.tiny_models import save_bert

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker.checking import BATCH_TOLERANCE, PAIRS
from resolver.reranker.loading import load
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokenised import from_bytes, to_bytes, token_reranker
from resolver.reranker.tokens import PairTokenizer
from resolver.scorer.batching import joined


@pytest.fixture(scope="module")
def tokens() -> PairTokenizer:
    tokenizer = weights.shared_tokenizer(weights.BUILTIN_FOLDER / weights.TOKENIZER)
    return PairTokenizer(tokenizer, max_length=32)


def test_sequences_come_back_as_they_were(tokens: PairTokenizer) -> None:
    for pairs in ([], list(PAIRS)):
        sequences = tokens.encode(pairs)
        again = from_bytes(to_bytes(sequences), tokens)
        assert again.ids.tolist() == sequences.ids.tolist()
        assert again.bounds.tolist() == sequences.bounds.tolist()
        assert again.types is None


def test_token_types_come_back(tokens: PairTokenizer) -> None:
    tokens = PairTokenizer(tokens._tokenizer, max_length=32)
    tokens._typed = True
    typed = Sequences(np.array([5, 6, 7], np.int32), np.array([0, 1, 3]), np.array([0, 0, 1], "i4"))
    again = from_bytes(to_bytes(typed), tokens)
    assert again.types is not None
    assert again.types.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match=r"tensors \['ids', 'lengths'\], not \['ids', 'lengths', "):
        from_bytes(to_bytes(Sequences(typed.ids, typed.bounds)), tokens)


def tensors(lengths: object, ids: object, kind: str = "i4", **more: object) -> bytes:
    return safetensors.numpy.save(
        {
            name: np.array(value, kind)
            for name, value in {"lengths": lengths, "ids": ids, **more}.items()
        }
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not safetensors"),
        (b"\x80\x04\x95 a pickle", "not safetensors"),
        (safetensors.numpy.save({"ids": np.zeros(1, "i4")}), r"tensors \['ids'\]"),
        (tensors([1], [5], types=[0]), "tensors"),
        (tensors([1], [5], "i8"), "not all tensors are int32"),
        (tensors([[1]], [5]), "not all tensors are int32 of one dimension"),
        (tensors([1, 0], [5]), "lengths are not all from 1 to 32"),
        (tensors([33], [5] * 33), "lengths are not all from 1 to 32"),
        (tensors([2**31 - 1, 2**31 - 1, 4], [5, 5]), "lengths are not all from 1 to 32"),
        (tensors([2], [5]), "ids are more or fewer than lengths say"),
        (tensors([1], [5, 5]), "ids are more or fewer than lengths say"),
        (tensors([2], [5, -1]), "ids are not all below"),
        (tensors([2], [5, 250_000]), "ids are not all below"),
    ],
)
def test_what_no_tokenizer_made_is_refused(
    tokens: PairTokenizer, content: bytes, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        from_bytes(content, tokens)


def test_logits_are_those_of_the_texts(tokens: PairTokenizer) -> None:
    reranker = token_reranker(load("builtin", None, threads=1))
    logits = reranker.logits(reranker.tokens.encode(list(PAIRS)))
    assert logits.tolist() == reranker.score(list(PAIRS)).tolist()


@pytest.mark.slow
def test_logits_of_a_torch_model_do_not_depend_on_who_shares_the_batch(tmp_path: Path) -> None:
    reranker = token_reranker(load(str(save_bert(tmp_path, labels=1)), "cpu"))
    expected = reranker.score(list(PAIRS))
    assert np.ptp(expected) > 0.1
    parts = [
        from_bytes(to_bytes(reranker.tokens.encode(some)), reranker.tokens)
        for some in (PAIRS[:3], PAIRS[3:4], PAIRS[4:])
    ]
    np.testing.assert_allclose(reranker.logits(joined(parts)), expected, atol=BATCH_TOLERANCE)


def test_a_reranker_that_takes_texts_cannot_run_in_a_scorer() -> None:
    class OfTexts:
        name, tokens = "of/texts", None

    with pytest.raises(ModelError, match="of/texts takes texts, not tokens"):
        token_reranker(OfTexts())  # type: ignore[arg-type]
