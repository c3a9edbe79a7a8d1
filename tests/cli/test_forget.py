"""``resolver forget`` as an operator runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import run_in

from resolver.database import resolver_versions
from resolver.database.records import intake
from resolver.intake.record import SourceRecord
from resolver.service.installation import open_database
from resolver.settings import Settings

pytestmark = pytest.mark.slow

TEXT = "Ada Example, 7 Example Road, Examplebury"


def counts(shown: str) -> dict[str, int]:
    lines = (line.strip().split("  ", 1) for line in shown.splitlines())
    return {what: int(count.replace(",", "")) for count, what in lines}


@pytest.mark.slowest
def test_forgetting_is_counted_first_and_done_when_it_is_said(answered_home: Path) -> None:
    def texts() -> int:
        query = f"SELECT count(*) AS texts FROM affiliation WHERE text = '{TEXT}'"
        return int(run_in(answered_home, "sql", "--csv", query).stdout.split()[1])

    with open_database(Settings(home=answered_home)) as engine:
        version = resolver_versions.current_resolver(engine)
        assert version is not None
        intake(engine, version.id, [SourceRecord("private", "1", TEXT)])
    run_in(answered_home, "withdraw", "--source", "private", "--id", "1")
    assert texts() == 1

    none = run_in(answered_home, "forget")
    assert none.returncode == 1
    assert "no age is set" in none.stderr
    assert "--withdrawn" in none.stderr

    counted = run_in(answered_home, "forget", "--withdrawn", "0")
    assert counted.returncode == 0, counted.stderr
    going = counts(counted.stdout)
    assert going["records that were withdrawn or replaced"] == 1
    assert going["affiliations that no record has any more"] == 1
    assert "--yes" in counted.stderr
    assert texts() == 1
    later = run_in(answered_home, "forget", env={"RESOLVER_KEEP_WITHDRAWN_DAYS": "1"})
    assert set(counts(later.stdout).values()) == {0}

    # A setting does as an option does.
    done = run_in(answered_home, "forget", "--yes", env={"RESOLVER_KEEP_WITHDRAWN_DAYS": "0"})
    assert (done.returncode, counts(done.stdout)) == (0, going), done.stderr
    assert texts() == 0
    named = run_in(answered_home, "forget", "--source", "private", "--id", "1", "--yes")
    assert "there is nothing to delete" in named.stderr
    half = run_in(answered_home, "forget", "--id", "1")
    assert "--source and --id together" in half.stderr
    again = run_in(answered_home, "forget", "--withdrawn", "0", "--yes")
    assert "there is nothing to delete" in again.stderr
