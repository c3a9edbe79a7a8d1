"""An update that is killed anywhere is completed by the next one, with the same result."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.killed_update import PAGE, POINTS
from support.next_release import write_next_release
from support.paths import ROOT
from support.stored_points import stored

from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.database import due_answers, history, releases
from resolver.database.connection import connect
from resolver.index import build
from resolver.matching.policy import Level, Policy
from resolver.registry.organisation import OrganisationStatus
from resolver.release.update import UpdateReport, update
from resolver.service.installation import Installation, index_directory, open_index_store
from resolver.service.parts import load_encoder
from resolver.service.service import open_service
from resolver.settings import Settings

pytestmark = pytest.mark.slow

CHUNK = 4
"""Answers stored together: so few that a refresh is killed between them."""

KEEP = 2


@dataclass(frozen=True)
class Copy:
    """A copy of an installation: a database, and a home with the index."""

    url: str
    home: Path

    @property
    def settings(self) -> Settings:
        return Settings(  # type: ignore[call-arg]
            _env_file=None,
            home=self.home,
            database_url=SecretStr(self.url),
            chunk_size=CHUNK,
            threads=1,
        )

    def update(self, path: Path) -> UpdateReport:
        with Installation(self.settings) as installation:
            return update(installation, path, keep=KEEP)

    def copy(self, copied_database: Callable[[str | None], str], home: Path) -> Copy:
        shutil.copytree(self.home, home, symlinks=True)
        return Copy(copied_database(self.url), home)


@pytest.fixture(scope="module")
def prepared(
    copied_database: Callable[[str | None], str], tmp_path_factory: pytest.TempPathFactory
) -> Copy:
    """The sample in use, all its affiliations resolved, and an older index beside it."""
    copy = Copy(copied_database(None), tmp_path_factory.mktemp("prepared"))
    with Installation(copy.settings) as installation:
        first = update(installation, sample.REGISTRY)
        older = build.build(
            releases.organisations(installation.engine, first.version.release_id),
            release="older",
            release_sha256="older",
            encoder=load_encoder(copy.settings),
            store=installation.store,
            statuses=[OrganisationStatus.ACTIVE],
        )
        versions = index_directory(copy.settings) / "versions"
        _backdate(versions / older.version / "manifest.json")
        records = [json.loads(line) for line in sample.AFFILIATIONS.read_text().splitlines()]
        with open_service(installation) as opened:
            for policy, chunk in ((None, records), (Policy(level=Level.TOP_PARENT), records[:40])):
                again = [record | {"source": "again"} for record in chunk] if policy else chunk
                resolve_chunk(opened.engine, opened.matcher, opened.version.id, again, policy)
    return copy


def _backdate(manifest: Path) -> None:
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"built_at": "2000-01-01T00:00:00+00:00"})
    )


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_next_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def undisturbed(
    prepared: Copy,
    release: Path,
    copied_database: Callable[[str | None], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What there is after an update that nobody killed."""
    installation = prepared.copy(copied_database, tmp_path_factory.mktemp("undisturbed") / "home")
    report = installation.update(release)
    assert report.switched
    assert report.indexed
    assert len(report.pruned) == 1
    assert report.left == 0
    assert report.refreshed is not None
    assert report.refreshed.resolved > 2 * CHUNK
    assert report.replacements[history.Replacement.GAINED]
    assert report.replacements[history.Replacement.LOST]
    return _state(installation)


EACH_RUN = {
    "before the load commits", "after the alias", "in mid-selection, after a page",
    "in the refresh, after some",
}  # fmt: skip
"""Points at which an update is killed in every run of the tests, one a stage; the rest are for
``make test-all``."""


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=[] if point in EACH_RUN else pytest.mark.slowest)
        for point in POINTS
    ],
)
def test_an_update_killed_at(
    point: str,
    prepared: Copy,
    release: Path,
    undisturbed: dict[str, Any],
    copied_database: Callable[[str | None], str],
    tmp_path: Path,
) -> None:
    installation = prepared.copy(copied_database, tmp_path / "home")
    _kill(installation, point, release)
    installation.update(release)
    after = _state(installation)
    for part, expected in undisturbed.items():
        assert after[part] == expected, part
    assert installation.update(release).idle
    assert _state(installation) == after


