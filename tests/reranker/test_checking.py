from pathlib import Path

import pytest

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import checking
from resolver.reranker.onnx import OnnxReranker, load_onnx

NO_PAIRS = '{"source": "", "tolerance": 1, "pairs": []}'
NUMBER = NO_PAIRS.replace("[]", '[{"affiliation": "a", "document": "b", "logit": 9.0}]')
NO_NUMBER = NUMBER.replace("9.0", "null")
NOT_FINITE = NUMBER.replace("9.0", "1e999")


@pytest.fixture(scope="module")
def builtin() -> OnnxReranker:
    return load_onnx(weights.BUILTIN_FOLDER / "reranker", name="builtin")


def test_what_is_recorded_is_read(builtin: OnnxReranker, tmp_path: Path) -> None:
    path = checking.write_golden(builtin, "builtin", tmp_path / "golden.json")
    golden = checking.read_golden(path)
    assert builtin.fingerprint in golden.source
    assert golden.tolerance == checking.INT8_TOLERANCE
    scores = builtin.score(list(golden.logits))
    assert list(golden.logits.values()) == pytest.approx(scores.tolist(), abs=1e-5)


def test_another_answer_fails(builtin: OnnxReranker, tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_text(NUMBER)
    lines = checking.check(builtin, "builtin", golden=str(path))
    assert [line.name for line in lines if line.passed is False] == ["golden logits"]


@pytest.mark.parametrize("content", ["", "[]", "{}", NO_PAIRS, NO_NUMBER, NOT_FINITE])
def test_golden_logits_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "golden.json"
    path.write_text(content)
    with pytest.raises(ModelError, match="golden") as caught:
        checking.read_golden(path)
    assert caught.value.remedy


def test_there_is_nowhere_to_write_for_a_name(builtin: OnnxReranker) -> None:
    with pytest.raises(ModelError, match="no folder"):
        checking.write_golden(builtin, "someone/model", None)
