"""Each request gets an id, is counted and logged. Affiliations are in no line: of a query string
nothing is logged."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from resolver.doors.limits import OPEN
from resolver.doors.problems import problem_of
from resolver.observing.metrics import DoorMetrics

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"

_GIVEN = re.compile(r"[\w.:/+=-]{1,100}", re.ASCII)
"""What is taken for a request's id: anything else could forge lines of a log."""

MAX_PATH = 200

COME_BACK = (429, 503)
"""Statuses of requests that are to come back later."""

DOORS = ("match", "jobs", "reconcile")


def door_of(path: str) -> str:
    """The door that a path belongs to, for metrics: one of a short list."""
    if path in OPEN:
        return "health"
    first = path.strip("/").partition("/")[0]
    if first in DOORS:
        return first
    return "ror" if first in ("v1", "v2", "organizations", "") else "other"


class Requests:
    """Wraps the application: `X-Request-ID` from the request or made here, one log line, metrics.

    An error that no door has answered is answered here.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: DoorMetrics, door_of: Callable[[str], str] = door_of
    ) -> None:
        """`door_of` names the door of a path, for logs and metrics."""
        self._app = app
        self._metrics = metrics
        self._door_of = door_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _GIVEN.fullmatch(given) else uuid.uuid4().hex
        status, started, begun = 500, time.perf_counter(), False

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        self._metrics.in_work.inc()
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, sending)
            except Exception as error:
                if begun:
                    raise
                await problem_of(error).response()(scope, receive, sending)
            finally:
                self._metrics.in_work.dec()
                self._done(scope, status, time.perf_counter() - started)

    def _done(self, scope: Scope, status: int, seconds: float) -> None:
        door = self._door_of(scope["path"])
        self._metrics.seconds.labels(door, f"{status // 100}xx").observe(seconds)
        if status in COME_BACK and door != "health":
            self._metrics.refused.labels(door, str(status)).inc()
        path = scope["path"][:MAX_PATH].encode("ascii", "backslashreplace").decode()
        client, holder = scope.get("client"), scope["state"].get("holder")
        figures = {
            "door": door,
            "method": scope["method"],
            "path": path,
            "status": status,
            "seconds": round(seconds, 4),
            "address": client[0] if client else None,
            "holder": holder,
            "client_id": _client_id(scope),
        }
        log.log(
            logging.DEBUG if door == "health" else logging.INFO,
            "%s %s %d %.3f s",
            scope["method"],
            path,
            status,
            seconds,
            extra={
                "request": {name: value for name, value in figures.items() if value is not None}
            },
        )


def _client_id(scope: Scope) -> str | None:
    """What ROR's clients may call themselves. It is no secret, and nothing depends on it."""
    given = Headers(scope=scope).get("client-id", "")
    return given if _GIVEN.fullmatch(given) else None
