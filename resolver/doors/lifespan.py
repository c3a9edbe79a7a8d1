"""The life of a server: its backend is opened, and closed when what it took is answered."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from resolver.doors.backend import Backend
from resolver.doors.health import Readiness
from resolver.errors import ResolverError

log = logging.getLogger(__name__)


def lifespan_of(
    backend: Backend,
    readiness: Readiness,
    at_work: Callable[[], AbstractAsyncContextManager[None]],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The lifespan of an application, for `FastAPI(lifespan=…)`: `at_work` runs while requests are
    taken. Where the backend cannot be opened, `app.state.failure` is the `ResolverError`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            await backend.open()
            async with at_work():
                readiness.open = True
                log.info("release %s is open", backend.matching.service.version.release)
                yield
                readiness.leaving = True
        except ResolverError as error:
            app.state.failure = error
            raise
        finally:
            await backend.close()

    return lifespan
