"""An update takes in a registry release: fetch, load, index, switch, select, refresh, prune.

Each step first looks whether it is done. So a second update changes nothing, and one that was
killed at any point is completed by the next, with the same result. Nobody sees any of it until the
switch (`resolver.release.switch.switch_to`), which every worker follows.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.answering.refresh import RefreshReport, due_messages, refresh_due
from resolver.database import (
    due_answers,
    history,
    overrides,
    releases,
    resolver_versions,
    update_runs,
)
from resolver.database.history import Replacement
from resolver.database.locks import updating_alone
from resolver.registry import zenodo
from resolver.registry.change import ChangeKind, OrganisationChange
from resolver.release import selection, switch
from resolver.release.index import KEEP, Indexed, index_release, prune
from resolver.release.load import load
from resolver.release.progress import StepProgress, no_progress
from resolver.service import parts
from resolver.service.service import open_service
from resolver.service.version import register, require_forms

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.releases import LoadReport
    from resolver.database.resolver_versions import ResolverVersion
    from resolver.encoder import Encoder
    from resolver.index import Manifest
    from resolver.matching.override import OverrideProblem
    from resolver.service.installation import Installation

log = logging.getLogger(__name__)

DueMessages = Iterable[tuple[int, Sequence[int]]]
"""(policy id, affiliation ids): answers that are due, as they are sent to workers."""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What an update did.

    `before` is the version that was in use, `version` the one that is; `indexed` says whether the
    index was made by this update. `changes` are those of the release against the one before.
    `selected` counts the answers that were due then, by cause. `refreshed` is None where they were
    left to workers; `enqueued` counts those that were sent to them. `replacements` says what became
    of all answers that this version ever replaced; `left` counts those that are still due.
    `seconds` has the steps in their order.
    """

    load: LoadReport
    before: ResolverVersion | None
    version: ResolverVersion
    index: Manifest
    indexed: bool
    changes: Sequence[OrganisationChange]
    selected: Mapping[str, int]
    refreshed: RefreshReport | None
    replacements: Mapping[Replacement, int]
    enqueued: int | None
    left: int
    pruned: Sequence[str]
    problems: Sequence[OverrideProblem]
    seconds: Mapping[str, float]

    @property
    def switched(self) -> bool:
        """Whether another resolver version is in use now."""
        return self.before is None or self.before.id != self.version.id

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (
            self.switched or self.indexed or self.pruned or self.enqueued
            or (self.refreshed and self.refreshed.resolved)
        )  # fmt: skip

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many organisations changed in each way."""
        counts = Counter(change.kind for change in self.changes)
        return {str(kind): counts[kind] for kind in ChangeKind if counts[kind]}

    def lines(self) -> Iterator[str]:
        """The report as lines of a log."""
        if self.idle:
            yield f"release {self.load.version} is taken in already: nothing to do"
            return
        yield str(self.load)
        yield "changed: " + (_counts(self.kinds) or "nothing")
        yield f"index version {self.index.version}, resolver version {self.version.id}"
        yield "selected: " + (_counts(self.selected) or "nothing")
        if self.enqueued is not None:
            yield f"sent to the queue refresh: {self.enqueued:,}"
        yield "given again by it: " + (
            _counts({k: n for k, n in self.replacements.items() if n}) or "nothing"
        )
        yield f"due still: {self.left:,}"
        if self.pruned:
            yield "index versions dropped: " + ", ".join(self.pruned)
        for problem in self.problems:
            yield f"override: {problem_line(problem)}"
        yield "seconds: " + ", ".join(f"{name} {took:.1f}" for name, took in self.seconds.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def problem_line(problem: OverrideProblem) -> str:
    """``'CERN, Geneva' is 01ggx4157: withdrawn, see 00v408z34``."""
    override = problem.override
    status = problem.status or "not in the registry"
    see = f", see {', '.join(problem.successors)}" if problem.successors else ""
    affiliation = repr(override.affiliation) if override.affiliation else "a forgotten text"
    return f"{affiliation} {override.verdict} {override.ror_id}: {status}{see}"


def update(
    installation: Installation,
    path: Path | None = None,
    *,
    full: bool = False,
    force: bool = False,
    refresh: bool = True,
    enqueue: Callable[[DueMessages], int] | None = None,
    keep: int = KEEP,
    progress: StepProgress = no_progress,
    scheduled: bool = False,
) -> UpdateReport:
    """Take in the release of a file, or without `path` the newest that is published.

    `full` builds the index anew, with statistics of this release: then no answer is carried over.
    `force` takes in a release older than the one in use. Answers that are due are resolved here, or
    sent by `enqueue`, which returns how many it sent, or left, without `refresh`. `keep` index
    versions stay. How it ends is recorded, with whether it was `scheduled`.

    The models are those of the version in use; the first time, those of the settings.

    Raises:
        UpdateRunning: another process takes in a release; nothing was done.
        FetchError, RegistryError: the release cannot be fetched or used; nothing was changed.
        ResolverError: a step failed. The steps before it are done, and the next update goes on
            from there.
    """
    settings, engine = installation.settings, installation.engine
    with (
        updating_alone(engine),
        update_runs.recorded(engine, scheduled=scheduled) as at_step,
    ):
        steps = _StepTimer(progress, at_step)
        if path is None:
            with steps("fetch", "bytes") as report:
                path = zenodo.fetch(
                    settings.home / "releases", base_url=settings.registry_url, progress=report
                )
        with steps("load", "organisations") as report:
            loaded = load(
                engine,
                path,
                rejects=settings.home / "rejects" / f"{path.name}.jsonl",
                force=force,
                progress=report,
            )
        before = resolver_versions.current_resolver(engine)
        if before is not None and before.index_version is None:
            before = None  # of a time when the settings said which index
        made = (
            _first_version(installation, full, steps)
            if before is None
            else _next_version(installation, before, full, steps)
        )
        version = made.version
        with steps("select", "affiliations") as report:
            selection.select(installation, version, encoder=made.encoder, progress=report)
        selected = due_answers.causes(engine, version.id)
        refreshed, enqueued = None, None
        if refresh and due_answers.due_count(engine, version.id):
            size = settings.chunk_size
            with steps("refresh", "affiliations") as report:
                if enqueue:
                    enqueued = enqueue(due_messages(engine, version.id, size=size))
                else:
                    with open_service(installation, encoder=made.encoder) as service:
                        refreshed = refresh_due(service, batch=size, progress=report)
        with steps("prune", "index versions"):
            pruned = prune(installation, keep=keep)
        return UpdateReport(
            load=loaded,
            before=before,
            version=version,
            index=made.indexed.manifest,
            indexed=made.indexed.made,
            changes=_changes(engine, version),
            selected=selected,
            refreshed=refreshed,
            replacements=history.replacements(engine, version.id),
            enqueued=enqueued,
            left=due_answers.due_count(engine, version.id),
            pruned=pruned,
            problems=overrides.problems(engine),
            seconds=steps.seconds,
        )


@dataclass(frozen=True, slots=True)
class _Switched:
    """The version that is in use now, with its index and its encoder."""

    indexed: Indexed
    version: ResolverVersion
    encoder: Encoder


def _first_version(installation: Installation, full: bool, steps: _StepTimer) -> _Switched:
    """Of the models that the settings name."""
    with closing(parts.load_models(installation.settings)) as models:
        with steps("index", "names") as report:
            indexed = index_release(installation, models.encoder, full=full, progress=report)
        with steps("switch", "versions"):
            version = register(installation.engine, installation.settings, indexed.manifest, models)
            version = switch.switch_to(installation, version)
    return _Switched(indexed, version, models.encoder)


def _next_version(
    installation: Installation, before: ResolverVersion, full: bool, steps: _StepTimer
) -> _Switched:
    """The same models with the release that is loaded."""
    require_forms(before)
    encoder = switch.encoder_of(installation, before)
    with steps("index", "names") as report:
        indexed = index_release(installation, encoder, full=full, progress=report)
    version = switch.successor(installation.engine, before, indexed.manifest)
    if version.id != before.id:
        with steps("select", "affiliations") as report:
            selection.complete(installation, before, encoder=encoder, progress=report)
    with steps("switch", "versions"):
        return _Switched(indexed, switch.switch_to(installation, version), encoder)


class _StepTimer:
    """Measures the seconds of each step, shows its progress, and tells `at_step` of it."""

    def __init__(self, progress: StepProgress, at_step: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._at_step = at_step

    @contextmanager
    def __call__(self, name: str, counted: str) -> Iterator[Callable[..., None]]:
        began = time.monotonic()
        self._at_step(name)
        with self._progress(f"{name}: {counted}") as report:
            yield report
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


def _changes(engine: Engine, version: ResolverVersion) -> Sequence[OrganisationChange]:
    """From the release of the version whose answers it took over; none where it took over none."""
    if version.carries_id is None:
        return ()
    carried = resolver_versions.find_resolver(engine, version.carries_id)
    return releases.diff(engine, carried.release_id, version.release_id)
