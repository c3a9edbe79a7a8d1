"""Which resolver version is in use: how the next one is made, put in use, and taken back.

`switch_to` is the one place where a version comes in use; only the very first is put in use by
`resolver.service.service.open_service`, over the index that is active already.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.database import releases, resolver_versions
from resolver.database.locks import updating_alone
from resolver.errors import IndexMissing, ModelError, SettingsError
from resolver.registry.document import FORM
from resolver.release import selection
from resolver.release.index import Indexed, index_release, restore_index
from resolver.release.progress import StepProgress, no_progress
from resolver.service import parts
from resolver.service.service import open_version
from resolver.service.version import configured, has_these_forms, register, require_forms

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.database.resolver_versions import ResolverVersion
    from resolver.encoder import Encoder
    from resolver.index import Manifest
    from resolver.service.installation import Installation


def successor(engine: Engine, version: ResolverVersion, manifest: Manifest) -> ResolverVersion:
    """The same models and settings over another index version; not put in use.

    Raises:
        ModelError: `version` was made by a program that answers otherwise than this one.
    """
    require_forms(version)
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


def of_settings(installation: Installation) -> ResolverVersion:
    """The resolver version that the settings name, over the newest index of their encoder.

    An index of the release in use comes before a newer one, so that the models change and the
    registry does not. The version is registered, and not put in use.

    Raises:
        IndexMissing: there is no index of that encoder.
    """
    with closing(parts.load_models(installation.settings)) as models:
        manifest = _newest_index(installation, models.encoder)
        return register(installation.engine, installation.settings, manifest, models)


def _newest_index(installation: Installation, encoder: Encoder) -> Manifest:
    """Of an encoder: the index in use, else the newest of the release in use, else the newest."""
    current = resolver_versions.current_resolver(installation.engine)
    fitting = [
        manifest
        for manifest in installation.store.versions()
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


def switch_to(installation: Installation, version: ResolverVersion) -> ResolverVersion:
    """Put a resolver version in use, in two steps, each of them atomic.

    1. The alias of the index flips (a symbolic link, where the index is embedded): commands that
       ask no database search the version's index.
    2. The row of the version in use flips: workers follow it, and answers are stored under it.

    Where it is interrupted between the two, workers go on with the version before, whose index is
    there still; doing it again completes it.

    Raises:
        IndexMissing: the index of the version is gone; nothing was changed.
    """
    gone = IndexMissing(
        f"the index of resolver version {version.id} is gone "
        f"({version.index_version or 'it was never named'})",
        remedy="choose another one: resolver version list",
    )
    if version.index_version is None:
        raise gone
    store = installation.store
    active = store.active()
    if active is None or active.version != version.index_version:
        try:
            store.activate(version.index_version)
        except IndexMissing as error:
            raise gone from error
    return resolver_versions.put_in_use(installation.engine, version.id)


def switch_to_index(
    installation: Installation, encoder: Encoder, manifest: Manifest
) -> ResolverVersion | None:
    """Switch to an index version.

    Where a resolver version of its encoder is in use, and this program answers as the one that made
    it, its successor over this index comes in use. Else only the alias of the index flips, and None
    is returned.
    """
    version = resolver_versions.current_resolver(installation.engine)
    if (
        version
        and version.index_version
        and version.encoder[1] == encoder.fingerprint
        and has_these_forms(version)
    ):
        return switch_to(installation, successor(installation.engine, version, manifest))
    installation.store.activate(manifest.version)
    return None


def require_openable(installation: Installation, version: ResolverVersion) -> None:
    """Open a version once, so that workers are not the first to find that it cannot be opened.

    Raises:
        IndexProblem, ModelError, RerankerUnavailable: it cannot be opened here.
    """
    with open_version(installation, version.id):
        pass


def version_before(engine: Engine) -> ResolverVersion:
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


def encoder_of(installation: Installation, version: ResolverVersion) -> Encoder:
    """The encoder of a version.

    Raises:
        ModelError: the encoder of that name has other weights here.
    """
    encoder = parts.load_encoder(configured(installation.settings, version))
    if encoder.fingerprint != version.encoder[1]:
        raise ModelError(
            f"resolver version {version.id} has another encoder than there is here "
            f"(fingerprints {version.encoder[1]} and {encoder.fingerprint})",
            remedy="build an index with what is here, and switch to it: resolver index build "
            "&& resolver version use",
        )
    return encoder


# What commands do, while no update runs


@dataclass(frozen=True, slots=True)
class Switched:
    """The version that is in use now, and the one that was before; perhaps the same."""

    version: ResolverVersion
    before: ResolverVersion | None


def use_version(installation: Installation, version_id: int | None) -> Switched:
    """Switch to a registered version, or without an id to that of the settings.

    Raises:
        UpdateRunning: an update runs.
        IndexProblem, ModelError, RerankerUnavailable: it cannot be opened here.
    """
    engine = installation.engine
    with updating_alone(engine):
        if version_id is None:
            version = of_settings(installation)
        else:
            version = resolver_versions.find_resolver(engine, version_id)
            require_openable(installation, version)
        before = resolver_versions.current_resolver(engine)
        return Switched(switch_to(installation, version), before)


def roll_back(installation: Installation) -> Switched:
    """Switch to the version that was in use before.

    Raises:
        as `use_version`; and SettingsError, where there is none.
    """
    with updating_alone(installation.engine):
        version = version_before(installation.engine)
        require_openable(installation, version)
        before = resolver_versions.current_resolver(installation.engine)
        return Switched(switch_to(installation, version), before)


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """The index of the release that is loaded; it is active. `version` is in use over it, or None
    where the version in use stays with the index of its own encoder; `before` was in use."""

    manifest: Manifest
    version: ResolverVersion | None
    before: ResolverVersion | None


def build_index(
    installation: Installation,
    *,
    full: bool = False,
    again: bool = False,
    progress: StepProgress = no_progress,
) -> BuiltIndex:
    """Index the release that is loaded with the encoder of the settings, then switch to the index.

    Options as of `resolver.release.index.index_release`.

    Raises:
        UpdateRunning: an update runs.
        ModelError, IndexProblem, RegistryError: as `index_release`.
    """
    engine = installation.engine
    encoder = parts.load_encoder(installation.settings)
    with updating_alone(engine):
        with progress("index: names") as report:
            manifest = index_release(
                installation, encoder, full=full, again=again, progress=report
            ).manifest
        before = resolver_versions.current_resolver(engine)
        if before and before.index_version not in (None, manifest.version):
            with progress("select: affiliations") as report:
                selection.complete(installation, before, progress=report)
        return BuiltIndex(manifest, switch_to_index(installation, encoder, manifest), before)


def restore_version(
    installation: Installation,
    version: ResolverVersion,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Indexed:
    """Build the index of a version again, where it is gone; that of the version in use is active
    afterwards.

    Raises:
        UpdateRunning: an update runs.
        ModelError, IndexProblem: as `encoder_of` and `resolver.release.index.restore_index`.
    """
    encoder = encoder_of(installation, version)
    with updating_alone(installation.engine):
        restored = restore_index(installation, encoder, version, progress=progress)
        if version.is_current:
            switch_to(installation, version)
    return restored
