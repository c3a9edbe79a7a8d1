import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_bert

from resolver.errors import PairError
from resolver.reranker import Calibration, Pair
from resolver.reranker.loading import load

PAIRS: list[Pair] = [
    ("Department of Physics, University of Oslo, Oslo, Norway", "University of Oslo, Oslo, Norway"),
    ("東京大学", "東京大学 (The University of Tokyo), Tokyo, Japan"),
    ("MIT", "Massachusetts Institute of Technology"),
    ("lone \ud800", "Oslo"),
    ("東京大学", "東京大学 (The University of Tokyo), Tokyo, Japan"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("cross-encoder"), labels=1)


@pytest.mark.slow
def test_scores_are_the_bare_logits_in_any_company(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    reranker = load(str(folder), "cpu")
    scores = reranker.score(PAIRS)
    assert scores.dtype == np.float32
    assert scores[1] == scores[4]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        expected = [
            float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in PAIRS[:2]
        ]
    np.testing.assert_allclose(scores[:2], expected, atol=1e-4)
    alone = np.concatenate([reranker.score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(alone, scores, atol=1e-4)
    assert reranker.score([]).shape == (0,)


@pytest.mark.slow
def test_a_calibration_beside_the_weights_is_used(folder: Path, tmp_path: Path) -> None:
    assert load(str(folder), "cpu").calibration == Calibration()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "calibration.json").write_text('{"slope": 2, "intercept": -1}')
    assert load(str(copy), "cpu").calibration == Calibration(2.0, -1.0)


LONG, DOCUMENT = "Universität Wien " * 200, "University of Oslo, Oslo, Norway"


@pytest.mark.slow
def test_the_affiliation_is_cut_before_the_document(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reranker = load(str(folder), "cpu")
    assert reranker.truncated == 0
    with caplog.at_level(logging.INFO, logger="resolver"):
        (long, other, _, again) = reranker.score(
            [(LONG, DOCUMENT), (LONG, "Oslo University Hospital"), *PAIRS[:1], (LONG, DOCUMENT)]
        )
    # Distinct pairs count, and a call logs once.
    assert reranker.truncated == 2
    assert [record.message for record in caplog.records].count(
        f"{folder}: cut 2 of 3 pairs to 64 tokens"
    ) == 1
    assert long == again
    # What the model was shown of the affiliation is its beginning; the document decides still.
    assert long == pytest.approx(reranker.score([(LONG + " and more", DOCUMENT)])[0], abs=1e-5)
    assert abs(long - other) > 1e-3
    assert reranker.truncated == 3


@pytest.mark.slow
def test_a_long_document_keeps_half_of_the_room(folder: Path) -> None:
    """Against ids put together by hand: half of the room each, cut from the end."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    reranker = load(str(folder), "cpu")
    (found,) = reranker.score([(LONG, DOCUMENT * 20)])
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first, second = (
        tokenizer(text, add_special_tokens=False)["input_ids"][: (64 - 4) // 2]
        for text in (LONG, DOCUMENT * 20)
    )
    with torch.inference_mode():
        ids = torch.tensor([[0, *first, 2, 2, *second, 2]])
        assert ids.shape == (1, 64)
        expected = float(model(ids).logits)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_an_empty_text_is_refused(folder: Path) -> None:
    with pytest.raises(PairError, match="pair 1 of 2: the affiliation is empty"):
        load(str(folder), "cpu").score([PAIRS[0], (" \u200b", "Oslo")])
