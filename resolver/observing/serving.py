"""``/metrics`` and ``/healthz`` over HTTP, from a thread.

For Prometheus and a container's health check on a private network: no password, no TLS, nothing
secret. The threads use counters and the clock alone, so the process may fork while they run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from resolver.errors import SettingsError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

REQUEST_SECONDS = 10
"""Seconds that a client has for its request: one that sends nothing would keep a thread."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # The base class looks up the host's name here, which may wait for DNS to time out.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not logged."""


class _Quiet(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: those of Prometheus would fill the log."""


class Serving:
    """A server that listens from its creation until `close`.

    `healthy` returns what is wrong, None when nothing is; ``/healthz`` then answers 503 or 200.

    Raises:
        SettingsError: the address cannot be listened on.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        healthy: Callable[[], str | None],
        *,
        host: str,
        port: int,
    ) -> None:
        metrics = make_wsgi_app(registry)

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            match environ.get("PATH_INFO"):
                case "/metrics":
                    exposed: Iterable[bytes] = metrics(environ, start_response)
                    return exposed
                case "/healthz":
                    problem = healthy()
                    status = "503 Service Unavailable" if problem else "200 OK"
                case _:
                    problem, status = "look at /metrics or /healthz", "404 Not Found"
            start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{problem or 'ok'}\n".encode()]

        try:
            self._server = make_server(host, port, application, _Server, _Quiet)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"metrics cannot listen on {host}:{port}: {error}",
                remedy="set RESOLVER_METRICS_PORT and RESOLVER_METRICS_HOST to what is free, one "
                "port for each worker of a machine",
            ) from error
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def leave(self) -> None:
        """In a forked child: close the socket, which belongs to the parent."""
        self._server.socket.close()
