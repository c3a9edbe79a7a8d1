"""Answers for the page, read before they are asked for, and given again after decisions."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from cachetools import TTLCache

from resolver.answering.refresh import refresh_chunk
from resolver.curation.review import Upcoming
from resolver.database import policies
from resolver.doors.backend import Backend
from resolver.doors.batching import TextFailed
from resolver.doors.matching import Answered, Choices, choices_of
from resolver.errors import ResolverError, ResolverSuperseded
from resolver.review.candidates import organisations_of
from resolver.workers import client

log = logging.getLogger(__name__)

KEPT = 500
"""Answers kept, some 20 KB each."""

KEPT_SECONDS = 300.0
"""How long an answer is kept: another program may have changed an override meanwhile."""


@dataclass(slots=True)
class Answers:
    """Explained answers under stored policies. Of one event loop."""

    backend: Backend
    _kept: TTLCache[tuple[int, int], asyncio.Task[Answered]] = field(
        default_factory=lambda: TTLCache(KEPT, KEPT_SECONDS)
    )
    _choices: dict[int, Choices] = field(default_factory=dict)

    async def of(self, affiliation_id: int, text: str, policy_id: int) -> Answered:
        """The answer of the version in use to a stored, normalised text.

        Raises:
            ResolverError: it cannot be given; the next call tries again.
        """
        key = affiliation_id, policy_id
        task = self._kept.get(key)
        if task is None or _is_useless(task, self.backend.matching.service.version.id):
            task = self._kept[key] = asyncio.create_task(self._answered(text, policy_id))
        return await asyncio.shield(task)

    async def _answered(self, text: str, policy_id: int) -> Answered:
        if policy_id not in self._choices:
            policy = await asyncio.to_thread(policies.find, self.backend.matching.engine, policy_id)
            self._choices[policy_id] = choices_of(policy.as_object())
        (answer,) = await self.backend.batch([text], self._choices[policy_id], admitted=True)
        if isinstance(answer, TextFailed):
            raise answer
        # Whoever shows the answer finds them in memory.
        await self.backend.organisations(answer.release_id, organisations_of(answer))
        return answer

    async def read_ahead(self, items: Iterable[Upcoming]) -> None:
        """Have the answers to these ready soon; what fails is tried again when it is asked for."""
        await asyncio.gather(
            *(self.of(item.affiliation_id, item.text, item.policy_id) for item in items),
            return_exceptions=True,
        )

    def forget(self, affiliation_ids: Iterable[int]) -> None:
        """Decisions about these texts were made or ended."""
        forgotten = set(affiliation_ids)
        for key in [key for key in self._kept if key[0] in forgotten]:
            self._kept.pop(key, None)

    async def refresh(self, due: Sequence[tuple[int, int]]) -> None:
        """Have stored answers, (affiliation id, policy id), given again: by workers where there is
        a broker, else here. What fails is logged, and stays due."""
        by_policy: dict[int, list[int]] = defaultdict(list)
        for affiliation_id, policy_id in due:
            by_policy[policy_id].append(affiliation_id)
        try:
            if self.backend.settings.broker_url:
                await asyncio.to_thread(
                    client.enqueue_refresh, by_policy.items(), settings=self.backend.settings
                )
                return
            for policy_id, affiliation_ids in by_policy.items():
                await self.backend.batcher.in_thread(
                    partial(self._refresh, policy_id, affiliation_ids)
                )
        except ResolverError as error:
            ids = ", ".join(str(affiliation_id) for affiliation_id, _ in due)
            log.warning("the answers of the affiliations %s stay due: %s", ids, error)

    def _refresh(self, policy_id: int, affiliation_ids: Sequence[int]) -> None:
        """In the thread of the models."""
        service = self.backend.matching.service
        service.follow()
        try:
            refresh_chunk(service, policy_id, affiliation_ids)
        except ResolverSuperseded:
            service.follow()
            refresh_chunk(service, policy_id, affiliation_ids)


def _is_useless(task: asyncio.Task[Answered], version_id: int) -> bool:
    """Whether an answer failed, or is one of another resolver version."""
    if not task.done():
        return False
    return (
        task.cancelled() or task.exception() is not None or task.result().version_id != version_id
    )
