"""Resolve again the answers that are due.

Answers are due when the selection (`resolver.release.selection`) marked them, or when the version
that gave them is not valid any more. A refresh can be interrupted at any point and repeated, by any
number of processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from resolver.answering.chunk import answer
from resolver.database import due_answers, history, policies
from resolver.database.history import Replacement
from resolver.errors import ResolverSuperseded
from resolver.matching.meters import Meters, Stopwatch
from resolver.observing.outcome_counts import OutcomeCounts
from resolver.service.service import Service

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.due_answers import Due

log = logging.getLogger(__name__)

BATCH = 256
"""Affiliations resolved and stored together."""


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """`resolved` counts the answers that this process gave again. `replacements` says what became
    of all answers that any process replaced meanwhile; `left` counts those that are still due."""

    resolved: int
    replacements: Mapping[Replacement, int]
    left: int
    meters: Meters = field(default=Meters(), compare=False)


def refresh_due(
    service: Service,
    *,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> RefreshReport:
    """Resolve again all answers that are due, by the version in use, `batch` at a time.

    `progress` is called with (answers given, answers that were due) after each batch. When another
    version comes in use meanwhile, it goes on with that one.

    Raises:
        as `resolver.answering.chunk.answer`; the batches before are stored.
    """
    service.follow()
    since = history.now(service.engine)
    watch = Stopwatch()
    resolved, meters = 0, Meters()
    total = due_answers.due_count(service.engine, service.version.id)
    find = cache(lambda policy_id: policies.find(service.engine, policy_id))
    going = True
    while going:
        going = False
        for policy_id, due in due_batches(service.engine, service.version.id, size=batch):
            try:
                answered = answer(
                    service.engine,
                    service.matcher,
                    service.version.id,
                    [(stale.affiliation_id, stale.text) for stale in due],
                    find(policy_id),
                )
            except ResolverSuperseded:
                # By another version other answers are due.
                going = service.follow()
                if not going:
                    raise
                total = resolved + due_answers.due_count(service.engine, service.version.id)
                break
            resolved += len(due)
            meters += answered.meters
            if progress:
                progress(resolved, max(resolved, total))
    version_id = service.version.id
    return RefreshReport(
        resolved=resolved,
        replacements=history.replacements(service.engine, version_id, since=since),
        left=due_answers.due_count(service.engine, version_id),
        meters=replace(meters, wall=watch.total()),
    )


def due_batches(
    engine: Engine, version_id: int, *, size: int = BATCH
) -> Iterator[tuple[int, list[Due]]]:
    """Answers that are due, as (policy id, its answers); `size` are read at a time, in order of
    their keys."""
    after = (0, 0)
    while due := due_answers.due(engine, version_id, after=after, limit=size):
        after = due[-1].affiliation_id, due[-1].policy_id
        by_policy = sorted(due, key=lambda stale: stale.policy_id)
        for policy_id, same in groupby(by_policy, key=lambda stale: stale.policy_id):
            yield policy_id, list(same)


def due_messages(
    engine: Engine, version_id: int, *, size: int = BATCH
) -> Iterator[tuple[int, list[int]]]:
    """The batches as they are sent to workers: (policy id, affiliation ids)."""
    for policy_id, due in due_batches(engine, version_id, size=size):
        yield policy_id, [stale.affiliation_id for stale in due]


def refresh_chunk(
    service: Service, policy_id: int, affiliation_ids: Sequence[int]
) -> RefreshChunkReport:
    """Resolve again those of these answers that are due under this policy; the others stay.

    Raises:
        ResolverSuperseded: another version came in use meanwhile; repeat it with that one.
        and as `resolver.answering.chunk.answer`; nothing was stored.
    """
    watch = Stopwatch()
    due = due_answers.due_among(service.engine, service.version.id, policy_id, affiliation_ids)
    store = watch.lap()
    if not due:
        return RefreshChunkReport(len(affiliation_ids), 0, Meters(wall=store, store=store))
    answered = answer(
        service.engine,
        service.matcher,
        service.version.id,
        [(stale.affiliation_id, stale.text) for stale in due],
        policies.find(service.engine, policy_id),
    )
    meters = replace(answered.meters, wall=watch.total(), store=store + answered.meters.store)
    return RefreshChunkReport(len(affiliation_ids), len(due), meters, answered.tally)


@dataclass(frozen=True, slots=True)
class RefreshChunkReport:
    """Of the `received` answers of a message, `resolved` were due and were given again."""

    received: int
    resolved: int
    meters: Meters = field(default=Meters(), compare=False, repr=False)
    tally: OutcomeCounts = field(default=OutcomeCounts(), compare=False, repr=False)
