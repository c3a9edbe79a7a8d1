"""Which reranker a name stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver import weights
from resolver.errors import SettingsError
from resolver.reranker.loading import RerankerForm, form_of, load, runs_in_torch
from resolver.reranker.onnx import OnnxReranker
from resolver.settings import BUILTIN

ONNX = str(weights.BUILTIN_FOLDER / "reranker")


def test_each_form(tmp_path: Path) -> None:
    names = {BUILTIN: RerankerForm.BUILTIN, ONNX: RerankerForm.ONNX}
    names |= dict.fromkeys(("http://localhost:7997", "tei+https://host"), RerankerForm.SERVER)
    names |= dict.fromkeys((str(tmp_path), "organisation/model"), RerankerForm.CROSS_ENCODER)
    assert {name: form_of(name) for name in names} == names
    assert [name for name in names if runs_in_torch(name)] == [str(tmp_path), "organisation/model"]


def test_onnx_models_load_without_torch() -> None:
    builtin, folder = load(BUILTIN, "cuda"), load(ONNX, "cuda")
    assert isinstance(builtin, OnnxReranker)
    assert isinstance(folder, OnnxReranker)
    assert (builtin.name, folder.name) == (BUILTIN, ONNX)
    assert builtin.fingerprint == folder.fingerprint


@pytest.mark.parametrize("name", [BUILTIN, ONNX, "organisation/model"])
def test_a_local_model_has_its_own_calibration(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not on a server"):
        load(name, None, calibration=tmp_path / "calibration.json")
