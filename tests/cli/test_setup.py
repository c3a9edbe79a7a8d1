"""Registry, index, database and queue by the command line, and what is said when they are missing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from support.command_line import Run, run_in
from support.next_release import write_next_release

from resolver import sample
from resolver.database.revision import head
from resolver.service import embedded

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (("resolve", "x"), "no index", "resolver index build"),
        (("registry", "show"), "migrat", "resolver migrate"),
        (("index", "build"), "migrat", "resolver migrate"),
        (("registry", "load", "nowhere.zip"), "", "resolver migrate"),
        (("evaluate", "nowhere.jsonl"), "nowhere.jsonl", "JSON lines"),
        (("enqueue", "nowhere.jsonl"), "nowhere.jsonl", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_missing_is_said_in_a_line_with_a_remedy(
    resolver_anew: Run, arguments: tuple[str, ...], problem: str, remedy: str
) -> None:
    done = resolver_anew(*arguments)
    said = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "error:" in said
    assert problem in said
    assert remedy in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("variable", "value", "arguments", "said"),
    [
        ("RESOLVER_DATABASE_URL", "postgresql://u:s3cret@127.0.0.1:1/x", ("registry", "show"), "127.0.0.1"),
        ("RESOLVER_QDRANT_URL", "http://127.0.0.1:1", ("resolve", "x"), "127.0.0.1:1"),
        ("RESOLVER_BROKER_URL", "redis://:s3cret@127.0.0.1:1/0", ("enqueue", str(sample.AFFILIATIONS)), "127.0.0.1"),
        ("RESOLVER_RERANK_DEPTH", "many", ("resolve", "x"), "RESOLVER_RERANK_DEPTH"),
        ("RESOLVER_RERANKER", "nowhere/model", ("resolve", "x"), "nowhere/model"),
        ("RESOLVER_ENCODER", "nowhere/model", ("resolve", "x"), "nowhere/model"),
    ],
    ids=["database down", "qdrant down", "broker down", "bad number", "no reranker", "no encoder"],
)  # fmt: skip
def test_what_is_down_or_wrong_is_said_without_secrets(
    resolver: Run, variable: str, value: str, arguments: tuple[str, ...], said: str
) -> None:
    done = resolver(*arguments, env={variable: value, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 1, done.stdout
    assert said in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr
    assert done.stdout == ""


def test_registry_show(resolver: Run) -> None:
    release = resolver("registry", "show").stdout
    assert "313" in release
    for written in ("https://ror.org/052gg0110", "ror.org/052GG0110/"):
        assert "University of Oxford" in resolver("registry", "show", written).stdout
    for other, said in (
        ("000000098", "000000098 is not in release"),
        ("052gg0111", "'052gg0111' is no ROR id: its check digits do not fit"),
        ("Oxford", "'Oxford' is no ROR id"),
    ):
        missing = resolver("registry", "show", other)
        assert missing.returncode == 1
        assert said in missing.stderr.replace("\n", " ")


def test_index_show(resolver: Run) -> None:
    shown = resolver("index", "show").stdout
    assert "●" in shown
    assert "registry" in shown


@pytest.mark.slowest
def test_a_release_is_taken_in_and_taken_back(services_home: Path) -> None:
    home = services_home / "update"
    home.mkdir()
    newer = str(write_next_release(home))
    older = home / "v0.1-2020-01-01-ror-data.json"
    older.write_bytes(sample.REGISTRY.read_bytes())
    # As another command might: it stays up for all of them.
    with embedded.postgres(home):
        for arguments, said in (
            (("migrate",), head()),
            (("update", str(sample.REGISTRY)), "313 organisations"),
            (("update", str(sample.REGISTRY)), "nothing to do"),
            (("registry", "load", newer), "3 new"),
            (("index", "build"), "resolver version 2 is in use"),
            (("refresh",), "nothing is due"),
            (("refresh", "--select"), "nothing is due"),
            (("refresh", "--all"), "nothing is due"),
            (("refresh", "--enqueue"), "0 answers in 0 messages on queue refresh"),
            (("update", newer), "nothing to do"),
            (("registry", "diff", "registry", "v3.0"), "merged → 00v408z34"),
            (("registry", "diff", "registry", "v3.0", "--json"), '"kind":"withdrawn"'),
            (("registry", "show"), "released on 2030-01-15"),
            (("index", "show"), "v3.0-"),
            (("version", "list"), "●"),
            (("version", "show"), "in use"),
            (("version", "rollback"), "resolver version 1 is in use (release registry)"),
            (("version", "show"), "registry"),
            (("version", "use", "2"), "resolver version 2 is in use (release v3.0)"),
            (("version", "use"), "resolver version 2 is in use already"),
            (("index", "prune", "--keep", "1"), "nothing to drop"),
        ):
            done = run_in(home, *arguments)
            assert done.returncode == 0, done.stderr
            assert said in " ".join((done.stdout + done.stderr).split()), arguments
        for arguments, problem, remedy in (
            (("version", "use", "9"), "no resolver version 9", "resolver version list"),
            (("registry", "load", str(older)), "v0.1", "--force"),
            (("update", str(older)), "v0.1", "--force"),
            (("registry", "diff", "registry", "v9"), "v9", ""),
            (("index", "activate", "nothing"), "no index version nothing", "index show"),
            (("withdraw", "--source", "test"), "no record", "--file"),
            (("schedule",), "no schedule", "RESOLVER_UPDATE_SCHEDULE"),
            (("update", newer, "--enqueue", "--no-refresh"), "exclude each other", ""),
        ):
            done = run_in(home, *arguments)
            assert done.returncode == 1, arguments
            said = " ".join(done.stderr.split())
            assert problem in said
            assert remedy in said


def test_sql_reads_and_does_not_write(resolver: Run) -> None:
    query = "SELECT ror_id, name FROM organisations WHERE ror_id = '052gg0110'"
    rows = list(csv.DictReader(io.StringIO(resolver("sql", "--csv", query).stdout)))
    assert rows == [{"ror_id": "052gg0110", "name": "University of Oxford"}]
    assert "University of Oxford" in resolver("sql", query).stdout
    refused = resolver("sql", "DELETE FROM link")
    assert refused.returncode == 1
    assert "read-only" in refused.stderr
    wrong = resolver("sql", "SELECT nothing FROM nowhere")
    assert wrong.returncode == 1
    assert "nowhere" in wrong.stderr


def test_migrate_twice_is_harmless(resolver: Run) -> None:
    assert "nothing to do" in resolver("migrate").stderr


def test_going_down_says_what_it_drops_and_waits_for_yes(database_url: str, tmp_path: Path) -> None:
    there = {"RESOLVER_DATABASE_URL": database_url}
    loaded = run_in(tmp_path, "registry", "load", str(sample.REGISTRY), env=there)
    assert loaded.returncode == 0, loaded.stderr
    count = run_in(tmp_path, "sql", "--csv", "SELECT count(*) FROM organisation_version", env=there)
    organisations = int(count.stdout.split()[1])
    refused = run_in(tmp_path, "migrate", "base", env=there)
    assert refused.returncode == 1
    said = " ".join(refused.stderr.split())
    assert f"organisation_version ({organisations:,} rows)" in said
    assert "registry_release (1 rows)" in said
    assert "resolver backup before.dump" in said
    assert "resolver migrate base --yes" in said
    assert run_in(tmp_path, "sql", "TABLE organisations", env=there).returncode == 0
    done = run_in(tmp_path, "migrate", "base", "--yes", env=there)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "database at base" in said
    assert f"deleted: organisation_version ({organisations:,} rows)" in said
