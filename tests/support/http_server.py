"""An HTTP server that answers as Qdrant does, also as one in trouble does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, object], float]
"""HTTP status, body, seconds before it comes."""

OK: Answer = (200, {"result": {"operation_id": 1, "status": "completed"}, "status": "ok"}, 0)


def answer(result: object) -> Answer:
    return (200, {"result": result, "status": "ok", "time": 0.0}, 0)


def failure(status: int, message: str = "trouble", delay: float = 0) -> Answer:
    return (status, {"status": {"error": message}, "result": None}, delay)


def version(number: str) -> Answer:
    """What Qdrant says of itself."""
    return (200, {"title": "qdrant - vector search engine", "version": number, "commit": ""}, 0)


def collection(status: str, *, optimiser: object = "ok", indexed: int = 0) -> Answer:
    """What Qdrant says of a collection."""
    result = {
        "status": status,
        "optimizer_status": optimiser,
        "indexed_vectors_count": indexed,
        "points_count": 14,
        "segments_count": 1,
        "config": {
            "params": {"vectors": {"dense": {"size": 64, "distance": "Dot"}}},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
        },
        "payload_schema": {},
    }
    return (200, {"result": result, "status": "ok", "time": 0.0}, 0)


class Server:
    """Gives "METHOD /path", or else "*", the answers listed for it, the last one for good.

    It says that it is Qdrant 1.18.3 unless told otherwise; that question is not among `requests`.
    """

    def __init__(self, answers: dict[str, list[Answer]], host: str = "127.0.0.1") -> None:
        self.answers = {"GET /": [version("1.18.3")], **answers}
        self.requests: list[tuple[str, str]] = []
        self.open: set[socket.socket] = set()
        self.keys: set[str | None] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0]
                request = f"{self.command} {path}"
                if request != "GET /":
                    outer.requests.append((self.command, path))
                outer.keys.add(self.headers.get("api-key"))
                left = outer.answers[request if request in outer.answers else "*"]
                status, body, delay = left.pop(0) if len(left) > 1 else left[0]
                time.sleep(delay)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(content)

            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.open.add(self.connection)

            def finish(self) -> None:
                super().finish()
                outer.open.discard(self.connection)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer((host, 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://{host}:{self._http.server_port}"

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


@contextmanager
def serving(answers: dict[str, list[Answer]]) -> Iterator[Server]:
    with Server(answers).running() as server:
        yield server
