"""Fitting the forecaster, on strings without labels: the reranker reads all of their shortlists,
and what it and the judge said of them is what the trees learn to foretell.

The trees of the second round learn from forecasts of the first as they are on new strings: each
half of the shortlists has those of trees that were fitted on the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resolver.errors import ModelError
from resolver.matching.evidence import KNOWN, NAMES, Features, Shortlist, evidence
from resolver.matching.forecaster import Forecaster, RoundTrees, most_needed
from resolver.matching.matcher import Matcher
from resolver.matching.reading import Numbers
from resolver.text.affiliation import Affiliation
from resolver.training.trees import fit_trees

BATCH = 64

ROUNDS, RATE = 200, 0.08
"""Trees of each kind, and their learning rate. With 250 trees of twice the leaves the reranker read
5 in 100 fewer pairs, and the file was half as large again."""

FITS = 8
"""How often trees are fitted: need and logit, for the first round on each half and on all, and for
the second."""


@dataclass(frozen=True, slots=True)
class ReadShortlist:
    """A shortlist that the reranker read, with its `logit` and the judge's `probability`, each of
    shape (candidates,)."""

    shortlist: Shortlist
    logit: Numbers
    probability: Numbers


def drawn(texts: Sequence[str], most: int | None, *, seed: int) -> Sequence[str]:
    """So many of the texts, drawn at random; all where there are no more."""
    if most is None or len(texts) <= most:
        return texts
    return random.Random(seed).sample(texts, most)  # noqa: S311


def read_shortlists(
    matcher: Matcher,
    texts: Sequence[str],
    *,
    progress: Callable[[int], None] | None = None,
) -> Iterator[ReadShortlist]:
    """The shortlists of all statements of the texts, each once; those without candidates are left
    out. `progress` is called with how many statements of `statements(texts)` are done."""
    matcher = replace(matcher, forecaster=None)
    stated = statements(texts)
    for start in range(0, len(stated), BATCH):
        reranked = matcher.rerank(matcher.shortlist(stated[start : start + BATCH]))
        scoring, shortlists = reranked.scoring, reranked.shortlisted.shortlists
        ends = np.cumsum(list(map(len, shortlists)))[:-1]
        logits, probabilities = np.split(scoring.score, ends), np.split(scoring.probability, ends)
        for read in map(ReadShortlist, shortlists, logits, probabilities):
            if len(read.shortlist):
                yield read
        if progress:
            progress(min(start + BATCH, len(stated)))


def statements(texts: Sequence[str]) -> list[Affiliation]:
    """The statements of texts that can be searched, each once."""
    affiliations = map(Affiliation.of, texts)
    stated = [s for a in affiliations if not a.refused for _, s in a.statements]
    return list({statement.text: statement for statement in stated}.values())


def fit_forecaster(
    read: Sequence[ReadShortlist], *, progress: Callable[[int], None] | None = None
) -> Forecaster:
    """The forecaster of the reranker and the judge that the shortlists were read with. `progress`
    is called with how many of the `FITS` are done. The same arguments give the same trees.

    Raises:
        ModelError: there are too few candidates to fit on.
    """
    fits = 0

    def fit(columns: tuple[str, ...], table: Features, need: Numbers, logit: Numbers) -> RoundTrees:
        nonlocal fits
        made = []
        for y, objective in ((need, "cross_entropy"), (logit, "regression")):
            made.append(
                fit_trees(columns, table, y, rounds=ROUNDS, objective=objective, learning_rate=RATE)
            )
            fits += 1
            if progress:
                progress(fits)
        return RoundTrees(*made)

    owner = np.repeat(np.arange(len(read)), [len(one.shortlist) for one in read])
    logit = np.concatenate([np.empty(0), *(one.logit for one in read)])
    need = np.concatenate([np.empty(0), *(one.probability for one in read)])
    known = np.concatenate([np.empty((0, len(KNOWN))), *(one.shortlist.known for one in read)])
    expected, needed = np.empty(len(owner)), np.empty(len(owner))
    if len(owner) < 20 * len(KNOWN):
        raise ModelError(
            f"{len(owner)} candidates are too few for a forecaster",
            remedy="give more strings, of organisations in the registry at hand",
        )
    for half in (0, 1):
        ours = owner % 2 == half
        trees = fit(KNOWN, known[~ours], need[~ours], logit[~ours])
        needed[ours], expected[ours] = trees.forecast(known[ours])
    first = fit(KNOWN, known, need, logit)
    reads = most_needed(needed, owner)
    seen = np.split(np.where(reads, logit, expected), np.cumsum(np.bincount(owner))[:-1])
    features = np.concatenate(
        [evidence(one.shortlist, logits) for one, logits in zip(read, seen, strict=True)]
    )
    return Forecaster(first, fit(NAMES, features[~reads], need[~reads], logit[~reads]))
