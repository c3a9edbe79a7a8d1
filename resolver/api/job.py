"""A job of `resolver serve`: affiliations that workers resolve while nobody waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

State = Literal["queued", "running", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server described it: `done` of the `received` affiliations are answered.

    `state` is ``queued`` or ``running`` as long as there is something to wait for, then
    ``finished``, ``failed`` or ``cancelled``. `failed` affiliations have no answer and get none by
    waiting; the results say why. `reason` says why the job failed. It is deleted, with its results,
    at `expires_at`. Both times are in UTC.
    """

    id: str
    state: State
    received: int
    done: int
    failed: int
    created_at: datetime
    expires_at: datetime
    reason: str | None

    @property
    def waits(self) -> bool:
        """Whether it is not at its end."""
        return self.state in ("queued", "running")


def job_of(document: Mapping[str, Any]) -> Job:
    """The job that the server describes.

    Raises:
        KeyError, TypeError, ValueError: this is no description of one.
    """
    if document["state"] not in get_args(State):
        raise ValueError(f"state {document['state']!r}")
    return Job(
        id=document["id"],
        state=document["state"],
        received=document["received"],
        done=document["done"],
        failed=document["failed"],
        created_at=datetime.fromisoformat(document["created_at"]),
        expires_at=datetime.fromisoformat(document["expires_at"]),
        reason=document["reason"],
    )
