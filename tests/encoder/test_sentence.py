from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import save_sentence_transformer

from resolver.encoder.loading import load
from resolver.errors import ModelError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_transformer(
        tmp_path_factory.mktemp("sentence") / "model",
        prompts={"query": "query: ", "document": "passage: "},
    )


def test_vectors_are_the_models_own_normalised(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = load(str(folder), "cpu")
    texts = ["University of Oslo", "", "東京大学", "\ud800"]
    vectors = encoder.encode_queries(texts)
    assert vectors.shape == (4, encoder.dimension) == (4, 32)
    assert vectors.dtype == np.float32
    own = SentenceTransformer(str(folder), device="cpu")
    expected = own.encode(["query: University of Oslo", "query: "], normalize_embeddings=True)
    np.testing.assert_allclose(vectors[:2], expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_queries_and_documents_get_their_prompts(folder: Path) -> None:
    encoder = load(str(folder), "cpu")
    query, document = encoder.encode_queries(["Oslo"]), encoder.encode_documents(["Oslo"])
    assert np.abs(query - document).max() > 1e-3


def test_the_fingerprint_is_that_of_the_content(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = load(str(folder), "cpu").fingerprint
    assert load(str(copy), "cpu").fingerprint == before
    from safetensors.numpy import load_file, save_file

    tensors = load_file(copy / "model.safetensors")
    tensors[min(tensors)] = tensors[min(tensors)] + 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert load(str(copy), "cpu").fingerprint != before


def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file

    copy = tmp_path / "pickled"
    shutil.copytree(folder, copy)
    weights = copy / "model.safetensors"
    torch.save(load_file(weights), copy / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ModelError, match="only pickled ones"):
        load(str(copy), "cpu")


def test_a_name_that_is_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as caught:
        load("nobody/no-such-model", "cpu")
    assert caught.value.remedy
