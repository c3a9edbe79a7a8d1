"""What a program makes of answers that are no resolver's, and how long it tries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from resolver import AsyncResolver
from resolver.api.server import FIRST_PAUSE, LONGEST_PAUSE, Retries
from resolver.errors import RequestRefused, ServerProblem, ServerUnavailable
from resolver.network.retrying import JITTER


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """The address of a server that always answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/path"
        server.shutdown()
        thread.join()


LINKED = (
    b'{"index": 0, "status": "linked", "text": "a", "links": [{"ror_id": "x"}], "reason": null}'
)


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "says"),
    [
        (200, b"<html>Welcome</html>", {}, ServerProblem, "in a form that is not known here"),
        (200, b"[1]\n", {}, ServerProblem, "not an object"),
        (200, b'{"index": 0}\n', {}, ServerProblem, "KeyError: 'status'"),
        (200, LINKED, {}, ServerProblem, "KeyError: 'organization'"),
        (200, b'{"index": 0, "status": "no_match", "text": "", "links": [], "reason": "mood"}', {},
         ServerProblem, "mood"),
        (200, b"", {}, ServerUnavailable, "breaks off"),
        (200, b'{"index": 9, "reason": "not gzip"}', {}, ServerUnavailable, "not gzip"),
        (301, b"", {"Location": "https://elsewhere"}, RequestRefused, "301: Moved Permanently"),
        (403, b"<h1>No\n entry</h1>", {}, RequestRefused, "403: <h1>No entry</h1>"),
        (422, b'{"detail": "policy: no"}', {}, RequestRefused, "422: policy: no"),
        (500, b'{"title": "x"}', {}, RequestRefused, '500: {"title": "x"}'),
        (502, b"", {}, ServerUnavailable, "502: Bad Gateway"),
        (503, b'{"detail": "full"}', {"Retry-After": "7"}, ServerUnavailable, "503: full"),
    ],
)  # fmt: skip
def test_what_a_server_may_answer(
    status: int, body: bytes, headers: dict[str, str], kind: type[ServerProblem], says: str
) -> None:
    async def ask(url: str) -> None:
        async with AsyncResolver(url, retry_seconds=0) as resolver:
            await resolver.resolve(["a"])

    with answering(status, body, headers) as url, pytest.raises(ServerProblem) as raised:
        asyncio.run(ask(url))
    assert type(raised.value) is kind
    assert says in str(raised.value)
    assert url in str(raised.value)
    assert raised.value.status == (None if status == 200 else status)
    if "Retry-After" in headers:
        assert isinstance(raised.value, ServerUnavailable)
        assert raised.value.wait == 7


def test_pauses_grow_until_something_is_answered() -> None:
    retries = Retries(3600)
    problem = ServerUnavailable("away")
    for _ in range(2):
        pauses = [retries.next_pause(problem) for _ in range(8)]
        expected = [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(8)]
        for pause, least in zip(pauses, expected, strict=True):
            assert least <= pause <= least * (1 + JITTER)
        retries.progress()


@pytest.mark.parametrize(
    ("seconds", "wait", "tries"),
    [
        (0, None, False),
        (60, None, True),
        (60, 59, True),
        (60, 61, False),
        (60, float("inf"), False),
    ],
)
def test_nobody_waits_longer_than_is_allowed(
    seconds: float, wait: float | None, tries: bool
) -> None:
    problem = ServerUnavailable("away", wait=wait)
    if tries:
        assert Retries(seconds).next_pause(problem) >= (wait or FIRST_PAUSE)
    else:
        with pytest.raises(ServerUnavailable) as raised:
            Retries(seconds).next_pause(problem)
        assert raised.value is problem
