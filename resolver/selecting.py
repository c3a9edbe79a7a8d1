"""Which answers of the version before the one in use could be other now: they are marked stale.

Three kinds. Answers with an organisation that the release changed, which the database knows;
affiliations that a new or renamed organisation could be meant in, which are searched for the other
way round (`resolver.affected`); and those that had no answer for want of an organisation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from resolver import affected, service
from resolver.database import releases, resolvers, stale
from resolver.database.tables import Cause
from resolver.domain.outcome import Reason
from resolver.indexing import INDEXED
from resolver.judging import load_sieve

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.resolvers import ResolverVersion
    from resolver.domain.document import Document
    from resolver.encoder import Encoder
    from resolver.settings import Settings

log = logging.getLogger(__name__)

WANTING = (Reason.NOT_IN_REGISTRY, Reason.AMBIGUOUS)
"""Reasons that a new or changed organisation may mend."""


def select(
    settings: Settings,
    engine: Engine,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Mark what `version` carries and could answer otherwise; done once, unless `again`.

    Interrupted, it is done again from the start, with the same result. `encoder` is the version's,
    if it is loaded. `progress` is called with (affiliations looked at, all).

    Raises:
        ResolverSuperseded: the version is not in use any more.
        IndexProblem, ModelError: its index or its encoder is not here.
    """
    if version.selected_at is not None and not again:
        return
    if version.carries_id is not None:
        before = resolvers.find_resolver(engine, version.carries_id)
        changes = releases.changed_organisations(engine, before.release_id, version.release_id)
        names = affected.weighty(changes, INDEXED)
        stale.mark_linked(engine, version.id, names.keys(), Cause.ORGANISATION_CHANGED)
        stale.mark_unlinked(engine, version.id, WANTING)
        _mark_near(settings, engine, version, names.values(), encoder, progress)
    stale.selection_done(engine, version.id)


def complete(
    settings: Settings,
    engine: Engine,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Select what was not selected when an update broke off: the next version carries no other.

    Where the index of `version` is gone, nothing can be selected, and the next one carries nothing.
    """
    if version.selected_at is None:
        with service.index_store(settings) as store:
            versions = store.versions()
        if version.index_version in {manifest.version for manifest in versions}:
            select(settings, engine, version, encoder=encoder, progress=progress)


def _mark_near(
    settings: Settings,
    engine: Engine,
    version: ResolverVersion,
    names: Collection[Sequence[Document]],
    encoder: Encoder | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Affiliations that one of these names could be meant in."""
    if not names:
        return
    assert version.index_version is not None  # or it would carry nothing
    chosen = service.configured(settings, version)
    encoder = encoder or service.encoder(chosen)
    with (
        service.index_store(settings) as store,
        closing(store.open(version.index_version)) as index,
    ):
        search = affected.Search(
            affected.Names.of(names, store.statistics(version.index_version), encoder),
            load_sieve(chosen.judge, encoder),
            index.organisations,
        )
        total = stale.carried_count(engine, version.id)
        done = 0
        for batch in stale.carried(engine, version.id):
            found = zip(batch, search.affected(batch), strict=True)
            reached = [affiliation.id for affiliation, near in found if near]
            stale.mark(engine, version.id, reached, Cause.ORGANISATION_ADDED)
            done += len(batch)
            if progress:
                progress(done, max(done, total))
