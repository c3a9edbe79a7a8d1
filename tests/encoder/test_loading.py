"""Which encoder a name stands for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resolver import weights
from resolver.encoder.loading import EncoderForm, form_of, load, runs_in_torch
from resolver.encoder.static import WEIGHTS, StaticEncoder
from resolver.settings import BUILTIN


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a training writes it."""
    folder = tmp_path_factory.mktemp("static")
    shutil.copy(weights.BUILTIN_FOLDER / "encoder" / WEIGHTS, folder)
    shutil.copy(weights.BUILTIN_FOLDER / weights.TOKENIZER, folder)
    return folder


def test_each_form(static: Path, tmp_path: Path) -> None:
    names = {BUILTIN: EncoderForm.BUILTIN, str(static): EncoderForm.STATIC}
    names |= dict.fromkeys((str(tmp_path), "organisation/model"), EncoderForm.SENTENCE_TRANSFORMERS)
    assert {name: form_of(name) for name in names} == names
    assert [name for name in names if runs_in_torch(name)] == [str(tmp_path), "organisation/model"]


def test_static_encoders_load_without_torch(static: Path) -> None:
    builtin, copy = load(BUILTIN, "cuda"), load(str(static), "cuda")
    assert isinstance(builtin, StaticEncoder)
    assert isinstance(copy, StaticEncoder)
    assert (builtin.name, copy.name) == (BUILTIN, str(static))
    assert builtin.fingerprint == copy.fingerprint
