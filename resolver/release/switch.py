"""Which resolver version is in use: the next one made, put in use, and taken back.

The row of the version in use is what workers follow; the index's alias serves commands that ask
no database. Whoever switches flips the alias first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.database import due_answers, releases, resolver_versions
from resolver.errors import (
    IndexMismatch,
    IndexMissing,
    ModelError,
    RegistryError,
    SettingsError,
)
from resolver.index import build
from resolver.registry.document import FORM
from resolver.service import service

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.releases import StoredRelease
    from resolver.database.resolver_versions import ResolverVersion
    from resolver.encoder import Encoder
    from resolver.encoder.statistics import Statistics
    from resolver.index import IndexStore, Manifest
    from resolver.settings import Settings

log = logging.getLogger(__name__)

KEEP = 3
"""Index versions kept: the one in use, the one before for rolling back, and one more."""

MOST_CHANGED = 0.1
"""Share of organisations that may differ for an index to be derived. Beyond it the statistics that
it would keep are of another registry, and a full build costs little more. A month's release changes
2%."""

Counted = Callable[[int, int], None]
"""Called with (done, in all)."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """The index version of the release that is loaded; `made` if it was not there before."""

    manifest: Manifest
    made: bool


def index_release(
    engine: Engine,
    store: IndexStore,
    encoder: Encoder,
    *,
    full: bool = False,
    again: bool = False,
    progress: Counted | None = None,
) -> Indexed:
    """The index of the release that is loaded, found, derived or built; not activated.

    It is derived from the index in use, where that is of the same encoder and document form and
    most organisations are the same; the statistics stay. `full` builds it with statistics of its
    own, `again` even where that is there already.

    Raises:
        RegistryError: no release is loaded.
        IndexProblem: the store refused something; no version is incomplete for it.
    """
    release = releases.require_release(engine)
    before = {manifest.version for manifest in store.versions()}
    base = None if full or again else _base(engine, store, encoder)
    manifest = base and _derived(engine, store, encoder, release, base, progress)
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
    return Indexed(manifest, manifest.version not in before)


def _base(engine: Engine, store: IndexStore, encoder: Encoder) -> Manifest | None:
    """The index in use, if the next can be derived from it."""
    version = resolver_versions.current_resolver(engine)
    base = find_index(store, version.index_version) if version and version.index_version else None
    base = base or store.active()
    if base is None or not base.statistics:
        return None
    same = (base.encoder_fingerprint, base.form) == (encoder.fingerprint, FORM)
    return base if same else None


def _derived(
    engine: Engine,
    store: IndexStore,
    encoder: Encoder,
    release: StoredRelease,
    base: Manifest,
    progress: Counted | None,
) -> Manifest | None:
    """None where too much differs, or what it is derived from is not in the database."""
    if base.release_sha256 == release.sha256:
        return base
    try:
        before = releases.find_release(engine, base.release, base.release_sha256)
    except RegistryError:
        log.warning("release %s is not in the database: the index is built in full", base.release)
        return None
    changed = releases.changed_organisations(engine, before.id, release.id)
    if len(changed) > MOST_CHANGED * release.organisation_count:
        log.warning(
            "%d organisations differ from release %s: the index is built in full",
            len(changed),
            before.version,
        )
        return None
    return build.derive(
        store,
        base,
        release=release.version,
        release_sha256=release.sha256,
        changed=changed,
        names=releases.names(engine, release.id),
        encoder=encoder,
        progress=progress,
    )


def restore_index(
    engine: Engine,
    store: IndexStore,
    encoder: Encoder,
    version: ResolverVersion,
    *,
    progress: Counted | None = None,
) -> Indexed:
    """The index of a resolver version, built again where it is gone: the same name, the same
    vectors and documents to the last bit, so that its answers are valid still. Not activated.

    All of it is in the database but the statistics, which may be those of an earlier release
    (`index_release`): they are learnt again from the release that they were learnt from then, and
    known by their fingerprint.

    Raises:
        IndexMissing: none can be had: the version names no index, or no release that is loaded
            has its statistics.
        IndexMismatch: this version of the code, or this encoder, would build another one.
    """
    remedy = "build one with what is here: resolver index build; every answer is due then"
    name, fingerprint = version.index_version, version.settings.get("statistics")
    if not name or not fingerprint:
        raise IndexMissing(
            f"resolver version {version.id} does not say what its index was made of", remedy=remedy
        )
    there = find_index(store, name)
    if there is not None:
        return Indexed(there, made=False)
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
        statistics=_statistics(engine, store, version, remedy),
        progress=progress,
        version=name,
    )
    return Indexed(manifest, made=True)


def _statistics(
    engine: Engine, store: IndexStore, version: ResolverVersion, remedy: str
) -> Statistics:
    """Those that the index of `version` had."""
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
        found = build.statistics_of(releases.organisations(engine, release_id))
        if found.fingerprint == fingerprint:
            return found
        log.info("release %d does not have the statistics %s", release_id, fingerprint)
    raise IndexMissing(
        f"no release that is loaded has the statistics {fingerprint} of index version "
        f"{version.index_version}",
        remedy="restore the index from a copy of it, or " + remedy,
    )


def find_index(store: IndexStore, version: str) -> Manifest | None:
    """The manifest of a complete index version."""
    return next((m for m in store.versions() if m.version == version), None)


# Resolver versions


def successor(engine: Engine, version: ResolverVersion, manifest: Manifest) -> ResolverVersion:
    """The same models and settings over another index version; not put in use.

    Raises:
        ModelError: this program would answer otherwise than the one that `version` was made by.
    """
    service.require_forms(version)
    release = releases.find_release(engine, manifest.release, manifest.release_sha256)
    return resolver_versions.register(
        engine,
        release_id=release.id,
        encoder=version.encoder,
        reranker=version.reranker,
        settings={**version.settings, "statistics": manifest.statistics},
        index_version=manifest.version,
        configuration=version.configuration,
    )


def of_settings(settings: Settings, engine: Engine, store: IndexStore) -> ResolverVersion:
    """The resolver version that the settings name, over the newest index of their encoder.

    An index of the release in use comes before a newer one: a change of models is one thing, a
    change of the registry another. It is registered, and not put in use.

    Raises:
        IndexMissing: there is no index of that encoder.
    """
    with closing(service.models(settings)) as models:
        manifest = _fitting(engine, store, models.encoder)
        return service.register(engine, settings, manifest, models)


def _fitting(engine: Engine, store: IndexStore, encoder: Encoder) -> Manifest:
    """The newest index of an encoder: the one in use, else of the release in use, else any."""
    current = resolver_versions.current_resolver(engine)
    fitting = [
        manifest
        for manifest in store.versions()
        if (manifest.encoder_fingerprint, manifest.form) == (encoder.fingerprint, FORM)
    ]
    if not fitting:
        raise IndexMissing(
            f"there is no index of encoder {encoder.name}",
            remedy="run: resolver index build",
        )
    in_use = [m for m in fitting if current and m.version == current.index_version]
    same_release = [m for m in fitting if current and m.release == current.release]
    return (in_use or same_release or fitting)[-1]


def put_in_use(engine: Engine, store: IndexStore, version: ResolverVersion) -> ResolverVersion:
    """Let workers follow this version, and commands search its index, from now on.

    Raises:
        IndexMissing: its index version is gone.
    """
    gone = IndexMissing(
        f"the index of resolver version {version.id} is gone "
        f"({version.index_version or 'it was never named'})",
        remedy="choose another one: resolver version list",
    )
    if version.index_version is None:
        raise gone
    active = store.active()
    if active is None or active.version != version.index_version:
        try:
            store.activate(version.index_version)
        except IndexMissing as error:
            raise gone from error
    return resolver_versions.put_in_use(engine, version.id)


def adopt(
    engine: Engine, store: IndexStore, encoder: Encoder, manifest: Manifest
) -> ResolverVersion | None:
    """Switch to an index: where a version of its encoder is in use, and this program answers as the
    one that it was made by, its successor takes over.

    Else the index is activated, and that is all; returns None then.
    """
    version = resolver_versions.current_resolver(engine)
    if (
        version
        and version.index_version
        and version.encoder[1] == encoder.fingerprint
        and service.answers_as(version)
    ):
        return put_in_use(engine, store, successor(engine, version, manifest))
    store.activate(manifest.version)
    return None


def check(settings: Settings, engine: Engine, version: ResolverVersion) -> None:
    """Open a version once, so that workers will not be the first to find that it cannot be.

    Raises:
        IndexProblem, ModelError, RerankerUnavailable: it cannot be opened here.
    """
    with service.open_version(settings, engine, version.id):
        pass


def before(engine: Engine) -> ResolverVersion:
    """The version to roll back to.

    Raises:
        SettingsError: there is none.
    """
    version = resolver_versions.previous_resolver(engine)
    if version is None:
        raise SettingsError(
            "no resolver version was in use before", remedy="see: resolver version list"
        )
    return version


def prune(engine: Engine, store: IndexStore, *, keep: int = KEEP) -> list[str]:
    """Drop the oldest index versions beyond `keep`; returns their names.

    The active one stays, and what the version in use and the one before it need. Of versions whose
    index is gone the marks of what they would answer otherwise are dropped, too.
    """
    wanted = (
        resolver_versions.current_resolver(engine),
        resolver_versions.previous_resolver(engine),
    )
    needed = {v.index_version for v in wanted if v is not None and v.index_version is not None}
    pruned = build.prune(store, keep=keep, needed=needed)
    kept = {manifest.version for manifest in store.versions()}
    versions = resolver_versions.resolvers(engine)
    due_answers.prune(engine, [v.id for v in versions if v.is_current or v.index_version in kept])
    return pruned


def encoder_of(settings: Settings, version: ResolverVersion) -> Encoder:
    """The encoder of a version.

    Raises:
        ModelError: the one that bears its name is another one.
    """
    encoder = service.encoder(service.configured(settings, version))
    if encoder.fingerprint != version.encoder[1]:
        raise ModelError(
            f"resolver version {version.id} has another encoder than there is here "
            f"(fingerprints {version.encoder[1]} and {encoder.fingerprint})",
            remedy="build an index with what is here, and switch to it: resolver index build "
            "&& resolver version use",
        )
    return encoder
