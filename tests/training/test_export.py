from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import TEXTS, save_bert

from resolver.reranker import Pair
from resolver.reranker.loading import load
from resolver.reranker.onnx import MODEL
from resolver.training.export import (
    BLOCK,
    activation_range,
    export_reranker,
    quantised_weight,
    quantised_words,
)

PAIRS: list[Pair] = [(a, b) for a in TEXTS for b in TEXTS]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny checkpoint, and the folder of its ONNX form."""
    folder = save_bert(tmp_path_factory.mktemp("bert"), labels=1)
    return folder, export_reranker(folder, folder / "onnx", PAIRS).parent


@pytest.mark.slow
def test_both_forms_agree(exported: tuple[Path, Path]) -> None:
    theirs, ours = (load(str(folder), "cpu").score(PAIRS) for folder in exported)
    # 0.98 here; kernels for 8 bits differ between processors. A wrong export correlates with
    # nothing.
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert np.abs(ours - theirs).mean() < 0.3 * theirs.std()


@pytest.mark.slow
def test_the_slow_operator_stays_out(exported: tuple[Path, Path], tmp_path: Path) -> None:
    # ONNX Runtime has an optimiser that fuses what the export keeps apart, but does not see
    # through these products. Should a version see through them, load_onnx must switch it off.
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / MODEL)
    onnxruntime.InferenceSession(
        str(exported[1] / MODEL), options, providers=["CPUExecutionProvider"]
    )
    kinds = {node.op_type for node in onnx.load(tmp_path / MODEL).graph.node}
    assert {"MatMulIntegerToFloat", "LayerNormalization"} < kinds
    assert "SkipLayerNormalization" not in kinds


def unpacked(nibbles: np.ndarray, scales: np.ndarray) -> np.ndarray:
    values = np.stack([nibbles & 15, nibbles >> 4], axis=-1).reshape(len(nibbles), -1)
    blocks = values.astype(np.float32).reshape(len(nibbles), -1, BLOCK) - 8
    return (blocks * scales.astype(np.float32)[..., None]).reshape(len(nibbles), -1)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_table_that_came_from_four_bits_goes_back_to_them(sign: int) -> None:
    rng = np.random.default_rng(0)
    scales = rng.uniform(0.01, 1, (50, 3)).astype(np.float16).astype(np.float32) * sign
    words = rng.integers(-8, 8, (50, 3, BLOCK)) * scales[..., None]
    words = words.reshape(50, -1).astype(np.float32)
    nibbles, found, error = quantised_words(words)
    assert nibbles.shape == (50, 3 * BLOCK // 2)
    assert error < 1e-3
    np.testing.assert_allclose(unpacked(nibbles, found), words, atol=1e-2)


def test_any_other_table_is_near() -> None:
    words = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    nibbles, scales, error = quantised_words(words)
    assert error < 0.1
    assert np.sqrt(np.square(unpacked(nibbles, scales) - words).mean()) == pytest.approx(
        error, rel=0.05
    )


def test_a_row_of_zeros_stays() -> None:
    nibbles, scales, _ = quantised_words(np.zeros((2, 32), np.float32))
    assert not unpacked(nibbles, scales).any()


def test_a_weight_keeps_half_a_step() -> None:
    weight = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    weight[:, 3] = 0
    table, scales = quantised_weight(weight)
    assert np.abs(table * scales - weight).max() <= scales.max() / 2 + 1e-6


def test_an_outlier_does_not_cost_the_others_their_resolution() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 16)).astype(np.float32)
    weight = rng.normal(size=(16, 8)).astype(np.float32)
    plain = activation_range(rows, weight).scale
    rows[0, 0] = 8.0
    assert activation_range(rows, weight).scale < 2 * plain
    assert activation_range(np.zeros_like(rows), weight).scale > 0
