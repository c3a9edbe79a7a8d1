"""Builds the parts from the settings: the only place that knows which part a setting means."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resolver import embedded
from resolver.database import connection, releases, resolvers
from resolver.domain.judge import Judge
from resolver.domain.policy import Operating, Policy, threshold
from resolver.encoder import Encoder
from resolver.encoder.loading import load as load_encoder
from resolver.encoder.static import WEIGHTS
from resolver.errors import SettingsError
from resolver.index import IndexStore
from resolver.indexing import require_fresh
from resolver.judging import fingerprint, load_judge, load_operating, load_sieve
from resolver.matching import Matcher
from resolver.recall import Recall
from resolver.reranker import Reranker
from resolver.reranker.loading import load as load_reranker
from resolver.reranker.onnx import MODEL
from resolver.settings import BUILTIN, Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """An engine on the database: the URL's, or the embedded one for as long as the block lasts.

    Raises:
        DatabaseUnavailable: Postgres does not answer.
    """
    if settings.database_url:
        yield from _engine(settings.database_url.get_secret_value())
    else:
        with embedded.postgres(settings.home) as url:
            yield from _engine(url)


def _engine(url: str) -> Iterator[Engine]:
    engine = connection.connect(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def broker(settings: Settings) -> Iterator[str]:
    """The broker's URL, with the embedded broker running for as long as the block lasts."""
    if settings.broker_url:
        yield settings.broker_url.get_secret_value()
    else:
        with embedded.redis(settings.home) as url:
            yield url


def index_directory(settings: Settings) -> Path:
    """Where the embedded index keeps its versions."""
    return settings.home / "index"


def index_store(settings: Settings) -> IndexStore:
    """The Qdrant server's versions, or the embedded ones under `settings.home`."""
    if settings.qdrant_url:
        from resolver.index import server

        key = settings.qdrant_api_key
        client = server.connect(
            settings.qdrant_url,
            api_key=key.get_secret_value() if key else None,
            timeout=settings.qdrant_timeout,
        )
        return server.ServerStore(client)
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
def recall(
    settings: Settings, loaded: Encoder | None = None, *, release: str | None = None
) -> Iterator[Recall]:
    """The first stage over the active index.

    Raises:
        IndexProblem: none is active, or it was built by another encoder or from a release
            other than `release` (None: whichever).
    """
    loaded = loaded or encoder(settings)
    index = index_store(settings).open()
    try:
        require_fresh(index.manifest, encoder=loaded, release=release)
        yield Recall(loaded, index)
    finally:
        index.close()


@contextmanager
def matcher(
    settings: Settings, *, release: str | None = None, judge: Judge | None = None
) -> Iterator[Matcher]:
    """The whole matcher; needs the index and the models, but no database.

    `judge` takes the place of the one in the settings, and of its sieve.
    """
    with recall(settings, release=release) as first_stage:
        scorer = reranker(settings)
        operating = () if judge else load_operating(settings.judge, first_stage.encoder, scorer)
        yield Matcher(
            recall=first_stage,
            reranker=scorer,
            judge=judge or load_judge(settings.judge, first_stage.encoder, scorer),
            policy=policy(settings, operating),
            sieve=None if judge else load_sieve(settings.judge, first_stage.encoder),
            recall_depth=settings.recall_depth,
            rerank_depth=settings.rerank_depth,
            rerank_from=settings.rerank_from,
            slice_size=settings.slice_size,
        )


@dataclass(frozen=True, slots=True)
class Service:
    """What a worker needs: the matcher, the database, and the version that its answers carry.

    `operating` says what threshold a target precision takes.
    """

    settings: Settings
    engine: Engine
    matcher: Matcher
    resolver_version_id: int
    operating: Operating = ()

    def policy(self, chosen: object) -> Policy:
        """The worker's own policy with the choices of a message in place; None: as it is.

        Raises:
            SettingsError: a choice is not known or makes no sense.
        """
        own = self.matcher.policy
        return own if chosen is None else _policy(chosen, own, self.operating)

    @staticmethod
    @contextmanager
    def open(settings: Settings) -> Iterator[Service]:
        """Open everything and check that it fits together.

        Raises:
            RegistryError: no release is loaded.
            IndexProblem: no index, or one of another release or encoder.
            ModelError: a model cannot be loaded.
            RerankerUnavailable: the reranker's server does not answer.
            DatabaseProblem: Postgres does not answer or is not migrated.
        """
        with database(settings) as engine:
            connection.require_schema(engine)
            release = releases.require_release(engine)
            with matcher(settings, release=release.version) as built:
                version = resolvers.register(
                    engine,
                    release_id=release.id,
                    encoder=(built.recall.encoder.name, built.recall.encoder.fingerprint),
                    reranker=(built.reranker.name, built.reranker.fingerprint),
                    settings={
                        **deciding(settings),
                        "judge": fingerprint(built.judge),
                        "sieve": built.sieve and fingerprint(built.sieve),
                    },
                )
                operating = load_operating(settings.judge, built.recall.encoder, built.reranker)
                yield Service(settings, engine, built, version.id, operating)


def deciding(settings: Settings) -> dict[str, object]:
    """The settings that every answer depends on, as recorded with the resolver version.

    The caller's choices are not among them: they are recorded as the answer's policy.
    """
    return settings.model_dump(include={"recall_depth", "rerank_depth", "rerank_from"})
