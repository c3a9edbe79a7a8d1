"""Builds the parts from the settings: the only place that knows which part a setting means.

A `Service` is all of them together, as the resolver version in use wants them. The row of that
version names the index version and the models, so every worker answers alike; the settings of a
worker say where things are, and name the models only as long as no version is in use.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.database import connection, locks, releases, resolver_versions, schema
from resolver.database.resolver_versions import ResolverVersion
from resolver.encoder import Encoder
from resolver.encoder.loading import load as load_encoder
from resolver.encoder.static import WEIGHTS
from resolver.errors import IndexMissing, ModelError, PolicyError, SettingsError
from resolver.index import Index, IndexStore, Manifest
from resolver.index.build import require_fresh
from resolver.matching import decision, evidence
from resolver.matching.judge import Judge
from resolver.matching.judge_file import fingerprint, load_judge, load_operating, load_sieve
from resolver.matching.matcher import Matcher
from resolver.matching.policy import Operating, Policy, threshold
from resolver.matching.recall import Recall
from resolver.matching.sieve import Sieve
from resolver.reranker import Reranker
from resolver.reranker.loading import load as load_reranker
from resolver.reranker.onnx import MODEL
from resolver.service import embedded
from resolver.settings import BUILTIN, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)


@contextmanager
def database(settings: Settings, *, connect_seconds: int | None = None) -> Iterator[Engine]:
    """An engine on the database: the URL's, or the embedded one for as long as the block lasts.

    `connect_seconds` is how long a server may take to answer; None: as `connection.connect` says.

    Raises:
        DatabaseUnavailable: Postgres does not answer.
    """
    if settings.database_url:
        yield from _engine(settings.database_url.get_secret_value(), connect_seconds)
    else:
        with embedded.postgres(settings.home) as url:
            yield from _engine(url, connect_seconds)


def _engine(url: str, connect_seconds: int | None) -> Iterator[Engine]:
    engine = connection.connect(url, connect_seconds=connect_seconds)
    try:
        yield engine
    finally:
        engine.dispose()


def index_directory(settings: Settings) -> Path:
    """Where the embedded index keeps its versions."""
    return settings.home / "index"


def index_store(settings: Settings) -> IndexStore:
    """The Qdrant server's versions, or the embedded ones under `settings.home`.

    For a `with`: what is opened from it can be used as long as that lasts, and no longer.
    """
    if settings.qdrant_url:
        from resolver.index import qdrant, server

        key = settings.qdrant_api_key
        client = qdrant.connect(
            settings.qdrant_url,
            api_key=key.get_secret_value() if key else None,
            timeout=settings.qdrant_timeout,
            ca_file=settings.ca_file,
        )
        return server.ServerStore(client, copies=settings.qdrant_copies)
    from resolver.index.embedded import EmbeddedStore

    return EmbeddedStore(index_directory(settings))


def encoder(settings: Settings) -> Encoder:
    return load_encoder(settings.encoder, settings.device)


def reranker(settings: Settings) -> Reranker:
    return load_reranker(
        settings.reranker,
        settings.device,
        threads=settings.threads,
        api_key=settings.reranker_api_key,
        calibration=settings.reranker_calibration,
        timeout=settings.reranker_timeout,
        requests=settings.reranker_requests,
        ca_file=settings.ca_file,
    )


def in_torch(settings: Settings) -> bool:
    """Whether a model of these settings runs in torch in this process: then it may have a GPU."""
    return not (
        (settings.encoder == BUILTIN or (Path(settings.encoder) / WEIGHTS).is_file())
        and (
            settings.reranker == BUILTIN
            or "://" in settings.reranker
            or (Path(settings.reranker) / MODEL).is_file()
        )
    )


def policy(settings: Settings, operating: Operating = ()) -> Policy:
    """The choices of the settings; `operating` is what a target precision is looked up in.

    Raises:
        SettingsError: a choice makes no sense, or the target precision is out of reach.
    """
    chosen = settings.model_dump(include={"max_links", "level", "succession", "types", "countries"})
    if settings.target_precision is None:
        chosen["accept_probability"] = settings.accept_probability
    else:
        chosen["target_precision"] = settings.target_precision
    return _policy(chosen, Policy(), operating)


def _policy(chosen: object, base: Policy, operating: Operating) -> Policy:
    try:
        return Policy.from_object(
            chosen, base=base, threshold_for=lambda target: threshold(operating, target)
        )
    except ValueError as error:
        raise SettingsError(
            str(error), remedy="see docs/settings.md for the accepted values"
        ) from error


@contextmanager
def recall(settings: Settings, loaded: Encoder | None = None) -> Iterator[Recall]:
    """The first stage over the active index.

    Raises:
        IndexProblem: none is active, or it was built by another encoder.
    """
    loaded = loaded or encoder(settings)
    with index_store(settings) as store, closing(store.open()) as index:
        require_fresh(index.manifest, encoder=loaded, release=None)
        yield Recall(loaded, index)


@contextmanager
def matcher(settings: Settings, *, judge: Judge | None = None) -> Iterator[Matcher]:
    """The whole matcher over the active index; needs the models, but no database.

    `judge` takes the place of the one in the settings, and of its sieve.
    """
    with recall(settings) as first_stage:
        scorer = reranker(settings)
        chosen = (
            Models(first_stage.encoder, scorer, judge, sieve=None, operating=())
            if judge
            else _models(settings, first_stage.encoder, scorer)
        )
        with closing(chosen):
            yield _matcher(settings, first_stage.index, chosen)


def _matcher(settings: Settings, index: Index, models: Models) -> Matcher:
    return Matcher(
        recall=Recall(models.encoder, index),
        reranker=models.reranker,
        judge=models.judge,
        policy=policy(settings, models.operating),
        sieve=models.sieve,
        recall_depth=settings.recall_depth,
        rerank_depth=settings.rerank_depth,
        rerank_from=settings.rerank_from,
        slice_size=settings.slice_size,
    )


# Resolver versions

MODELS = ("encoder", "reranker", "reranker_calibration", "judge")
"""Settings that name a model."""

DECIDING = ("recall_depth", "rerank_depth", "rerank_from")
"""Settings that every answer depends on. The caller's choices are not among them: they are recorded
as the answer's policy."""


