"""The forecaster: what the reranker would say of a candidate, and whether the judge would care.

The reranker costs more than anything else, and of most candidates on the shortlist it says what was
to be expected, or what changes nothing. The forecaster says beforehand of each candidate

- the *need*: the probability that the judge would give it if the reranker read all of the
  shortlist. What the judge makes nothing of need not be read;
- the *logit* that the reranker would give it, which stands in for the score where it is not read:
  without a logit the others would be judged as if they had no rival.

It does so twice: from what is known before the reranker, and from that together with the scores of
the first round (`resolver.matching.scoring`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from resolver.matching.evidence import KNOWN, NAMES, Features
from resolver.matching.reading import Flags, Numbers
from resolver.matching.trees import Trees
from resolver.reranker.odds import probability

FIRST_FROM = 0.3
"""Need from which the first round reads a candidate; it reads the one of most need in any case.
With 0.1 and 0.6 all rounds together read as much, within 3 in 100."""

SECOND_FROM = 0.005
"""The same of the second round. docs/benchmarks.md says what other values cost and change."""

DOUBT = 2.0
"""How near, in log odds, a probability must be to the one from which candidates are linked for the
whole shortlist to be read: at a threshold of 0.5 from 0.12 to 0.88. Without it 7 of 6,072 answers
differed from those when all is read, each by a probability near the threshold, and with it none."""


class Forecast(NamedTuple):
    """Of each candidate, each of shape (candidates,): the `need` in [0, 1], and the `logit`."""

    need: Numbers
    logit: Numbers


@dataclass(frozen=True, slots=True)
class RoundTrees:
    """The trees for one round: those of `need` sum up to log odds, those of `logit` to a logit."""

    need: Trees
    logit: Trees

    def require_columns(self, columns: Sequence[str]) -> None:
        """Raises ValueError: the trees are for other columns."""
        self.need.require_columns(columns)
        self.logit.require_columns(columns)

    def forecast(self, table: Features) -> Forecast:
        return Forecast(probability(self.need.odds(table)), self.logit.odds(table))

    def as_object(self) -> dict[str, object]:
        return {"need": self.need.as_object(), "logit": self.logit.as_object()}

    @classmethod
    def of_object(cls, stored: Mapping[str, Any]) -> Self:
        return cls(Trees.of_object(stored["need"]), Trees.of_object(stored["logit"]))


@dataclass(frozen=True, slots=True)
class Forecaster:
    """Trees that ask for the evidence `KNOWN` before the first round of the reranker, and for all
    of the judge's, `NAMES`, before the second. They are fitted on strings without labels that the
    reranker read in full (``resolver train --part forecaster``).

    The rounds read from the needs `first_from` and `second_from` on. Where a probability is within
    `doubt` of the threshold for a link, in log odds, the rest of the shortlist is read as well.
    """

    first: RoundTrees
    second: RoundTrees
    first_from: float = FIRST_FROM
    second_from: float = SECOND_FROM
    doubt: float = DOUBT

    def __post_init__(self) -> None:
        self.first.require_columns(KNOWN)
        self.second.require_columns(NAMES)

    def as_object(self) -> dict[str, object]:
        """As JSON values; `of_object` reads them."""
        return {
            "first": self.first.as_object(),
            "second": self.second.as_object(),
            "first_from": self.first_from,
            "second_from": self.second_from,
            "doubt": self.doubt,
        }

    @classmethod
    def of_object(cls, stored: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError: it is of another form."""
        return cls(
            RoundTrees.of_object(stored["first"]),
            RoundTrees.of_object(stored["second"]),
            float(stored["first_from"]),
            float(stored["second_from"]),
            float(stored["doubt"]),
        )


def most_needed(need: Numbers, owner: npt.NDArray[np.int64], *, least: float = FIRST_FROM) -> Flags:
    """Which candidates have a need of at least `least`, or the highest of their shortlist, shape
    (candidates,). `owner` has the number of each one's shortlist, in ascending order."""
    needed = need >= least
    ordered = np.lexsort((-need, owner))
    needed[ordered[np.unique(owner, return_index=True)[1]]] = True
    return np.asarray(needed)
