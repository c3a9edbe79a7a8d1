"""A chunk of raw records → stored outcomes and links: what a worker does with a message.

Every step can be repeated: a chunk that was interrupted anywhere, or delivered twice, leaves the
database as if it had come once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resolver.database import links
from resolver.domain.meters import Meters, Stopwatch
from resolver.intake import parse_chunk

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.domain.policy import Policy
    from resolver.matching import Matcher


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What became of a chunk.

    `received` = records taken + `refused`. The rest counts distinct affiliations:
    `already_resolved` had an answer of this resolver version under this policy, `new` did not and
    are `linked` or `no_match` now; `links` are those of the linked ones. `superseded` answers were
    not stored, because a later resolver version had given one meanwhile. `meters` says what it
    cost; two reports of one content are equal.
    """

    received: int
    refused: int
    new: int
    already_resolved: int
    linked: int
    no_match: int
    links: int
    superseded: int
    meters: Meters = field(default=Meters(), compare=False, repr=False)


def resolve_chunk(
    engine: Engine,
    matcher: Matcher,
    resolver_version_id: int,
    raw: object,
    policy: Policy | None = None,
) -> ChunkReport:
    """Take the records of a message, resolve the affiliations that have no answer yet, store all.

    `policy` is what the message asks for; None means the matcher's own. An affiliation that was
    answered under another one is resolved again, and both answers are kept.

    Refused records are stored with their reasons; they never stop the others.

    Raises:
        IntakeError: the chunk as a whole cannot be read; nothing was stored.
        IndexUnavailable, RerankerUnavailable, DatabaseUnavailable: a service went away; do it
            again later.
        ResolverError: what else stands in the way; doing it again does not help.
    """
    watch = Stopwatch()
    records, refused = parse_chunk(raw)
    policy = policy or matcher.policy
    watch.lap()
    links.refuse(engine, refused)
    stored = links.intake(engine, resolver_version_id, records, policy)
    store = watch.lap()
    new = [affiliation for affiliation in stored if not affiliation.resolved]
    texts = [affiliation.text for affiliation in new]
    outcomes, meters = matcher.measured(texts, policy) if texts else ([], Meters())
    watch.lap()
    saved = links.save(
        engine,
        resolver_version_id,
        [(affiliation.id, outcome) for affiliation, outcome in zip(new, outcomes, strict=True)],
        policy,
    )
    store += watch.lap()
    linked = sum(1 for outcome in outcomes if outcome.links)
    return ChunkReport(
        received=len(records) + len(refused),
        refused=len(refused),
        new=len(new),
        already_resolved=len(stored) - len(new),
        linked=linked,
        no_match=len(outcomes) - linked,
        links=saved.links,
        superseded=saved.superseded,
        meters=replace(meters, wall=watch.total(), store=store),
    )
