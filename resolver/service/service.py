"""The matcher of a resolver version, and the database that its answers go to.

The row of the version in use names the index version and the models, so every worker answers alike.
The settings of a worker say where things are; they name the models only as long as no version is in
use.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.database import connection, locks, releases, resolver_versions
from resolver.database.resolver_versions import ResolverVersion
from resolver.errors import IndexMissing, PolicyError, SettingsError
from resolver.index.build import require_fresh
from resolver.matching.matcher import Matcher
from resolver.matching.policy import Policy
from resolver.service import garbage, parts
from resolver.service.installation import Installation
from resolver.service.parts import Models
from resolver.service.version import (
    configuration,
    configured,
    register,
    require_forms,
    require_models,
)
from resolver.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.encoder import Encoder
    from resolver.reranker import Reranker

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A resolver version with its models and its matcher."""

    version: ResolverVersion
    models: Models
    matcher: Matcher

    def close(self, successor: _Opened | None = None) -> None:
        """The models stay open where `successor` goes on with them."""
        self.matcher.recall.index.close()
        if successor is None or successor.models.reranker is not self.models.reranker:
            self.models.close()


class Service:
    """What a worker needs: the matcher of a resolver version, and the database.

    It changes over to another version in `follow` only: what is resolved in between is answered by
    one version. It uses the installation that it is made with, and does not close it.
    """

    def __init__(
        self,
        installation: Installation,
        version: ResolverVersion,
        *,
        encoder: Encoder | None = None,
    ) -> None:
        """`encoder` is used where it is the version's; then none is loaded.

        Raises:
            IndexProblem, ModelError, RerankerUnavailable: the version cannot be opened here.
        """
        self.installation = installation
        self._opened = _open(installation, version, encoder=encoder)
        garbage.spare_opened()

    @property
    def engine(self) -> Engine:
        return self.installation.engine

    @property
    def version(self) -> ResolverVersion:
        return self._opened.version

    @property
    def matcher(self) -> Matcher:
        return self._opened.matcher

    def policy(self, choices: object) -> Policy:
        """The policy of this worker's settings with the choices of a message in place, if any.

        Raises:
            PolicyError: a choice is not known or makes no sense.
        """
        own = self.matcher.policy
        if choices is None:
            return own
        try:
            return parts.change_policy(own, choices, self._opened.models.operating)
        except SettingsError as error:
            raise PolicyError(error.problem, remedy=error.remedy) from error

    def follow(self) -> bool:
        """Change over to the version in use, if it is another one by now; whether it was.

        It costs one query when it is not. Models that both versions have are not loaded again. When
        the new version cannot be opened, the old one stays open.

        Raises:
            IndexProblem, ModelError, RerankerUnavailable: it cannot be opened here.
            DatabaseProblem: Postgres does not answer.
        """
        current = resolver_versions.current_resolver(self.engine)
        before = self._opened
        if current is None or _same(current, before.version):
            return False
        self._opened = _open(
            self.installation,
            current,
            encoder=before.models.encoder,
            reranker=before.models.reranker,
        )
        before.close(self._opened)
        garbage.spare_opened()
        log.warning("resolver version %d is in use now (release %s)", current.id, current.release)
        return True

    def close(self) -> None:
        self._opened.close()


@contextmanager
def open_service(
    installation: Installation, *, encoder: Encoder | None = None, writes: bool = True
) -> Iterator[Service]:
    """The version in use. Where none is, the settings and the active index make one, which is in
    use from then on.

    `encoder` is used where it is the version's; then none is loaded. Without `writes` the database
    user need not be one that may store answers.

    Raises:
        RegistryError: no release is loaded.
        IndexProblem: there is no index, or it was built by another encoder.
        ModelError: a model cannot be loaded, or is not the one that the version had.
        RerankerUnavailable: the reranker's server does not answer.
        DatabaseProblem: Postgres does not answer, is not migrated, or may not be written to.
    """
    engine = installation.engine
    if writes:
        connection.require_writable(engine)
    version = resolver_versions.current_resolver(engine)
    if version is None or version.index_version is None:
        version = resolver_versions.put_in_use(engine, _first_version(installation).id)
    else:
        _warn_of_differences(installation.settings, version)
    _warn_of_newer_release(engine, version)
    with closing(Service(installation, version, encoder=encoder)) as service:
        yield service


@contextmanager
def open_version(installation: Installation, version_id: int) -> Iterator[Service]:
    """Any registered version, in use or not, to resolve with and to compare.

    Raises:
        ResolverError: there is no such version, its index version is gone, or its models are not
            here.
    """
    version = resolver_versions.find_resolver(installation.engine, version_id)
    with closing(Service(installation, version)) as service:
        yield service


def _first_version(installation: Installation) -> ResolverVersion:
    """Of the settings and the active index; not in use yet."""
    engine = installation.engine
    releases.require_release(engine)
    manifest = installation.store.active()
    if manifest is None:
        raise IndexMissing("no index is active", remedy="run: resolver index build")
    with closing(parts.load_models(installation.settings)) as models:
        return register(engine, installation.settings, manifest, models)


def _open(
    installation: Installation,
    version: ResolverVersion,
    *,
    encoder: Encoder | None = None,
    reranker: Reranker | None = None,
) -> _Opened:
    """A version; the models that are given are used where they are the version's."""
    if version.index_version is None:
        raise IndexMissing(
            f"resolver version {version.id} is of a time when none named its index",
            remedy="it cannot be opened any more; see: resolver version list",
        )
    require_forms(version)
    settings = configured(installation.settings, version)
    models = parts.load_models(
        settings,
        encoder=encoder if encoder and encoder.fingerprint == version.encoder[1] else None,
        reranker=reranker if reranker and reranker.fingerprint == version.reranker[1] else None,
    )
    with ExitStack() as on_failure:
        if models.reranker is not reranker:
            on_failure.callback(models.close)
        require_models(version, settings, models)
        try:
            index = installation.store.open(version.index_version)
        except IndexMissing as error:
            raise IndexMissing(
                f"the index of resolver version {version.id} is gone: {error.problem}",
                remedy="run: resolver index restore, or switch to another one: "
                "resolver version list",
            ) from error
        on_failure.callback(index.close)
        require_fresh(index.manifest, encoder=models.encoder, release=None)
        opened = _Opened(version, models, parts.make_matcher(settings, index, models))
        on_failure.pop_all()
    return opened


def _same(version: ResolverVersion, other: ResolverVersion) -> bool:
    return (version.id, version.index_version) == (other.id, other.index_version)


def _warn_of_differences(settings: Settings, version: ResolverVersion) -> None:
    """Of settings that differ from the version in use: the version is followed."""
    here = configuration(settings)
    for name in sorted(settings.model_fields_set & here.keys()):
        recorded = version.configuration.get(name)
        if here[name] != recorded:
            log.warning(
                "RESOLVER_%s is %s here, and %s in resolver version %d, which is in use: "
                "to switch, run resolver version use",
                name.upper(),
                here[name],
                recorded,
                version.id,
            )


def _warn_of_newer_release(engine: Engine, version: ResolverVersion) -> None:
    release = releases.current_release(engine)
    if release is None or release.id == version.release_id:
        return
    if locks.updating(engine) or resolver_versions.used_before(engine, version, release.id):
        log.info("release %s is loaded, the answers are by %s", release.version, version.release)
    else:
        log.warning(
            "release %s is loaded, the answers are by %s: to take it in, run resolver update",
            release.version,
            version.release,
        )
