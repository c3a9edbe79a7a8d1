"""What a switch made due: found, and resolved again.

A new resolver version carries the answers of the one before. *Selecting* marks those that the new
release could answer otherwise; *refreshing* resolves what is marked, and what is of a version that
is not valid any more. Both can be interrupted anywhere and done again, by any number of processes.
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
from resolver.database.history import Fate
from resolver.errors import ResolverSuperseded
from resolver.matching.meters import Meters, Stopwatch
from resolver.observing.outcome_counts import OutcomeCounts
from resolver.service.service import Service

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.due_answers import Due

log = logging.getLogger(__name__)

BATCH = 256
"""Affiliations resolved and stored together: a chunk."""


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """`resolved` answers were given again, by this process. `fates` says what became of all that
    were replaced meanwhile, by whichever process; `left` are due still."""

    resolved: int
    fates: Mapping[Fate, int]
    left: int
    meters: Meters = field(default=Meters(), compare=False)


def refresh(
    service: Service,
    *,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> RefreshReport:
    """Resolve again what is due, by the version in use, in order, `batch` at a time.

    `progress` is called with (answers given, all that were due) after each batch. When another
    version comes in use meanwhile, it goes on with that one.

    Raises:
        as `resolver.answering.chunk.answer`; what was stored before stays.
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
        for policy_id, due in batches(service.engine, service.version.id, size=batch):
            try:
                answered = answer(
                    service.engine,
                    service.matcher,
                    service.version.id,
                    [(one.affiliation_id, one.text) for one in due],
                    find(policy_id),
                )
            except ResolverSuperseded:
                # What is due, and how many, is another question now.
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
        fates=history.fates(service.engine, version_id, since=since),
        left=due_answers.due_count(service.engine, version_id),
        meters=replace(meters, wall=watch.total()),
    )


def batches(
    engine: Engine, version_id: int, *, size: int = BATCH
) -> Iterator[tuple[int, list[Due]]]:
    """What is due, as (policy id, answers under it), `size` at a time in order of their keys."""
    after = (0, 0)
    while due := due_answers.due(engine, version_id, after=after, limit=size):
        after = due[-1].affiliation_id, due[-1].policy_id
        by_policy = sorted(due, key=lambda one: one.policy_id)
        for policy_id, same in groupby(by_policy, key=lambda one: one.policy_id):
            yield policy_id, list(same)


def messages(
    engine: Engine, version_id: int, *, size: int = BATCH
) -> Iterator[tuple[int, list[int]]]:
    """What is due as it is sent to workers: (policy id, affiliation ids), `size` at a time."""
    for policy_id, due in batches(engine, version_id, size=size):
        yield policy_id, [one.affiliation_id for one in due]


def refresh_chunk(service: Service, policy_id: int, affiliation_ids: Sequence[int]) -> ChunkReport:
    """Resolve again what of these is due under this policy; the rest is left alone.

    Raises:
        ResolverSuperseded: another version came in use meanwhile; do it again with that one.
        and as `resolver.answering.chunk.answer`; nothing was stored.
    """
    watch = Stopwatch()
    due = due_answers.due_among(service.engine, service.version.id, policy_id, affiliation_ids)
    store = watch.lap()
    if not due:
        return ChunkReport(len(affiliation_ids), 0, Meters(wall=store, store=store))
    answered = answer(
        service.engine,
        service.matcher,
        service.version.id,
        [(one.affiliation_id, one.text) for one in due],
        policies.find(service.engine, policy_id),
    )
    meters = replace(answered.meters, wall=watch.total(), store=store + answered.meters.store)
    return ChunkReport(len(affiliation_ids), len(due), meters, answered.tally)


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """Of the `received` answers of a message `resolved` were due, and were given again."""

    received: int
    resolved: int
    meters: Meters = field(default=Meters(), compare=False, repr=False)
    tally: OutcomeCounts = field(default=OutcomeCounts(), compare=False, repr=False)