FORMS = {"evidence_form": evidence.FORM, "decision_form": decision.FORM}
"""How this program answers beside models and settings: numbers that change with the code."""


@dataclass(frozen=True, slots=True)
class Models:
    """What ranks and decides. `operating` says what threshold a target precision takes.

    Whoever loaded them closes them: a reranker on a server holds connections.
    """

    encoder: Encoder
    reranker: Reranker
    judge: Judge
    sieve: Sieve | None
    operating: Operating

    def close(self) -> None:
        self.reranker.close()


def models(settings: Settings) -> Models:
    """The models that the settings name.

    Raises:
        ModelError: one cannot be loaded.
        RerankerUnavailable: the reranker's server does not answer.
    """
    return _models(settings, encoder(settings), reranker(settings))


def _models(settings: Settings, loaded: Encoder, scorer: Reranker) -> Models:
    return Models(
        loaded,
        scorer,
        load_judge(settings.judge, loaded, scorer),
        load_sieve(settings.judge, loaded),
        load_operating(settings.judge, loaded, scorer),
    )


def configuration(settings: Settings) -> dict[str, Any]:
    """What a resolver version keeps of the settings, as JSON values: enough to open it anywhere.

    A path that exists here is made absolute: another process may work in another folder.
    """
    chosen = settings.model_dump(mode="json", include={*MODELS, *DECIDING})
    for name in MODELS:
        value = chosen[name]
        if value not in (None, BUILTIN) and Path(value).exists():
            chosen[name] = str(Path(value).absolute())
    return chosen


def configured(settings: Settings, version: ResolverVersion) -> Settings:
    """The settings with what `version` says in place.

    The key of a reranker's server goes to no other server than the one that it is set for.
    """
    kept: dict[str, Any] = dict(version.configuration)
    if kept.get("reranker_calibration"):
        kept["reranker_calibration"] = Path(kept["reranker_calibration"])
    if "://" in settings.reranker and kept.get("reranker") != settings.reranker:
        kept["reranker_api_key"] = None
    return settings.model_copy(update=kept)


