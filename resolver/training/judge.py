"""Fitting the judge, and the sieve before it, on labelled candidates.

On the strings that a reranker was trained on its scores are better than on any others. So the judge
is fitted on strings that the reranker did not see: those of held-out organisations (`pairs.split`),
those of the fold that was left out of the training (`pairs.fold`), and strings of other files.
Where the reranker is the mean of some that were each trained without one fold, the strings of each
fold are scored by the one that did not see it (`of_fold`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from resolver.errors import ModelError
from resolver.matching import statement
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Fate, Scored
from resolver.matching.evidence import NAMES, Features, Shortlist, evidence
from resolver.matching.judge import TreeJudge
from resolver.matching.matcher import Judgement, Matcher
from resolver.matching.policy import Operating, Policy
from resolver.matching.reading import Reading
from resolver.matching.recall import Recall
from resolver.matching.sieve import COLUMNS, Sieve, columns
from resolver.matching.statement import JudgedStatement
from resolver.registry.document import Document
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.reranker import Calibration
from resolver.reranker.odds import log_odds
from resolver.text.affiliation import Affiliation
from resolver.training import calibration
from resolver.training.augmentation import in_their_scripts
from resolver.training.pairs import Labelled, fold, split, verdict
from resolver.training.trees import fit_trees

IN_THEIR_SCRIPTS = 700
"""Made strings in scripts other than Latin, or as many as there are held-out organisations for:
hardly any gold string is in another script, so the judge would not learn what such names are
worth."""

BATCH = 64

ABSENT_SHARE = 0.2
"""Share of the strings with complete labels that are learnt from a second time as if the registry
lacked all organisations that they name. Few gold strings name one that it lacks, so the judge would
hardly see a near name without the right one beside it."""

ABSENT_WEIGHT = 0.15
"""Weight of such a second example beside the first. With the share it says how often the registry
lacks what a string names: 3 in 100. At 5 in 100 precision at the threshold 0.5 is half a point
higher on the development sets, and recall as much lower."""

PARTS = 5
"""Parts of the strings for cross-validation: each part is decided by a judge that was fitted on the
others."""

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
"""Thresholds at which precision and recall are measured."""

ROUNDS, SIEVE_ROUNDS = 700, 150


@dataclass(frozen=True, slots=True)
class Example:
    """A statement of a labelled string with the first stage's candidates, in its order.

    `item` is the whole string, `text` the statement (`resolver.text.statements`). `shortlist` are
    the positions of those that were reranked, in the same order, `logits` their scores. `verdicts`
    are 1 (named in the statement), 0 (surely not) or None (it cannot be known, and is left out).
    Where the labels of the string are complete, precision and recall are measured, but not on
    examples that are `absent`: the organisations that these name were taken out of the candidates.
    `by_fold` says that the reranker in use has seen the string, and one of its parts has scored it.
    """

    item: Labelled
    text: str
    candidates: Sequence[Candidate]
    shortlist: tuple[int, ...]
    logits: tuple[float, ...]
    verdicts: tuple[int | None, ...]
    absent: bool = False
    by_fold: bool = False

    def without_named(self) -> Example | None:
        """The example as it were if the registry lacked the organisations that the string names.

        Near names are left behind, and wrong. None where no candidate is left to be judged.
        """
        kept = [
            position
            for position, candidate in enumerate(self.candidates)
            if candidate.ror_id not in self.item.ror_ids
        ]
        moved = {position: number for number, position in enumerate(kept)}
        left = [n for n, position in enumerate(self.shortlist) if position in moved]
        if not left:
            return None
        return replace(
            self,
            item=replace(self.item, weight=self.item.weight * ABSENT_WEIGHT),
            candidates=[self.candidates[position] for position in kept],
            shortlist=tuple(moved[self.shortlist[n]] for n in left),
            logits=tuple(self.logits[n] for n in left),
            verdicts=tuple(self.verdicts[n] for n in left),
            absent=True,
        )

    def judged(self, probabilities: Sequence[float]) -> JudgedStatement:
        """The statement with the shortlist's probabilities."""
        scored = [
            Scored(self.candidates[position], logit, probability)
            for position, logit, probability in zip(
                self.shortlist, self.logits, probabilities, strict=True
            )
        ]
        return JudgedStatement(Affiliation.stored(self.text), self.candidates, scored)

    def features(self) -> Features:
        """The evidence of the shortlist."""
        reading = Reading(Affiliation.stored(self.text), self.candidates)
        return evidence(Shortlist(reading, self.shortlist), self.logits)


