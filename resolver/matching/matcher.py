"""Affiliations → outcomes: normalise, cut into statements, recall candidates, rerank, judge,
decide, join, then replace links by the successors and parents that the policy asks for.

`Matcher.resolve` is the one way through, for the command line, the workers and the
evaluation alike. It depends on its parts and its arguments only, and keeps no state.

Overrides come as an argument, by normalised text. The organisations that a curator decided a text
*is* are its links, whatever level the policy asks for; a text that names *none* has no link. An
organisation that it *is not* is left out before anything is decided, so that a rival may have its
words, but after the judge has weighed the others beside it. Weighed as if the registry did not have
it, the others win too easily: of 401 texts of the development sets whose right links were denied
111 got wrong links that way, and 3 this way; of 52 whose wrong links were denied 43 got right links
that way, and 38 this way, with 4 more wrong ones.

Up to the judge the unit is a statement (`resolver.text.statements`); most affiliations are one.
Equal statements of a call are searched and judged once. They are cut into slices, and each slice
goes through three stages: `Matcher.shortlist`, `Matcher.rerank`, in which the judge has a say in
what the reranker reads (`resolver.matching.scoring`), and `Matcher.judged`. These overlap: while
one slice is reranked, candidates are searched for the next, and the one before is put together. An
affiliation is decided (`Matcher.decided`) as soon as all of its statements are judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import ceil, isnan
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from resolver.matching import lineage, override, statement
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Scored, curated, nearest
from resolver.matching.evidence import Shortlist
from resolver.matching.forecaster import Forecaster
from resolver.matching.judge import Judge
from resolver.matching.meters import Meters, Stopwatch
from resolver.matching.outcome import Outcome, Reason
from resolver.matching.override import Override
from resolver.matching.pipeline import Pipeline
from resolver.matching.policy import Policy
from resolver.matching.reading import Reading
from resolver.matching.recall import Recall
from resolver.matching.scoring import Scoring, scoring
from resolver.matching.sieve import Sieve
from resolver.matching.statement import JudgedStatement, Statements
from resolver.registry.document import Document
from resolver.reranker import Reranker
from resolver.text.affiliation import Affiliation

T = TypeVar("T")

SLICE_SIZE = 64
"""Statements that go through a stage together."""

RERANK_FROM = 0.005
"""Probability from which a candidate is worth the reranker's time: docs/benchmarks.md says what
other values cost and lose."""

Overrides = Mapping[str, Sequence[Override]]
"""Normalised text → the overrides that hold for it."""

NO_OVERRIDES: Overrides = MappingProxyType({})

NOTHING = Affiliation.of("")
"""What is searched where an affiliation is refused."""


@dataclass(frozen=True)
class Judgement:
    """An outcome with what led to it.

    `affiliation` is the whole text, `statements` are those that were searched, without
    organisations that a curator decided the text is not. `overrides` are those that hold for the
    text, `pairs` is how many candidates the reranker read for it. Where the affiliation was refused
    all of them are empty, and so is `affiliation`.
    """

    outcome: Outcome
    affiliation: Affiliation = NOTHING
    statements: Statements = ()
    overrides: Sequence[Override] = ()
    pairs: int = 0

    @cached_property
    def candidates(self) -> Sequence[Candidate]:
        """The first stage's candidates for all statements (`statement.candidates`)."""
        return statement.candidates(self.statements)

    @cached_property
    def scored(self) -> Sequence[Scored]:
        """Those of the shortlists, best first by the logits that the judge went by
        (`statement.scored`)."""
        return statement.scored(self.statements)


@dataclass(frozen=True, slots=True)
class Shortlisted:
    """A slice after the first stage: one entry a statement.

    `shortlists` are the candidates of the readings that are worth the reranker's time.
    """

    readings: Sequence[Reading]
    shortlists: Sequence[Shortlist]
    meters: Meters


@dataclass(frozen=True, slots=True)
class Reranked:
    """A slice after the reranker and the judge: `scoring` has a row for each candidate of each
    shortlist."""

    shortlisted: Shortlisted
    scoring: Scoring
    meters: Meters


