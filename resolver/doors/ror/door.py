"""ROR's API over what all doors ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.doors.batching import TextFailed
from resolver.doors.ror.affiliation import Matched
from resolver.doors.ror.api import RorApi, policy
from resolver.doors.ror.routes import router

if TYPE_CHECKING:
    from fastapi import APIRouter

    from resolver.doors.backend import Backend


def door(backend: Backend) -> APIRouter:
    """The routes of ROR's API, answered by what all doors ask.

    Raises:
        PolicyError: the precision of the settings makes no sense.
    """
    choices = backend.choices(policy(backend.settings))

    async def match(text: str) -> Matched:
        (answer,) = await backend.answers([text], choices)
        if isinstance(answer, TextFailed):
            raise answer
        return Matched.of(answer.release_id, answer.outcome, answer.candidates)

    return router(
        RorApi(
            backend.search,
            backend.organisations,
            match,
            one_chosen=backend.settings.ror_chosen == "one",
        )
    )