def unseen(
    labelled: Sequence[Labelled],
    organisations: Sequence[Organisation],
    *,
    left_out: int | None,
    folds: int,
    further: Sequence[Labelled],
    seed: int,
) -> list[Labelled]:
    """The strings that a reranker did not see, each once.

    Of the `labelled` ones, which it was trained on, those of held-out organisations and of the fold
    `left_out` of `folds` (None: of none); all `further` ones; and strings made in the scripts of
    held-out organisations.
    """
    _, held = split(labelled)
    of_one = [] if left_out is None else of_fold(labelled, left_out, folds)
    active = [o for o in organisations if o.status is OrganisationStatus.ACTIVE]
    made = in_their_scripts(active, count=IN_THEIR_SCRIPTS, seed=seed)
    every = [*held, *of_one, *further, *made]
    return list({item.affiliation: item for item in every}.values())


def of_fold(labelled: Sequence[Labelled], number: int, folds: int) -> list[Labelled]:
    """The strings of a fold, each once, but for those of held-out organisations: what a reranker
    that was trained on the other folds of `labelled` did not see."""
    rest, _ = split(labelled)
    of_one = [item for item in rest if fold(item.affiliation, folds) == number]
    return list({item.affiliation: item for item in of_one}.values())


def examples(
    matcher: Matcher,
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    *,
    by_fold: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Example]:
    """The shortlists that `matcher` makes, with verdicts; statements without candidates are left
    out. Those of a string follow each other. It has no forecaster: the reranker reads all of them.

    A share of the strings with complete labels (`ABSENT_SHARE`) has a second example of each
    statement, without the organisations that the string names.

    An organisation that a string of several statements names is right in the one where its logit is
    highest; in the others it cannot be known.

    The matcher's reranker must not have seen these strings, or their organisations. `by_fold`: it
    is not the one in use, but a part of it.
    """
    made = []
    for start in range(0, len(gold), BATCH):
        items = gold[start : start + BATCH]
        judgements = matcher.judgements([item.affiliation for item in items])
        for item, judgement in zip(items, judgements, strict=True):
            of_string = _of_string(item, judgement, organisations, by_fold=by_fold)
            made += of_string
            if absent(item):
                made += [e for e in (example.without_named() for example in of_string) if e]
        if progress:
            progress(min(start + BATCH, len(gold)))
    return made


def absent(item: Labelled) -> bool:
    """Whether a string is learnt from a second time without the organisations that it names: by a
    hash of the string, so always the same ones."""
    if not item.complete or not item.ror_ids:
        return False
    digest = hashlib.blake2b(item.affiliation.encode(), digest_size=8, person=b"absent").digest()
    return int.from_bytes(digest, "big") < ABSENT_SHARE * 2**64


def _of_string(
    item: Labelled,
    judgement: Judgement,
    organisations: Mapping[str, Organisation],
    *,
    by_fold: bool,
) -> list[Example]:
    reranked = [judged for judged in judgement.statements if judged.scored]
    logits = [{scored.ror_id: scored.logit for scored in judged.scored} for judged in reranked]
    shortlists = [
        [n for n, candidate in enumerate(judged.candidates) if candidate.ror_id in of_one]
        for judged, of_one in zip(reranked, logits, strict=True)
    ]
    scored = [
        [(judged.candidates[n].document, of_one[judged.candidates[n].ror_id]) for n in shortlist]
        for judged, of_one, shortlist in zip(reranked, logits, shortlists, strict=True)
    ]
    return [
        Example(
            item,
            judged.affiliation.text,
            judged.candidates,
            tuple(shortlist),
            tuple(logit for _, logit in of_one),
            tuple(verdicts),
            by_fold=by_fold,
        )
        for judged, shortlist, of_one, verdicts in zip(
            reranked, shortlists, scored, verdicts_of(item, scored, organisations), strict=True
        )
    ]


