"""Back up, lose everything, restore: the same answers, nothing due, and updates go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.next_release import write_next_release
from support.searches_in_memory import store_in_memory
from support.stored_points import stored

from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.answering.refresh import refresh_due
from resolver.database import due_answers, dumping, resolver_versions, revision
from resolver.database.connection import connect, transaction
from resolver.database.resolver_versions import ResolverVersion
from resolver.errors import DatabaseProblem, IndexMismatch, IndexMissing, SettingsError
from resolver.index import Manifest
from resolver.release import switch
from resolver.release.index import find_index, index_release, restore_index
from resolver.release.update import update
from resolver.service.installation import Installation
from resolver.service.parts import load_encoder
from resolver.service.service import open_service
from resolver.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

AFFILIATIONS = [json.loads(line) for line in sample.AFFILIATIONS.read_text().splitlines()]
STORED, FRESH = AFFILIATIONS[:60], AFFILIATIONS[60:90]
"""What is resolved before the backup, and after it."""


@dataclass(frozen=True)
class Restored:
    installation: Installation

    @property
    def engine(self) -> Engine:
        return self.installation.engine

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def answers(self) -> list[tuple[object, ...]]:
        return self.rows(
            "SELECT source, external_id, ror_id, position, probability, score, matched_name"
            " FROM source_record JOIN link USING (affiliation_id) ORDER BY 1, 2, position, 3"
        )

    def version(self) -> ResolverVersion:
        version = resolver_versions.current_resolver(self.engine)
        assert version is not None
        return version

    def resolve(self, records: list[dict[str, object]]) -> None:
        with open_service(self.installation) as opened:
            resolve_chunk(self.engine, opened.matcher, opened.version.id, records)

    def index(self) -> dict[str, tuple[object, ...]]:
        name = self.version().index_version
        assert name is not None
        return stored(self.installation.store, name)


@contextmanager
def installed(home: Path, url: str) -> Iterator[Restored]:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=home, database_url=SecretStr(url), threads=1
    )
    engine = connect(url)
    try:
        yield Restored(Installation(settings, engine=engine))
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def lost(
    tmp_path_factory: pytest.TempPathFactory, copied_database: Callable[[str | None], str]
) -> Iterator[Restored]:
    """Two releases, the second index derived from the first; answers of both."""
    home = tmp_path_factory.mktemp("lost")
    with installed(home, copied_database(None)) as made:
        update(made.installation, sample.REGISTRY)
        made.resolve(STORED)
        report = update(made.installation, write_next_release(home))
        assert report.index.derived_from
        yield made


@pytest.fixture(scope="module")
def backup(lost: Restored, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backup") / "resolver.dump"
    assert dumping.dump(lost.engine, path) == path.stat().st_size > 0
    return path


@pytest.fixture
def restored(
    lost: Restored, backup: Path, tmp_path: Path, empty_database_url: str
) -> Iterator[Restored]:
    """The database on a server where nothing was; no index."""
    with installed(tmp_path, empty_database_url) as made:
        dumping.restore(made.engine, backup)
        yield made


def restored_index(restored: Restored, version: ResolverVersion | None = None) -> Manifest:
    installation = restored.installation
    version = version or restored.version()
    encoder = switch.encoder_of(installation, version)
    done = restore_index(installation, encoder, version)
    assert done.made
    switch.switch_to(installation, version)
    again = restore_index(installation, encoder, version)
    assert (again.manifest, again.made) == (done.manifest, False)
    return done.manifest


def test_the_restored_installation_answers_as_the_lost_one_did(
    lost: Restored, restored: Restored, tmp_path: Path
) -> None:
    manifest = restored_index(restored)
    assert restored.version() == lost.version()
    assert restored.answers() == lost.answers() != []
    assert due_answers.due_count(restored.engine, restored.version().id) == 0
    # The index: every point, every weight.
    assert restored.index() == lost.index()
    was = find_index(lost.installation.store, manifest.version)
    assert was is not None
    assert manifest == replace(was, built_at=manifest.built_at, derived_from="")
    # What it never saw, it answers alike.
    for installation in (lost, restored):
        installation.resolve(FRESH)
    assert restored.answers() == lost.answers()
    # The next release is derived from it; what is carried over stays.
    later = tmp_path / "v3.1-2030-02-15-ror-data.json"
    records = json.loads(
        (lost.installation.settings.home / "v3.0-2030-01-15-ror-data.json").read_bytes()
    )
    records[0]["names"].append({"value": "One More Name", "types": ["alias"], "lang": "en"})
    later.write_text(json.dumps(records))
    report = update(restored.installation, later)
    assert report.index.derived_from == manifest.version
    assert report.version.carries_id == lost.version().id


def test_a_plain_build_would_make_every_answer_due(restored: Restored) -> None:
    """Why there is `resolver index restore`: statistics of its own make another version."""
    installation, engine = restored.installation, restored.engine
    version = restored.version()
    built = index_release(installation, switch.encoder_of(installation, version)).manifest
    successor = switch.successor(engine, version, built)
    assert successor.id != version.id
    switch.switch_to(installation, successor)
    assert due_answers.due_count(engine, successor.id) == len(STORED)


def test_the_version_before_can_be_restored_to_roll_back(
    lost: Restored, restored: Restored
) -> None:
    before = switch.version_before(restored.engine)
    restored_index(restored, before)
    assert restored.version().id == before.id
    with open_service(restored.installation) as opened:
        assert opened.version.release == "registry"
        assert refresh_due(opened).left == 0


def test_a_server_gets_the_same_points(lost: Restored, restored: Restored) -> None:
    store = store_in_memory(poll_interval=0.0)
    version = restored.version()
    on_server = Installation(restored.installation.settings, engine=restored.engine, store=store)
    encoder = switch.encoder_of(on_server, version)
    manifest = restore_index(on_server, encoder, version).manifest
    there = stored(store, manifest.version)
    here = lost.index()
    assert there.keys() == here.keys()
    assert all(there[point][0] == here[point][0] for point in here)


@pytest.mark.parametrize("left", [True, False], ids=["from an index", "from a release"])
def test_statistics_are_found_wherever_they_are(
    lost: Restored, restored: Restored, left: bool
) -> None:
    if left:
        restored_index(restored, switch.version_before(restored.engine))
    with transaction(restored.engine) as connection:
        # The version that was built in full does not say so.
        connection.execute(text("UPDATE resolver_version SET settings = '{}' WHERE id = 1"))
    restored_index(restored, lost.version())
    assert restored.index() == lost.index()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"settings": {"statistics": "0" * 16}}, IndexMismatch, "another version of the code"),
        ({"index_version": "v3.0-000000000000"}, IndexMismatch, "another version of the code"),
        ({"index_version": None}, IndexMissing, "does not say"),
        ({"settings": {}}, IndexMissing, "does not say"),
    ],
    ids=["other statistics", "other name", "no index", "no statistics"],
)
def test_what_cannot_be_built_as_it_was_is_refused(
    restored: Restored, changes: dict[str, object], error: type[Exception], says: str
) -> None:
    version = replace(restored.version(), **changes)  # type: ignore[arg-type]
    installation = restored.installation
    encoder = load_encoder(installation.settings)
    with pytest.raises(error, match=says):
        restore_index(installation, encoder, version)
    assert installation.store.versions() == []


def test_a_backup_of_what_is_in_use_is_of_one_moment(
    lost: Restored, tmp_path: Path, empty_database_url: str
) -> None:
    """What others have not committed is not in it, and they are not held up."""
    with transaction(lost.engine) as connection:
        connection.execute(
            text("INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'x', 'x')")
        )
        dumping.dump(lost.engine, tmp_path / "resolver.dump")
        connection.rollback()
    with installed(tmp_path, empty_database_url) as made:
        dumping.restore(made.engine, tmp_path / "resolver.dump")
        assert made.rows("SELECT 1 FROM model WHERE name = 'x'") == []
        assert made.answers() == lost.answers()


def test_a_damaged_backup_leaves_the_database_empty(
    backup: Path, tmp_path: Path, empty_database_url: str
) -> None:
    damaged = tmp_path / "damaged.dump"
    damaged.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    with installed(tmp_path, empty_database_url) as made:
        with pytest.raises(DatabaseProblem, match="pg_restore"):
            dumping.restore(made.engine, damaged)
        assert revision.current(made.engine) is None
        # So it can be tried again.
        dumping.restore(made.engine, backup)
        assert revision.current(made.engine) == revision.head()


def test_a_backup_that_fails_leaves_the_one_before(backup: Path, tmp_path: Path) -> None:
    path = tmp_path / "resolver.dump"
    path.write_bytes(b"the one before")
    nowhere = connect("postgresql://someone:s3cret@127.0.0.1:1/none")
    with pytest.raises(DatabaseProblem, match="Connection refused") as told:
        dumping.dump(nowhere, path)
    assert "s3cret" not in str(told.value)
    assert [file.name for file in tmp_path.iterdir()] == ["resolver.dump"]
    assert path.read_bytes() == b"the one before"


def test_only_an_empty_database_is_filled(backup: Path, engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not empty"):
        dumping.restore(engine, backup)
    with pytest.raises(SettingsError, match="no such file"):
        dumping.restore(engine, tmp_path / "nothing")


def test_a_backup_is_for_its_owner_alone(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
