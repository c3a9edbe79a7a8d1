from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from support.reviewing import ETH

from resolver.curation.review.choice import Choice, read
from resolver.database.tables import Action
from resolver.errors import ReviewError


@pytest.mark.parametrize(
    ("problem", "change"),
    [
        ("no organisation is ticked", {"action": Action.CHANGE}),
        ("organisations are ticked", {"action": Action.NONE, "ror_ids": (ETH,)}),
        ("not a ROR id|ROR id", {"action": Action.CHANGE, "ror_ids": ("x",)}),
        ("author", {"author": " "}),
        ("author", {"author": "a" * 201}),
        ("note", {"note": "a" * 2_001}),
        ("note", {"note": "\x00"}),
    ],
)
def test_a_choice_that_contradicts_itself_is_refused(
    problem: str, change: dict[str, object]
) -> None:
    choice = Choice(UUID(int=1), 1, Action.NONE, "ada")
    assert read(choice) == choice
    with pytest.raises(ReviewError, match=problem):
        read(replace(choice, **change))  # type: ignore[arg-type]
