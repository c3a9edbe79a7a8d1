"""Two resolver versions on the same affiliations: which answers differ, how, and how often.

`compare` takes the answers only; `resolver compare` makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from resolver.matching.outcome import Outcome


class Difference(StrEnum):
    """How a second answer differs from a first one. Probabilities and ranks are not compared."""

    SAME = "same"
    GAINED = "gained"
    """The second has all organisations of the first, and more."""

    LOST = "lost"
    """The second has only some of the first's, or none."""

    OTHER_ORGANISATION = "other organisation"
    """Each has an organisation that the other lacks."""

    OTHER_REASON = "other reason"
    """Neither has a link, for different reasons."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both answers for one affiliation."""

    first: Outcome
    second: Outcome

    @property
    def difference(self) -> Difference:
        return difference(self.first, self.second)

    @property
    def changes(self) -> list[float]:
        """Second probability minus first, for each organisation that both answers have."""
        before = {link.ror_id: link.probability for link in self.first.links}
        return [
            link.probability - before[link.ror_id]
            for link in self.second.links
            if link.ror_id in before
        ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `compare`.

    `counts` has every `Difference`. `links` counts the links that both have; `mean_change` is the
    mean difference of their probabilities (second minus first), `mean_shift` the mean of its
    absolute value; both are 0 without such links. `pairs` are the answers that differ, in the
    order of the affiliations.
    """

    affiliations: int
    counts: Mapping[Difference, int]
    links: int
    mean_change: float
    mean_shift: float
    pairs: Sequence[Pair]

    def examples(self, kind: Difference, most: int) -> list[Pair]:
        """The first `most` pairs that differ in this way."""
        return [pair for pair in self.pairs if pair.difference is kind][:most]

    def share(self, kind: Difference) -> float:
        """Share of the affiliations that differ in this way, 0 to 1."""
        return self.counts[kind] / self.affiliations if self.affiliations else 0.0


def difference(first: Outcome, second: Outcome) -> Difference:
    """How the second answer differs from the first."""
    before = {link.ror_id for link in first.links}
    after = {link.ror_id for link in second.links}
    if before == after:
        return Difference.SAME if first.reason is second.reason else Difference.OTHER_REASON
    if before < after:
        return Difference.GAINED
    return Difference.LOST if after < before else Difference.OTHER_ORGANISATION


def compare(first: Iterable[Outcome], second: Iterable[Outcome]) -> Comparison:
    """Compare the answers of two versions to the same affiliations, in the same order."""
    pairs = [Pair(*answers) for answers in zip(first, second, strict=True)]
    changes = [change for pair in pairs for change in pair.changes]
    counts = Counter(pair.difference for pair in pairs)
    return Comparison(
        affiliations=len(pairs),
        counts={kind: counts[kind] for kind in Difference},
        links=len(changes),
        mean_change=_mean(changes),
        mean_shift=_mean([abs(change) for change in changes]),
        pairs=[pair for pair in pairs if pair.difference is not Difference.SAME],
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
