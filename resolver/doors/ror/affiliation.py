"""The matching of an affiliation in ROR's form: one item for each link, then the near misses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resolver.doors.ror.record import published
from resolver.matching.decision import Scored
from resolver.matching.outcome import Outcome
from resolver.registry.organisation import NameKind, Organisation, OrganisationStatus
from resolver.text.words import fold

LEAST_SCORE = 0.5
"""Probability from which a candidate that is not linked is shown: ROR's own bound. The score of a
link is raised to it."""

MOST_NEAR_MISSES = 10
"""ROR's own bound."""

SINGLE_SEARCH = "SINGLE SEARCH"

_ESCAPED = re.compile(r'\\([-+=&|><!(){}\[\]^"~*?:\\/])')
"""Characters that clients escape, as Elasticsearch's query syntax asks for."""


@dataclass(frozen=True, slots=True)
class Named:
    """An organisation that the affiliation names: by which of its names, in which words of the
    text ("" where it is written otherwise there)."""

    ror_id: str
    probability: float
    matched_name: str = ""
    matched_text: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """What an affiliation names, and `near_misses`: candidates that are not linked. Both are by
    the release with the key `release_id`, most probable first."""

    release_id: int
    links: Sequence[Named] = ()
    near_misses: Sequence[Named] = ()

    @classmethod
    def of(cls, release_id: int, outcome: Outcome, candidates: Sequence[Scored]) -> Matched:
        """Of an outcome and the shortlist for it (`Judgement.scored`)."""
        links = [
            Named(
                link.ror_id,
                link.probability,
                link.matched_name,
                link.evidence.text if link.evidence else "",
            )
            for link in outcome.links
        ]
        settled = {link.ror_id for link in outcome.links}
        settled.update(ror_id for link in outcome.links for ror_id in link.stands_for)
        near = [
            Named(candidate.ror_id, candidate.probability)
            for candidate in candidates
            if candidate.ror_id not in settled and candidate.probability >= LEAST_SCORE
        ]
        return cls(
            release_id,
            sorted(links, key=lambda link: -link.probability),
            sorted(near, key=lambda miss: -miss.probability)[:MOST_NEAR_MISSES],
        )


def unescaped(affiliation: str) -> str:
    """The affiliation without the backslashes that a client put before special characters."""
    return _ESCAPED.sub(r"\1", affiliation)


def items(
    affiliation: str,
    matched: Matched,
    organisations: Mapping[str, Organisation],
    *,
    multisearch: bool,
    every_status: bool,
    one_chosen: bool,
) -> list[dict[str, Any]]:
    """The items of the answer. Organisations that have ended are left out, unless
    `every_status`. With `one_chosen` the most probable link alone is chosen."""
    shown: list[dict[str, Any]] = []
    entries = [(named, True) for named in matched.links]
    entries += [(named, False) for named in matched.near_misses]
    for named, linked in entries:
        organisation = organisations.get(named.ror_id)
        if organisation is None:
            continue
        if organisation.status is not OrganisationStatus.ACTIVE and not every_status:
            continue
        shown.append(
            {
                "substring": named.matched_text or affiliation,
                "score": round(min(max(named.probability, LEAST_SCORE), 1.0), 4),
                "matching_type": (
                    _matching_type(named, organisation) if multisearch else SINGLE_SEARCH
                ),
                "chosen": linked and not (one_chosen and shown),
                "organization": published(organisation),
            }
        )
    return shown


def _matching_type(named: Named, organisation: Organisation) -> str:
    """The nearest of ROR's six."""
    matched = fold(named.matched_name)
    for name in organisation.names:
        if NameKind.ACRONYM in name.kinds and fold(name.value) == matched:
            return "ACRONYM"
    return "EXACT" if matched and fold(named.matched_text) == matched else "COMMON TERMS"
