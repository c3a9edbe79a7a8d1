"""Fitting the judge, and the sieve before it, on labelled candidates.

On the strings that a reranker was trained on its scores are better than on any others. So the judge
is fitted on strings that the reranker in use did not see. Those of held-out organisations
(`pairs.split`) are few. More come from *folds*: rerankers trained like the one in use, each without
the strings of one fold, score that fold (`pairs.fold`). Their scores are brought to the scale of
the one in use by comparing how both score the held-out strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from resolver.errors import ModelError
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Fate, Scored, decisions
from resolver.matching.evidence import NAMES, Features, evidence
from resolver.matching.judge import TreeJudge
from resolver.matching.matcher import Matcher
from resolver.matching.policy import Operating, Policy
from resolver.matching.reading import Reading
from resolver.matching.recall import Recall
from resolver.matching.sieve import COLUMNS, Sieve, columns
from resolver.matching.trees import Trees
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.reranker import Calibration
from resolver.text.affiliation import Affiliation
from resolver.training.augmentation import Material, in_their_scripts, joint, read_material
from resolver.training.calibration import fit as fit_calibration
from resolver.training.pairs import Labelled, fold, split, verdict

IN_THEIR_SCRIPTS = 700
"""Made strings in scripts other than Latin, or as many as there are held-out organisations for:
hardly any gold string is in another script, so the judge would not learn what such names are
worth."""

JOINT, JOINT_WEIGHT = 1200, 2.0
"""Made strings that name several organisations, and the weight of each: of the gold strings 1 in
140 has more than one label."""

BATCH = 64

PARTS = 5
"""Parts of the strings for cross-validation: each part is decided by a judge that was fitted on the
others."""

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
"""Thresholds at which precision and recall are measured."""

UNKNOWN_WEIGHT = 0.5
"""Weight of a candidate that the text seems to name and the labels lack, where the labels should be
complete: half of them are parts or parents of the labelled organisation that were left out on
purpose, the others were overlooked. At full weight the judge no longer links the second and third
organisation of a string."""

TREES = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.06,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
}
"""LightGBM's parameters: small trees, each on half of the evidence. 7 to 31 leaves made no
difference beyond chance (log loss on a fifth of the training strings, 0.0228 to 0.0235; logistic
regression on the same evidence: 0.0275)."""

ROUNDS, SIEVE_ROUNDS = 350, 150
SEED = 42


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled string with the first stage's candidates, in its order.

    `shortlist` are the positions of those that were reranked, in the same order, `logits` their
    scores. `verdicts` are 1 (named in the string), 0 (surely not) or None (it cannot be known).
    Where the labels are `complete`, None counts as not named, with `UNKNOWN_WEIGHT`. `weight` is
    the string's.
    """

    item: Labelled
    candidates: Sequence[Candidate]
    shortlist: tuple[int, ...]
    logits: tuple[float, ...]
    verdicts: tuple[int | None, ...]
    complete: bool = True
    weight: float = 1.0

    def scored(self, probabilities: Sequence[float]) -> list[Scored]:
        """The shortlist, with probabilities."""
        return [
            Scored(self.candidates[position], logit, probability)
            for position, logit, probability in zip(
                self.shortlist, self.logits, probabilities, strict=True
            )
        ]

    def features(self, scale: Callable[[float], float] = float) -> Features:
        """The evidence, with the logits brought to another `scale`."""
        return evidence(
            Reading(Affiliation.stored(self.item.affiliation), self.candidates),
            self.shortlist,
            [scale(logit) for logit in self.logits],
        )


