"""What the columns of a file are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Columns:
    """What a file calls the fields of a record. A name other than the default one must be there."""

    affiliation: str = "affiliation"
    id: str = "id"
    source: str = "source"
    position: str = "position"

    def all(self) -> tuple[str, ...]:
        return (self.affiliation, self.id, self.source, self.position)

    def missing(self, header: Sequence[str]) -> list[str]:
        """Names other than the default ones that the header lacks."""
        usual = Columns().all()
        return [
            name
            for name, default in zip(self.all(), usual, strict=True)
            if name != default and name not in header
        ]
