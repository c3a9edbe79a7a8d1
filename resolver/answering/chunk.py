"""A chunk of raw records → stored outcomes and links: what a worker does with a message.

Every step can be repeated: a chunk that was interrupted anywhere, or delivered twice, leaves the
database as if it had come once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resolver.database import answers, overrides
from resolver.database import records as stored_records
from resolver.intake.message import parse_chunk, parse_keys, parse_whole
from resolver.matching.meters import Meters, Stopwatch
from resolver.matching.outcome import Outcome
from resolver.observing.tally import Tally
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.answers import SaveReport
    from resolver.database.records import WithdrawReport
    from resolver.matching.matcher import Matcher
    from resolver.matching.policy import Policy


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What became of a chunk.

    `received` = records taken + `refused`. The rest counts distinct affiliations:
    `already_resolved` had an answer that is valid and not due under this policy, `new` had none
    and are `linked` or `no_match` now; `links` are those of the linked ones. `withdrawn` records
    were stored and are not in what replaced them. `meters` says what it cost, `tally` why there
    were no links and how probable those are that there were; two reports of one content are equal.
    """

    received: int
    refused: int
    new: int
    already_resolved: int
    linked: int
    no_match: int
    links: int
    meters: Meters = field(default=Meters(), compare=False, repr=False)
    tally: Tally = field(default=Tally(), compare=False, repr=False)
    withdrawn: int = 0


def resolve_chunk(
    engine: Engine,
    matcher: Matcher,
    resolver_version_id: int,
    raw: object,
    policy: Policy | None = None,
    replace_whole: object = None,
) -> ChunkReport:
    """Take the records of a message, resolve the affiliations that have no answer yet, store all.

    `policy` is what the message asks for; None means the matcher's own. An affiliation that was
    answered under another one is resolved again, and both answers are kept.

    Refused records are stored with their reasons; they never stop the others.

    `replace_whole` lists records of which the message says all positions (docs/tasks.md): what
    else is stored of them is withdrawn, in the transaction that stores these.

    Raises:
        IntakeError: the chunk as a whole cannot be read; nothing was stored.
        ResolverSuperseded: another resolver version came in use meanwhile; no answer was stored.
            Do it again with that one.
        IndexUnavailable, RerankerUnavailable, DatabaseUnavailable: a service went away; do it
            again later.
        ResolverError: what else stands in the way; doing it again does not help.
    """
    watch = Stopwatch()
    records, refused = parse_chunk(raw)
    whole, unclear = parse_whole(replace_whole)
    policy = policy or matcher.policy
    watch.lap()
    stored_records.refuse(engine, [*refused, *unclear])
    stored, withdrawn = stored_records.take(engine, resolver_version_id, records, whole, policy)
    store = watch.lap()
    new = [(affiliation.id, affiliation.text) for affiliation in stored if not affiliation.resolved]
    answered = answer(engine, matcher, resolver_version_id, new, policy)
    linked = sum(1 for outcome in answered.outcomes if outcome.links)
    tally = answered.tally
    return ChunkReport(
        received=len(records) + len(refused),
        refused=len(refused),
        new=len(new),
        already_resolved=len(stored) - len(new),
        linked=linked,
        no_match=len(new) - linked,
        links=tally.links,
        withdrawn=withdrawn,
        meters=replace(answered.meters, wall=watch.total(), store=store + answered.meters.store),
        tally=tally,
    )


def withdraw_chunk(engine: Engine, raw: object) -> WithdrawReport:
    """Take back what a message names; what of it cannot be read is stored as refused.

    Raises:
        IntakeError: the chunk as a whole cannot be read; nothing was done.
        DatabaseUnavailable: do it again later.
    """
    keys, refused = parse_keys(raw)
    stored_records.refuse(engine, refused)
    return stored_records.withdraw(engine, keys)


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcomes in the order of the affiliations, and how they were stored."""

    outcomes: Sequence[Outcome]
    saved: SaveReport
    meters: Meters

    @property
    def tally(self) -> Tally:
        return Tally.of(self.outcomes)


def answer(
    engine: Engine,
    matcher: Matcher,
    resolver_version_id: int,
    affiliations: Sequence[tuple[int, str]],
    policy: Policy,
) -> Answered:
    """Resolve stored affiliations (id, normalised text) and store what comes of it, all at once.

    What a person said of one counts before what the models say.

    Raises:
        as `resolve_chunk`; nothing was stored.
    """
    watch = Stopwatch()
    texts = [text for _, text in affiliations]
    said = overrides.applying(engine, texts) if texts else {}
    store = watch.lap()
    # As they are stored: what is said of a text is found by that, not by what could be made of it.
    stored = list(map(Affiliation.stored, texts))
    outcomes, meters = matcher.measured(stored, policy, said) if stored else ([], Meters())
    watch.lap()
    numbered = [
        (affiliation_id, outcome)
        for (affiliation_id, _), outcome in zip(affiliations, outcomes, strict=True)
    ]
    saved = answers.save(engine, resolver_version_id, numbered, policy)
    return Answered(outcomes, saved, replace(meters, store=store + watch.lap()))