@dataclass(frozen=True, slots=True)
class Strings:
    """What the judge is fitted on: `held_out` strings and made ones in their organisations' own
    scripts (`native`), which no reranker saw, the gold strings of each of the `folds`, and made
    ones that name several organisations (`joint`, `augmentation.joint`)."""

    held_out: tuple[Labelled, ...]
    native: tuple[Labelled, ...]
    folds: tuple[tuple[Labelled, ...], ...]
    joint: tuple[Labelled, ...]

    @classmethod
    def of(
        cls,
        labelled: Sequence[Labelled],
        organisations: Sequence[Organisation],
        *,
        folds: int,
        material: Path | None,
        seed: int,
    ) -> Self:
        """Raises GoldError: a line of the material cannot be read."""
        rest, held = split(labelled)
        active = [o for o in organisations if o.status is OrganisationStatus.ACTIVE]
        parts = read_material(material) if material else Material((), (), ())
        # Without folds the reranker in use scores them, so it must not know the organisations.
        made = joint(active, parts, count=JOINT, seed=seed, of_held_out=not folds)
        return cls(
            held_out=tuple(held),
            native=tuple(in_their_scripts(active, count=IN_THEIR_SCRIPTS, seed=seed)),
            folds=tuple(
                tuple(item for item in rest if fold(item.affiliation, folds) == number)
                for number in range(folds)
            ),
            joint=tuple(made),
        )

    def weighted(self) -> list[tuple[Labelled, float]]:
        """Each string once, with its weight."""
        gold = [*self.held_out, *self.native, *(item for part in self.folds for item in part)]
        return [(item, 1.0) for item in gold] + [(item, JOINT_WEIGHT) for item in self.joint]

    def __len__(self) -> int:
        """How many shortlists are made: each fold's reranker also scores the held-out strings."""
        several = len(self.held_out) * (1 + len(self.folds))
        return several + len(self.native) + len(self.joint) + sum(map(len, self.folds))


def gather(
    matcher: Matcher,
    fold_matchers: Sequence[Matcher],
    strings: Strings,
    organisations: Sequence[Organisation],
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Example], list[Features]]:
    """All examples with their evidence, in a fixed order.

    `fold_matchers` have the rerankers of `strings.folds`, one each. `progress` is called with how
    many shortlists are done.
    """
    by_id = {organisation.ror_id: organisation for organisation in organisations}
    done = 0

    def made(by: Matcher, gold: Sequence[Labelled], weight: float = 1.0) -> list[Example]:
        nonlocal done
        before = done
        group = examples(
            by,
            gold,
            by_id,
            weight=weight,
            progress=(lambda count: progress(before + count)) if progress else None,
        )
        done += len(gold)
        return group

    held = made(matcher, strings.held_out)
    groups: list[tuple[list[Example], Callable[[float], float]]] = [
        (held, float),
        (made(matcher, strings.native), float),
    ]
    if not fold_matchers:
        groups.append((made(matcher, strings.joint, JOINT_WEIGHT), float))
    ours = calibration_of(held)
    for number, theirs in enumerate(fold_matchers):
        scale = rescaled(calibration_of(made(theirs, strings.held_out)), ours)
        groups.append((made(theirs, strings.folds[number]), scale))
        joint_of_fold = strings.joint[number :: len(fold_matchers)]
        groups.append((made(theirs, joint_of_fold, JOINT_WEIGHT), scale))
    return (
        [example for group, _ in groups for example in group],
        [example.features(scale) for group, scale in groups for example in group],
    )


