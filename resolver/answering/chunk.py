"""Resolve a chunk of raw records and store the answers: what a worker does with a message.

Every step can be repeated: a chunk that was interrupted at any point, or delivered twice, leaves
the database as if it had come once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from resolver.curation.review import text_keys
from resolver.database import answers, overrides
from resolver.database import records as stored_records
from resolver.intake.message import parse_chunk, parse_keys, parse_whole
from resolver.matching.meters import Meters, Stopwatch
from resolver.matching.outcome import Outcome
from resolver.observing.outcome_counts import OutcomeCounts
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.answers import SaveReport
    from resolver.database.records import WithdrawReport
    from resolver.matching.matcher import Matcher
    from resolver.matching.policy import Policy


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """Counts of a resolved chunk.

    `received` counts records: those that were stored and those that were `refused`. `withdrawn`
    counts stored records that are missing from what replaced them. The others count distinct
    affiliations: `already_resolved` ones had an answer under this policy that is valid and not due;
    `new` ones had none, and are `linked` or `no_match` now. `links` are those of the linked ones.
    `meters` has the seconds and counts of the stages, `tally` the reasons for no link and the
    probabilities of the links; neither is compared when two reports are.
    """

    received: int
    refused: int
    new: int
    already_resolved: int
    linked: int
    no_match: int
    links: int
    meters: Meters = field(default=Meters(), compare=False, repr=False)
    tally: OutcomeCounts = field(default=OutcomeCounts(), compare=False, repr=False)
    withdrawn: int = 0


def resolve_chunk(
    engine: Engine,
    matcher: Matcher,
    resolver_version_id: int,
    raw: object,
    policy: Policy | None = None,
    replace_whole: object = None,
) -> ChunkReport:
    """Store the records of a message, resolve those affiliations that have no answer yet, and store
    the answers.

    `policy` is the policy of the message; None means the matcher's own. An affiliation that was
    answered under another policy is resolved again, and both answers are kept.

    Refused records are stored with their reasons; they never stop the others.

    `replace_whole` lists records that the message has all positions of (docs/tasks.md): other
    positions of them are withdrawn, in the transaction that stores these.

    Raises:
        IntakeError: the chunk as a whole cannot be read; nothing was stored.
        ResolverSuperseded: another resolver version came in use meanwhile; no answer was stored.
            Repeat it with that version.
        IndexUnavailable, RerankerUnavailable, DatabaseUnavailable: a service does not answer;
            repeat it later.
        ResolverError: anything else; to repeat it does not help.
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
    """Withdraw the records that a message names; keys that cannot be read are stored as refused.

    Raises:
        IntakeError: the chunk as a whole cannot be read; nothing was done.
        DatabaseUnavailable: repeat it later.
    """
    keys, refused = parse_keys(raw)
    stored_records.refuse(engine, refused)
    return stored_records.withdraw(engine, keys)


@dataclass(frozen=True, slots=True)
class Answered:
    """Outcomes in the order of the affiliations, with the report of storing them."""

    outcomes: Sequence[Outcome]
    saved: SaveReport
    meters: Meters

    @property
    def tally(self) -> OutcomeCounts:
        return OutcomeCounts.of(self.outcomes)


def answer(
    engine: Engine,
    matcher: Matcher,
    resolver_version_id: int,
    affiliations: Sequence[tuple[int, str]],
    policy: Policy,
) -> Answered:
    """Resolve stored affiliations (id, normalised text) and store the outcomes with their review
    items in one transaction.

    Curators' overrides come before what the models decide.

    Raises:
        as `resolve_chunk`; nothing was stored.
    """
    watch = Stopwatch()
    texts = [text for _, text in affiliations]
    applying = overrides.applying(engine, texts) if texts else {}
    store = watch.lap()
    # Texts as they are stored: overrides are looked up by them, not by a text normalised again.
    stored = list(map(Affiliation.stored, texts))
    outcomes, meters = matcher.measured(stored, policy, applying) if stored else ([], Meters())
    watch.lap()
    numbered = [
        (affiliation_id, outcome)
        for (affiliation_id, _), outcome in zip(affiliations, outcomes, strict=True)
    ]
    keys = {
        affiliation_id: text_keys(text, linked=bool(outcome.links))
        for (affiliation_id, outcome), text in zip(numbered, stored, strict=True)
    }
    saved = answers.save(engine, resolver_version_id, numbered, policy, keys=keys)
    return Answered(outcomes, saved, replace(meters, store=store + watch.lap()))