@dataclass(frozen=True, slots=True)
class Matcher:
    """First stage, reranker, judge and policy in one.

    `recall_depth` organisations come from the first stage. Of them the `sieve` passes on those with
    a probability of at least `rerank_from`, at most `rerank_depth`; without a sieve the first
    `rerank_depth` are passed on. With a `forecaster`, which belongs to the reranker and the judge,
    the reranker reads some of these. `slice_size` statements go through a stage together; a call of
    no more than that starts no thread.
    """

    recall: Recall
    reranker: Reranker
    judge: Judge
    policy: Policy = field(default_factory=Policy)
    sieve: Sieve | None = None
    forecaster: Forecaster | None = None
    recall_depth: int = 50
    rerank_depth: int = 20
    rerank_from: float = RERANK_FROM
    slice_size: int = SLICE_SIZE

    def resolve(
        self,
        affiliations: Sequence[str | Affiliation],
        policy: Policy | None = None,
        overrides: Overrides = NO_OVERRIDES,
    ) -> list[Outcome]:
        """One outcome for each affiliation, in order; `policy` is used instead of the matcher's.

        Any string is taken. To one that is refused (empty, too long) no override applies. When a
        part fails, its `ResolverError` is raised; the outcome is never "no match".
        """
        return self.measured(affiliations, policy, overrides)[0]

    def measured(
        self,
        affiliations: Sequence[str | Affiliation],
        policy: Policy | None = None,
        overrides: Overrides = NO_OVERRIDES,
    ) -> tuple[list[Outcome], Meters]:
        """Like `resolve`, with how much was done and how long it took."""
        judgements, meters = self._judged(
            affiliations, policy or self.policy, overrides, explained=False
        )
        return [judgement.outcome for judgement in judgements], meters

    def judgements(
        self,
        affiliations: Sequence[str | Affiliation],
        policy: Policy | None = None,
        overrides: Overrides = NO_OVERRIDES,
        *,
        explained: bool = True,
    ) -> list[Judgement]:
        """Like `resolve`, with candidates and scores.

        With `explained` the reranker reads all of the shortlist in the end, which changes no
        answer, and what each kind of evidence added is worked out for all of it, else for those
        that could be linked."""
        policy = policy or self.policy
        return self._judged(affiliations, policy, overrides, explained=explained)[0]

    def _judged(
        self,
        affiliations: Sequence[str | Affiliation],
        policy: Policy,
        overrides: Overrides,
        *,
        explained: bool,
    ) -> tuple[list[Judgement], Meters]:
        watch = Stopwatch()
        normalised = [Affiliation.of(a) if isinstance(a, str) else a for a in affiliations]
        distinct: dict[str, Affiliation] = {}
        for affiliation in normalised:
            if not affiliation.refused:
                distinct.setdefault(affiliation.text, affiliation)
        # A statement is in one slice only, and with it all pairs that it could be in.
        stated = {
            stated.text: stated
            for affiliation in distinct.values()
            for _, stated in affiliation.statements
        }
        meters = Meters(normalise=watch.lap())
        judged: dict[str, JudgedStatement] = {}
        by_text: dict[str, Judgement] = {}
        waiting = deque(distinct.values())
        of_slices = self._reranked(list(stated.values()), policy, explained=explained)
        with closing(of_slices) as slices:
            for reranked in slices:
                watch.lap()
                of_slice = self.judged(reranked, policy, explained=explained)
                judged.update((one.affiliation.text, one) for one in of_slice)
                decided = self.decided(_complete(waiting, judged), policy, overrides)
                by_text.update((judgement.affiliation.text, judgement) for judgement in decided)
                meters += reranked.meters + Meters(decide=watch.lap())
        judgements = [
            Judgement(Outcome(affiliation.raw, reason=Reason(affiliation.refused)))
            if affiliation.refused
            else _as_written(affiliation.raw, by_text[affiliation.text])
            for affiliation in normalised
        ]
        each_alone = sum(judgement.pairs for judgement in judgements)
        return judgements, replace(
            meters,
            wall=watch.total(),
            pairs_avoided=each_alone - meters.pairs,
        )

    def _reranked(
        self, statements: Sequence[Affiliation], policy: Policy, *, explained: bool
    ) -> Generator[Reranked, None, None]:
        """All statements in slices that were searched and reranked, in order."""
        rerank = partial(self.rerank, policy=policy, explained=explained)
        slices = even(statements, self.slice_size)
        if len(slices) <= 1:
            yield from map(rerank, map(self.shortlist, slices))
            return
        with Pipeline() as pipeline:
            shortlisted = pipeline.stage("recall", self.shortlist, slices)
            yield from pipeline.stage("score", rerank, shortlisted)

    def shortlist(self, statements: Sequence[Affiliation]) -> Shortlisted:
        """The first stage of a slice: candidates, and which are worth the reranker's time."""
        watch = Stopwatch()
        candidates = self.recall.candidates(statements, depth=self.recall_depth)
        meters = Meters(recall=watch.lap())
        readings = list(map(Reading, statements, candidates))
        shortlists = list(map(Shortlist, readings, self._shortlists(readings)))
        sieved = sum(map(len, candidates)) - sum(map(len, shortlists))
        meters += Meters(sieve=watch.lap(), sieved=sieved)
        return Shortlisted(readings, shortlists, meters)

    def _shortlists(self, readings: Sequence[Reading]) -> Sequence[Sequence[int]]:
        """Positions in each reading."""
        if self.sieve is None:
            return [range(min(self.rerank_depth, len(reading))) for reading in readings]
        return self.sieve.shortlists(readings, least=self.rerank_from, most=self.rerank_depth)

    def rerank(
        self, shortlisted: Shortlisted, policy: Policy | None = None, *, explained: bool = False
    ) -> Reranked:
        """The second stage of a slice: the reranker's logits and the judge's probabilities."""
        watch = Stopwatch()
        scored = scoring(
            shortlisted.shortlists,
            self.reranker,
            self.judge,
            self.forecaster,
            linked_from=(policy or self.policy).accept_probability,
            explained=explained,
        )
        meters = shortlisted.meters + Meters(score=watch.total(), pairs=scored.pairs)
        return Reranked(shortlisted, scored, meters)

    def judged(
        self, reranked: Reranked, policy: Policy, *, explained: bool
    ) -> list[JudgedStatement]:
        """The third stage of a slice: the statements with their shortlists.

        What each kind of evidence added is worked out for the candidates that could be linked, or,
        with `explained`, for all of them.
        """
        of = reranked.scoring
        shown = np.flatnonzero(explained | (of.probability >= policy.accept_probability))
        weighed = dict(zip(shown.tolist(), self.judge.weighed(of.features[shown]), strict=True))
        columns = (of.score.tolist(), of.forecast.tolist(), of.probability.tolist())
        rows = enumerate(zip(*columns, strict=True))
        judged = []
        shortlisted = reranked.shortlisted
        for reading, shortlist in zip(shortlisted.readings, shortlisted.shortlists, strict=True):
            scored = [
                Scored(
                    reading.candidates[position],
                    None if isnan(score) else score,
                    probability,
                    weighed.get(row, ()),
                    forecast=None if isnan(forecast) else forecast,
                )
                # The shortlist runs out first, and takes no row too many.
                for position, (row, (score, forecast, probability)) in zip(
                    shortlist.positions.tolist(), rows, strict=False
                )
            ]
            scored.sort(key=lambda s: (-s.logit, s.ror_id))
            judged.append(JudgedStatement(reading.affiliation, reading.candidates, scored))
        return judged

    def decided(
        self,
        affiliations: Sequence[tuple[Affiliation, Statements]],
        policy: Policy,
        overrides: Overrides = NO_OVERRIDES,
    ) -> list[Judgement]:
        """A judgement for each affiliation, given its judged statements."""
        judgements = [
            _judgement(affiliation, statements, policy, overrides.get(affiliation.text, ()))
            for affiliation, statements in affiliations
        ]
        return self._overridden(self._at_level(judgements, policy))

    def _at_level(self, judged: Sequence[Judgement], policy: Policy) -> list[Judgement]:
        """The same with the successors and parents that the policy asks for
        (`resolver.matching.lineage`)."""
        known: dict[str, Document | None] = {
            scored.ror_id: scored.document for judgement in judged for scored in judgement.scored
        }
        links = [link for judgement in judged for link in judgement.outcome.links]
        while missing := lineage.needed(links, policy, known):
            documents = self.recall.index.organisations(missing)
            known |= {ror_id: documents.get(ror_id) for ror_id in missing}
        return [
            replace(
                judgement,
                outcome=replace(
                    judgement.outcome,
                    links=lineage.apply(
                        judgement.outcome.links,
                        policy,
                        known,
                        barred=override.denied(judgement.overrides),
                    ),
                ),
            )
            for judgement in judged
        ]

    def _overridden(self, judged: Sequence[Judgement]) -> list[Judgement]:
        """The same with what curators decided in place of the matcher's links."""
        if not any(judgement.overrides for judgement in judged):
            return list(judged)
        affirmed = [override.affirmed(judgement.overrides) for judgement in judged]
        missing = {
            ror_id
            for judgement, its_own in zip(judged, affirmed, strict=True)
            for ror_id in its_own
            if all(ror_id != candidate.ror_id for candidate in judgement.candidates)
        }
        known = self.recall.index.organisations(missing) if missing else {}
        return [
            replace(judgement, outcome=_overruled(judgement, its_own, known))
            for judgement, its_own in zip(judged, affirmed, strict=True)
        ]


