"""The folder of a run: who may enter, and what it keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from resolver.errors import ModelError
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.training import run
from resolver.training.affiliations import Sample, SampleKind
from resolver.training.pairs import LabelledPair
from resolver.training.ranking import LabelledShortlist
from resolver.training.run import MinedData, Stage

LEARNT = MinedData(
    pairs=(LabelledPair("東京大学", "University of Tokyo", 1), LabelledPair("a", "b", 0)),
    samples=(Sample(SampleKind.ORGANISATION, "q", ("p",), ("n", "m")),),
    shortlists=(LabelledShortlist((("q", "x"), ("q", "y")), (1, None)),),
    counts={"training pairs": 2},
)


def identity(epochs: float = 2.0, gold: str = "aa") -> run.Identity:
    return run.identity(training={"epochs": epochs, "layers": None}, files={"gold": gold})


def begun(out: Path) -> None:
    run.begin(out, identity(), overwrite=False)


def begun_otherwise(out: Path) -> None:
    run.begin(out, identity(epochs=3.0), overwrite=False)


def mined(out: Path) -> None:
    begun(out)
    run.save(out, LEARNT)


def finished(out: Path) -> None:
    mined(out)
    for folder in (run.START, run.CHECKPOINTS):
        (out / folder).mkdir()
    run.finish(out, {"figures": 1})


def foreign(out: Path) -> None:
    out.mkdir()
    (out / "config.json").write_text("{}")


def logged(out: Path) -> None:
    out.mkdir()
    (out / "log.txt").write_text("from a shell")


def damaged(out: Path) -> None:
    out.mkdir()
    (out / run.RUN).write_text("{")


def absent(out: Path) -> None:
    assert not out.exists()


@pytest.mark.parametrize(
    ("before", "overwrite", "expected"),
    [
        (absent, False, Stage.NEW),
        (logged, False, Stage.NEW),
        (begun, False, Stage.NEW),
        (begun_otherwise, False, Stage.NEW),
        (mined, False, Stage.MINED),
        (finished, False, "finished model"),
        (finished, True, Stage.NEW),
        (mined, True, Stage.NEW),
        (foreign, False, "config.json of something else"),
        (foreign, True, "config.json of something else"),
        (damaged, False, "cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_entering(
    tmp_path: Path, before: Callable[[Path], None], overwrite: bool, expected: Stage | str
) -> None:
    out = tmp_path / "out"
    before(out)
    if isinstance(expected, Stage):
        assert run.begin(out, identity(), overwrite=overwrite) is expected
        assert orjson.loads((out / run.RUN).read_bytes()) == identity()
        return
    with pytest.raises(ModelError, match=expected) as caught:
        run.begin(out, identity(), overwrite=overwrite)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (identity(epochs=3.0), "training.epochs was 2.0, is 3.0"),
        (identity(gold="bb"), "files.gold was aa, is bb"),
    ],
)
def test_a_run_is_not_gone_on_with_by_other_options_or_data(
    tmp_path: Path, now: run.Identity, said: str
) -> None:
    mined(tmp_path / "out")
    with pytest.raises(ModelError, match=said):
        run.begin(tmp_path / "out", now, overwrite=False)


def test_overwriting_leaves_nothing_of_the_old_run(tmp_path: Path) -> None:
    finished(tmp_path / "out")
    run.begin(tmp_path / "out", identity(epochs=3.0), overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [run.RUN]


def test_what_was_mined_comes_back(tmp_path: Path) -> None:
    mined(tmp_path)
    assert run.load(tmp_path) == LEARNT


def test_mined_data_that_is_damaged_is_said(tmp_path: Path) -> None:
    mined(tmp_path)
    (tmp_path / run.DATA / "samples.jsonl").write_text('{"kind": "affil')
    with pytest.raises(ModelError, match="cannot be read"):
        run.load(tmp_path)


def test_a_finished_run_keeps_nothing_that_only_training_needs(tmp_path: Path) -> None:
    finished(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {run.RUN, run.RESULT}


def test_the_digest_of_the_registry_changes_with_any_record() -> None:
    one = Organisation(
        "a", OrganisationStatus.ACTIVE, (Name("A", frozenset({NameKind.DISPLAY, NameKind.LABEL})),)
    )
    other = dataclasses.replace(one, established=1900)
    digests = [run.registry_digest(of) for of in ([one], [one], [other], [one, other])]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
