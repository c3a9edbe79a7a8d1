"""``resolver backup`` and ``restore``, from one embedded Postgres into another."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import Run, run_in

from resolver.service import embedded

pytestmark = pytest.mark.slow


@pytest.mark.slowest
def test_an_installation_is_moved(answered_home: Path, services_home: Path) -> None:
    backup = services_home / "resolver.dump"
    home = services_home / "restored"
    home.mkdir()
    query = "SELECT source, external_id, ror_id FROM source_record JOIN link USING (affiliation_id)"
    asked = ("sql", "--csv", f"{query} ORDER BY 1, 2, 3")
    done = run_in(answered_home, "backup", str(backup))
    assert done.returncode == 0, done.stderr
    assert "resolver.dump: " in done.stderr
    before = run_in(answered_home, *asked).stdout
    assert before.count("\n") > 100
    with embedded.postgres(home):
        done = run_in(home, "restore", str(backup))
        assert done.returncode == 0, done.stderr
        said = " ".join(done.stderr.split())
        assert "resolver version 1 is in use, 0 answers are due" in said
        assert run_in(home, *asked).stdout == before
        assert "nothing to do" in run_in(home, "index", "restore").stderr
        again = run_in(home, "restore", str(backup))
        assert again.returncode == 1
        assert "not empty" in again.stderr


def test_backup_and_restore_by_urls_with_a_password(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    before, after = ({"RESOLVER_DATABASE_URL": url} for url in (database_url, empty_database_url))
    done = run_in(tmp_path, "backup", "x.dump", env=before)
    assert done.returncode == 0, done.stderr
    assert "x.dump: " in done.stderr
    done = run_in(tmp_path, "restore", "x.dump", env=after)
    assert done.returncode == 0, done.stderr
    assert run_in(tmp_path, "sql", "TABLE pending", env=after).returncode == 0
    refused = run_in(tmp_path, "restore", "x.dump", env=after)
    assert "not empty" in refused.stderr


def test_there_must_be_something_to_back_up(resolver_anew: Run, tmp_path: Path) -> None:
    done = resolver_anew("backup", "x.dump")
    assert done.returncode == 1
    assert "resolver migrate" in done.stderr
    assert not (tmp_path / "x.dump").exists()
