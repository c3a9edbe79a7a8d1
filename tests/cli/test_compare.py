"""``resolver compare`` as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.command_line import run_in

pytestmark = pytest.mark.slow

Compare = Callable[..., CompletedProcess[str]]

WEAKER = {"RESOLVER_RECALL_DEPTH": "3", "RESOLVER_RERANK_DEPTH": "1"}


@pytest.fixture
def compare(answered_home: Path) -> Compare:
    def run(*arguments: str, code: int = 0, **options: object) -> CompletedProcess[str]:
        done = run_in(answered_home, "compare", *arguments, **options)
        assert done.returncode == code, done.stderr
        return done

    return run


def test_a_version_and_itself_answer_alike(compare: Compare) -> None:
    found = json.loads(compare("1", "current", "--json", "-", "--sample", "1000").stdout)
    assert found["whole"]
    assert found["affiliations"] == found["counts"]["same"] > 100
    assert (found["mean_change"], found["differences"]) == (0, [])
    assert found["links_in_both"] > 100


@pytest.mark.slowest
def test_other_settings_are_seen_before_they_are_in_use(compare: Compare, tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    done = compare("current", "settings", "--sample", "60", "--json", str(file), env=WEAKER)
    found = json.loads(file.read_text())
    assert not found["whole"]
    assert sum(found["counts"].values()) == found["affiliations"] == 60
    assert found["counts"]["lost"] > 0
    assert len(found["differences"]) == 60 - found["counts"]["same"]
    lost = next(one for one in found["differences"] if one["difference"] == "lost")
    assert len(lost["a"]["links"]) > len(lost["b"]["links"])
    shown = " ".join(done.stdout.split())
    assert "settings against version 1" in shown
    assert "60 affiliations, a sample of those stored" in shown
    assert lost["a"]["links"][0]["ror_id"] in shown

    again = compare(
        "1", "settings", "--sample", "60", "--seed", "5", "--json", "-", env=WEAKER
    )  # fmt: skip
    differing = [
        {one["affiliation"] for one in story["differences"]}
        for story in (found, json.loads(again.stdout))
    ]
    assert differing[0] != differing[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("1", "99"), "99"),
        (("latest", "1"), "'latest' is not a resolver version"),
        (("1", "current", "--json", "missing/there.json"), "No such file"),
    ],
)
def test_what_cannot_be_compared_is_said(
    compare: Compare, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in compare(*arguments, code=1).stderr
