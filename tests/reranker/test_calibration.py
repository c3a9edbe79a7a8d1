import logging
from pathlib import Path

import pytest

from resolver.errors import ModelError
from resolver.reranker import Calibration
from resolver.reranker.calibration import read_calibration, write_calibration


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(Calibration(1.25, -0.5), path)
    assert read_calibration(path, name="model") == Calibration(1.25, -0.5)


def test_without_a_file_it_is_the_sigmoid_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_calibration(tmp_path / "calibration.json", name="mine") == Calibration()
    assert "mine" in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"slope": 1}',
        '{"slope": -1, "intercept": 0}',
        '{"slope": "a", "intercept": 0}',
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(ModelError) as caught:
        read_calibration(path, name="model")
    assert str(path) in str(caught.value)
    assert caught.value.remedy
