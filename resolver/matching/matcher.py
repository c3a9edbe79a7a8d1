"""Affiliations → outcomes: normalise, recall candidates, rerank, judge, decide, then put the links
at the level, and of the generation, that the policy asks for.

`Matcher.resolve` is the one way through, for the command line, the workers and the
evaluation alike. It depends on its parts and its arguments only, and keeps no state.

Overrides come as an argument, by normalised text. What a text *is* said to be are its links; they
are not put at another level. An organisation that it *is not* is left out before anything is
decided, so that a rival may have its words, and after the judge has weighed the others beside it.
Weighed as if the registry did not have it they win too easily: of 401 texts of the development sets
whose right links were denied 111 got wrong ones that way, and 3 this way; of 52 whose wrong links
were denied 43 had right ones, and 38, with 4 wrong ones more.

A call is cut into slices, and each slice goes through three stages: `Matcher.find`, `Matcher.rate`
and `Matcher.settle`. They overlap: while the reranker rates one slice, the next is searched for and
the one before is settled.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import ceil
from types import MappingProxyType

import numpy as np

from resolver.matching import lineage, override
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Scored, as_said, decide
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
from resolver.registry.document import Document
from resolver.reranker import Pair, Reranker
from resolver.text.affiliation import Affiliation

SLICE_SIZE = 64
"""Affiliations that go through a stage together."""

RERANK_FROM = 0.005
"""Probability from which a candidate is worth the reranker's time: see docs/benchmarks.md for what
others cost and lose."""

Text = str | Affiliation
"""What is resolved: a text as it came, or what was made of one before."""

Overrides = Mapping[str, Sequence[Override]]
"""Normalised text → what persons say of it and what holds."""

NO_OVERRIDES: Overrides = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome with what led to it.

    `candidates` is the first stage's list, without what the text is said not to be; `scored` is
    the part of it that the reranker judged. Both are best first by their own order, and empty when
    nothing was searched. `overrides` are what persons say of the text, `read` the pairs that the
    reranker read for it. `text` is the text that was searched, normalised; "" where none was.
    """

    outcome: Outcome
    candidates: Sequence[Candidate] = ()
    scored: Sequence[Scored] = ()
    overrides: Sequence[Override] = ()
    read: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A slice after the first stage: one entry a text.

    `shortlists` are the places, in the readings, of the candidates that are worth the reranker's
    time. `pairs` are what it is to score, each once.
    """

    readings: Sequence[Reading]
    shortlists: Sequence[Sequence[int]]
    pairs: Sequence[Pair]
    meters: Meters


@dataclass(frozen=True, slots=True)
class Rated:
    """A slice after the reranker: `logits` has one for each candidate of each shortlist."""

    found: Found
    logits: Sequence[Sequence[float]]
    meters: Meters


@dataclass(frozen=True, slots=True)
class Matcher:
    """First stage, reranker, judge and policy in one.

    `recall_depth` organisations come from the first stage. Of them the `sieve` passes on what is
    named with a probability of `rerank_from`, at most `rerank_depth`; without one the first
    `rerank_depth` go on. `slice_size` affiliations go through a stage together; a call that is no
    larger starts no thread.
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
        affiliations: Sequence[Text],
        policy: Policy | None = None,
        overrides: Overrides = NO_OVERRIDES,
    ) -> list[Outcome]:
        """One outcome an affiliation, in order; `policy` takes the place of the matcher's own.

        Any string is taken. One that is refused (empty, too long) takes no override. A failing
        part raises its `ResolverError`; it never shows as "no match".
        """
        return self.measured(affiliations, policy, overrides)[0]

    def measured(
        self,
        affiliations: Sequence[Text],
        policy: Policy | None = None,
        overrides: Overrides = NO_OVERRIDES,
    ) -> tuple[list[Outcome], Meters]:
        """Like `resolve`, with what it cost."""
        judgements, meters = self._judged(
            affiliations, policy or self.policy, overrides, explained=False
        )
        return [judgement.outcome for judgement in judgements], meters

    def judgements(
        self,
        affiliations: Sequence[Text],
        policy: Policy | None = None,
        overrides: Overrides = NO_OVERRIDES,
    ) -> list[Judgement]:
        """Like `resolve`, with candidates and scores."""
        return self._judged(affiliations, policy or self.policy, overrides, explained=True)[0]

    def _judged(
        self,
        affiliations: Sequence[Text],
        policy: Policy,
        overrides: Overrides,
        *,
        explained: bool,
    ) -> tuple[list[Judgement], Meters]:
        watch = Stopwatch()
        came = [Affiliation.of(one) if isinstance(one, str) else one for one in affiliations]
        # A text is in one slice only, and with it all pairs that it could be in.
        texts = list(dict.fromkeys(one.text for one in came if not one.refused))
        meters = Meters(normalise=watch.lap())
        judged: dict[str, Judgement] = {}
        with closing(self._rated(texts)) as slices:
            for rated in slices:
                watch.lap()
                settled = self.settle(rated, policy, overrides, explained=explained)
                judged.update(zip((r.text for r in rated.found.readings), settled, strict=True))
                meters += rated.meters + Meters(decide=watch.lap())
        judgements = [
            Judgement(Outcome(one.raw, reason=Reason(one.refused)))
            if one.refused
            else _as_written(one.raw, judged[one.text])
            for one in came
        ]
        each_alone = sum(judgement.read for judgement in judgements)
        return judgements, replace(
            meters,
            wall=watch.total(),
            pairs_avoided=each_alone - meters.pairs,
        )

    def _rated(self, texts: Sequence[str]) -> Generator[Rated, None, None]:
        """Every text in a slice that was searched and rated, in order."""
        slices = even(texts, self.slice_size)
        if len(slices) <= 1:
            yield from map(self.rate, map(self.find, slices))
            return
        with Pipeline() as pipeline:
            found = pipeline.stage("recall", self.find, slices)
            yield from pipeline.stage("score", self.rate, found)

    def find(self, texts: Sequence[str]) -> Found:
        """The first stage of a slice: candidates, and which pairs the reranker must score."""
        watch = Stopwatch()
        found = self.recall.candidates(texts, depth=self.recall_depth)
        meters = Meters(recall=watch.lap())
        readings = list(map(Reading, texts, found))
        shortlists = self._shortlists(readings)
        pairs = dict.fromkeys(
            _pair(reading, place)
            for reading, shortlist in zip(readings, shortlists, strict=True)
            for place in shortlist
        )
        sieved = sum(map(len, found)) - sum(map(len, shortlists))
        meters += Meters(sieve=watch.lap(), pairs=len(pairs), sieved=sieved)
        return Found(readings, shortlists, list(pairs), meters)

    def _shortlists(self, readings: Sequence[Reading]) -> Sequence[Sequence[int]]:
        if self.sieve is None:
            return [range(min(self.rerank_depth, len(reading.candidates))) for reading in readings]
        return self.sieve.shortlists(readings, least=self.rerank_from, most=self.rerank_depth)

    def rate(self, found: Found) -> Rated:
        """The second stage of a slice: the reranker's logits."""
        watch = Stopwatch()
        scores = self.reranker.score(found.pairs).tolist() if found.pairs else []
        logit = dict(zip(found.pairs, scores, strict=True))
        logits = [
            [logit[_pair(reading, place)] for place in shortlist]
            for reading, shortlist in zip(found.readings, found.shortlists, strict=True)
        ]
        meters = found.meters + Meters(score=watch.total())
        return Rated(found, logits, meters)

    def settle(
        self,
        rated: Rated,
        policy: Policy,
        overrides: Overrides = NO_OVERRIDES,
        *,
        explained: bool,
    ) -> list[Judgement]:
        """The third stage of a slice: a judgement for each text.

        What each kind of evidence added is worked out for the candidates that could be linked, or,
        with `explained`, for all of them.
        """
        readings, shortlists = rated.found.readings, rated.found.shortlists
        if not readings:
            return []
        table = np.concatenate(list(map(evidence, readings, shortlists, rated.logits)))
        probabilities = self.judge.probability(table)
        asked = np.flatnonzero(explained | (probabilities >= policy.accept_probability))
        weighed = dict(zip(asked.tolist(), self.judge.weighed(table[asked]), strict=True))
        rows = enumerate(probabilities.tolist())
        judged = []
        for reading, shortlist, logits in zip(readings, shortlists, rated.logits, strict=True):
            scored = [
                Scored(reading.candidates[place], logit, probability, weighed.get(row, ()))
                # The shortlist runs out first, and takes no row too many.
                for place, logit, (row, probability) in zip(shortlist, logits, rows, strict=False)
            ]
            scored.sort(key=lambda s: (-s.score, s.candidate.ror_id))
            judged.append(_judgement(reading, scored, policy, overrides.get(reading.text, ())))
        return self._overridden(self._placed(judged, policy))

    def _placed(self, judged: Sequence[Judgement], policy: Policy) -> list[Judgement]:
        """The same with the links as `resolver.matching.lineage` wants them."""
        known: dict[str, Document | None] = {
            scored.candidate.ror_id: scored.candidate.document
            for judgement in judged
            for scored in judgement.scored
        }
        links = [link for judgement in judged for link in judgement.outcome.links]
        while missing := lineage.needed(links, policy, known):
            found = self.recall.index.organisations(missing)
            known |= {ror_id: found.get(ror_id) for ror_id in missing}
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
        """The same with the links that persons made in the place of the matcher's."""
        if not any(judgement.overrides for judgement in judged):
            return list(judged)
        said = [override.said(judgement.overrides) for judgement in judged]
        missing = {
            one.ror_id
            for judgement, made in zip(judged, said, strict=True)
            for one in made
            if all(one.ror_id != candidate.ror_id for candidate in judgement.candidates)
        }
        known = self.recall.index.organisations(missing) if missing else {}
        return [
            replace(judgement, outcome=_overruled(judgement, made, known))
            for judgement, made in zip(judged, said, strict=True)
        ]


