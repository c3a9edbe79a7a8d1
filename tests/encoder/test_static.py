import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.tiny_models import save_tokenizer

from resolver import weights
from resolver.encoder.loading import load
from resolver.encoder.static import SCALES, TABLE, WEIGHTS, StaticEncoder, load_static
from resolver.errors import ModelError


@pytest.fixture(scope="module")
def builtin() -> StaticEncoder:
    encoder = load("builtin", None)
    assert isinstance(encoder, StaticEncoder)
    return encoder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A static encoder of random vectors."""
    vocabulary = save_tokenizer(tmp_path).get_vocab_size()
    rng = np.random.default_rng(0)
    table = rng.integers(-127, 128, (vocabulary, 8)).astype(np.int8)
    save_file({TABLE: table, SCALES: np.full(vocabulary, 0.01, np.float16)}, tmp_path / WEIGHTS)
    return tmp_path


def test_a_vector_is_the_normalised_sum_of_its_tokens(folder: Path) -> None:
    encoder = load_static(folder, name="tiny")
    text = "University of Oslo"
    ids = weights.read_tokenizer(folder / "tokenizer.json").encode(text, add_special_tokens=False)
    from safetensors.numpy import load_file

    total = load_file(folder / WEIGHTS)[TABLE][ids.ids].astype(np.float64).sum(0)
    np.testing.assert_allclose(
        encoder.encode_queries([text])[0], total / np.linalg.norm(total), atol=1e-5
    )


def test_every_row_has_unit_length_and_its_place(builtin: StaticEncoder) -> None:
    texts = ["", "University of Oslo", "\ud800", "東京大学", "  ", "x" * 5000]
    vectors = builtin.encode_queries(texts)
    assert vectors.shape == (6, builtin.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_array_equal(builtin.encode_documents([text])[0], vector)


def test_no_texts(builtin: StaticEncoder) -> None:
    assert builtin.encode_queries([]).shape == (0, builtin.dimension)


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("Univ. of Oslo", "University of Oslo, Oslo, Norway", "University of Bergen, Norway"),
        ("Universität Wien", "University of Vienna, Austria", "University of Graz, Austria"),
        ("東京大学", "The University of Tokyo, Japan", "Kyoto University, Kyoto, Japan"),
        (
            "Московский государственный университет",
            "Lomonosov Moscow State University, Moscow, Russia",
            "Kazan Federal University, Kazan, Russia",
        ),
    ],
    ids=["abbreviation", "German", "Japanese", "Russian"],
)
def test_the_right_organisation_is_nearer(
    builtin: StaticEncoder, query: str, right: str, wrong: str
) -> None:
    (q,) = builtin.encode_queries([query])
    near, far = builtin.encode_documents([right, wrong])
    assert q @ near > q @ far


def test_the_fingerprint_follows_the_weights(folder: Path) -> None:
    before = load_static(folder, name="tiny").fingerprint
    assert load_static(folder, name="other").fingerprint == before
    vocabulary = load_static(folder, name="tiny")._table.shape[0]
    save_file(
        {TABLE: np.ones((vocabulary, 8), np.int8), SCALES: np.ones(vocabulary, np.float16)},
        folder / WEIGHTS,
    )
    assert load_static(folder, name="tiny").fingerprint != before


@pytest.mark.parametrize("damage", ["missing", "cut", "other tokenizer", "no tokenizer", "wrong"])
def test_damaged_files_are_refused(folder: Path, damage: str) -> None:
    path = folder / WEIGHTS
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-10])
        case "other tokenizer":
            save_file({TABLE: np.ones((5, 8), np.int8), SCALES: np.ones(5, np.float16)}, path)
        case "no tokenizer":
            (folder / "tokenizer.json").unlink()
        case "wrong":
            save_file({TABLE: np.ones((5, 8), np.float32), SCALES: np.ones(5, np.float16)}, path)
    with pytest.raises(ModelError) as caught:
        load_static(folder, name="tiny")
    assert caught.value.remedy


def test_the_builtin_models_need_no_torch() -> None:
    code = (
        "import sys; from resolver.encoder import loading as e; from resolver.reranker import"
        " loading as r; e.load('builtin', None).encode_queries(['Oslo']);"
        " r.load('builtin', None).score([('Oslo', 'Oslo')]);"
        " print([m for m in ('torch', 'transformers', 'sentence_transformers', 'onnx')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
