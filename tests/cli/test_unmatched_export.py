"""``resolver unmatched`` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.command_line import Run

from resolver.database import answers, records
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings

pytestmark = pytest.mark.slow

ABSENT = Reason.NOT_IN_REGISTRY
OXFORD = Link("052gg0110", "University of Oxford", "University of Oxford", 4.0, 0.97, 1)

SENT: list[tuple[str, str, Reason | None]] = [
    ("10.1/a", "Dept. of Physics, Kelmar Technical University (KTU), Oslo, Norway", ABSENT),
    ("10.1/b", "Kelmar Technical Univ., Oslo, Norway. ada@geo.ktu-kelmar.example", ABSENT),
    ("10.1/c", "Velmar Optics Ltd., Santiago, Chile", Reason.BELOW_THRESHOLD),
    ("10.1/d", "Univ. of Oxford, UK", None),
    ("10.1/e", "Oslo, Norway", Reason.PLACE_ONLY),
    ("10.1/f", "", Reason.EMPTY),
]

Unmatched = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def answered(sample_home: Path) -> Path:
    """The sample installation with `SENT` answered."""
    # The settings of whoever runs the tests must not lead elsewhere.
    assert not any(name.startswith("RESOLVER_D") for name in os.environ)
    with (
        Installation(Settings(home=sample_home)) as installation,
        open_service(installation) as opened,
    ):
        engine, version = opened.engine, opened.version.id
        sent = [SourceRecord("test-unmatched", id, text) for id, text, _ in SENT]
        reasons = [reason for *_, reason in SENT]
        stored = records.intake(engine, version, sent)
        answers.save(
            engine,
            version,
            [
                (a.id, Outcome(a.text, reason=reason) if reason else Outcome(a.text, (OXFORD,)))
                for a, reason in zip(stored, reasons, strict=True)
            ],
        )
    return sample_home


@pytest.fixture
def unmatched(answered: Path, resolver: Run) -> Unmatched:
    def run(*arguments: str) -> CompletedProcess[str]:
        done = resolver("unmatched", "--source", "test-unmatched", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_csv_is_a_request_an_organisation(unmatched: Unmatched) -> None:
    done = unmatched()
    (kelmar,) = csv.DictReader(io.StringIO(done.stdout))
    expected = {
        "Summary of request": "Add a new organization to ROR",
        "Name of organization": "Kelmar Technical University",
        "Domains": "geo.ktu-kelmar.example",
        "Link to publications": "https://doi.org/10.1/a; https://doi.org/10.1/b",
        "Aliases": "Kelmar Technical Univ.",
        "Acronym/abbreviation": "KTU",
        "City": "Oslo",
        "Country": "Norway",
        "count": "2",
        "affiliations": "2",
        "sources": "1",
        "reason": "not_in_registry",
        "nearest": "",
    }
    assert {name: kelmar[name] for name in expected} == expected
    assert "1 organisations, sent 2 times" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--min-count", "2"), ["Kelmar Technical University"]),
        (("--reason", "below_threshold"), ["Velmar Optics Ltd."]),
        ((), ["Kelmar Technical University"]),
        (("--reason", "place_only", "--reason", "empty"), ["", "Oslo, Norway"]),
        (("--min-count", "99"), []),
    ],
    ids=" ".join,
)
def test_choices(unmatched: Unmatched, arguments: tuple[str, ...], expected: list[str]) -> None:
    rows = map(json.loads, unmatched("--format", "jsonl", *arguments).stdout.splitlines())
    assert [row["Name of organization"] for row in rows] == expected


def test_a_file_is_written_in_the_form_of_its_name(unmatched: Unmatched, tmp_path: Path) -> None:
    unmatched("--out", str(tmp_path / "a.jsonl"))
    unmatched("--out", str(tmp_path / "a.csv"))
    objects = list(map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines()))
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{k: str(v) for k, v in one.items()} for one in objects] == rows


def test_without_any_the_header_stands(unmatched: Unmatched) -> None:
    assert unmatched("--min-count", "99").stdout.startswith("Summary of request,Name of org")


def test_nearest_asks_the_index(unmatched: Unmatched) -> None:
    rows = map(json.loads, unmatched("--format", "jsonl", "--nearest").stdout.splitlines())
    assert all("https://ror.org/" in row["nearest"] for row in rows)


def test_a_file_that_cannot_be_written_is_an_error(answered: Path, resolver: Run) -> None:
    done = resolver("unmatched", "--out", str(answered / "none" / "a.csv"))
    assert done.returncode == 1
    assert "No such file" in done.stderr
