"""Load a release file of the registry into Postgres."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from resolver.database.releases import LoadReport, ReleaseInfo, load_release
from resolver.registry.dump import ReleaseFile, accepted, open_release
from resolver.registry.organisation import Organisation
from resolver.registry.rejects import RejectsFile

log = logging.getLogger(__name__)

PROGRESS_STEP = 1_000
"""Organisations between two calls of `progress`."""


class LoadProgress(Protocol):
    """Called with the organisations read so far, and how many there will be: `about` tells that
    this is an estimate, from the share of the file that was read."""

    def __call__(self, done: int, total: int, *, about: bool) -> None: ...


def load(
    engine: Engine,
    path: Path,
    *,
    rejects: Path,
    force: bool = False,
    progress: LoadProgress | None = None,
) -> LoadReport:
    """Load a release file and put it in use; refused records are written to `rejects`.

    What this program does not know, such as a new type of relation, is left out or refused, and
    logged as a warning. `force` loads a release that is older than the one in use.

    `progress` is called every `PROGRESS_STEP` organisations and once at the end.

    Raises:
        RegistryError: the file cannot be used, too much of it is refused, or it is older and not
            forced; the stored registry is as it was.
        DatabaseProblem: Postgres does not answer or is not migrated.
    """
    release = open_release(path)
    info = ReleaseInfo(
        version=release.version,
        released_on=release.date,
        sha256=release.sha256,
        source=path.name,
    )
    with RejectsFile(rejects) as refused:
        organisations: Iterable[Organisation] = accepted(release.records(), rejects=refused)
        if progress is not None:
            organisations = _counted(organisations, release, progress)
        report = load_release(
            engine,
            info,
            organisations,
            rejected=lambda: refused.count,
            schema_version=lambda: release.schema_version,
            force=force,
        )
    for unfamiliar, count in release.unfamiliar.most_common():
        log.warning(
            "release %s: %s (%d times): this version of affiliation-resolver does not know it",
            release.version,
            unfamiliar,
            count,
        )
    return report


def _counted(
    organisations: Iterable[Organisation], release: ReleaseFile, progress: LoadProgress
) -> Iterator[Organisation]:
    count = 0
    for count, organisation in enumerate(organisations, start=1):
        yield organisation
        if count % PROGRESS_STEP == 0:
            share = release.share_read
            progress(count, round(count / share) if share else count, about=True)
    progress(count, count, about=False)