@pytest.mark.parametrize(
    "point",
    [
        "in mid-selection, after a page",
        pytest.param(
            "in mid-selection, after pages that processes share", marks=pytest.mark.slowest
        ),
    ],
)
def test_a_selection_goes_on_where_it_was_killed(
    point: str,
    prepared: Copy,
    release: Path,
    copied_database: Callable[[str | None], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installation = prepared.copy(copied_database, tmp_path / "home")
    _kill(installation, point, release)
    engine = connect(installation.url)
    [(looked, last)] = _rows(
        engine,
        "SELECT selected_to, (SELECT max(id) FROM affiliation) FROM resolver_version"
        " WHERE is_current",
    )
    engine.dispose()
    assert looked == PAGE * (1 + POINTS[point].passes) < last
    begun = []

    def page(*arguments: Any, after: int, size: int) -> due_answers.Page | None:
        begun.append(after)
        return real(*arguments, after=after, size=size)

    real = due_answers.page
    monkeypatch.setattr(due_answers, "page", page)
    assert installation.update(release).left == 0
    assert begun[0] == looked


def _kill(installation: Copy, point: str, release: Path) -> None:
    """Have an update die at a point."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    killed = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/killed_update.py"), point, str(release)],
        env=environment
        | {
            "RESOLVER_HOME": str(installation.home),
            "RESOLVER_DATABASE_URL": installation.url,
            "RESOLVER_CHUNK_SIZE": str(CHUNK),
            "RESOLVER_THREADS": "2" if "processes" in point else "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]


def _state(installation: Copy) -> dict[str, Any]:
    """All that an update leaves, without keys and moments."""
    engine = connect(installation.url)
    try:
        store = open_index_store(installation.settings)
        [(version_id, index)] = _rows(
            engine, "SELECT id, index_version FROM resolver_version WHERE is_current"
        )
        assert _gaps(engine) == []
        active = store.active()
        points = json.dumps(stored(store, index), sort_keys=True, default=str)
        return {
            "version in use": _rows(engine, _VERSION),
            "active index": active and active.version,
            "indexes": [manifest.version for manifest in store.versions()],
            "points": hashlib.blake2b(points.encode()).hexdigest(),
            "releases": _rows(
                engine, "SELECT version, is_current FROM registry_release ORDER BY 1"
            ),
            "changes": _rows(engine, _CHANGES),
            "answers": _rows(engine, _ANSWERS),
            "past answers": _rows(engine, _PAST),
            "stale": _rows(engine, "SELECT * FROM stale"),
            "due": due_answers.due_count(engine, version_id),
        }
    finally:
        engine.dispose()


def _rows(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


_VERSION = """
    SELECT r.version, v.index_version, v.settings, v.configuration, e.fingerprint, k.fingerprint,
           v.selected_at IS NOT NULL, c.index_version
    FROM resolver_version v
    JOIN registry_release r ON r.id = v.release_id
    JOIN model e ON e.id = v.encoder_id JOIN model k ON k.id = v.reranker_id
    LEFT JOIN resolver_version c ON c.id = v.carries_id
    WHERE v.is_current
"""

_CHANGES = "SELECT ror_id, kind, fields, successors FROM release_change ORDER BY ror_id"

_LINKS = """
    ARRAY(
        SELECT row_to_json(x)::text FROM (
            SELECT l.ror_id, l.rank, round(l.probability::numeric, 3) AS probability, l.name,
                   l.matched_name, l.stands_for
            FROM {links} l WHERE {joined} ORDER BY l.rank
        ) x
    )
"""

_ANSWERS = f"""
    SELECT a.text, o.policy_id, v.index_version, o.status, o.reason,
           {
    _LINKS.format(
        links="link", joined="(l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)"
    )
}
    FROM outcome o JOIN affiliation a ON a.id = o.affiliation_id
    JOIN resolver_version v ON v.id = o.resolver_version_id
    ORDER BY 1, 2
"""

_PAST = f"""
    SELECT a.text, o.policy_id, v.index_version, n.index_version, o.end_reason, o.status, o.reason,
           {_LINKS.format(links="past_link", joined="l.past_outcome_id = o.id")}
    FROM past_outcome o JOIN affiliation a ON a.id = o.affiliation_id
    JOIN resolver_version v ON v.id = o.resolver_version_id
    JOIN resolver_version n ON n.id = o.ended_by
    ORDER BY 1, 2, o.resolved_at
"""


def _gaps(engine: Engine) -> list[tuple[Any, ...]]:
    """Past answers whose end is not the start of exactly one other."""
    return _rows(
        engine,
        """
        SELECT p.affiliation_id, p.policy_id, p.ended_at
        FROM past_outcome p
        WHERE 1 <> (
            SELECT count(*) FROM (
                SELECT affiliation_id, policy_id, resolved_at FROM outcome
                UNION ALL
                SELECT affiliation_id, policy_id, resolved_at FROM past_outcome
            ) n
            WHERE (n.affiliation_id, n.policy_id, n.resolved_at)
                = (p.affiliation_id, p.policy_id, p.ended_at)
        )
        """,
    )
