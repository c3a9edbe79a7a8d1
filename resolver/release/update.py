"""A registry release, taken in: fetch, load, index, switch, select, refresh, prune.

Each step looks first whether it is done. So a second update changes nothing, and one that was
killed anywhere is completed by the next, with the same result. Until the switch nobody sees any of
it; at the switch the index's alias flips first, then the row of the resolver version in use, which
every worker follows.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.answering import refresh as refreshing
from resolver.database import due_answers, history, overrides, releases, resolver_versions
from resolver.database.history import Fate
from resolver.database.locks import updating_alone
from resolver.registry import zenodo
from resolver.registry.change import ChangeKind, OrganisationChange
from resolver.release import load as loading
from resolver.release import selection, switch
from resolver.release.switch import KEEP, Indexed, index_release
from resolver.service import service

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.releases import LoadReport
    from resolver.database.resolver_versions import ResolverVersion
    from resolver.index import IndexStore, Manifest
    from resolver.matching.override import OverrideProblem
    from resolver.settings import Settings

log = logging.getLogger(__name__)

Progress = Callable[[str], AbstractContextManager[Callable[..., None]]]
"""What a step is called → a context that takes (done, in all): `resolver.cli.terminal.progress`."""

Due = Iterable[tuple[int, Sequence[int]]]
"""(policy id, affiliation ids)."""


def silent(title: str) -> AbstractContextManager[Callable[..., None]]:  # noqa: ARG001
    """Progress that nobody sees."""
    return nullcontext(lambda *_: None)


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What an update did.

    `changes` are the release's against the one that the answers were by; `seconds` has the steps
    in order. `selected` counts what was due then, by cause; `refreshed` is None where that was left
    to others, and `enqueued` how much was sent to them. `fates` says what became of the answers
    that this version replaced, ever; `left` are due still.
    """

    load: LoadReport
    before: ResolverVersion | None
    version: ResolverVersion
    index: Manifest
    indexed: bool
    changes: Sequence[OrganisationChange]
    selected: Mapping[str, int]
    refreshed: refreshing.RefreshReport | None
    fates: Mapping[Fate, int]
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
        """For a log."""
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
            _counts({k: n for k, n in self.fates.items() if n}) or "nothing"
        )
        yield f"due still: {self.left:,}"
        if self.pruned:
            yield "index versions dropped: " + ", ".join(self.pruned)
        for problem in self.problems:
            yield f"override: {told(problem)}"
        yield "seconds: " + ", ".join(f"{name} {took:.1f}" for name, took in self.seconds.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def told(problem: OverrideProblem) -> str:
    """``'CERN, Geneva' is 01ggx4157: withdrawn, see 00v408z34``."""
    override = problem.override
    status = problem.status or "not in the registry"
    see = f", see {', '.join(problem.successors)}" if problem.successors else ""
    affiliation = repr(override.affiliation) if override.affiliation else "a forgotten text"
    return f"{affiliation} {override.verdict} {override.ror_id}: {status}{see}"


def update(
    settings: Settings,
    engine: Engine,
    path: Path | None = None,
    *,
    full: bool = False,
    force: bool = False,
    refresh: bool = True,
    enqueue: Callable[[Due], int] | None = None,
    keep: int = KEEP,
    progress: Progress = silent,
) -> UpdateReport:
    """Take in the release of a file, or without one the newest that is published.

    `full` builds the index anew, with statistics of this release: then no answer is carried over.
    `force` takes in a release older than the one in use. What is due is resolved here, or given to
    `enqueue`, or, without `refresh`, left. `keep` index versions stay.

    The models are those of the version in use; the first time, those of the settings.

    Raises:
        UpdateRunning: another process is at it; nothing was done.
        FetchError, RegistryError: the release cannot be had or used; nothing was changed.
        ResolverError: what else stands in the way. The steps before it are done; an update
            goes on from there.
    """
    with updating_alone(engine), service.index_store(settings) as store:
        return _update(settings, engine, store, path, full, force, refresh, enqueue, keep, progress)


def _update(
    settings: Settings,
    engine: Engine,
    store: IndexStore,
    path: Path | None,
    full: bool,
    force: bool,
    refresh: bool,
    enqueue: Callable[[Due], int] | None,
    keep: int,
    progress: Progress,
) -> UpdateReport:
    steps = _Steps(progress)
    if path is None:
        with steps("fetch", "bytes") as report:
            path = zenodo.fetch(
                settings.home / "releases", base_url=settings.registry_url, progress=report
            )
    with steps("load", "organisations") as report:
        loaded = loading.load(
            engine,
            path,
            rejects=settings.home / "rejects" / f"{path.name}.jsonl",
            force=force,
            progress=report,
        )
    before = resolver_versions.current_resolver(engine)
    if before is not None and before.index_version is None:
        before = None  # of a time when the settings said which index
    if before is None:
        indexed, version = _first(settings, engine, store, full, steps)
    else:
        indexed, version = _next(settings, engine, store, before, full, steps)
    with steps("select", "affiliations") as report:
        selection.select(settings, engine, version, progress=report)
    selected = due_answers.causes(engine, version.id)
    refreshed, enqueued = None, None
    if refresh and due_answers.due_count(engine, version.id):
        with steps("refresh", "affiliations") as report:
            if enqueue:
                enqueued = enqueue(
                    refreshing.messages(engine, version.id, size=settings.chunk_size)
                )
            else:
                with service.open_service(settings, engine) as opened:
                    refreshed = refreshing.refresh(
                        opened, batch=settings.chunk_size, progress=report
                    )
    with steps("prune", "index versions"):
        pruned = switch.prune(engine, store, keep=keep)
    return UpdateReport(
        load=loaded,
        before=before,
        version=version,
        index=indexed.manifest,
        indexed=indexed.made,
        changes=_changes(engine, version),
        selected=selected,
        refreshed=refreshed,
        fates=history.fates(engine, version.id),
        enqueued=enqueued,
        left=due_answers.due_count(engine, version.id),
        pruned=pruned,
        problems=overrides.problems(engine),
        seconds=steps.seconds,
    )


def _first(
    settings: Settings, engine: Engine, store: IndexStore, full: bool, steps: _Steps
) -> tuple[Indexed, ResolverVersion]:
    with closing(service.models(settings)) as models:
        with steps("index", "names") as report:
            indexed = index_release(engine, store, models.encoder, full=full, progress=report)
        with steps("switch", "versions"):
            version = service.register(engine, settings, indexed.manifest, models)
            return indexed, switch.put_in_use(engine, store, version)


def _next(
    settings: Settings,
    engine: Engine,
    store: IndexStore,
    before: ResolverVersion,
    full: bool,
    steps: _Steps,
) -> tuple[Indexed, ResolverVersion]:
    """The same models with the release that is loaded."""
    service.require_forms(before)
    encoder = switch.encoder_of(settings, before)
    with steps("index", "names") as report:
        indexed = index_release(engine, store, encoder, full=full, progress=report)
    version = switch.successor(engine, before, indexed.manifest)
    if version.id != before.id:
        # Of an update that broke off: only what is selected can be carried over.
        with steps("select", "affiliations") as report:
            selection.complete(settings, engine, before, encoder=encoder, progress=report)
    with steps("switch", "versions"):
        return indexed, switch.put_in_use(engine, store, version)


class _Steps:
    """Times steps, and shows each."""

    def __init__(self, progress: Progress = silent) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def __call__(self, name: str, counted: str) -> Iterator[Callable[..., None]]:
        began = time.monotonic()
        with self._progress(f"{name}: {counted}") as report:
            yield report
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


def _changes(engine: Engine, version: ResolverVersion) -> Sequence[OrganisationChange]:
    """Against the release of what it carries; nothing where it carries nothing."""
    if version.carries_id is None:
        return ()
    carried = resolver_versions.find_resolver(engine, version.carries_id)
    return releases.diff(engine, carried.release_id, version.release_id)
