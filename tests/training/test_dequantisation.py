"""A checkpoint that was read back from an ONNX form, against the form itself."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from support.tiny_models import TEXTS, save_bert
from transformers import AutoModelForSequenceClassification

from resolver import sample, weights
from resolver.errors import ModelError
from resolver.registry.document import documents
from resolver.registry.dump import open_release
from resolver.registry.organisation import Organisation
from resolver.reranker import Pair
from resolver.reranker.loading import load
from resolver.reranker.onnx import MODEL
from resolver.training.dequantisation import opened, write_checkpoint
from resolver.training.export import export_reranker

PAIRS: list[Pair] = [(a, b) for a in TEXTS for b in TEXTS]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny checkpoint, and the folder of its ONNX form."""
    folder = save_bert(tmp_path_factory.mktemp("bert"), labels=1)
    return folder, export_reranker(folder, folder / "onnx", PAIRS).parent


@pytest.mark.slow
def test_every_weight_comes_back(exported: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, form = exported
    theirs, ours = (
        AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
        for folder in (checkpoint, write_checkpoint(form, tmp_path))
    )
    prefix = "bert.embeddings."
    types = theirs.pop(f"{prefix}token_type_embeddings.weight")
    assert not ours.pop(f"{prefix}token_type_embeddings.weight").any()
    # The vector of type 0 is part of the positions in the graph.
    theirs[f"{prefix}position_embeddings.weight"] += types[0]
    assert theirs.keys() == ours.keys()
    for name, weight in theirs.items():
        # Half a step of 8 bits, of the largest weight of the product; evened channels differ more.
        step = float(weight.abs().max()) / 127
        np.testing.assert_allclose(ours[name], weight, atol=step, err_msg=name)


@pytest.mark.slow
def test_the_built_in_reranker_scores_like_its_own_form(tmp_path: Path) -> None:
    gold = [orjson.loads(line) for line in sample.GOLD.read_bytes().splitlines()]
    strings = [row["affiliation"] for row in gold][:40]
    records = open_release(sample.REGISTRY).records()
    shown = [next(iter(documents(o))).text for o in records if isinstance(o, Organisation)]
    pairs = [
        (string, shown[(7 * number + step) % len(shown)])
        for number, string in enumerate(strings)
        for step in range(8)
    ]
    with opened("builtin") as checkpoint:
        floats = load(str(checkpoint), "cpu").score(pairs)
    form = load("builtin", None).score(pairs)
    # 8 bits against floats: the same that the export itself costs.
    assert np.abs(floats - form).mean() < 0.3
    assert np.corrcoef(floats, form)[0, 1] > 0.99


def test_what_was_not_exported_here_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    empty = helper.make_model(helper.make_graph([], "other", [], []))
    onnx.save(empty, tmp_path / MODEL)
    with pytest.raises(ModelError, match="not of the form"):
        write_checkpoint(tmp_path, tmp_path / "out")
    (tmp_path / MODEL).write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="not of the form"):
        write_checkpoint(tmp_path, tmp_path / "out")
    with pytest.raises(ModelError, match="cannot be read"):
        write_checkpoint(weights.BUILTIN_FOLDER, tmp_path / "out")
