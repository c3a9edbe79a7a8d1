"""The mean of rerankers' weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import save_bert

from resolver.errors import ModelError
from resolver.training.mean import write_mean


@pytest.mark.slow
def test_each_weight_is_the_mean(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    folders = [save_bert(tmp_path / str(seed), labels=1, seed=seed) for seed in (1, 2, 3)]
    mean = load_file(write_mean([str(f) for f in folders], tmp_path / "mean") / "model.safetensors")
    weights = [load_file(folder / "model.safetensors") for folder in folders]
    for name, value in mean.items():
        np.testing.assert_allclose(value, np.mean([w[name] for w in weights], axis=0), atol=1e-6)
    assert {p.name for p in folders[0].glob("*.json")} == {
        p.name for p in (tmp_path / "mean").glob("*.json")
    }


@pytest.mark.slow
def test_the_builtin_reranker_can_be_a_part(tmp_path: Path) -> None:
    from resolver.reranker.loading import load

    out = write_mean(["builtin", "builtin"], tmp_path / "mean")
    pairs = [("Dept. of Geophysics, Univ. Bonn", "University of Bonn, Bonn, Germany")]
    assert load(str(out), "cpu").score(pairs)[0] == pytest.approx(
        load("builtin", None).score(pairs)[0], abs=1.0
    )


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ((), "two rerankers or more"),
        (("one",), "two rerankers or more"),
        (("one", "deeper"), "has another"),
        (("one", "nowhere"), "nowhere"),
    ],
)
@pytest.mark.slow
def test_what_has_no_mean_is_refused(models: tuple[str, ...], says: str, tmp_path: Path) -> None:
    save_bert(tmp_path / "one", labels=1)
    save_bert(tmp_path / "deeper", labels=1, layers=3)
    with pytest.raises(ModelError, match=says):
        write_mean([str(tmp_path / model) for model in models], tmp_path / "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.slow
def test_a_model_is_not_overwritten(tmp_path: Path) -> None:
    one = str(save_bert(tmp_path / "one", labels=1))
    with pytest.raises(ModelError, match="holds a model"):
        write_mean([one, one], tmp_path / "one")