def examples(
    matcher: Matcher,
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    *,
    weight: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> list[Example]:
    """The shortlists that `matcher` makes, with verdicts; strings without candidates are left out.

    The matcher's reranker must not have seen these strings, or their organisations.
    """
    made = []
    for start in range(0, len(gold), BATCH):
        items = gold[start : start + BATCH]
        judgements = matcher.judgements([item.affiliation for item in items])
        for item, judgement in zip(items, judgements, strict=True):
            logits = {scored.ror_id: scored.score for scored in judgement.scored}
            if logits:
                shortlist = tuple(
                    position
                    for position, candidate in enumerate(judgement.candidates)
                    if candidate.ror_id in logits
                )
                reranked = [judgement.candidates[position] for position in shortlist]
                made.append(
                    Example(
                        item,
                        judgement.candidates,
                        shortlist,
                        tuple(logits[candidate.ror_id] for candidate in reranked),
                        tuple(verdict(item, c.document, organisations) for c in reranked),
                        complete=_complete(item),
                        weight=weight,
                    )
                )
        if progress:
            progress(min(start + BATCH, len(gold)))
    return made


def _complete(item: Labelled) -> bool:
    return item.complete and not item.certain


def calibration_of(group: Sequence[Example]) -> Calibration:
    """Platt's calibration of the logits whose verdict is known."""
    known = [
        (logit, right)
        for example in group
        for logit, right in zip(example.logits, example.verdicts, strict=True)
        if right is not None
    ]
    return fit_calibration(
        np.array([score for score, _ in known], np.float32),
        np.array([right == 1 for _, right in known], np.bool_),
    )


def rescaled(theirs: Calibration, ours: Calibration) -> Callable[[float], float]:
    """The logit of one reranker → the logit of another that is as probable, by their calibrations
    on the same strings."""
    slope = theirs.slope / ours.slope
    shift = (theirs.intercept - ours.intercept) / ours.slope
    return lambda logit: slope * logit + shift


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Candidates to fit on, a row each: the evidence `x` (rows, features), whether it is right `y`
    (rows,), its `weight` (rows,), and the number of its `example` (rows,)."""

    x: Features
    y: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    example: npt.NDArray[np.int64]


def fit_sieve(
    recall: Recall,
    strings: Strings,
    organisations: Sequence[Organisation],
    *,
    depth: int,
    progress: Callable[[int], None] | None = None,
) -> Sieve:
    """The sieve, fitted on the first stage's `depth` candidates; it needs no reranker.

    `progress` is called with how many strings are done.

    Raises:
        ModelError: there are too few right or wrong candidates to fit on.
    """
    by_id = {organisation.ror_id: organisation for organisation in organisations}
    weighted = strings.weighted()
    tables: list[tuple[Features, npt.NDArray[np.bool_], npt.NDArray[np.float64]]] = []
    for start in range(0, len(weighted), BATCH):
        batch = weighted[start : start + BATCH]
        texts = [Affiliation.stored(item.affiliation) for item, _ in batch]
        for (item, weight), text, candidates in zip(
            batch, texts, recall.candidates(texts, depth=depth), strict=True
        ):
            rights = [verdict(item, candidate.document, by_id) for candidate in candidates]
            counts = np.array([right is not None or _complete(item) for right in rights], np.bool_)
            if not counts.any():
                continue
            known = np.array([right is not None for right in rights], np.bool_)
            tables.append(
                (
                    columns(Reading(text, candidates))[counts],
                    np.array([right == 1 for right in rights], np.bool_)[counts],
                    (weight * np.where(known, 1.0, UNKNOWN_WEIGHT))[counts],
                )
            )
        if progress:
            progress(min(start + BATCH, len(weighted)))
    x = np.concatenate([x for x, _, _ in tables] or [np.empty((0, len(COLUMNS)))])
    y = np.concatenate([y for _, y, _ in tables] or [np.empty(0, np.bool_)])
    _require_enough(y, features=len(COLUMNS), what="sieve")
    weights = np.concatenate([weight for _, _, weight in tables])
    return Sieve(_trees(COLUMNS, x, y, weights, rounds=SIEVE_ROUNDS))


def fit_judge(
    examples: Sequence[Example],
    features: Sequence[Features],
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[TreeJudge, Operating]:
    """The judge, with its precision and recall at each of the `THRESHOLDS`.

    `features` are the examples', in order. The operating points are cross-validated: each string is
    decided by a judge that was fitted on others. `progress` is called with how many of the
    `PARTS` + 1 fits are done. The same arguments give the same trees.

    Raises:
        ModelError: there are too few right or wrong candidates to fit on.
    """
    table = _table(examples, features)
    _require_enough(table.y, features=len(NAMES), what="judge")
    probabilities: list[npt.NDArray[np.float64]] = [np.empty(0)] * len(examples)
    for part in range(PARTS):
        left_out = table.example % PARTS == part
        judge = _fit(table.x[~left_out], table.y[~left_out], table.weight[~left_out])
        for number in range(part, len(examples), PARTS):
            probabilities[number] = judge.probability(features[number])
        if progress:
            progress(part + 1)
    judge = _fit(table.x, table.y, table.weight)
    if progress:
        progress(PARTS + 1)
    return judge, _operating(examples, probabilities)


def _table(examples: Sequence[Example], features: Sequence[Features]) -> TrainingTable:
    rows = [
        (row, right == 1, example.weight * (UNKNOWN_WEIGHT if right is None else 1.0), number)
        for number, (example, matrix) in enumerate(zip(examples, features, strict=True))
        for row, right in zip(matrix, example.verdicts, strict=True)
        if right is not None or example.complete
    ]
    return TrainingTable(
        np.array([row for row, _, _, _ in rows]).reshape(len(rows), len(NAMES)),
        np.array([right for _, right, _, _ in rows], np.bool_),
        np.array([weight for _, _, weight, _ in rows], np.float64),
        np.array([number for _, _, _, number in rows], np.int64),
    )


def _require_enough(y: npt.NDArray[np.bool_], *, features: int, what: str) -> None:
    right = int(y.sum())
    if min(right, len(y) - right) < 10 * features:
        raise ModelError(
            f"{right} right and {len(y) - right} wrong candidates are too few for a {what}",
            remedy="give more labelled strings, of organisations in the registry at hand",
        )


def _fit(x: Features, y: npt.NDArray[np.bool_], weight: npt.NDArray[np.float64]) -> TreeJudge:
    return TreeJudge(_trees(NAMES, x, y, weight, rounds=ROUNDS))


def _trees(
    names: tuple[str, ...],
    x: Features,
    y: npt.NDArray[np.bool_],
    weight: npt.NDArray[np.float64],
    *,
    rounds: int,
) -> Trees:
    import lightgbm

    trained = lightgbm.train(
        {**TREES, "seed": SEED, "deterministic": True, "num_threads": 1, "verbosity": -1},
        lightgbm.Dataset(x, y, weight=weight, free_raw_data=True),
        rounds,
    )
    return trees_of(trained.dump_model(), names)


def trees_of(dumped: Mapping[str, Any], names: tuple[str, ...]) -> Trees:
    """The trees of a dumped LightGBM model that was fitted to the columns `names`; parents come
    before their children."""
    roots: list[int] = []
    columns: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value")
    }

    def add(node: Mapping[str, Any]) -> int:
        number = len(columns["value"])
        inner = "split_feature" in node
        columns["feature"].append(node["split_feature"] if inner else -1)
        columns["threshold"].append(node["threshold"] if inner else 0.0)
        columns["value"].append(node["internal_value"] if inner else node["leaf_value"])
        columns["left"].append(-1)
        columns["right"].append(-1)
        if inner:
            columns["left"][number] = add(node["left_child"])
            columns["right"][number] = add(node["right_child"])
        return number

    for tree in dumped["tree_info"]:
        roots.append(add(tree["tree_structure"]))
    return Trees(
        names,
        np.array(roots, np.int64),
        np.array(columns["feature"], np.int64),
        np.array(columns["threshold"], np.float64),
        np.array(columns["left"], np.int64),
        np.array(columns["right"], np.int64),
        np.array(columns["value"], np.float64),
    )


def _operating(
    examples: Sequence[Example], probabilities: Sequence[npt.NDArray[np.float64]]
) -> Operating:
    """Precision and recall at each of the `THRESHOLDS`, on the examples with complete labels."""
    points = []
    decided = [
        (example, Affiliation.stored(example.item.affiliation), example.scored(row.tolist()))
        for example, row in zip(examples, probabilities, strict=True)
        if example.complete
    ]
    wanted = sum(len(example.item.ror_ids) for example, _, _ in decided)
    for accept in THRESHOLDS:
        policy = Policy(accept_probability=accept)
        right = linked = 0
        for example, affiliation, scored in decided:
            if all(s.probability < accept for s in scored):
                continue
            links = {
                decision.ror_id
                for decision in decisions(affiliation, scored, policy)
                if decision.fate is Fate.LINKED
            }
            linked += len(links)
            right += len(links & example.item.ror_ids)
        if linked and wanted:
            points.append((accept, right / linked, right / wanted))
    return tuple(points)
