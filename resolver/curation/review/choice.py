"""What a person chose on the review page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from resolver.database.tables import Action
from resolver.errors import ReviewError
from resolver.matching.override import MAX_AUTHOR, MAX_NOTE, remark
from resolver.registry.ror_id import read_ror_id


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose about an item and, with the same press, about similar ones (`also`).

    `request` comes from the form: the same form sent twice is saved once. `CONFIRM` and `CHANGE`
    mean the same here: the text names `ror_ids`, all of them and no others. Which of the two it is,
    is decided by the stored answer. With `UNSURE` the text may name `ror_ids`; with other actions
    there are none. `seen` is `ItemDetails.seen` of the page: whoever did not see the decision that
    holds is too late. `shown` is what the person saw: a list `candidates` of objects with `ror_id`,
    `probability` and `ticked`, and whatever else is worth keeping. `lacking` has the fields of
    ROR's form, for `LACKING` alone.
    """

    request: UUID
    affiliation_id: int
    action: Action
    author: str
    ror_ids: tuple[str, ...] = ()
    also: tuple[int, ...] = ()
    seen: int = 0
    note: str = ""
    shown: Mapping[str, object] = field(default_factory=dict)
    seconds: float | None = None
    lacking: Mapping[str, str] | None = None


def read(choice: Choice) -> Choice:
    """The choice as it is stored; `CONFIRM` stands for both ways to name organisations.

    Raises:
        ReviewError: the choice contradicts itself, or a ROR id, author or note cannot be read.
    """
    try:
        ror_ids = tuple(dict.fromkeys(map(read_ror_id, choice.ror_ids)))
        author = remark("author", choice.author, MAX_AUTHOR)
        note = remark("note", choice.note, MAX_NOTE)
    except ValueError as error:
        raise ReviewError(str(error)) from None
    if not author:
        raise ReviewError("author: who decides?")
    action = Action.CONFIRM if choice.action is Action.CHANGE else choice.action
    if action is Action.CONFIRM and not ror_ids:
        raise ReviewError(
            "no organisation is ticked", remedy="tick one, or say that the text names none"
        )
    if action not in {Action.CONFIRM, Action.UNSURE} and ror_ids:
        raise ReviewError(f"organisations are ticked, and the decision is {action.value!r}")
    also = tuple(dict.fromkeys(choice.also)) if action is not Action.SKIP else ()
    return replace(choice, action=action, ror_ids=ror_ids, author=author, note=note, also=also)