def verdicts_of(
    item: Labelled,
    statements: Sequence[Sequence[tuple[Document, float]]],
    organisations: Mapping[str, Organisation],
) -> list[list[int | None]]:
    """The verdicts on the candidates of each statement of a string, given with a score.

    An organisation that the string names is right in the statement where its score is highest; in
    the others it cannot be known.
    """
    best: dict[str, float] = {}
    for document, score in chain.from_iterable(statements):
        best[document.ror_id] = max(score, best.get(document.ror_id, score))

    def of_one(document: Document, score: float) -> int | None:
        right = verdict(item, document, organisations)
        return None if right == 1 and score < best[document.ror_id] else right

    return [[of_one(*scored) for scored in candidates] for candidates in statements]


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Candidates to fit on, a row each: the evidence `x` (rows, features), whether it is right `y`
    (rows,), the `weight` of its string (rows,), and that string's number `string` (rows,)."""

    x: Features
    y: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    string: npt.NDArray[np.int64]


def fit_sieve(
    recall: Recall,
    strings: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    *,
    depth: int,
    progress: Callable[[int], None] | None = None,
) -> Sieve:
    """The sieve, fitted on the first stage's `depth` candidates; it needs no reranker.

    `progress` is called with how many strings are done.

    Raises:
        ModelError: there are too few right or wrong candidates to fit on.
    """
    tables: list[tuple[Features, npt.NDArray[np.bool_], npt.NDArray[np.float64]]] = []
    for start in range(0, len(strings), BATCH):
        batch = strings[start : start + BATCH]
        stated = [
            [text for _, text in Affiliation.stored(item.affiliation).statements] for item in batch
        ]
        found = iter(recall.candidates(list(chain.from_iterable(stated)), depth=depth))
        for item, texts in zip(batch, stated, strict=True):
            lists = list(islice(found, len(texts)))
            fused = [[(c.document, c.fused) for c in candidates] for candidates in lists]
            verdicts = verdicts_of(item, fused, organisations)
            for text, candidates, rights in zip(texts, lists, verdicts, strict=True):
                known = np.array([right is not None for right in rights], np.bool_)
                if not known.any():
                    continue
                tables.append(
                    (
                        columns(Reading(text, candidates))[known],
                        np.array([right == 1 for right in rights], np.bool_)[known],
                        np.full(known.sum(), item.weight),
                    )
                )
        if progress:
            progress(min(start + BATCH, len(strings)))
    x = np.concatenate([x for x, _, _ in tables] or [np.empty((0, len(COLUMNS)))])
    y = np.concatenate([y for _, y, _ in tables] or [np.empty(0, np.bool_)])
    _require_enough(y, features=len(COLUMNS), what="sieve")
    weight = np.concatenate([weight for _, _, weight in tables])
    return Sieve(fit_trees(COLUMNS, x, y, weight=weight, rounds=SIEVE_ROUNDS))


