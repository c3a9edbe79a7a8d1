import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import save_bert, save_older_gte, save_tokenizer

from resolver.errors import PairError
from resolver.reranker import Calibration, Pair
from resolver.reranker.cross_encoder import CrossEncoderReranker, load_cross_encoder
from resolver.reranker.loading import load
from resolver.weights import encodable

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


@pytest.fixture(scope="module")
def gte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_older_gte(tmp_path_factory.mktemp("cross-encoder") / "gte")


def predicted(reranker: CrossEncoderReranker, pairs: list[Pair]) -> np.ndarray:
    """What the public class says of the same pairs."""
    import torch

    texts = [(encodable(one), encodable(other)) for one, other in pairs]
    return reranker.model.predict(texts, activation_fn=torch.nn.Identity())


TEXTS = [
    *(text for pair in PAIRS for text in pair),
    "x",
    "Oslo, " * 30,
    LONG,
    "Oslo </s> <pad>",
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "gte"])
def test_the_engine_says_what_predict_says(
    kind: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    path = request.getfixturevalue(kind)
    with caplog.at_level(logging.INFO, logger="resolver"):
        reranker = load_cross_encoder(str(path), "cpu")
    assert f"{path}: padded attention in float32 on cpu, 3072 tokens a batch" in caplog.messages
    pairs = [(one, other) for one in TEXTS for other in TEXTS]
    np.testing.assert_allclose(reranker.score(pairs), predicted(reranker, pairs), atol=1e-4)


@pytest.mark.slow
def test_another_architecture_is_scored_by_predict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    words = save_tokenizer(tmp_path).get_vocab_size()
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=words,
        max_position_embeddings=64,
        dim=32,
        n_layers=1,
        n_heads=2,
        hidden_dim=32,
        pad_token_id=1,
        initializer_range=0.5,
        num_labels=1,
    )
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, logger="resolver"):
        reranker = load_cross_encoder(str(tmp_path), "cpu")
        scores = reranker.score(PAIRS)
        reranker.score(PAIRS)
    why = "no engine for DistilBertForSequenceClassification; scoring by CrossEncoder.predict"
    assert caplog.messages.count(f"{tmp_path}: {why}") == 1
    np.testing.assert_allclose(scores, predicted(reranker, PAIRS), atol=1e-4)
    assert np.ptp(scores) > 0.1
    reranker.score([(LONG, DOCUMENT)])
    assert reranker.truncated == 1


@pytest.mark.slow
def test_pairs_put_together_otherwise_are_left_to_predict(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(shutil.copytree(folder, tmp_path / "copy"))
    settings = path / "tokenizer_config.json"
    stored = json.loads(settings.read_text())
    # From the left: the engine's tokens would be others. (Loading sets it right again.)
    settings.write_text(json.dumps(stored | {"truncation_side": "left"}))
    with caplog.at_level(logging.INFO, logger="resolver"):
        reranker = load_cross_encoder(str(path), "cpu")
    assert "padded attention" in caplog.text
    reranker.model.tokenizer.truncation_side = "left"
    with caplog.at_level(logging.INFO, logger="resolver"):
        other = CrossEncoderReranker("left", reranker.model, Calibration(), "")
    why = "its tokenizer puts pairs together in a way of its own"
    assert f"left: {why}; scoring by CrossEncoder.predict" in caplog.messages
    pairs = [(LONG, DOCUMENT), *PAIRS]
    np.testing.assert_allclose(other.score(pairs), predicted(other, pairs), atol=1e-4)


@pytest.mark.slow
def test_a_model_too_wide_for_half_precision_goes_on_in_float32(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file, save_file

    path = Path(shutil.copytree(folder, tmp_path / "wide"))
    weights = load_file(path / "model.safetensors")
    key = "bert.encoder.layer.0.intermediate.dense.weight"
    weights[key] *= 1e6
    weights["bert.encoder.layer.0.output.dense.weight"] /= 1e6
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    reranker = load_cross_encoder(str(path), "cpu", dtype="float16")
    pairs = [*PAIRS, (LONG, DOCUMENT)]
    scores = reranker.score(pairs)
    assert "are no numbers in half precision; in float32 from now on" in caplog.text
    np.testing.assert_allclose(scores, predicted(reranker, pairs), atol=1e-4)
    assert reranker.truncated == 1
    caplog.clear()
    np.testing.assert_array_equal(reranker.score(pairs), scores)
    assert "half precision" not in caplog.text


@pytest.mark.slow
def test_half_precision_is_near(folder: Path) -> None:
    reranker = load_cross_encoder(str(folder), "cpu", dtype="float16")
    difference = np.abs(reranker.score(PAIRS) - predicted(reranker, PAIRS))
    assert 0 < difference.max() < 0.1
