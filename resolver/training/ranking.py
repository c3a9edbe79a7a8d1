"""How well a reranker orders the first stage's candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resolver.evaluation import metrics
from resolver.evaluation.metrics import Ranking
from resolver.registry.organisation import Organisation
from resolver.reranker import Pair, Reranker
from resolver.text.affiliation import Affiliation
from resolver.training.pairs import FirstStage, Labelled, verdict

BATCH = 256
"""Strings searched, or shortlists scored, between two reports of progress."""

DEPTH = 20
"""Candidates of a string that are judged, as in deployment (`Settings.rerank_depth`)."""


@dataclass(frozen=True, slots=True)
class LabelledShortlist:
    """A string's candidates in first-stage order, with a verdict for each.

    1: named in the string; 0: surely not; None: it cannot be known (`pairs.verdict`).
    """

    pairs: tuple[Pair, ...]
    verdicts: tuple[int | None, ...]


def shortlists(
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    first_stage: FirstStage,
    *,
    depth: int = DEPTH,
    progress: Callable[[int], None] | None = None,
) -> list[LabelledShortlist]:
    """The first stage's candidates for each string, in order; strings without any are left out.

    `progress` is called with how many strings are done.
    """
    lists = []
    for start in range(0, len(gold), BATCH):
        items = gold[start : start + BATCH]
        texts = [Affiliation.stored(item.affiliation) for item in items]
        found = first_stage.candidates(texts, depth=depth)
        lists += [
            LabelledShortlist(
                tuple((item.affiliation, c.document.text) for c in candidates),
                tuple(verdict(item, c.document, organisations) for c in candidates),
            )
            for item, candidates in zip(items, found, strict=True)
            if candidates
        ]
        if progress:
            progress(start + len(items))
    return lists


def scores(
    lists: Sequence[LabelledShortlist],
    reranker: Reranker,
    *,
    progress: Callable[[int], None] | None = None,
) -> list[npt.NDArray[np.float32]]:
    """The reranker's logits, one array a shortlist. `progress` is called with how many are done."""
    scored: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(lists), BATCH):
        batch = lists[start : start + BATCH]
        flat = reranker.score([pair for shortlist in batch for pair in shortlist.pairs])
        scored += np.split(flat, np.cumsum([len(shortlist.pairs) for shortlist in batch])[:-1])
        if progress:
            progress(len(scored))
    return scored


def ranking(
    lists: Iterable[LabelledShortlist], scored: Iterable[Sequence[float] | npt.NDArray[np.float32]]
) -> Ranking:
    """Measure an order: higher scores first, ties in the order of the shortlist.

    Only strings count that have a right candidate to find; one of unknown verdict is wrong.
    """
    orders = []
    for shortlist, values in zip(lists, scored, strict=True):
        right = np.array([verdict == 1 for verdict in shortlist.verdicts])
        if right.any():
            order = np.argsort(-np.asarray(values, np.float64), kind="stable")
            orders.append((right[order].tolist(), int(right.sum())))
    return metrics.ranking(orders)


def first_stage_order(lists: Iterable[LabelledShortlist]) -> list[Sequence[float]]:
    """Scores that keep the order of each shortlist."""
    return [[-float(i) for i in range(len(shortlist.pairs))] for shortlist in lists]


def judged(
    lists: Sequence[LabelledShortlist], scored: Sequence[npt.NDArray[np.float32]]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Logits and labels of all candidates whose verdict is known, for calibration."""
    known = [
        (value, known_verdict == 1)
        for shortlist, values in zip(lists, scored, strict=True)
        for value, known_verdict in zip(values.tolist(), shortlist.verdicts, strict=True)
        if known_verdict is not None
    ]
    return (
        np.array([value for value, _ in known], np.float32),
        np.array([right for _, right in known], np.bool_),
    )