def _judgement(
    reading: Reading, scored: Sequence[Scored], policy: Policy, overrides: Sequence[Override]
) -> Judgement:
    """What is decided of the candidates, but for those that the text is not."""
    denied = override.denied(overrides)
    if not denied:
        outcome = decide(reading.text, scored, policy)
        return Judgement(outcome, reading.candidates, scored, overrides, len(scored), reading.text)
    left = [s for s in scored if s.candidate.ror_id not in denied]
    outcome = decide(reading.text, left, policy)
    if outcome.reason and decide(reading.text, scored, policy).links:
        outcome = replace(outcome, reason=Reason.OVERRIDDEN)
    candidates = [c for c in reading.candidates if c.ror_id not in denied]
    return Judgement(outcome, candidates, left, overrides, len(scored), reading.text)


def _overruled(
    judgement: Judgement, said: Sequence[Override], known: Mapping[str, Document]
) -> Outcome:
    outcome = replace(judgement.outcome, overrides=override.ids(judgement.overrides))
    if not said:
        return outcome
    missing = {one.ror_id: known.get(one.ror_id) for one in said}
    links = as_said(outcome.affiliation, said, judgement.candidates, judgement.scored, missing)
    return replace(outcome, links=links, reason=None)


def _pair(reading: Reading, place: int) -> Pair:
    return reading.text, reading.documents[place].text


def _as_written(raw: str, judgement: Judgement) -> Judgement:
    return replace(judgement, outcome=replace(judgement.outcome, affiliation=raw))


def even(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """As few slices as `size` allows, all of about one length: a last short one would be a stage's
    whole turn for little."""
    slices = ceil(len(texts) / size)
    return [
        texts[len(texts) * number // slices : len(texts) * (number + 1) // slices]
        for number in range(slices)
    ]
