"""Which decisions about a text hold, and what they make of its item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resolver.database.review_decisions import Decision
from resolver.database.tables import Action, ReviewState, Why


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds of a text: the latest decision, the `first` one, which decides, and the `second`
    one, which was made after it without seeing it."""

    latest: Decision | None
    first: Decision | None
    second: Decision | None

    @classmethod
    def of(cls, decisions: Sequence[Decision]) -> Standing:
        """Of the decisions about a text, the latest first."""
        holding = [d for d in decisions if not d.ended and d.action is not Action.SKIP]
        first = next((d for d in holding if not d.blind), None)
        second = next((d for d in holding if d.blind and first and d.id > first.id), None)
        return cls(holding[0] if holding else None, first, second)

    @property
    def disputed(self) -> bool:
        if self.first is None or self.second is None:
            return False
        return self.second.action is Action.UNSURE or set(self.first.ror_ids) != set(
            self.second.ror_ids
        )

    @property
    def settled(self) -> tuple[ReviewState, Why, frozenset[str]]:
        """The state of the item, why it is shown, and who may not decide about it."""
        if self.first is None:
            return ReviewState.OPEN, Why.DOUBT, frozenset()
        if self.second is not None and self.disputed:
            both = frozenset({self.first.author, self.second.author})
            return ReviewState.OPEN, Why.DISAGREEMENT, both
        if self.first.action is Action.UNSURE:
            return ReviewState.LATER, Why.DOUBT, frozenset()
        return ReviewState.DONE, Why.DOUBT, frozenset()
