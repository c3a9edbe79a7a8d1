from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from support.paths import SHARED
from support.ror_ids import valid_ids

from resolver.database.releases import current_release, find, organisations
from resolver.errors import DatabaseOutdated, RegistryError
from resolver.release import load as loading
from resolver.release.load import load


def record(ror_id: str, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"https://ror.org/{ror_id}",
        "status": "active",
        "names": [{"value": name, "types": ["ror_display", "label"], "lang": "en"}],
        "types": ["education"],
        "locations": [],
        "relationships": [],
        "external_ids": [],
        "domains": [],
        "links": [],
        "established": None,
        "admin": {"last_modified": {"date": "2026-01-01", "schema_version": "2.1"}},
        **changes,
    }


OXFORD = record("052gg0110", "University of Oxford")
ETH = record("05a28rw58", "ETH Zurich")
LEIDEN = record("027bh9e22", "Leiden University")


def written(folder: Path, records: list[dict[str, Any]], name: str = "v2.9-2026-10-01") -> Path:
    path = folder / f"{name}-ror-data.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    return path


def test_a_file_becomes_the_release_in_use(engine: Engine, tmp_path: Path) -> None:
    seen: list[tuple[int, int, bool]] = []
    report = load(
        engine,
        written(tmp_path, [OXFORD, ETH]),
        rejects=tmp_path / "rejects.jsonl",
        progress=lambda done, total, *, about: seen.append((done, total, about)),
    )
    stored = current_release(engine)
    assert stored is not None
    assert (stored.version, stored.released_on, stored.schema_version) == (
        "v2.9",
        date(2026, 10, 1),
        "2.1",
    )
    assert stored.source == "v2.9-2026-10-01-ror-data.json.gz"
    assert (report.total, report.new, report.rejected) == (2, 2, 0)
    assert seen == [(2, 2, False)]
    assert not (tmp_path / "rejects.jsonl").exists()
    assert str(report).startswith("release v2.9: 2 organisations, 2 new, ")


def test_how_many_there_will_be_is_known_from_the_beginning(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PROGRESS_STEP", 100)
    path = tmp_path / "v2.9-ror-data.json"
    path.write_text(json.dumps([record(ror_id, "University") for ror_id in valid_ids(1_000)]))
    seen: list[tuple[int, int, bool]] = []
    load(
        engine,
        path,
        rejects=tmp_path / "rejects.jsonl",
        progress=lambda done, total, *, about: seen.append((done, total, about)),
    )
    assert [done for done, _, _ in seen] == [*range(100, 1_001, 100), 1_000]
    # Some of the file is read ahead.
    assert all(600 < total <= 1_000 for done, total, about in seen if about and done > 300)
    assert seen[-1] == (1_000, 1_000, False)


def test_a_refused_record_is_reported_and_the_others_are_loaded(
    engine: Engine, tmp_path: Path
) -> None:
    many = [record(ror_id, f"Institute {ror_id}") for ror_id in valid_ids(150)]
    many[70]["status"] = "asleep"
    report = load(engine, written(tmp_path, many), rejects=tmp_path / "rejects.jsonl")
    assert (report.total, report.rejected) == (149, 1)
    (line,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["index"] == 70
    stored = current_release(engine)
    assert stored is not None
    assert stored.rejected_count == 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-20]), id="cut off"),
        pytest.param(lambda path: path.write_text("[]"), id="no record"),
        pytest.param(
            lambda path: path.write_text(json.dumps([LEIDEN, {"id": "nonsense"}])), id="refused"
        ),
    ],
)
def test_a_damaged_file_leaves_the_registry_as_it_was(
    engine: Engine, tmp_path: Path, damage: Any
) -> None:
    load(engine, written(tmp_path, [OXFORD, ETH]), rejects=tmp_path / "rejects.jsonl")
    before = current_release(engine)
    bad = written(tmp_path, [OXFORD, LEIDEN], "v2.10-2026-11-01")
    damage(bad)
    with pytest.raises(RegistryError):
        load(engine, bad, rejects=tmp_path / "rejects.jsonl")
    assert current_release(engine) == before
    assert find(engine, "027bh9e22") is None


def test_a_database_that_was_not_migrated_says_so(empty_database_url: str, tmp_path: Path) -> None:
    from resolver.database.connection import connect

    engine = connect(empty_database_url)
    with pytest.raises(DatabaseOutdated, match="resolver migrate"):
        load(engine, written(tmp_path, [OXFORD]), rejects=tmp_path / "rejects.jsonl")
    engine.dispose()


@pytest.mark.slowest
@pytest.mark.skipif(not SHARED.exists(), reason="the two whole releases are not here")
def test_a_real_update_changes_what_it_should(engine: Engine, tmp_path: Path) -> None:
    registry = SHARED / "data/registry"
    first = load(engine, registry / "ror-v2.8.json.gz", rejects=tmp_path / "rejects.jsonl")
    second = load(engine, registry / "ror-v2.9.json.gz", rejects=tmp_path / "rejects.jsonl")
    again = load(engine, registry / "ror-v2.9.json.gz", rejects=tmp_path / "rejects.jsonl")
    assert (first.total, second.total) == (127_138, 129_046)
    assert (second.new, second.removed) == (1_908, 0)
    assert second.changed in (522, 523)  # one differs in what an organisation does not carry
    assert again.already_loaded
    assert again.unchanged == again.total == 129_046
    assert sum(1 for _ in organisations(engine, second.release_id)) == 129_046


def test_what_a_later_version_may_say_is_told_and_loses_no_other_record(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    merged = record("027bh9e22", "Leiden University", status="merged")
    museum = record("05a28rw58", "ETH Zurich", types=["museum"])
    report = load(
        engine, written(tmp_path, [OXFORD, merged, museum]), rejects=tmp_path / "rejects.jsonl"
    )
    assert (report.total, report.rejected) == (2, 1)
    assert "'merged'" in (tmp_path / "rejects.jsonl").read_text()
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [message for message in told if "'merged'" in message and "refused (1" in message]
    assert [message for message in told if "types 'museum' is kept (1" in message]