def _complete(
    waiting: deque[Affiliation], judged: Mapping[str, JudgedStatement]
) -> list[tuple[Affiliation, Statements]]:
    """Takes those affiliations off the queue whose statements are all judged, with these."""
    complete: list[tuple[Affiliation, Statements]] = []
    while waiting and all(stated.text in judged for _, stated in waiting[0].statements):
        affiliation = waiting.popleft()
        statements = [
            replace(judged[stated.text], start=start) for start, stated in affiliation.statements
        ]
        complete.append((affiliation, statements))
    return complete


def _judgement(
    affiliation: Affiliation,
    statements: Statements,
    policy: Policy,
    overrides: Sequence[Override],
) -> Judgement:
    """What the candidates come to, without those that a curator decided the text is not."""
    pairs = sum(s.score is not None for judged in statements for s in judged.scored)
    denied = override.denied(overrides)
    if not denied:
        outcome = statement.outcome(affiliation, statements, policy)
        return Judgement(outcome, affiliation, statements, overrides, pairs)
    left = [judged.without(denied) for judged in statements]
    outcome = statement.outcome(affiliation, left, policy)
    if outcome.reason and statement.outcome(affiliation, statements, policy).links:
        outcome = replace(outcome, reason=Reason.OVERRIDDEN)
    return Judgement(outcome, affiliation, left, overrides, pairs)


def _overruled(
    judgement: Judgement, affirmed: Mapping[str, Override], known: Mapping[str, Document]
) -> Outcome:
    """The outcome with the overrides' keys, and with the links of those that affirm something; with
    no link where one says that the text names none."""
    outcome = replace(judgement.outcome, overrides=override.ids(judgement.overrides))
    if override.names_none(judgement.overrides):
        best = nearest(judgement.scored)
        return replace(outcome, links=(), reason=Reason.OVERRIDDEN, nearest=best)
    if not affirmed:
        return outcome
    links = curated(
        judgement.affiliation,
        affirmed,
        judgement.candidates,
        judgement.scored,
        {ror_id: known.get(ror_id) for ror_id in affirmed},
    )
    return replace(outcome, links=links, reason=None, nearest=None)


def _as_written(raw: str, judgement: Judgement) -> Judgement:
    return replace(judgement, outcome=replace(judgement.outcome, affiliation=raw))


def even(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """As few slices as `size` allows, all of about the same length: a short last slice would take a
    stage's whole turn for little."""
    slices = ceil(len(items) / size)
    return [
        items[len(items) * number // slices : len(items) * (number + 1) // slices]
        for number in range(slices)
    ]
