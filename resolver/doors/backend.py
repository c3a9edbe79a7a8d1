"""What all doors ask: affiliations are answered, organisations looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from resolver.doors.batching import Batcher, TextFailed
from resolver.doors.matching import NO_CHOICES, Answered, Choices, Matching, choices_of
from resolver.errors import PolicyError, ResolverSuperseded, SettingsError
from resolver.registry.organisation import Organisation
from resolver.search.search import OrganisationSearch
from resolver.service.searching import Searches
from resolver.settings import Settings
from resolver.workers import client

LARGEST_BATCH = 64
"""Most texts of a batch, and of what one request has in a batch: so a large request does not make
the others wait for long. 64 is what `resolver resolve --file` takes at a time."""

SWITCHES = 5
"""Most times that texts are answered again because another resolver version came in use between two
batches of a request."""


@dataclass(slots=True)
class Backend:
    """The matching of a server, and the batcher in front of it. Opened and closed by its app."""

    settings: Settings
    matching: Matching
    batcher: Batcher[Choices, Answered]
    _searches: Searches | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        done: Callable[[int], None],
        explained: bool = False,
        writes: bool = True,
    ) -> Backend:
        """`done` is called after each batch with the number of its texts; `explained` and
        `writes` are as in `Matching`."""
        matching = Matching(settings, explained=explained, writes=writes)
        return cls(
            settings,
            matching,
            Batcher(
                matching.answers,
                largest=LARGEST_BATCH,
                room=settings.serve_waiting,
                done=done,
            ),
        )

    async def open(self) -> None:
        """Open the version in use and the search of its release, which is built if it is missing;
        nothing is answered before.

        Raises:
            ResolverError: it cannot be opened here.
        """
        await self.batcher.in_thread(self.matching.open)
        self._searches = Searches(self.matching.engine, self.settings)
        await self.search()
        self.batcher.start()

    async def close(self) -> None:
        """Answer what waits, then close."""
        try:
            await self.batcher.close()
        finally:
            if self._searches is not None:
                await asyncio.to_thread(self._searches.close)
            self.matching.close()

    async def batch(
        self, texts: Sequence[str], choices: Choices = NO_CHOICES, *, admitted: bool = False
    ) -> list[Answered | TextFailed]:
        """The answers to at most `LARGEST_BATCH` texts, in order; an error in this program that
        concerns one text stands in its place. `admitted`: as `Batcher.ask`.

        Raises:
            BatcherFull, BatcherClosed: it was not taken.
            PolicyError: the choices make no sense for the version in use.
            ResolverError: they could not be answered.
        """
        return await self.batcher.ask(choices, texts, admitted=admitted) if texts else []

    async def answers(
        self, texts: Sequence[str], choices: Choices = NO_CHOICES
    ) -> list[Answered | TextFailed]:
        """The answers to any number of texts, in order, all by one resolver version.

        Raises:
            ResolverSuperseded: the version in use changed again and again.
            otherwise as `batch`.
        """
        answers: list[Answered | TextFailed | None] = [None] * len(texts)
        for attempt in range(SWITCHES + 1):
            newest = max((a.version_id for a in answers if isinstance(a, Answered)), default=0)
            missing = [i for i, answer in enumerate(answers) if _is_older(answer, newest)]
            if not missing:
                break
            pieces = [
                missing[start : start + LARGEST_BATCH]
                for start in range(0, len(missing), LARGEST_BATCH)
            ]
            for number, piece in enumerate(pieces):
                admitted = bool(attempt or number)
                asked = [texts[i] for i in piece]
                for i, answer in zip(
                    piece, await self.batch(asked, choices, admitted=admitted), strict=True
                ):
                    answers[i] = answer
        else:
            raise ResolverSuperseded(
                version_id=min(a.version_id for a in answers if isinstance(a, Answered)),
                current_id=self.matching.service.version.id,
            )
        return [answer for answer in answers if answer is not None]

    async def organisations(
        self, release_id: int, ror_ids: Collection[str]
    ) -> dict[str, Organisation]:
        """What a release has of these organisations, by the nine characters of their ids."""
        if not ror_ids:
            return {}
        return await asyncio.to_thread(self.matching.organisations, release_id, ror_ids)

    async def search(self) -> tuple[int, OrganisationSearch]:
        """The search over the release in use, with the key of that release; over the one before
        while it is built.

        Raises:
            ResolverError: it cannot be built or opened.
        """
        if self._searches is None:
            raise RuntimeError("the search is not open")
        return await asyncio.to_thread(self._searches.of, self.release_id)

    @property
    def release_id(self) -> int:
        """The key of the release in use."""
        return self.matching.service.version.release_id

    def choices(self, policy: Mapping[str, object]) -> Choices:
        """A policy's choices, as the batcher takes them.

        Raises:
            PolicyError: a choice is not known or makes no sense.
        """
        try:
            return choices_of(client.checked(policy))
        except SettingsError as error:
            raise PolicyError(error.problem.removeprefix("the policy: ")) from error


def _is_older(answer: Answered | TextFailed | None, version_id: int) -> bool:
    """Whether a text is to be answered (again)."""
    return answer is None or (isinstance(answer, Answered) and answer.version_id != version_id)
