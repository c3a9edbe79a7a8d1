"""How well the matcher does on labelled affiliations.

`resolve_set` runs the matcher over one set and keeps what the measures need of each string;
`measure` makes an `Evaluation` of it. Sets are pooled by joining their strings, so the overall
figures are those of one large set, not a mean of the sets' means.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from resolver.evaluation import metrics, operating_point
from resolver.evaluation.bootstrap import Interval, intervals
from resolver.evaluation.gold import Gold
from resolver.evaluation.metrics import (
    Agreement,
    Ranking,
    Reliability,
    agreement,
    recall_at,
    reliability,
)
from resolver.evaluation.mistake import Mistake, mistakes, unknown
from resolver.evaluation.operating_point import LinksAtThreshold, OperatingPoint
from resolver.matching.decision import decide
from resolver.matching.lineage import apply, needed
from resolver.matching.matcher import Judgement, Matcher
from resolver.matching.outcome import Link
from resolver.matching.policy import Policy
from resolver.registry.document import Document

RECALL_CUTS = (5, 20, 50, 100)
"""Depths at which the first stage is measured."""

TARGET_PRECISIONS = (0.90, 0.95, 0.97, 0.99)
"""Precisions that callers ask for."""

CHUNK = 64
"""Affiliations resolved at once, as a worker would."""

CURVE_POINTS = 200
"""Largest number of points of a curve in an `Evaluation`: more than a plot can show."""

WARM_UP = 3
"""Strings resolved alone before times are taken: the first ones are slower, as they load things."""

POOLED = "all sets"
"""The name of all sets taken together."""

FIRST_STAGE, RERANKER, JUDGE, DECISION = STAGES = ("first stage", "reranker", "judge", "decision")


@dataclass(frozen=True, slots=True)
class MeasuredString:
    """What the measures need of one string.

    `recalled` has the ROR ids of the first stage, `linked` those of the decision, best first.
    `orders` says for each stage which entries of its list are right; `claims` has for each stage
    the probabilities that it gave, each with whether the candidate is right; `by_threshold` says
    what other thresholds would link.
    """

    gold: tuple[str, ...]
    recalled: tuple[str, ...]
    linked: tuple[str, ...]
    orders: Mapping[str, Sequence[bool]]
    claims: Mapping[str, Sequence[tuple[float, bool]]]
    by_threshold: tuple[LinksAtThreshold, ...]
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True)
class ResolvedSet:
    """The matcher's answers to a set. `seconds` is the wall time of resolving it in chunks;
    `latencies` are those of single strings, in seconds, from string to outcome."""

    name: str
    answers: Sequence[MeasuredString]
    seconds: float
    latencies: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and 95th percentile of `strings` that were resolved one at a time, milliseconds."""

    strings: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one set; shares are in [0, 1], None where the whole is 0.

    `recall_at` is the first stage's. `rankings` measures the order of each stage on the strings
    with a label: the first stage's, the order by the reranker's score and by the judge's
    probability (both of the reranked candidates), and the order of the links. An organisation
    that is not in a list counts as not found. `reliability` compares probabilities with what
    turned out right, over all reranked candidates: the reranker's calibrated ones and the
    judge's. `best_f1` and `at_precision` (by target) are chosen from the whole curve, of which
    `curve` keeps `CURVE_POINTS`; None where no threshold reaches the target. `intervals` is empty
    without resamples.
    """

    file: str
    agreement: Agreement
    recall_at: dict[int, float | None]
    rankings: dict[str, Ranking]
    reliability: dict[str, Reliability]
    seconds: float
    strings_per_second: float
    latency: Latency | None = None
    best_f1: OperatingPoint | None = None
    at_precision: Mapping[float, OperatingPoint | None] | None = None
    curve: Sequence[OperatingPoint] = ()
    intervals: Mapping[str, Interval | None] | None = None
    mistakes: Sequence[Mistake] = ()

    def as_dict(self) -> dict[str, object]:
        """The flat form that ``resolver evaluate --json`` prints."""
        kinds: dict[str, Counter[str]] = {}
        for mistake in self.mistakes:
            kinds.setdefault(mistake.kind.value, Counter())[mistake.side.value] += 1
        return {
            "file": self.file,
            **asdict(self.agreement),
            "recall_at": {str(k): value for k, value in self.recall_at.items()},
            "rankings": {stage: asdict(ranking) for stage, ranking in self.rankings.items()},
            "reliability": {stage: asdict(claims) for stage, claims in self.reliability.items()},
            "best_f1": asdict(self.best_f1) if self.best_f1 else None,
            "at_precision": {
                f"{target:.2f}": asdict(point) if point else None
                for target, point in (self.at_precision or {}).items()
            },
            "curve": [asdict(point) for point in self.curve],
            "intervals": dict(self.intervals or {}),
            "mistakes": {kind: dict(sides) for kind, sides in sorted(kinds.items())},
            "seconds": round(self.seconds, 3),
            "strings_per_second": round(self.strings_per_second, 1),
            "latency": asdict(self.latency) if self.latency else None,
        }


def resolve_set(
    matcher: Matcher,
    name: str,
    gold: Sequence[Gold],
    *,
    latency: int = 0,
    progress: Callable[[int], None] | None = None,
) -> ResolvedSet:
    """Resolve every affiliation in chunks, and then `latency` of them one at a time.

    The first stage is asked a second time, not timed, for as many candidates as the largest of
    `RECALL_CUTS`. `progress` is called with the number of strings done, of
    `work(gold, latency)`.
    """
    answers: list[MeasuredString] = []
    searched: list[str] = []
    seconds = 0.0
    for start in range(0, len(gold), CHUNK):
        chunk = gold[start : start + CHUNK]
        started = time.perf_counter()
        judgements = matcher.judgements([row.affiliation for row in chunk])
        seconds += time.perf_counter() - started
        recalled = _recalled(matcher, judgements)
        answers += _answers(matcher, list(zip(chunk, judgements, recalled, strict=True)))
        searched += [
            row.affiliation
            for row, judgement in zip(chunk, judgements, strict=True)
            if judgement.candidates
        ]
        if progress:
            progress(len(answers))
    latencies = []
    for seconds_alone in _alone(matcher, searched, latency):
        latencies.append(seconds_alone)
        if progress:
            progress(len(answers) + len(latencies))
    return ResolvedSet(name, answers, seconds, latencies)


def work(gold: Sequence[Gold], latency: int) -> int:
    """Number of strings that `resolve_set` resolves, refused ones included."""
    return len(gold) + min(latency, len(gold))


def _recalled(matcher: Matcher, judgements: Sequence[Judgement]) -> list[tuple[str, ...]]:
    """ROR ids of the first stage, best first; none where nothing was searched."""
    searched = [judgement.affiliation for judgement in judgements if judgement.candidates]
    lists = iter(matcher.recall.candidates(searched, depth=max(RECALL_CUTS)))
    return [
        tuple(candidate.ror_id for candidate in next(lists)) if judgement.candidates else ()
        for judgement in judgements
    ]


def _answers(
    matcher: Matcher, rows: Sequence[tuple[Gold, Judgement, tuple[str, ...]]]
) -> list[MeasuredString]:
    """The answers of a chunk; looks up the organisations that the policy and the mistakes need."""
    policy = matcher.policy
    decided = [_decided(judgement, policy) for _, judgement, _ in rows]
    known: dict[str, Document | None] = {
        candidate.ror_id: candidate.document
        for _, judgement, _ in rows
        for candidate in judgement.candidates
    }

    def look_up(ror_ids: set[str]) -> None:
        documents = matcher.recall.index.organisations(ror_ids)
        known.update((ror_id, documents.get(ror_id)) for ror_id in ror_ids)

    links = [link for at in decided for at_threshold in at.values() for link in at_threshold]
    while missing := needed(links, policy, known):
        look_up(missing)
    strange = set[str]().union(*(unknown(g.ror_ids, j.outcome) for g, j, _ in rows)) - set(known)
    if strange:
        look_up(strange)
    return [
        _answer(matcher, row, judgement, recalled, at, known)
        for (row, judgement, recalled), at in zip(rows, decided, strict=True)
    ]


def _decided(judgement: Judgement, policy: Policy) -> dict[float, tuple[Link, ...]]:
    """The links at each threshold that makes a difference, before level and succession."""
    return {
        threshold: decide(
            judgement.affiliation, judgement.scored, replace(policy, accept_probability=threshold)
        ).links
        for threshold in operating_point.thresholds(c.probability for c in judgement.scored)
    }


def _answer(
    matcher: Matcher,
    row: Gold,
    judgement: Judgement,
    recalled: tuple[str, ...],
    decided: Mapping[float, Sequence[Link]],
    known: Mapping[str, Document | None],
) -> MeasuredString:
    scored, policy = judgement.scored, matcher.policy
    linked = tuple(link.ror_id for link in judgement.outcome.links)
    by_score = [candidate.ror_id for candidate in scored]
    by_judge = [s.candidate.ror_id for s in sorted(scored, key=lambda s: -s.probability)]
    lists = (recalled[: matcher.rerank_depth], by_score, by_judge, linked)
    labels = set(row.ror_ids)
    right = [ror_id in labels for ror_id in by_score]
    calibrated = matcher.reranker.calibration.probability([candidate.score for candidate in scored])
    return MeasuredString(
        gold=row.ror_ids,
        recalled=recalled,
        linked=linked,
        orders={
            stage: [ror_id in labels for ror_id in ids]
            for stage, ids in zip(STAGES, lists, strict=True)
        },
        claims={
            RERANKER: list(zip(map(float, calibrated), right, strict=True)),
            JUDGE: list(zip((candidate.probability for candidate in scored), right, strict=True)),
        },
        by_threshold=operating_point.by_threshold(
            (threshold, [link.ror_id for link in apply(links, policy, known)])
            for threshold, links in decided.items()
        ),
        mistakes=tuple(
            mistakes(
                judgement.affiliation,
                row.ror_ids,
                judgement.outcome,
                judgement.candidates,
                scored,
                policy=policy,
                known=known,
            )
        ),
    )


def _alone(matcher: Matcher, texts: Sequence[str], count: int) -> Iterator[float]:
    """Seconds for each of `count` texts, evenly taken from all; fewer where there are fewer."""
    if not count or not texts:
        return
    for text in texts[:WARM_UP]:
        matcher.resolve([text])
    count = min(count, len(texts))
    for place in range(count):
        text = texts[place * len(texts) // count]
        started = time.perf_counter()
        matcher.resolve([text])
        yield time.perf_counter() - started


def pooled(sets: Sequence[ResolvedSet]) -> ResolvedSet:
    """All sets as one."""
    return ResolvedSet(
        POOLED,
        [answer for resolved in sets for answer in resolved.answers],
        sum(resolved.seconds for resolved in sets),
        [seconds for resolved in sets for seconds in resolved.latencies],
    )


def measure(resolved: ResolvedSet, *, resamples: int = 0) -> Evaluation:
    """The figures of a set, with intervals from so many resamples of its strings."""
    answers = resolved.answers
    pairs = [(answer.linked, answer.gold) for answer in answers]
    labelled = [answer for answer in answers if answer.gold]
    points = operating_point.curve((answer.by_threshold, answer.gold) for answer in answers)
    return Evaluation(
        file=resolved.name,
        agreement=agreement(pairs),
        recall_at=recall_at(RECALL_CUTS, ((answer.recalled, answer.gold) for answer in answers)),
        rankings={
            stage: metrics.ranking((a.orders[stage], len(a.gold)) for a in labelled)
            for stage in STAGES
        },
        reliability={
            stage: reliability(claim for answer in answers for claim in answer.claims[stage])
            for stage in (RERANKER, JUDGE)
        },
        seconds=resolved.seconds,
        strings_per_second=len(answers) / resolved.seconds if resolved.seconds else 0.0,
        latency=_latency(resolved.latencies),
        best_f1=operating_point.best_f1(points),
        at_precision={t: operating_point.at_precision(points, t) for t in TARGET_PRECISIONS},
        curve=operating_point.thinned(points, CURVE_POINTS),
        intervals=intervals(pairs, resamples) if resamples else {},
        mistakes=[mistake for answer in answers for mistake in answer.mistakes],
    )


def _latency(seconds: Sequence[float]) -> Latency | None:
    if not seconds:
        return None
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return Latency(len(seconds), 1000 * float(p50), 1000 * float(p95))
