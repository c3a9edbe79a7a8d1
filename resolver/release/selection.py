"""Which answers of the version before the one in use could be other now: they are marked stale.

Three kinds. Answers with an organisation that the release changed, which the database knows;
affiliations that a new or renamed organisation could be meant in, which are searched for the other
way round (`resolver.release.reach`); and those that had no answer for want of an organisation.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING

from resolver.database import due_answers, releases, resolver_versions
from resolver.database.tables import Cause
from resolver.errors import ResolverError
from resolver.hardware import hardware
from resolver.index.build import INDEXED
from resolver.matching.judge_file import load_sieve
from resolver.matching.outcome import Reason
from resolver.release import reach
from resolver.service import service

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.due_answers import Page
    from resolver.database.resolver_versions import ResolverVersion
    from resolver.encoder import Encoder
    from resolver.registry.document import Document
    from resolver.settings import Settings

log = logging.getLogger(__name__)

WANTING = (Reason.NOT_IN_REGISTRY, Reason.AMBIGUOUS)
"""Reasons that a new or changed organisation may mend."""

PAGE = 2_000
"""Affiliations of a page: what is done twice where a selection breaks off."""

MANY = 20_000
"""Affiliations from which on processes share them, one for each thread of the settings: each takes
some seconds to start, and what it holds of the index."""


def select(
    settings: Settings,
    engine: Engine,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Mark what `version` carries and could answer otherwise; done once, unless `again`.

    Interrupted, it goes on where it was, with the same result; after a rollback and back it looks
    at what was answered meanwhile. `encoder` is the version's, if it is loaded. `progress` is
    called with (the id of the last affiliation that was looked at, the greatest there is).

    Raises:
        ResolverSuperseded: the version is not in use any more.
        IndexProblem, ModelError: its index or its encoder is not here.
    """
    if version.selected_at is not None and not again:
        return
    if version.carries_id is not None:
        after = due_answers.selection_begun(engine, version.id, again=again)
        before = resolver_versions.find_resolver(engine, version.carries_id)
        changes = releases.changed_organisations(engine, before.release_id, version.release_id)
        names = reach.weighty(changes, INDEXED)
        if not after:
            due_answers.mark_linked(engine, version.id, names.keys(), Cause.ORGANISATION_CHANGED)
        _mark_pages(settings, engine, version, list(names.values()), after, encoder, progress)
    due_answers.selection_done(engine, version.id)


def complete(
    settings: Settings,
    engine: Engine,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Select what was not selected when an update broke off: the next version carries no other.

    Where the index of `version` is gone, nothing can be selected, and the next one carries nothing.
    """
    if version.selected_at is None:
        with service.index_store(settings) as store:
            versions = store.versions()
        if version.index_version in {manifest.version for manifest in versions}:
            select(settings, engine, version, encoder=encoder, progress=progress)


def _mark_pages(
    settings: Settings,
    engine: Engine,
    version: ResolverVersion,
    names: Sequence[Sequence[Document]],
    after: int,
    encoder: Encoder | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Affiliations with ids behind `after` that one of these names could be meant in, and those
    without an answer."""
    last = due_answers.last_affiliation(engine)
    count = hardware(settings.threads).threads if last - after >= MANY else 1
    with _search(settings, version, names, encoder, processes=count) as near:
        for page, ids in near(_pages(engine, version.id, after)):
            due_answers.mark_page(engine, version.id, page, ids, wanting=WANTING)
            if progress:
                progress(page.to, max(page.to, last))


def _pages(engine: Engine, version_id: int, after: int) -> Iterator[Page]:
    while page := due_answers.page(engine, version_id, after=after, size=PAGE):
        yield page
        after = page.to


@contextmanager
def _search(
    settings: Settings,
    version: ResolverVersion,
    names: Sequence[Sequence[Document]],
    encoder: Encoder | None,
    *,
    processes: int,
) -> Iterator[Callable[[Iterable[Page]], Iterator[tuple[Page, list[int]]]]]:
    """What finds on pages, in their order, the ids of affiliations that one of the names could be
    meant in. The index is opened when there is something to look at."""
    if processes == 1:
        with ExitStack() as stack:
            opened = cache(lambda: stack.enter_context(_opened(settings, version, names, encoder)))
            yield lambda pages: (
                (page, _near(opened(), page) if page.carried else []) for page in pages
            )
        return
    # Spawned: an index is opened after a fork, not before.
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_open, initargs=(settings, version, names)
    )
    try:
        yield partial(_in_processes, pool, 2 * processes)
    except BrokenProcessPool as error:
        raise ResolverError(
            "a process that looked for affiliations ended in the midst of it",
            remedy="give it more memory or fewer processes (RESOLVER_THREADS), and go on from "
            "there: resolver refresh",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _in_processes(
    pool: Executor, ahead: int, pages: Iterable[Page]
) -> Iterator[tuple[Page, list[int]]]:
    """`ahead` pages are read before they are asked for, and no more."""
    waiting: deque[tuple[Page, Future[list[int]]]] = deque()
    nothing: Future[list[int]] = Future()
    nothing.set_result([])
    for page in pages:
        waiting.append((page, pool.submit(_near_here, page) if page.carried else nothing))
        if len(waiting) > ahead:
            first, found = waiting.popleft()
            yield first, found.result()
    for page, found in waiting:
        yield page, found.result()


def _near(search: reach.Search, page: Page) -> list[int]:
    found = zip(page.carried, search.affected(page.carried), strict=True)
    return [affiliation.id for affiliation, is_near in found if is_near]


@contextmanager
def _opened(
    settings: Settings,
    version: ResolverVersion,
    names: Iterable[Sequence[Document]],
    encoder: Encoder | None = None,
) -> Iterator[reach.Search]:
    assert version.index_version is not None  # or it would carry nothing
    chosen = service.configured(settings, version)
    encoder = encoder or service.encoder(chosen)
    with (
        service.index_store(settings) as store,
        closing(store.open(version.index_version)) as index,
    ):
        yield reach.Search(
            reach.Names.of(names, store.statistics(version.index_version), encoder),
            load_sieve(chosen.judge, encoder),
            index.organisations,
        )


# In a process of its own

_here = ExitStack()
_searches: list[reach.Search] = []


def _open(
    settings: Settings, version: ResolverVersion, names: Sequence[Sequence[Document]]
) -> None:
    # One core each; and who is killed leaves nobody behind.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _searches.append(_here.enter_context(_opened(settings, version, names)))


def _near_here(page: Page) -> list[int]:
    return _near(_searches[0], page)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # it was spawned
    parent.join()
    os._exit(1)
