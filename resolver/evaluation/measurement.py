"""How well the matcher does on labelled affiliations.

`resolve_set` runs the matcher over one set and keeps what the measures need of each string;
`measure` makes an `Evaluation` of it. Where the strings have labels of two kinds, those that were
read and those that somebody asserted, the answers are measured against each. Sets are pooled by
joining their strings, so the overall figures are those of one large set, not a mean of the sets'
means.

An organisation that is a "maybe" of a string counts neither as right nor as wrong: it is taken out
of every list of the string before anything is measured, so those behind it move up.
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
from resolver.evaluation.stage import Stage
from resolver.matching import statement
from resolver.matching.decision import Fate
from resolver.matching.lineage import apply, needed
from resolver.matching.matcher import Judgement, Matcher
from resolver.matching.outcome import Link
from resolver.matching.policy import Policy
from resolver.registry.document import Document

RECALL_CUTS = (5, 20, 50, 100)
"""Depths at which the first stage is measured."""

TARGET_PRECISIONS = (0.95, 0.97, 0.98, 0.985, 0.99)
"""Precisions that callers ask for."""

CHUNK = 64
"""Affiliations resolved at once, as a worker would."""

CURVE_POINTS = 200
"""Largest number of points of a curve in an `Evaluation`: more than a plot can show."""

WARM_UP = 3
"""Strings resolved alone before times are taken: the first ones are slower, as they load things."""

POOLED = "all sets"
"""The name of all sets taken together."""

RANKED = (Stage.FIRST_STAGE, Stage.RERANKER, Stage.JUDGE, Stage.DECISION)
"""The stages whose order is measured."""

LOSING = (Stage.FIRST_STAGE, Stage.SIEVE, Stage.JUDGE, Stage.DECISION, Stage.LINEAGE)
"""The stages at which an organisation can be lost."""


@dataclass(frozen=True, slots=True)
class ResolvedString:
    """What the measures need of one string: ROR ids, best first.

    `recalled` has as many of the first stage as the largest of `RECALL_CUTS`; `orders` has the list
    of each stage of `RANKED`, that of the decision being the links. `probabilities` has those that
    the reranker and the judge gave; `by_threshold` says what other thresholds would link.
    `mistakes` are against the labels that were read.
    """

    gold: Gold
    recalled: tuple[str, ...]
    orders: Mapping[Stage, Sequence[str]]
    probabilities: Mapping[Stage, Sequence[tuple[str, float]]]
    by_threshold: tuple[LinksAtThreshold, ...]
    mistakes: tuple[Mistake, ...]

    @property
    def linked(self) -> Sequence[str]:
        return self.orders[Stage.DECISION]


@dataclass(frozen=True, slots=True)
class ResolvedSet:
    """The matcher's answers to a set. `seconds` is the wall time of resolving it in chunks;
    `latencies` are those of single strings, in seconds, from string to outcome."""

    name: str
    answers: Sequence[ResolvedString]
    seconds: float
    latencies: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and 95th percentile of `strings` that were resolved one at a time, milliseconds."""

    strings: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Figures:
    """How the answers to a set agree with its labels; shares are in [0, 1], None where the whole
    is 0.

    `recall_at` is the first stage's. `rankings` measures the order of each stage of `RANKED` on the
    strings with a label: the first stage's, the order by the reranker's score and by the judge's
    probability (both of the reranked candidates), and the order of the links. An organisation
    that is not in a list counts as not found. `reliability` compares probabilities with what
    turned out right, over all reranked candidates: the reranker's calibrated ones and the
    judge's. `best_f1` and `at_precision` (by target) are chosen from the whole curve, of which
    `curve` keeps `CURVE_POINTS`; None where no threshold reaches the target. `intervals` is empty
    without resamples.
    """

    agreement: Agreement
    recall_at: Mapping[int, float | None]
    rankings: Mapping[Stage, Ranking]
    reliability: Mapping[Stage, Reliability]
    best_f1: OperatingPoint | None
    at_precision: Mapping[float, OperatingPoint | None]
    curve: Sequence[OperatingPoint]
    intervals: Mapping[str, Interval | None]

    def as_dict(self) -> dict[str, object]:
        return {
            **asdict(self.agreement),
            "recall_at": {str(k): value for k, value in self.recall_at.items()},
            "rankings": {stage.value: asdict(rank) for stage, rank in self.rankings.items()},
            "reliability": {stage.value: asdict(its) for stage, its in self.reliability.items()},
            "best_f1": asdict(self.best_f1) if self.best_f1 else None,
            "at_precision": {
                f"{target:g}": asdict(point) if point else None
                for target, point in self.at_precision.items()
            },
            "curve": [asdict(point) for point in self.curve],
            "intervals": dict(self.intervals),
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of one set: `figures` against its labels and, where every string has asserted
    labels beside them, `asserted` against those. `mistakes` are against the former."""

    file: str
    figures: Figures
    asserted: Figures | None
    mistakes: Sequence[Mistake]
    seconds: float
    strings_per_second: float
    latency: Latency | None

    def as_dict(self) -> dict[str, object]:
        """The form that ``resolver evaluate --json`` prints: flat but for `asserted`."""
        kinds: dict[str, Counter[str]] = {}
        for mistake in self.mistakes:
            kinds.setdefault(mistake.kind.value, Counter())[mistake.side.value] += 1
        losses = self.losses()
        return {
            "file": self.file,
            **self.figures.as_dict(),
            "asserted": self.asserted.as_dict() if self.asserted else None,
            "mistakes": {kind: dict(sides) for kind, sides in sorted(kinds.items())},
            "lost_at": {
                stage.value: sum(n for (at, _), n in losses.items() if at is stage)
                for stage in LOSING
            },
            "lost_in_decision": {
                fate.value: losses[Stage.DECISION, fate]
                for fate in Fate
                if losses[Stage.DECISION, fate]
            },
            "seconds": round(self.seconds, 3),
            "strings_per_second": round(self.strings_per_second, 1),
            "latency": asdict(self.latency) if self.latency else None,
        }

    def losses(self) -> Counter[tuple[Stage, Fate | None]]:
        """How many organisations were missed at each stage and, in the decision, by which fate."""
        return Counter(
            (m.lost_at, m.fate if m.lost_at is Stage.DECISION else None)
            for m in self.mistakes
            if m.lost_at
        )


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
    answers: list[ResolvedString] = []
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
    searched = [judged.affiliation for j in judgements for judged in j.statements]
    lists = iter(matcher.recall.candidates(searched, depth=max(RECALL_CUTS)))
    return [
        tuple(
            candidate.ror_id
            for candidate in statement.candidates(
                [replace(judged, candidates=next(lists)) for judged in judgement.statements]
            )
        )
        for judgement in judgements
    ]


def _answers(
    matcher: Matcher, rows: Sequence[tuple[Gold, Judgement, tuple[str, ...]]]
) -> list[ResolvedString]:
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
    strange = set[str]().union(*(unknown(g, j.outcome) for g, j, _ in rows)) - set(known)
    if strange:
        look_up(strange)
    return [
        _answer(matcher, row, judgement, recalled, at, known)
        for (row, judgement, recalled), at in zip(rows, decided, strict=True)
    ]


def _decided(judgement: Judgement, policy: Policy) -> dict[float, tuple[Link, ...]]:
    """The links at each threshold that makes a difference, before level and succession."""
    return {
        threshold: statement.outcome(
            judgement.affiliation,
            judgement.statements,
            replace(policy, accept_probability=threshold),
        ).links
        for threshold in operating_point.thresholds(
            s.probability for judged in judgement.statements for s in judged.scored
        )
    }


def _answer(
    matcher: Matcher,
    row: Gold,
    judgement: Judgement,
    recalled: tuple[str, ...],
    decided: Mapping[float, Sequence[Link]],
    known: Mapping[str, Document | None],
) -> ResolvedString:
    scored, policy = judgement.scored, matcher.policy
    scores = statement.scores(scored)
    calibrated = matcher.reranker.calibration.probability(list(scores.values()))
    return ResolvedString(
        gold=row,
        recalled=recalled,
        orders={
            Stage.FIRST_STAGE: recalled[: matcher.rerank_depth],
            Stage.RERANKER: list(scores),
            Stage.JUDGE: [s.ror_id for s in sorted(scored, key=lambda s: -s.probability)],
            Stage.DECISION: [link.ror_id for link in judgement.outcome.links],
        },
        probabilities={
            Stage.RERANKER: list(zip(scores, map(float, calibrated), strict=True)),
            Stage.JUDGE: [(s.ror_id, s.probability) for s in scored],
        },
        by_threshold=operating_point.by_threshold(
            (threshold, [link.ror_id for link in apply(links, policy, known)])
            for threshold, links in decided.items()
        ),
        mistakes=tuple(
            mistakes(
                judgement.affiliation,
                row,
                judgement.outcome,
                judgement.statements,
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
    read = [answer.gold for answer in answers]
    asserted = [gold.as_asserted() for gold in read]
    complete = [gold for gold in asserted if gold is not None]
    return Evaluation(
        file=resolved.name,
        figures=figures(answers, read, resamples=resamples),
        asserted=figures(answers, complete, resamples=resamples)
        if complete and len(complete) == len(answers)
        else None,
        mistakes=[mistake for answer in answers for mistake in answer.mistakes],
        seconds=resolved.seconds,
        strings_per_second=len(answers) / resolved.seconds if resolved.seconds else 0.0,
        latency=_latency(resolved.latencies),
    )


def figures(
    answers: Sequence[ResolvedString], labels: Sequence[Gold], *, resamples: int = 0
) -> Figures:
    """The answers measured against `labels`, one for each of them and in their order."""
    rows = list(zip(answers, labels, strict=True))
    pairs = [(gold.counted(answer.linked), gold.ror_ids) for answer, gold in rows]
    points = operating_point.curve(
        (
            operating_point.by_threshold(
                (at.probability, gold.counted(at.ror_ids)) for at in answer.by_threshold
            ),
            gold.ror_ids,
        )
        for answer, gold in rows
    )
    return Figures(
        agreement=agreement(pairs),
        recall_at=recall_at(
            RECALL_CUTS, ((gold.counted(answer.recalled), gold.ror_ids) for answer, gold in rows)
        ),
        rankings={
            stage: metrics.ranking(
                (
                    [ror_id in gold.ror_ids for ror_id in gold.counted(answer.orders[stage])],
                    len(set(gold.ror_ids)),
                )
                for answer, gold in rows
                if gold.ror_ids
            )
            for stage in RANKED
        },
        reliability={
            stage: reliability(
                (probability, ror_id in gold.ror_ids)
                for answer, gold in rows
                for ror_id, probability in answer.probabilities[stage]
                if ror_id not in gold.maybe
            )
            for stage in (Stage.RERANKER, Stage.JUDGE)
        },
        best_f1=operating_point.best_f1(points),
        at_precision={t: operating_point.at_precision(points, t) for t in TARGET_PRECISIONS},
        curve=operating_point.thinned(points, CURVE_POINTS),
        intervals=intervals(pairs, resamples) if resamples else {},
    )


def _latency(seconds: Sequence[float]) -> Latency | None:
    if not seconds:
        return None
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return Latency(len(seconds), 1000 * float(p50), 1000 * float(p95))
