import os
import shutil
from pathlib import Path

import pytest

from resolver import weights
from resolver.errors import ModelError

BUILTIN = weights.BUILTIN_FOLDER / weights.TOKENIZER


def test_the_tokenizer_of_a_file_is_loaded_once() -> None:
    of_encoder = weights.tokenizer_path(weights.BUILTIN_FOLDER / "encoder")
    of_reranker = weights.tokenizer_path(weights.BUILTIN_FOLDER / "reranker")
    assert weights.shared_tokenizer(of_encoder) is weights.shared_tokenizer(of_reranker)


def test_that_of_a_file_that_was_written_again_is_another(tmp_path: Path) -> None:
    path = Path(shutil.copy(BUILTIN, tmp_path))
    first = weights.shared_tokenizer(path)
    os.utime(path, ns=(0, 0))
    assert weights.shared_tokenizer(path) is not first


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        weights.shared_tokenizer(tmp_path / weights.TOKENIZER)
