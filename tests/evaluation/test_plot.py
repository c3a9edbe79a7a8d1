from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="the extra plot is not installed")

from resolver.errors import SettingsError
from resolver.evaluation.gold import Gold
from resolver.evaluation.measurement import (
    RANKED,
    Evaluation,
    ResolvedSet,
    ResolvedString,
    measure,
)
from resolver.evaluation.operating_point import LinksAtThreshold
from resolver.evaluation.plot import plot, require_plottable
from resolver.evaluation.stage import Stage


def report(name: str, *answers: tuple[str, str, float], asserted: str | None = None) -> Evaluation:
    """One set, of (gold, linked, probability) strings."""
    made = [
        ResolvedString(
            Gold("…", tuple(gold), asserted=None if asserted is None else tuple(asserted)),
            tuple(linked), dict.fromkeys(RANKED, linked), {Stage.RERANKER: [], Stage.JUDGE: []},
            (LinksAtThreshold(probability, tuple(linked)),), (),
        )
        for gold, linked, probability in answers
    ]  # fmt: skip
    return measure(ResolvedSet(name, made, 1.0))


SET = report("springer-2023", ("a", "a", 0.9), ("b", "b", 0.8), ("c", "x", 0.5), ("", "y", 0.1))


@pytest.mark.parametrize(
    ("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_a_curve_in_each_form(tmp_path: Path, suffix: str, begins: bytes) -> None:
    path = tmp_path / f"curve{suffix}"
    require_plottable(path)
    plot([SET], path)
    assert path.read_bytes().startswith(begins)


def test_the_curve_names_its_sets_and_the_peers_of_those_that_have_any(tmp_path: Path) -> None:
    path = tmp_path / "curve.svg"
    plot([SET, report("mine", ("a", "a", 0.9)), report("nothing", ("", "", 0.9))], path)
    drawn = path.read_text()
    # Text is drawn as shapes; each has what it says as a comment beside it.
    for text in ("springer-2023 (4 strings)", "mine (1 strings)", "ROR API, single_search"):
        assert f"<!-- {text}" in drawn.replace("<!--   ", "<!-- "), text
    assert "S2AFF" not in drawn
    assert "asserted labels" not in drawn


def test_asserted_labels_have_a_curve_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "curve.svg"
    plot([report("springer-2023", ("a", "a", 0.9), ("b", "b", 0.8), asserted="a")], path)
    drawn = path.read_text()
    assert "asserted labels -->" in drawn
    assert "stroke-dasharray" in drawn


@pytest.mark.parametrize(
    ("name", "said"), [("c.jpg", ".png, .svg or .pdf"), ("no/c.svg", "folder")]
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        require_plottable(tmp_path / name)


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.evaluation.plot.find_spec", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        require_plottable(tmp_path / "c.svg")
    assert "[plot]" in str(caught.value)


def test_matplotlib_is_loaded_only_when_something_is_drawn() -> None:
    import subprocess

    code = "import sys, resolver.cli.evaluate; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