def fit_judge(
    examples: Sequence[Example],
    features: Sequence[Features],
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[TreeJudge, Operating]:
    """The judge, with its precision and recall at each of the `THRESHOLDS`.

    `features` are the examples', in order. The operating points are cross-validated: each string is
    decided by a judge that was fitted on others. Where some examples are `by_fold`, the judge is
    calibrated on the others. `progress` is called with how many of the
    `PARTS` + 1 fits are done. The same arguments give the same trees.

    Raises:
        ModelError: there are too few right or wrong candidates to fit on.
    """
    strings = _strings(examples)
    table = _table(examples, features, strings)
    _require_enough(table.y, features=len(NAMES), what="judge")
    probabilities: list[npt.NDArray[np.float64]] = [np.empty(0)] * len(examples)
    for part in range(PARTS):
        left_out = table.string % PARTS == part
        judge = _fit(table.x[~left_out], table.y[~left_out], table.weight[~left_out])
        for number in np.flatnonzero(strings % PARTS == part).tolist():
            probabilities[number] = judge.probability(features[number])
        if progress:
            progress(part + 1)
    judge = _fit(table.x, table.y, table.weight)
    if progress:
        progress(PARTS + 1)
    if any(example.by_fold for example in examples):
        line = _calibration(examples, probabilities)
        judge = TreeJudge(judge.trees.calibrated(line.slope, line.intercept))
        probabilities = [
            np.array(line.probability(log_odds(row)), np.float64) for row in probabilities
        ]
    return judge, _operating(examples, probabilities)


def _calibration(
    examples: Sequence[Example], probabilities: Sequence[npt.NDArray[np.float64]]
) -> Calibration:
    """Slope and intercept of a judge that was fitted to the scores of the parts of a mean.

    The mean errs less than its parts, so that the judge trusts it too little. What it should be
    trusted is seen on real strings with complete labels that the mean itself has scored. There are
    the more of them the more organisations a string names, since one that is held out is enough:
    each counts by the share of an organisation.
    """
    rows = [
        (probability, right == 1, example.item.weight / max(1, len(example.item.ror_ids)))
        for example, row in zip(examples, probabilities, strict=True)
        if example.item.complete and not (example.by_fold or example.absent or example.item.certain)
        for probability, right in zip(row.tolist(), example.verdicts, strict=True)
        if right is not None
    ]
    if not rows:
        raise ModelError(
            "no string of a held-out organisation has complete labels",
            remedy="name the sources with complete labels by --complete",
        )
    probability, right, weight = (np.array(column) for column in zip(*rows, strict=True))
    return calibration.fit(log_odds(probability), right.astype(np.bool_), weight)


def _strings(examples: Sequence[Example]) -> npt.NDArray[np.int64]:
    """The number of each example's string, shape (examples,)."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(e.item.affiliation, len(numbers)) for e in examples], np.int64
    )


def _table(
    examples: Sequence[Example], features: Sequence[Features], strings: npt.NDArray[np.int64]
) -> TrainingTable:
    rows = [
        (row, right == 1, example.item.weight, string)
        for string, example, matrix in zip(strings.tolist(), examples, features, strict=True)
        for row, right in zip(matrix, example.verdicts, strict=True)
        if right is not None
    ]
    return TrainingTable(
        np.array([row for row, _, _, _ in rows]).reshape(len(rows), len(NAMES)),
        np.array([right for _, right, _, _ in rows], np.bool_),
        np.array([weight for _, _, weight, _ in rows], np.float64),
        np.array([string for _, _, _, string in rows], np.int64),
    )


def _require_enough(y: npt.NDArray[np.bool_], *, features: int, what: str) -> None:
    right = int(y.sum())
    if min(right, len(y) - right) < 10 * features:
        raise ModelError(
            f"{right} right and {len(y) - right} wrong candidates are too few for a {what}",
            remedy="give more labelled strings, of organisations in the registry at hand",
        )


def _fit(x: Features, y: npt.NDArray[np.bool_], weight: npt.NDArray[np.float64]) -> TreeJudge:
    return TreeJudge(fit_trees(NAMES, x, y, weight=weight, rounds=ROUNDS))


def _operating(
    examples: Sequence[Example], probabilities: Sequence[npt.NDArray[np.float64]]
) -> Operating:
    """Precision and recall at each of the `THRESHOLDS`, on the examples with complete labels."""
    points = []
    strings: dict[str, tuple[Labelled, list[JudgedStatement]]] = {}
    for example, row in zip(examples, probabilities, strict=True):
        if example.item.complete and not example.absent:
            _, statements = strings.setdefault(example.item.affiliation, (example.item, []))
            statements.append(example.judged(row.tolist()))
    wanted = sum(len(item.ror_ids) for item, _ in strings.values())
    for accept in THRESHOLDS:
        policy = Policy(accept_probability=accept)
        right = linked = 0
        for item, statements in strings.values():
            if all(s.probability < accept for judged in statements for s in judged.scored):
                continue
            links = {
                decision.ror_id
                for decision in statement.decisions(statements, policy)
                if decision.fate is Fate.LINKED
            } - item.maybe
            linked += len(links)
            right += len(links & item.ror_ids)
        if linked and wanted:
            points.append((accept, right / linked, right / wanted))
    return tuple(points)
