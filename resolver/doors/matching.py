"""The matcher behind all doors: the version in use, a policy, curators' decisions.

It is opened, used and closed in the batcher's thread.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from cachetools import LRUCache

from resolver.database import overrides, releases, revision
from resolver.matching.decision import Scored
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import Outcome
from resolver.matching.policy import Policy
from resolver.service.installation import Installation
from resolver.service.service import Service, open_service
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.registry.organisation import Organisation
    from resolver.settings import Settings

Choices = str
"""The choices of a policy as JSON with sorted keys: requests with equal ones are answered together.
Not a `Policy`, since what a target precision comes to depends on the version in use."""

NO_CHOICES: Choices = "{}"
"""The policy of the settings."""

CACHED = 20_000
"""Organisations kept in memory, some 2 KB each."""


def choices_of(policy: dict[str, object]) -> Choices:
    """The choices of a policy, checked already (`resolver.workers.client.checked`)."""
    return json.dumps(policy, sort_keys=True)


@dataclass(frozen=True)
class Answered:
    """An affiliation's judgement, with the policy and the resolver version that it was made by.

    `text` is the affiliation as it was read (`resolver.text.affiliation.Affiliation.text`)."""

    text: str
    judgement: Judgement
    policy: Policy
    version_id: int
    release_id: int
    release: str

    @property
    def outcome(self) -> Outcome:
        return self.judgement.outcome

    @cached_property
    def candidates(self) -> Sequence[Scored]:
        """The candidates on the shortlist, most probable first."""
        return sorted(self.judgement.scored, key=lambda scored: -scored.probability)


class Matching:
    """The service of the settings, and what it says of texts and organisations."""

    def __init__(self, settings: Settings, *, explained: bool = False, writes: bool = True) -> None:
        """`explained`: judgements have scores of all candidates on the shortlist, and say what each
        kind of evidence added, not only of those that could be linked. `writes` is as in
        `open_service`."""
        self._settings = settings
        self._writes = writes
        self._explained = explained
        self._opened = ExitStack()
        self._service: Service | None = None
        self._organisations: LRUCache[tuple[int, str], Organisation] = LRUCache(CACHED)
        self._reading = Lock()

    def open(self) -> None:
        """Open the installation and the version in use.

        Raises:
            ResolverError: as `resolver.service.service.open_service`.
        """
        with ExitStack() as opening:
            installation = opening.enter_context(Installation(self._settings))
            self._service = opening.enter_context(open_service(installation, writes=self._writes))
            self._opened = opening.pop_all()

    def close(self) -> None:
        self._service = None
        self._opened.close()

    @property
    def service(self) -> Service:
        if self._service is None:
            raise RuntimeError("the matching is not open")
        return self._service

    @property
    def engine(self) -> Engine:
        """The database; any thread may use it."""
        return self.service.engine

    def answers(self, choices: Choices, texts: Sequence[str]) -> list[Answered]:
        """An answer to each text, in order, all of them by the version in use.

        Raises:
            PolicyError: a choice makes no sense for this version.
            DatabaseUnavailable, IndexUnavailable, RerankerUnavailable: a service does not answer.
            ResolverError: anything else; to ask again does not help.
        """
        self.service.follow()
        service, version = self.service, self.service.version
        policy = service.policy(json.loads(choices))
        read = [Affiliation.of(text) for text in texts]
        normalised = list({affiliation.text for affiliation in read if not affiliation.refused})
        applying = overrides.applying(service.engine, normalised) if normalised else {}
        judgements = service.matcher.judgements(read, policy, applying, explained=self._explained)
        return [
            Answered(
                affiliation.text, judgement, policy, version.id, version.release_id, version.release
            )
            for affiliation, judgement in zip(read, judgements, strict=True)
        ]

    def organisations(self, release_id: int, ror_ids: Collection[str]) -> dict[str, Organisation]:
        """What a release has of these organisations, by the nine characters of their ids; unknown
        ones are left out. Any thread may call it.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
        """
        with self._reading:
            known = {
                ror_id: organisation
                for ror_id in ror_ids
                if (organisation := self._organisations.get((release_id, ror_id)))
            }
        if missing := set(ror_ids) - known.keys():
            read = releases.find_organisations(self.engine, release_id, missing)
            with self._reading:
                for ror_id, organisation in read.items():
                    self._organisations[release_id, ror_id] = organisation
            known |= read
        return known

    def check(self) -> None:
        """Look whether it could answer now; any thread may call it.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
            DatabaseOutdated: it has another schema.
            IndexProblem: the index does not answer.
        """
        revision.require_schema(self.engine)
        self.service.matcher.recall.index.count()
