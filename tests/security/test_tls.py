"""Every connection over TLS: it works with the right authority and is refused with a wrong one."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
import trustme
from support.tls_front import Address, tls_front

from resolver.database.connection import connect, transaction
from resolver.errors import (
    BrokerUnavailable,
    DatabaseUnavailable,
    IndexProblem,
    IndexUnavailable,
    ModelError,
    SettingsError,
)
from resolver.network import addresses, trust
from resolver.reranker.connection import ServerClient
from resolver.service.installation import open_index_store
from resolver.settings import Settings
from resolver.workers.client import enqueue

RECORD = {"source": "crossref", "id": "10.1/a", "affiliation": "University of Oxford"}


class Certificates(NamedTuple):
    """PEM files: two authorities, a server's of the first, and clients' of both."""

    right: Path
    wrong: Path
    client: Path
    stranger: Path
    server: ssl.SSLContext
    other_host: ssl.SSLContext
    wants_client: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = trustme.CA(), trustme.CA()
    files = {name: folder / f"{name}.pem" for name in ("right", "wrong", "client", "stranger")}
    ours.cert_pem.write_to_path(files["right"])
    theirs.cert_pem.write_to_path(files["wrong"])
    for name, authority in (("client", ours), ("stranger", theirs)):
        issued = authority.issue_cert("worker.test", common_name="worker")
        issued.private_key_and_cert_chain_pem.write_to_path(files[name])

    def serving(host: str, *, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.issue_cert(host).configure_cert(context)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            ours.configure_trust(context)
        return context

    return Certificates(
        **files,
        server=serving("127.0.0.1"),
        other_host=serving("another.test"),
        wants_client=serving("127.0.0.1", wants_client=True),
    )


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


# Postgres: libpq's own parameters, in the URL


@pytest.fixture
def postgres_behind(database_url: str) -> Address:
    address = addresses.read(database_url)
    if address.host:
        return (address.host, address.port or 5432)
    return f"{dict(address.options)['host']}/.s.PGSQL.5432"


def over_tls(database_url: str, port: int, **parameters: str) -> str:
    kept = [(name, value) for name, value in addresses.read(database_url).options if name != "host"]
    return replace(
        addresses.read(database_url),
        host="127.0.0.1",
        port=port,
        options=(*kept, *parameters.items()),
    ).written()


def is_over_tls(url: str) -> bool:
    engine = connect(url)
    try:
        with transaction(engine) as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            return bool(driver.pgconn.ssl_in_use)
    finally:
        engine.dispose()


def test_postgres(certificates: Certificates, database_url: str, postgres_behind: Address) -> None:
    with tls_front(certificates.server, postgres_behind, postgres=True) as port:
        for mode in ("verify-ca", "verify-full"):
            trusted = {"sslmode": mode, "sslrootcert": str(certificates.right)}
            assert is_over_tls(over_tls(database_url, port, **trusted))
            wrong = trusted | {"sslrootcert": str(certificates.wrong)}
            with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
                is_over_tls(over_tls(database_url, port, **wrong))
    with (
        tls_front(certificates.other_host, postgres_behind, postgres=True) as port,
        pytest.raises(DatabaseUnavailable, match=r"another\.test"),
    ):
        is_over_tls(over_tls(database_url, port, **trusted))


# Brokers


def broker_behind(url: str) -> tuple[Address, str]:
    """Where a plain broker is, and the path that belongs in a URL to it."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return unquote(parts.path), "/" + dict([parts.query.split("=")])["virtual_host"]
    return (parts.hostname or "", parts.port or 5672), parts.path


BROKERS = [
    pytest.param("redis_url", "rediss://{}", id="redis"),
    pytest.param("rabbitmq_url", "amqps://guest:guest@{}", id="rabbitmq", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("fixture", "form"), BROKERS)
def test_a_broker(
    certificates: Certificates,
    fixture: str,
    form: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resolver.workers.client.RETRIES", {"max_retries": 0})
    behind, path = broker_behind(request.getfixturevalue(fixture))

    def send(port: int, **values: object) -> int:
        url = form.format(f"127.0.0.1:{port}{path}")
        return enqueue([RECORD], settings=settings(broker_url=url, **values)).records

    with tls_front(certificates.server, behind) as port:
        assert send(port, ca_file=certificates.right) == 1
        for untrusted in (certificates.wrong, None):
            with pytest.raises(BrokerUnavailable):
                send(port, ca_file=untrusted)
    with tls_front(certificates.other_host, behind) as port, pytest.raises(BrokerUnavailable):
        send(port, ca_file=certificates.right)
    with tls_front(certificates.wants_client, behind) as port:
        trusted = {"ca_file": certificates.right}
        assert send(port, **trusted, broker_certificate=certificates.client) == 1
        for shown in ({}, {"broker_certificate": certificates.stranger}):
            with pytest.raises(BrokerUnavailable):
                send(port, **trusted, **shown)


# Servers over https


class Answers(BaseHTTPRequestHandler):
    """As Qdrant says that there are no collections; no reranker."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        result = {"collections": []} if self.path.startswith("/collections") else {"aliases": []}
        said = {"title": "qdrant - vector search engine", "version": "1.18.3"}
        if self.path != "/":
            said = {"result": result, "status": "ok", "time": 0.0}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def https(certificates: Certificates) -> Iterator[dict[str, str]]:
    """URLs of a server, by whether its certificate is for its host."""
    with _serving(certificates.server) as good, _serving(certificates.other_host) as other:
        yield {"its own": good, "another": other}


@contextmanager
def _serving(context: ssl.SSLContext) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def qdrant(url: str, ca_file: Path | None) -> object:
    with open_index_store(settings(qdrant_url=url, ca_file=ca_file)) as store:
        return store.versions()


def reranker(url: str, ca_file: Path | None) -> object:
    connection = ServerClient(url, ca_file=ca_file, backoff=0.01)
    connection.open()
    try:
        return connection.get("/aliases")["result"]["aliases"]
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("ask", "error"), [(qdrant, IndexProblem), (reranker, ModelError)], ids=["Qdrant", "reranker"]
)
def test_a_server(
    certificates: Certificates, https: dict[str, str], ask: object, error: type[Exception]
) -> None:
    assert ask(https["its own"], certificates.right) == []  # type: ignore[operator]
    for url, ca_file in (
        (https["its own"], certificates.wrong),
        (https["its own"], None),
        (https["another"], certificates.right),
    ):
        with pytest.raises(error, match=r"certificate.*RESOLVER_CA_FILE") as refused:
            ask(url, ca_file)  # type: ignore[operator]
        # To wait for it would not help.
        assert not isinstance(refused.value, IndexUnavailable)


# Settings that make no sense


def test_a_file_without_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    for use in (
        lambda: trust.context(path),
        lambda: trust.broker_options("amqps", ca_file=path),
        lambda: trust.broker_options("rediss", ca_file=None, certificate=path),
    ):
        with pytest.raises(SettingsError, match=str(path)):
            use()


def test_a_certificate_needs_tls(certificates: Certificates) -> None:
    with pytest.raises(SettingsError, match="amqp:// has no TLS"):
        trust.broker_options("amqp", ca_file=None, certificate=certificates.client)
    assert trust.broker_options("redis", ca_file=certificates.right) is None