def register(
    engine: Engine, settings: Settings, manifest: Manifest, models: Models
) -> ResolverVersion:
    """The resolver version of these settings and this index version; not put in use.

    Raises:
        RegistryError: the release of the index is not in the database.
        IndexMismatch: the index is of another encoder or document form.
    """
    require_fresh(manifest, encoder=models.encoder, release=None)
    release = releases.find_release(engine, manifest.release, manifest.release_sha256)
    return resolver_versions.register(
        engine,
        release_id=release.id,
        encoder=(models.encoder.name, models.encoder.fingerprint),
        reranker=(models.reranker.name, models.reranker.fingerprint),
        settings=deciding(settings, models) | {"statistics": manifest.statistics},
        index_version=manifest.version,
        configuration=configuration(settings),
    )


def deciding(settings: Settings, models: Models) -> dict[str, object]:
    """What every answer depends on beside release, index, encoder and reranker."""
    return {
        **settings.model_dump(include=set(DECIDING)),
        **FORMS,
        "judge": fingerprint(models.judge),
        "sieve": models.sieve and fingerprint(models.sieve),
    }


def answers_as(version: ResolverVersion) -> bool:
    """Whether this program sees and decides as the one did that the version was made by."""
    return all(version.settings.get(name) == form for name, form in FORMS.items())


