"""Decisions as labels, for evaluation and training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.database import review_decisions
from resolver.database.review_decisions import Decision
from resolver.database.tables import Action

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True)
class Label:
    """What people decided about a text, for evaluation and training: it names `ror_ids`, does not
    name `ruled_out`, and may or may not name `maybe`."""

    affiliation: str
    ror_ids: tuple[str, ...]
    ruled_out: tuple[str, ...]
    maybe: tuple[str, ...]
    author: str

    def as_object(self) -> dict[str, object]:
        """As `resolver.evaluation.gold.read_gold` reads it."""
        return {
            "affiliation": self.affiliation,
            "ror_ids": list(self.ror_ids),
            "not": list(self.ruled_out),
            "maybe": list(self.maybe),
            "source": f"review:{self.author}",
        }


def labels(engine: Engine) -> Iterator[Label]:
    """What people decided, one label a text, in the order of the deciding decisions.

    Left out are texts that were skipped, that are disputed, that were deleted, that somebody is
    unsure about without any organisation to be unsure of, and those of an organisation that the
    registry lacked and that are linked since.
    """
    for decision in review_decisions.deciding(engine):
        assert decision.affiliation is not None  # left out there
        if decision.action is not Action.UNSURE:
            yield Label(
                decision.affiliation, decision.ror_ids, decision.denied, (), decision.author
            )
        elif maybe := tuple(dict.fromkeys((*decision.ror_ids, *_candidates(decision)))):
            yield Label(decision.affiliation, (), (), maybe, decision.author)


def _candidates(decision: Decision) -> Iterator[str]:
    """The organisations that a person saw."""
    candidates = decision.shown.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        ror_id = candidate.get("ror_id") if isinstance(candidate, dict) else None
        if isinstance(ror_id, str):
            yield ror_id
