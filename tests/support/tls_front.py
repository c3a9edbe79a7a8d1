"""TLS in front of a real service that speaks plain: what a client sees of a server with TLS on."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""What a Postgres client sends before TLS (PostgreSQL documentation, "Message Formats")."""

Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


@contextmanager
def tls_front(context: ssl.SSLContext, behind: Address, *, postgres: bool = False) -> Iterator[int]:
    """Yields the port on 127.0.0.1 that answers with TLS and hands on to `behind`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        def serve(client: socket.socket) -> None:
            with suppress(OSError), client:
                if postgres:
                    if client.recv(8) != SSL_REQUEST:
                        return  # without TLS nobody gets in
                    client.sendall(b"S")
                with (
                    context.wrap_socket(client, server_side=True) as trusted,
                    _to(behind) as server,
                ):
                    back = threading.Thread(target=_copy, args=(server, trusted), daemon=True)
                    back.start()
                    _copy(trusted, server)
                    back.join()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        # Wakes the thread that accepts.
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _to(address: Address) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address)
    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    return server


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
