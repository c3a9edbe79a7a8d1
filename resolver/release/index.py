"""The index of a release: derived from the one in use, built, restored, and dropped in the end.

Nothing here puts an index in use: that is `resolver.release.switch`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from resolver.database import due_answers, releases, resolver_versions
from resolver.errors import IndexMismatch, IndexMissing, RegistryError
from resolver.index import build
from resolver.registry.document import FORM, documents

if TYPE_CHECKING:
    from resolver.database.releases import StoredRelease
    from resolver.database.resolver_versions import ResolverVersion
    from resolver.encoder import Encoder
    from resolver.encoder.statistics import Statistics
    from resolver.index import IndexStore, Manifest
    from resolver.registry.change import Change
    from resolver.service.installation import Installation

log = logging.getLogger(__name__)

KEEP = 3
"""Index versions kept: the one in use, the one before it to roll back to, and one more."""

MOST_CHANGED = 0.1
"""Greatest share of organisations that may differ for an index to be derived. Beyond it the
statistics that it would keep describe another registry, and a full build costs little more. A
month's release changes 2%."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """An index version; `made` if it was not there before."""

    manifest: Manifest
    made: bool


def index_release(
    installation: Installation,
    encoder: Encoder,
    *,
    full: bool = False,
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Indexed:
    """The index of the release that is loaded: found, derived or built. It is not activated.

    It is derived from the index in use where that has the same encoder and document form, and most
    organisations are the same; then the statistics stay. `full` builds it with statistics of its
    own; `again` builds it even where it is there already. `progress` is called with (names done,
    names in all). The full-text search of the release is built with an embedded index.

    Raises:
        RegistryError: no release is loaded.
        IndexProblem: the index store refused something; no incomplete version is left.
    """
    engine, store = installation.engine, installation.store
    release = releases.require_release(engine)
    before = {manifest.version for manifest in store.versions()}
    base = None if full or again else _base(installation, encoder)
    manifest = base and _derived(installation, encoder, release, base, progress)
    if manifest is None:
        manifest = build.build(
            releases.organisations(engine, release.id),
            release=release.version,
            release_sha256=release.sha256,
            encoder=encoder,
            store=store,
            progress=progress,
            force=again,
        )
    if installation.settings.qdrant_url is None and _has_search():
        from resolver.service import searching

        searching.build_search(engine, installation.settings, release)
    return Indexed(manifest, manifest.version not in before)


def _has_search() -> bool:
    """Whether the search's engine is installed: it comes with what `resolver serve` needs."""
    return find_spec("tantivy") is not None


def _base(installation: Installation, encoder: Encoder) -> Manifest | None:
    """The index in use, if the next one can be derived from it."""
    store = installation.store
    version = resolver_versions.current_resolver(installation.engine)
    base = find_index(store, version.index_version) if version and version.index_version else None
    base = base or store.active()
    if base is None or not base.statistics:
        return None
    same = (base.encoder_fingerprint, base.form) == (encoder.fingerprint, FORM)
    return base if same else None


def _derived(
    installation: Installation,
    encoder: Encoder,
    release: StoredRelease,
    base: Manifest,
    progress: Callable[[int, int], None] | None,
) -> Manifest | None:
    """None where too much differs, or the release of `base` is not in the database."""
    engine = installation.engine
    if base.release_sha256 == release.sha256:
        return base
    try:
        before = releases.find_release(engine, base.release, base.release_sha256)
    except RegistryError:
        log.warning("release %s is not in the database: the index is built in full", base.release)
        return None
    changed = [
        change
        for change in releases.changed_organisations(engine, before.id, release.id)
        if _is_indexed_otherwise(change)
    ]
    if len(changed) > MOST_CHANGED * release.organisation_count:
        log.warning(
            "%d organisations differ from release %s: the index is built in full",
            len(changed),
            before.version,
        )
        return None
    return build.derive(
        installation.store,
        base,
        release=release.version,
        release_sha256=release.sha256,
        changed=changed,
        names=releases.names(engine, release.id),
        encoder=encoder,
        progress=progress,
    )


def _is_indexed_otherwise(change: Change) -> bool:
    """Whether anything differs that the index holds; of dates and links it holds nothing."""
    before, after = change
    if before is None or after is None:
        return True
    return list(documents(before)) != list(documents(after))


def restore_index(
    installation: Installation,
    encoder: Encoder,
    version: ResolverVersion,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Indexed:
    """The index of a resolver version, built again where it is gone: the same name, the same
    vectors and documents to the last bit, so that its answers stay valid. It is not activated.

    All that it is built from is in the database, except the statistics. These may be of an earlier
    release (`index_release`): they are computed again from each release that is loaded, until the
    fingerprint is the one that the version records.

    Raises:
        IndexMissing: it cannot be built: the version names no index, or no release that is loaded
            has its statistics.
        IndexMismatch: this version of the code, or this encoder, would build another one.
    """
    remedy = "build one with what is here: resolver index build; every answer is due then"
    name, fingerprint = version.index_version, version.settings.get("statistics")
    if not name or not fingerprint:
        raise IndexMissing(
            f"resolver version {version.id} does not say what its index was made of", remedy=remedy
        )
    engine, store = installation.engine, installation.store
    existing = find_index(store, name)
    if existing is not None:
        return Indexed(existing, made=False)
    loaded = {release.id: release for release in releases.releases(engine)}
    release = loaded[version.release_id]
    if not build.is_named(
        name, release.version, release.sha256, encoder, statistics=str(fingerprint)
    ):
        raise IndexMismatch(
            f"index version {name} was built by another version of the code, or with another "
            f"encoder than {encoder.name}",
            remedy="install what it was made with, or " + remedy,
        )
    manifest = build.build(
        releases.organisations(engine, release.id),
        release=release.version,
        release_sha256=release.sha256,
        encoder=encoder,
        store=store,
        statistics=_statistics(installation, version, remedy),
        progress=progress,
        version=name,
    )
    return Indexed(manifest, made=True)


def _statistics(installation: Installation, version: ResolverVersion, remedy: str) -> Statistics:
    """Those that the index of `version` had."""
    engine, store = installation.engine, installation.store
    fingerprint = version.settings["statistics"]
    for manifest in store.versions():
        if manifest.statistics == fingerprint:
            return store.statistics(manifest.version)
    # The first version that had them was built in full: they are its release's own.
    alike = (
        other.release_id
        for other in reversed(resolver_versions.resolvers(engine))
        if other.settings.get("statistics") == fingerprint
    )
    others = (release.id for release in releases.releases(engine))
    for release_id in dict.fromkeys((*alike, *others)):
        statistics = build.statistics_of(releases.organisations(engine, release_id))
        if statistics.fingerprint == fingerprint:
            return statistics
        log.info("release %d does not have the statistics %s", release_id, fingerprint)
    raise IndexMissing(
        f"no release that is loaded has the statistics {fingerprint} of index version "
        f"{version.index_version}",
        remedy="restore the index from a copy of it, or " + remedy,
    )


def find_index(store: IndexStore, version: str) -> Manifest | None:
    """The manifest of a complete index version, by its name; None where there is none."""
    return next((m for m in store.versions() if m.version == version), None)


def prune(installation: Installation, *, keep: int = KEEP) -> list[str]:
    """Drop the oldest index versions beyond `keep`; returns their names.

    The active one stays, and those of the version in use and of the one before it. A resolver
    version whose index is gone loses its marks of answers that are due, too. Of the full-text
    searches here those stay whose release has an index.
    """
    engine, store = installation.engine, installation.store
    wanted = (
        resolver_versions.current_resolver(engine),
        resolver_versions.previous_resolver(engine),
    )
    needed = {v.index_version for v in wanted if v is not None and v.index_version is not None}
    pruned = build.prune(store, keep=keep, needed=needed)
    kept = {manifest.version for manifest in store.versions()}
    versions = resolver_versions.resolvers(engine)
    due_answers.prune(engine, [v.id for v in versions if v.is_current or v.index_version in kept])
    if _has_search():
        from resolver.service import searching

        indexed = {manifest.release_sha256 for manifest in store.versions()}
        searching.prune_searches(
            installation.settings, [r for r in releases.releases(engine) if r.sha256 in indexed]
        )
    return pruned
