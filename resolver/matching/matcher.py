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
goes through three stages: `Matcher.shortlist`, `Matcher.rerank` and `Matcher.judged`. These
overlap: while one slice is reranked, candidates are searched for the next, and the one before is
judged. An affiliation is decided (`Matcher.decided`) as soon as all of its statements are judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from resolver.matching import lineage, override, statement
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Scored, curated, nearest
from resolver.matching.evidence import evidence
from resolver.matching.judge import Judge
from resolver.matching.meters import Meters, Stopwatch
from resolver.matching.outcome import Outcome, Reason
from resolver.matching.override import Override
from resolver.matching.pipeline import Pipeline
from resolver.matching.policy import Policy
from resolver.matching.reading import Reading
from resolver.matching.recall import Recall
from resolver.matching.sieve import Sieve
from resolver.matching.statement import JudgedStatement, Statements
from resolver.registry.document import Document
from resolver.reranker import Pair, Reranker
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
    text, `pairs` is how many pairs the reranker read for it. Where the affiliation was refused all
    of them are empty, and so is `affiliation`.
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
        """Those that the reranker read, best first by its score (`statement.scored`)."""
        return statement.scored(self.statements)


@dataclass(frozen=True, slots=True)
class Shortlisted:
    """A slice after the first stage: one entry a statement.

    `shortlists` are the positions, in the readings, of the candidates that are worth the reranker's
    time. `pairs` are what it is to score, each once.
    """

    readings: Sequence[Reading]
    shortlists: Sequence[Sequence[int]]
    pairs: Sequence[Pair]
    meters: Meters


@dataclass(frozen=True, slots=True)
class Reranked:
    """A slice after the reranker: `logits` has one for each candidate of each shortlist."""

    shortlisted: Shortlisted
    logits: Sequence[Sequence[float]]
    meters: Meters


@dataclass(frozen=True, slots=True)
class Matcher:
    """First stage, reranker, judge and policy in one.

    `recall_depth` organisations come from the first stage. Of them the `sieve` passes on those with
    a probability of at least `rerank_from`, at most `rerank_depth`; without a sieve the first
    `rerank_depth` are passed on. `slice_size` statements go through a stage together; a call of no
    more than that starts no thread.
    """

    recall: Recall
    reranker: Reranker
    judge: Judge
    policy: Policy = field(default_factory=Policy)
    sieve: Sieve | None = None
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

        What each kind of evidence added is worked out for all candidates with `explained`, else for
        those that could be linked."""
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
        with closing(self._reranked(list(stated.values()))) as slices:
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

    def _reranked(self, statements: Sequence[Affiliation]) -> Generator[Reranked, None, None]:
        """All statements in slices that were searched and reranked, in order."""
        slices = even(statements, self.slice_size)
        if len(slices) <= 1:
            yield from map(self.rerank, map(self.shortlist, slices))
            return
        with Pipeline() as pipeline:
            shortlisted = pipeline.stage("recall", self.shortlist, slices)
            yield from pipeline.stage("score", self.rerank, shortlisted)

    def shortlist(self, statements: Sequence[Affiliation]) -> Shortlisted:
        """The first stage of a slice: candidates, and which pairs the reranker must score."""
        watch = Stopwatch()
        candidates = self.recall.candidates(statements, depth=self.recall_depth)
        meters = Meters(recall=watch.lap())
        readings = list(map(Reading, statements, candidates))
        shortlists = self._shortlists(readings)
        pairs = dict.fromkeys(
            _pair(reading, position)
            for reading, shortlist in zip(readings, shortlists, strict=True)
            for position in shortlist
        )
        sieved = sum(map(len, candidates)) - sum(map(len, shortlists))
        meters += Meters(sieve=watch.lap(), pairs=len(pairs), sieved=sieved)
        return Shortlisted(readings, shortlists, list(pairs), meters)

    def _shortlists(self, readings: Sequence[Reading]) -> Sequence[Sequence[int]]:
        if self.sieve is None:
            return [range(min(self.rerank_depth, len(reading))) for reading in readings]
        return self.sieve.shortlists(readings, least=self.rerank_from, most=self.rerank_depth)

    def rerank(self, shortlisted: Shortlisted) -> Reranked:
        """The second stage of a slice: the reranker's logits."""
        watch = Stopwatch()
        pairs = shortlisted.pairs
        scores = self.reranker.score(pairs).tolist() if pairs else []
        logit = dict(zip(pairs, scores, strict=True))
        logits = [
            [logit[_pair(reading, position)] for position in shortlist]
            for reading, shortlist in zip(shortlisted.readings, shortlisted.shortlists, strict=True)
        ]
        meters = shortlisted.meters + Meters(score=watch.total())
        return Reranked(shortlisted, logits, meters)

    def judged(
        self, reranked: Reranked, policy: Policy, *, explained: bool
    ) -> list[JudgedStatement]:
        """The third stage of a slice: the statements with probabilities.

        What each kind of evidence added is worked out for the candidates that could be linked, or,
        with `explained`, for all of them.
        """
        readings, shortlists = reranked.shortlisted.readings, reranked.shortlisted.shortlists
        if not readings:
            return []
        features = np.concatenate(list(map(evidence, readings, shortlists, reranked.logits)))
        probabilities = self.judge.probability(features)
        shown = np.flatnonzero(explained | (probabilities >= policy.accept_probability))
        weighed = dict(zip(shown.tolist(), self.judge.weighed(features[shown]), strict=True))
        rows = enumerate(probabilities.tolist())
        judged = []
        for reading, shortlist, logits in zip(readings, shortlists, reranked.logits, strict=True):
            scored = [
                Scored(reading.candidates[position], logit, probability, weighed.get(row, ()))
                # The shortlist runs out first, and takes no row too many.
                for position, logit, (row, probability) in zip(
                    shortlist, logits, rows, strict=False
                )
            ]
            scored.sort(key=lambda s: (-s.score, s.ror_id))
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
    pairs = sum(len(judged.scored) for judged in statements)
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


def _pair(reading: Reading, position: int) -> Pair:
    return reading.affiliation.model_text, reading.documents[position].text


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
