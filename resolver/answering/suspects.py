"""How texts that may kill a process are divided until the one that does is alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

PART_SIZE = 16
"""Texts of a part of a suspect batch; a suspect part is divided into single texts. So a text that
kills is alone after two deaths, and a batch whose process died by chance costs a few more parts,
not hundreds."""


def divided(suspects: Sequence[T], *, size: int = PART_SIZE) -> list[Sequence[T]]:
    """Parts of `size`, or single ones where there are no more than that. Empty when there is
    nothing to divide."""
    if len(suspects) < 2:
        return []
    step = size if len(suspects) > size else 1
    return [suspects[start : start + step] for start in range(0, len(suspects), step)]
