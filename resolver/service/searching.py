"""The full-text search of a release: where it is kept, built where it is missing, followed.

It is kept under the home of the installation, in a folder for each release, and can be built from
the database at any time. Where the index is embedded, it is built with the index of its release;
on servers each process builds it when it first needs it.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from resolver.database import releases
from resolver.errors import SearchError
from resolver.search import building
from resolver.search.search import OrganisationSearch

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.releases import StoredRelease
    from resolver.settings import Settings

log = logging.getLogger(__name__)

LEFT_BEHIND = 3600.0
"""Seconds after which a folder that was never finished is taken for one of a killed process."""


def search_directory(settings: Settings) -> Path:
    """Where the folders of all releases are."""
    return settings.home / "search"


def folder_of(settings: Settings, release: StoredRelease) -> Path:
    """The folder of a release. It is of this program's form; one of another form is not read."""
    return search_directory(settings) / _name(release)


def _name(release: StoredRelease) -> str:
    return f"{release.sha256[:16]}-{building.FORM}"


def build_search(engine: Engine, settings: Settings, release: StoredRelease) -> Path:
    """The folder of a release, built where it is missing.

    Raises:
        DiskFull: there is no room.
        DatabaseUnavailable: Postgres does not answer.
    """
    folder = folder_of(settings, release)
    if not folder.is_dir():
        started = time.monotonic()
        building.build(releases.organisations(engine, release.id), folder)
        log.info(
            "the search of release %s was built in %.1f s",
            release.version,
            time.monotonic() - started,
        )
    return folder


def open_search(engine: Engine, settings: Settings, release: StoredRelease) -> OrganisationSearch:
    """The search of a release; built where it is missing, and built again where it is damaged.

    Raises:
        SearchError: it cannot be opened even then.
        DiskFull, DatabaseUnavailable: as `build_search`.
    """
    folder = build_search(engine, settings, release)
    try:
        return OrganisationSearch.open(folder)
    except SearchError as error:
        log.warning("%s: it is built again", error.problem)
        shutil.rmtree(folder, ignore_errors=True)
        return OrganisationSearch.open(build_search(engine, settings, release))


def prune_searches(settings: Settings, wanted: Collection[StoredRelease]) -> list[str]:
    """Delete the folders of all releases but these; returns their names.

    A process that has one open goes on with it.
    """
    directory = search_directory(settings)
    kept = {_name(release) for release in wanted}
    pruned: list[str] = []
    for folder in sorted(directory.iterdir()) if directory.is_dir() else ():
        unfinished = folder.name.startswith(building.UNFINISHED)
        if folder.name in kept or (unfinished and not _left_behind(folder)):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        pruned.append(folder.name)
    return pruned


def _left_behind(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > LEFT_BEHIND
    except FileNotFoundError:
        return False


class Searches:
    """The search over the release in use, for a server; may be used by several threads.

    When another release comes in use it is built beside, in a thread, and the one before answers
    until it is open: a request waits for the very first alone.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._open: tuple[int, OrganisationSearch] | None = None
        self._coming: tuple[int, Future[OrganisationSearch]] | None = None

    def of(self, release_id: int) -> tuple[int, OrganisationSearch]:
        """The search over a release, or over the one before while it is built, with the key of the
        release that it is over.

        Raises:
            RegistryError: there is no such release.
            SearchError, DiskFull, DatabaseUnavailable: it cannot be built; the next call tries
                again.
        """
        with self._lock:
            if self._open and self._open[0] == release_id:
                return self._open
            if self._coming is None or self._coming[0] != release_id:
                self._coming = release_id, self._thread.submit(self._opened, release_id)
            before, coming = self._open, self._coming[1]
        if before is not None and not coming.done():
            return before
        try:
            opened = release_id, coming.result()
        except BaseException:
            with self._lock:
                self._coming = None
            if before is None:
                raise
            log.exception("the search of release %d cannot be built", release_id)
            return before
        with self._lock:
            self._open, self._coming = opened, None
        return opened

    def _opened(self, release_id: int) -> OrganisationSearch:
        return open_search(
            self._engine, self._settings, releases.release_of(self._engine, release_id)
        )

    def close(self) -> None:
        """Wait for what is being built."""
        self._thread.shutdown()
