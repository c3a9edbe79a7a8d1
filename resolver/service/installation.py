"""One installation: its settings, its database and its index, opened once and closed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from resolver.database import connection
from resolver.database.revision import require_schema
from resolver.index import IndexStore
from resolver.index.build import require_fresh
from resolver.matching.recall import Recall
from resolver.service import embedded, parts
from resolver.service.parts import Models
from resolver.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.matching.judge import Judge
    from resolver.matching.matcher import Matcher


@contextmanager
def open_database(settings: Settings, *, connect_seconds: int | None = None) -> Iterator[Engine]:
    """An engine on the database of the settings, of whatever schema: the URL's, or the embedded one
    for as long as the block lasts.

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


def open_index_store(settings: Settings) -> IndexStore:
    """The index versions on the Qdrant server, or the embedded ones under `settings.home`.

    For a `with` statement: what is opened from it can be used inside that block only. The embedded
    store holds no lock; an index that is opened from it holds one until it is closed.
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


class Installation:
    """The settings, and the database and index store that they name.

    Both are opened when they are first used, and closed with the installation, in a `with`
    statement. So a command that needs no database never starts one. An `engine` or a `store` that
    is given is used instead, and left open. Of one thread; each process opens its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine | None = None,
        store: IndexStore | None = None,
    ) -> None:
        self.settings = settings
        self._opened = ExitStack()
        self._engine = engine
        self._store = store
        self._migrated = engine is not None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what it opened; nothing of it can be used afterwards."""
        self._closed = True
        self._opened.close()

    @property
    def engine(self) -> Engine:
        """The database, once it is known to have the schema that this program needs.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
            DatabaseOutdated: the schema is another one.
        """
        engine = self.engine_of_any_schema
        if not self._migrated:
            require_schema(engine)
            self._migrated = True
        return engine

    @property
    def engine_of_any_schema(self) -> Engine:
        """The database as it is: to migrate it, to copy it, to fill an empty one.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
        """
        self._require_open()
        if self._engine is None:
            self._engine = self._opened.enter_context(open_database(self.settings))
        return self._engine

    @property
    def store(self) -> IndexStore:
        """All index versions.

        Raises:
            IndexProblem: the Qdrant server cannot be used.
        """
        self._require_open()
        if self._store is None:
            self._store = self._opened.enter_context(open_index_store(self.settings))
        return self._store

    @contextmanager
    def open_recall(self) -> Iterator[Recall]:
        """The first stage over the active index; asks no database.

        Raises:
            ModelError: the encoder cannot be loaded.
            IndexProblem: no index is active, or it was built by another encoder.
        """
        encoder = parts.load_encoder(self.settings)
        with closing(self.store.open()) as index:
            require_fresh(index.manifest, encoder=encoder, release=None)
            yield Recall(encoder, index)

    @contextmanager
    def open_matcher(self, *, judge: Judge | None = None) -> Iterator[Matcher]:
        """The whole matcher over the active index; asks no database.

        `judge` takes the place of the one in the settings, of its sieve and of its forecaster.

        Raises:
            ModelError, RerankerUnavailable: a model cannot be loaded.
            IndexProblem: as `open_recall`.
            SettingsError: the policy makes no sense.
        """
        with self.open_recall() as recall:
            if judge is None:
                models = parts.load_models(self.settings, encoder=recall.encoder)
            else:
                reranker = parts.load_reranker(self.settings)
                models = Models(
                    recall.encoder, reranker, judge, sieve=None, forecaster=None, operating=()
                )
            with closing(models):
                yield parts.make_matcher(self.settings, recall.index, models)

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the installation is closed")
