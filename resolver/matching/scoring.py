"""Which pairs of a slice the reranker reads, and what the judge makes of the shortlists.

Without a forecaster the reranker reads all of them. With one (`resolver.matching.forecaster`) it
reads in two rounds: first the candidate of each shortlist that the judge will most likely care
about, and others with much need; then those that need it given these scores. The judge goes by the
forecasts of the rest.

Hardly an answer hangs on a forecast. Where the judge finds a candidate about as probable as one
that is linked must be, the whole shortlist is read; and a candidate that would be linked is read in
any case. Then these are judged anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resolver.matching.evidence import NAMES, Features, Shortlist, evidence
from resolver.matching.forecaster import Forecaster, most_needed
from resolver.matching.judge import Judge
from resolver.matching.reading import Flags, Numbers
from resolver.reranker import Pair, Reranker
from resolver.reranker.odds import log_odds


@dataclass(frozen=True, slots=True)
class Scoring:
    """The candidates of all shortlists of a slice, one after the other.

    `score` has the reranker's logits, shape (candidates,), nan for those that it has not read;
    `forecast` the logits that the judge went by in place of scores, nan where it went by the score.
    `features` and `probability` are the judge's. `pairs` says how many pairs the reranker read:
    organisations whose documents have the same text share one.
    """

    score: Numbers
    forecast: Numbers
    features: Features
    probability: Numbers
    pairs: int


class _Pairs:
    """The pairs of a slice. `score` is as in `Scoring`, `unread` says of which it is nan, and
    `owner` has the number of each one's shortlist, all of shape (candidates,)."""

    def __init__(self, shortlists: Sequence[Shortlist], reranker: Reranker) -> None:
        self.shortlists = shortlists
        self.texts: list[Pair] = [
            (shortlist.affiliation.model_text, document.text)
            for shortlist in shortlists
            for document in shortlist.documents
        ]
        self.owner: npt.NDArray[np.int64] = np.repeat(
            np.arange(len(shortlists)), list(map(len, shortlists))
        )
        self.score: Numbers = np.full(len(self.texts), np.nan)
        self.unread: Flags = np.ones(len(self.texts), np.bool_)
        self.logits: dict[Pair, float] = {}
        self._reranker = reranker
        self._evidence: dict[int, tuple[Numbers, Features]] = {}

    def read(self, wanted: Flags) -> None:
        """Let the reranker read these, but for those that it has read."""
        rows = np.flatnonzero(wanted & self.unread).tolist()
        new = list(dict.fromkeys(self.texts[i] for i in rows if self.texts[i] not in self.logits))
        if new:
            self.logits |= zip(new, self._reranker.score(new).tolist(), strict=True)
        self.score[rows] = [self.logits[self.texts[i]] for i in rows]
        self.unread[rows] = False

    def features(self, logit: Numbers) -> Features:
        """The judge's evidence, given a logit for each."""
        ends = np.cumsum(list(map(len, self.shortlists)))[:-1]
        # Without shortlists there is a part of nothing.
        parts = zip(self.shortlists, np.split(logit, ends), strict=False)
        for number, (shortlist, logits) in enumerate(parts):
            # Most shortlists have the logits that they were asked with before.
            before, _ = self._evidence.get(number, (None, None))
            if before is None or not np.array_equal(before, logits):
                self._evidence[number] = logits, evidence(shortlist, logits)
        tables = [table for _, table in self._evidence.values()]
        return np.concatenate([np.empty((0, len(NAMES))), *tables])


def scoring(
    shortlists: Sequence[Shortlist],
    reranker: Reranker,
    judge: Judge,
    forecaster: Forecaster | None,
    *,
    linked_from: float,
    explained: bool = False,
) -> Scoring:
    """What the reranker and the judge say of the shortlists of a slice.

    No candidate with a probability of at least `linked_from` is left unread, nor any on a shortlist
    with one within the forecaster's `doubt` of it. With `explained` all are read in the end, which
    changes no probability.
    """
    pairs = _Pairs(shortlists, reranker)
    if forecaster is None:
        pairs.read(pairs.unread)
        logit = pairs.score.copy()
    else:
        logit = _in_rounds(pairs, forecaster)
    features = pairs.features(logit)
    probability = judge.probability(features)
    doubt = forecaster.doubt if forecaster else 0.0
    while (needed := pairs.unread & decisive(probability, pairs.owner, linked_from, doubt)).any():
        pairs.read(needed)
        logit = np.where(pairs.unread, logit, pairs.score)
        features = pairs.features(logit)
        probability = judge.probability(features)
    forecast = np.where(pairs.unread, logit, np.nan)
    if explained:
        pairs.read(pairs.unread)
    return Scoring(pairs.score, forecast, features, probability, len(pairs.logits))


def _in_rounds(pairs: _Pairs, forecaster: Forecaster) -> Numbers:
    """The scores of what both rounds read, and the forecasts of the rest."""
    known = np.concatenate([shortlist.known for shortlist in pairs.shortlists])
    first = forecaster.first.forecast(known)
    pairs.read(most_needed(first.need, pairs.owner, least=forecaster.first_from))
    features = pairs.features(np.where(pairs.unread, first.logit, pairs.score))
    second = forecaster.second.forecast(features)
    pairs.read(second.need >= forecaster.second_from)
    return np.where(pairs.unread, second.logit, pairs.score)


def decisive(
    probability: Numbers, owner: npt.NDArray[np.int64], linked_from: float, doubt: float
) -> Flags:
    """Which candidates an answer may hang on, shape (candidates,): those with a probability of at
    least `linked_from`, and all on a shortlist with one that is less than `doubt` from it, in log
    odds. `owner` has the number of each one's shortlist."""
    distance = np.abs(log_odds(probability) - log_odds(np.array(linked_from)))
    return np.asarray((probability >= linked_from) | np.isin(owner, owner[distance < doubt]))
