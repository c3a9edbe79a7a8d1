"""resolver.service.searching: where a release's search is, and how a server follows a switch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Engine
from support.next_release import ALGARVE, write_next_release

from resolver import sample
from resolver.database import releases
from resolver.database.releases import StoredRelease
from resolver.errors import RegistryError
from resolver.release.load import load
from resolver.search import building
from resolver.service.searching import (
    LEFT_BEHIND,
    Searches,
    folder_of,
    open_search,
    prune_searches,
    search_directory,
)
from resolver.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]


@pytest.fixture
def two_releases(engine: Engine, tmp_path: Path) -> tuple[StoredRelease, StoredRelease]:
    """The sample, and the one of the month after, which has the Universidade do Algarve too."""
    for file in (sample.REGISTRY, write_next_release(tmp_path)):
        load(engine, file, rejects=tmp_path / "rejects.jsonl")
    after, before = releases.releases(engine)
    return before, after


@pytest.fixture
def searches(engine: Engine, settings: Settings) -> Iterator[Searches]:
    opened = Searches(engine, settings)
    yield opened
    opened.close()


def test_it_is_built_once_from_the_database(
    engine: Engine, settings: Settings, two_releases: tuple[StoredRelease, StoredRelease]
) -> None:
    before, after = two_releases
    assert open_search(engine, settings, before).by_id(ALGARVE).ror_ids(0, 1) == []
    assert open_search(engine, settings, after).by_id(ALGARVE).ror_ids(0, 1) == [ALGARVE]
    built = folder_of(settings, before).stat().st_mtime_ns
    open_search(engine, settings, before)
    assert folder_of(settings, before).stat().st_mtime_ns == built
    assert len(list(search_directory(settings).iterdir())) == 2


def test_a_damaged_one_is_built_again(
    engine: Engine, settings: Settings, two_releases: tuple[StoredRelease, StoredRelease]
) -> None:
    before, _ = two_releases
    open_search(engine, settings, before)
    (folder_of(settings, before) / building.ARRAYS).write_bytes(b"nonsense")
    assert len(open_search(engine, settings, before)) == before.organisation_count


def test_what_no_release_needs_is_deleted(
    engine: Engine, settings: Settings, two_releases: tuple[StoredRelease, StoredRelease]
) -> None:
    before, after = two_releases
    assert prune_searches(settings, [after]) == []
    opened = open_search(engine, settings, before)
    open_search(engine, settings, after)
    killed, running = (
        search_directory(settings) / f"{building.UNFINISHED}{name}" for name in ("killed", "runs")
    )
    for folder in (killed, running):
        folder.mkdir()
    long_ago = time.time() - LEFT_BEHIND - 60
    os.utime(killed, (long_ago, long_ago))
    pruned = prune_searches(settings, [after])
    assert sorted(pruned) == sorted([killed.name, folder_of(settings, before).name])
    assert running.is_dir()
    # Whoever has it open goes on with it.
    assert len(opened.query("university")) > 100


def test_the_release_before_answers_until_the_next_is_built(
    searches: Searches,
    two_releases: tuple[StoredRelease, StoredRelease],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, after = two_releases
    release_id, search = searches.of(before.id)
    assert (release_id, len(search)) == (before.id, before.organisation_count)
    may_build = Event()
    build = building.build

    def slow(*arguments: object) -> None:
        may_build.wait(60)
        build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "build", slow)
    assert searches.of(after.id)[0] == before.id
    assert searches.of(after.id)[0] == before.id
    may_build.set()
    deadline = time.monotonic() + 60
    while searches.of(after.id)[0] == before.id and time.monotonic() < deadline:
        time.sleep(0.01)
    release_id, search = searches.of(after.id)
    assert (release_id, len(search)) == (after.id, after.organisation_count)


def test_a_build_that_fails_is_tried_again(
    searches: Searches,
    two_releases: tuple[StoredRelease, StoredRelease],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, _ = two_releases

    def fails(*_: object) -> None:
        raise OSError("no such disk")

    with monkeypatch.context() as context:
        context.setattr(building, "build", fails)
        with pytest.raises(OSError, match="no such disk"):
            searches.of(before.id)
    assert searches.of(before.id)[0] == before.id


def test_a_release_that_is_not_there(searches: Searches) -> None:
    with pytest.raises(RegistryError, match="no release with the key 7"):
        searches.of(7)