def require_forms(version: ResolverVersion) -> None:
    """Refuse to answer in the name of a version that was made by another program.

    Raises:
        ModelError: a form differs; names it.
    """
    if answers_as(version):
        return
    differing = ", ".join(
        f"{name.replace('_', ' ')} {version.settings.get(name, 'not named')}, here {form}"
        for name, form in FORMS.items()
        if version.settings.get(name) != form
    )
    raise ModelError(
        f"resolver version {version.id} was made by a program that answers otherwise ({differing})",
        remedy="to answer as this one does, run: resolver version use (every answer is due then); "
        "else install the one that it was made by",
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """A resolver version with what it needs."""

    version: ResolverVersion
    models: Models
    matcher: Matcher

    def close(self, following: _Opened | None = None) -> None:
        """`following` is what takes its place, perhaps with the same models."""
        self.matcher.recall.index.close()
        if following is None or following.models.reranker is not self.models.reranker:
            self.models.close()


class Service:
    """What a worker needs: the matcher of a resolver version, and the database.

    It is opened with the version in use, and changes over to another one in `follow` alone: what
    is resolved in between is of one version. Whoever made the store closes it after the service.
    """

    def __init__(
        self, settings: Settings, engine: Engine, store: IndexStore, version: ResolverVersion
    ) -> None:
        self.settings = settings
        self.engine = engine
        self._store = store
        self._opened = _open(settings, store, version)

    @property
    def version(self) -> ResolverVersion:
        return self._opened.version

    @property
    def matcher(self) -> Matcher:
        return self._opened.matcher

    def policy(self, chosen: object) -> Policy:
        """The worker's own policy with the choices of a message in place; None: as it is.

        Raises:
            PolicyError: a choice is not known or makes no sense.
        """
        own = self.matcher.policy
        if chosen is None:
            return own
        try:
            return _policy(chosen, own, self._opened.models.operating)
        except SettingsError as error:
            raise PolicyError(error.problem, remedy=error.remedy) from error

    def follow(self) -> bool:
        """Change over to the version in use, if that is another one by now; whether it was.

        One look into the database when it is not. Models that stay are not loaded again. When the
        new version cannot be opened, the old one stays open.

        Raises:
            IndexProblem, ModelError, RerankerUnavailable: it cannot be opened here.
            DatabaseProblem: Postgres does not answer.
        """
        now = resolver_versions.current_resolver(self.engine)
        before = self._opened
        if now is None or _same(now, before.version):
            return False
        self._opened = _open(self.settings, self._store, now, before.models)
        before.close(self._opened)
        log.warning("resolver version %d is in use now (release %s)", now.id, now.release)
        return True

    def close(self) -> None:
        self._opened.close()

    @staticmethod
    @contextmanager
    def open(settings: Settings) -> Iterator[Service]:
        """Open the version in use; the first time, the one that the settings and the active index
        make, which is in use from then on.

        Raises:
            RegistryError: no release is loaded.
            IndexProblem: no index, or one of another encoder.
            ModelError: a model cannot be loaded, or is not the one that the version had.
            RerankerUnavailable: the reranker's server does not answer.
            DatabaseProblem: Postgres does not answer, is not migrated, or may not be written to.
        """
        with database(settings) as engine:
            schema.require_schema(engine)
            connection.require_writable(engine)
            with open_service(settings, engine) as service:
                yield service


@contextmanager
def open_service(settings: Settings, engine: Engine) -> Iterator[Service]:
    """`Service.open` on an engine that is there."""
    with index_store(settings) as store:
        version = resolver_versions.current_resolver(engine)
        if version is None or version.index_version is None:
            version = resolver_versions.put_in_use(engine, _first(settings, engine, store).id)
        else:
            _tell_differences(settings, version)
        _tell_newer_release(engine, version)
        with closing(Service(settings, engine, store, version)) as service:
            yield service


@contextmanager
def open_version(settings: Settings, engine: Engine, version_id: int) -> Iterator[Service]:
    """Any registered version, in use or not, to resolve with and to compare.

    Raises:
        ResolverError: there is no such version, its index version is gone, or its models are not
            here.
    """
    version = resolver_versions.find_resolver(engine, version_id)
    with (
        index_store(settings) as store,
        closing(Service(settings, engine, store, version)) as service,
    ):
        yield service


def _first(settings: Settings, engine: Engine, store: IndexStore) -> ResolverVersion:
    releases.require_release(engine)
    manifest = store.active()
    if manifest is None:
        raise IndexMissing("no index is active", remedy="run: resolver index build")
    with closing(models(settings)) as loaded:
        return register(engine, settings, manifest, loaded)


def _open(
    settings: Settings, store: IndexStore, version: ResolverVersion, kept: Models | None = None
) -> _Opened:
    if version.index_version is None:
        raise IndexMissing(
            f"resolver version {version.id} is of a time when none named its index",
            remedy="it cannot be opened any more; see: resolver version list",
        )
    require_forms(version)
    chosen = configured(settings, version)
    loaded = kept.encoder if kept and kept.encoder.fingerprint == version.encoder[1] else None
    scorer = kept.reranker if kept and kept.reranker.fingerprint == version.reranker[1] else None
    opened = _models(chosen, loaded or encoder(chosen), scorer or reranker(chosen))
    _check_models(version, chosen, opened)
    try:
        index = store.open(version.index_version)
    except IndexMissing as error:
        raise IndexMissing(
            f"the index of resolver version {version.id} is gone: {error.problem}",
            remedy="run: resolver index restore, or switch to another one: resolver version list",
        ) from error
    try:
        require_fresh(index.manifest, encoder=opened.encoder, release=None)
        return _Opened(version, opened, _matcher(chosen, index, opened))
    except BaseException:
        index.close()
        raise


def _check_models(version: ResolverVersion, chosen: Settings, opened: Models) -> None:
    """Refuse models that bear the name of the version's and are others."""
    here = deciding(chosen, opened)
    for what, recorded, found in (
        ("encoder", version.encoder[1], opened.encoder.fingerprint),
        ("reranker", version.reranker[1], opened.reranker.fingerprint),
        *((name, version.settings.get(name), here[name]) for name in ("judge", "sieve")),
    ):
        if recorded != found:
            raise ModelError(
                f"resolver version {version.id} has another {what} than there is here "
                f"(fingerprints {recorded} and {found})",
                remedy="install what it was made with, or switch to what is here: "
                "resolver version use",
            )


def _same(one: ResolverVersion, other: ResolverVersion) -> bool:
    return (one.id, one.index_version) == (other.id, other.index_version)


def _tell_differences(settings: Settings, version: ResolverVersion) -> None:
    """Settings that say otherwise than the version in use, which is followed."""
    ours = configuration(settings)
    for name in sorted(settings.model_fields_set & ours.keys()):
        theirs = version.configuration.get(name)
        if ours[name] != theirs:
            log.warning(
                "RESOLVER_%s is %s here, and %s in resolver version %d, which is in use: "
                "to switch, run resolver version use",
                name.upper(),
                ours[name],
                theirs,
                version.id,
            )


def _tell_newer_release(engine: Engine, version: ResolverVersion) -> None:
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
