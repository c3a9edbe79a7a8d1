"""Mark the stored answers that a release may change: they are due, the others are carried over.

There are two kinds. Answers with an organisation that the release changed: the database knows them.
And answers that probably change since a changed name is near the text: they are found by searching
the affiliations for the changed names (`resolver.release.reach`).
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING

from resolver.database import due_answers, releases, resolver_versions
from resolver.errors import ResolverError
from resolver.hardware import hardware
from resolver.index.build import INDEXED
from resolver.matching.judge_file import load_sieve
from resolver.release import reach
from resolver.service import parts
from resolver.service.installation import Installation
from resolver.service.version import configured

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.due_answers import Page
    from resolver.database.resolver_versions import ResolverVersion
    from resolver.encoder import Encoder
    from resolver.registry.document import Document
    from resolver.settings import Settings

log = logging.getLogger(__name__)

PAGE = 2_000
"""Affiliations of a page: so many are searched twice where a selection is interrupted."""

MANY = 20_000
"""From so many affiliations on, processes share them, one for each thread of the settings. Each
takes some seconds to start, and the memory of an open index."""


def select(
    installation: Installation,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Mark the answers that `version` took over and may change; done once, unless `again`.

    A selection that was interrupted goes on where it was, with the same result. After a rollback
    and back it searches what was answered meanwhile. `encoder` is the version's, if it is loaded.
    `progress` is called with (id of the last affiliation searched, greatest id).

    Raises:
        ResolverSuperseded: the version is not in use any more.
        IndexProblem, ModelError: its index or its encoder is not here.
    """
    if version.selected_at is not None and not again:
        return
    engine = installation.engine
    if version.carries_id is not None:
        after = due_answers.selection_begun(engine, version.id, again=again)
        before = resolver_versions.find_resolver(engine, version.carries_id)
        changes = releases.changed_organisations(engine, before.release_id, version.release_id)
        names = reach.changed_names(changes, INDEXED)
        _mark_pages(installation, version, names, after, encoder, progress)
    due_answers.selection_done(engine, version.id)


def complete(
    installation: Installation,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Finish the selection of an update that was interrupted: only answers of a version whose
    selection is finished can be carried over to the next one.

    Where the index of `version` is gone, nothing can be selected, and nothing is carried over.
    """
    if version.selected_at is None:
        indexes = {manifest.version for manifest in installation.store.versions()}
        if version.index_version in indexes:
            select(installation, version, encoder=encoder, progress=progress)


def _mark_pages(
    installation: Installation,
    version: ResolverVersion,
    names: Mapping[str, Sequence[Document]],
    after: int,
    encoder: Encoder | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Of affiliations with ids above `after` those with an answer that links to an organisation of
    `names`, or that one of its names may change."""
    engine = installation.engine
    last = due_answers.last_affiliation(engine)
    count = hardware(installation.settings.threads).threads if last - after >= MANY else 1
    with _search(installation, version, list(names.values()), encoder, processes=count) as search:
        for page, ids in search(_pages(engine, version.id, after)):
            due_answers.mark_page(engine, version.id, page, ids, changed=names.keys())
            if progress:
                progress(page.to, max(page.to, last))


def _pages(engine: Engine, version_id: int, after: int) -> Iterator[Page]:
    while page := due_answers.page(engine, version_id, after=after, size=PAGE):
        yield page
        after = page.to


@contextmanager
def _search(
    installation: Installation,
    version: ResolverVersion,
    names: Sequence[Sequence[Document]],
    encoder: Encoder | None,
    *,
    processes: int,
) -> Iterator[Callable[[Iterable[Page]], Iterator[tuple[Page, list[int]]]]]:
    """A function that takes pages and gives, in their order, each page with the ids of its
    affiliations whose answer one of the names may change. The index is opened at the first page
    that has any affiliation to search."""
    if processes == 1:
        with ExitStack() as stack:
            opened = cache(
                lambda: stack.enter_context(_opened(installation, version, names, encoder))
            )
            yield lambda pages: (
                (page, _selected(opened(), page) if page.carried else []) for page in pages
            )
        return
    # Spawned, not forked: an open index does not survive a fork.
    pool = ProcessPoolExecutor(
        processes,
        get_context("spawn"),
        initializer=_open,
        initargs=(installation.settings, version, names),
    )
    try:
        yield partial(_in_processes, pool, 2 * processes)
    except BrokenProcessPool as error:
        raise ResolverError(
            "a process that searched affiliations ended before it was done",
            remedy="give it more memory or fewer processes (RESOLVER_THREADS), and go on from "
            "there: resolver refresh",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _in_processes(
    pool: Executor, ahead: int, pages: Iterable[Page]
) -> Iterator[tuple[Page, list[int]]]:
    """At most `ahead` pages are read before their turn."""
    waiting: deque[tuple[Page, Future[list[int]]]] = deque()
    nothing: Future[list[int]] = Future()
    nothing.set_result([])
    for page in pages:
        waiting.append((page, pool.submit(_selected_here, page) if page.carried else nothing))
        if len(waiting) > ahead:
            first, ids = waiting.popleft()
            yield first, ids.result()
    for page, ids in waiting:
        yield page, ids.result()


def _selected(search: reach.Search, page: Page) -> list[int]:
    selected = zip(page.carried, search.may_change(page.carried), strict=True)
    return [affiliation.id for affiliation, may_change in selected if may_change]


@contextmanager
def _opened(
    installation: Installation,
    version: ResolverVersion,
    names: Iterable[Sequence[Document]],
    encoder: Encoder | None = None,
) -> Iterator[reach.Search]:
    assert version.index_version is not None  # or there would be nothing to carry over
    settings = configured(installation.settings, version)
    encoder = encoder or parts.load_encoder(settings)
    store = installation.store
    with closing(store.open(version.index_version)) as index:
        yield reach.Search(
            reach.Names.of(names, store.statistics(version.index_version), encoder),
            load_sieve(settings.judge, encoder),
            index.organisations,
        )


# In a process of its own

_opened_here = ExitStack()
_searches: list[reach.Search] = []


def _open(
    settings: Settings, version: ResolverVersion, names: Sequence[Sequence[Document]]
) -> None:
    # One core each; and a process whose parent was killed ends, too.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    installation = _opened_here.enter_context(Installation(settings))
    _searches.append(_opened_here.enter_context(_opened(installation, version, names)))


def _selected_here(page: Page) -> list[int]:
    return _selected(_searches[0], page)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # it was spawned
    parent.join()
    os._exit(1)
