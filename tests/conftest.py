"""Real services for the tests: named in the environment, or started from a wheel or a package.

``RESOLVER_TEST_DATABASE_URL``, ``RESOLVER_TEST_REDIS_URL`` and ``RESOLVER_TEST_RABBITMQ_URL`` name
servers that already run; the user of the first must be allowed to create databases. With ``CI``
set a skipped test fails the run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
from sqlalchemy import Engine, make_url, text
from support import postgres_servers

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from resolver.matching.matcher import Matcher
    from resolver.registry.organisation import Organisation
    from resolver.settings import Settings

IN_CI = bool(os.environ.get("CI"))

# The first text takes longer than any other, since it reads the gazetteer.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


# Set by pytest-xdist in the processes that share the tests.
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))

if PROCESSES > 1:
    # Before torch and numpy are imported; the commands that tests run inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST = (
    "workers",
    "backfill/test_faults",
    "release",
    "cli/test_train",
    "cross_script",
    "accuracy",
    "docs",
    "cli/test_demo",
    "cli/test_setup",
)
"""Below tests/, what runs for a minute or so: first, where processes share the files, for them to
end together."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first; the order inside each half stays. Processes that share the files take the
    longest first."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        if PROCESSES == 1:
            return item.get_closest_marker("slow") is not None, 0
        name = _below_tests(item)
        longest = (n for n, start in enumerate(LONGEST) if name.startswith(start))
        return False, next(longest, len(LONGEST))

    items.sort(key=place)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes name no test: gzip writes the time into its head, and processes that share the tests
    must find the same names."""
    return argname if isinstance(val, bytes) else None


def _below_tests(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if IN_CI and skipped and exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"\n{len(skipped)} skipped: in CI every test must run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def services_home() -> Iterator[Path]:
    """A short path, since sockets are made below it."""
    folder = Path(tempfile.mkdtemp(prefix="resolver-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


# Postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server's maintenance database; use `database_url` for one to write to.

    It asks for a password, as servers do.
    """
    if url := os.environ.get("RESOLVER_TEST_DATABASE_URL"):
        yield url
        return
    installed = postgres_servers.from_wheels()
    with postgres_servers.server(installed[max(installed)]) as url:
        yield url


@pytest.fixture(
    scope="session",
    params=["newest", pytest.param("wheel", marks=pytest.mark.slowest), "distribution"],
)
def any_postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `postgres_url`, for servers of several major versions, one after the other: the newest,
    the oldest that comes in a wheel, and the distribution's."""
    if request.param == "newest":
        yield request.getfixturevalue("postgres_url")
        return
    installed = (
        postgres_servers.from_distribution()
        if request.param == "distribution"
        else postgres_servers.from_wheels()
    )
    if not installed:
        reason = "no Postgres of the distribution: install postgresql"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    with postgres_servers.server(installed[min(installed)]) as url:
        yield url


@pytest.fixture(scope="session")
def _maintenance(postgres_url: str) -> Iterator[Engine]:
    from resolver.database.connection import connect

    engine = connect(postgres_url).execution_options(isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def _create(maintenance: Engine, name: str | None = None, *, template: str | None = None) -> str:
    """The name of a new database: empty, or a copy of one that nobody is connected to."""
    name = name or f"resolver_test_{uuid.uuid4().hex[:12]}"
    copied = f' TEMPLATE "{template}"' if template else ""
    with maintenance.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"{copied}'))
    return name


def _drop(maintenance: Engine, database: str) -> None:
    with maintenance.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def _template_database(postgres_url: str, _maintenance: Engine) -> Iterator[str]:
    """A migrated, empty database that the others are copied from."""
    from resolver.database.connection import connect
    from resolver.database.schema import upgrade

    name = f"resolver_template_{uuid.uuid4().hex[:12]}"
    _create(_maintenance, name)
    engine = connect(_named(postgres_url, name))
    upgrade(engine)
    engine.dispose()
    yield name
    _drop(_maintenance, name)


@pytest.fixture
def empty_database_url(postgres_url: str, _maintenance: Engine) -> Iterator[str]:
    """A fresh database without any table."""
    name = _create(_maintenance)
    yield _named(postgres_url, name)
    _drop(_maintenance, name)


@pytest.fixture
def database_url(postgres_url: str, _maintenance: Engine, _template_database: str) -> Iterator[str]:
    """A fresh, migrated database for one test."""
    name = _create(_maintenance, template=_template_database)
    yield _named(postgres_url, name)
    _drop(_maintenance, name)


@contextmanager
def _fresh_database(server_url: str) -> Iterator[str]:
    from resolver.database.connection import connect

    maintenance = connect(server_url).execution_options(isolation_level="AUTOCOMMIT")
    name = _create(maintenance)
    yield _named(server_url, name)
    _drop(maintenance, name)
    maintenance.dispose()


@pytest.fixture
def any_empty_database_url(any_postgres_url: str) -> Iterator[str]:
    """A fresh database without any table, on servers of several versions."""
    with _fresh_database(any_postgres_url) as url:
        yield url


@pytest.fixture
def any_database_url(any_empty_database_url: str) -> str:
    """A fresh, migrated database, on servers of several versions."""
    from resolver.database.connection import connect
    from resolver.database.schema import upgrade

    engine = connect(any_empty_database_url)
    upgrade(engine)
    engine.dispose()
    return any_empty_database_url


@pytest.fixture(scope="session")
def copied_database(
    postgres_url: str, _maintenance: Engine, _template_database: str
) -> Iterator[Callable[[str | None], str]]:
    """Makes a copy of a database that nobody is connected to, or a fresh one; returns its URL."""
    made: list[str] = []

    def copy(url: str | None = None) -> str:
        original = make_url(url).database if url else _template_database
        made.append(_create(_maintenance, template=original))
        return _named(postgres_url, made[-1])

    yield copy
    for name in made:
        _drop(_maintenance, name)


@pytest.fixture(scope="session")
def prepared(
    copied_database: Callable[[str | None], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The sample registry, loaded and indexed once: a database and a home, to be copied."""
    from pydantic import SecretStr
    from support.sample_index import load_and_index

    from resolver.service.installation import Installation
    from resolver.settings import Settings

    home = tmp_path_factory.mktemp("prepared")
    url = copied_database(None)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=home, database_url=SecretStr(url), threads=1
    )
    with Installation(settings) as made:
        load_and_index(made)
    return url, home


@pytest.fixture(scope="session")
def served_settings(
    prepared: tuple[str, Path],
    copied_database: Callable[[str | None], str],
    redis_server_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """The sample, loaded and indexed, with a broker that no worker listens to."""
    from pydantic import SecretStr

    from resolver.settings import Settings

    url, home = prepared
    copy = tmp_path_factory.mktemp("served")
    shutil.copytree(home, copy, symlinks=True, dirs_exist_ok=True)
    return Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=copy,
        database_url=SecretStr(copied_database(url)),
        broker_url=SecretStr(redis_server_url),
        threads=1,
        # Cores that others use too should fail no test.
        serve_seconds=300,
    )


@pytest.fixture(scope="session")
def served(served_settings: Settings) -> Iterator[tuple[httpx.Client, FastAPI]]:
    """A server on the sample, and its application."""
    from support.serving import serving

    with serving(served_settings) as served:
        yield served


@pytest.fixture
def sample_installed(
    prepared: tuple[str, Path], database_url: str, _maintenance: Engine
) -> Callable[[Path], None]:
    """Puts the sample, loaded and indexed, in place of `database_url` and into a home."""

    def install(home: Path) -> None:
        url, ready = prepared
        name = make_url(database_url).database
        assert name is not None
        _drop(_maintenance, name)
        _create(_maintenance, name, template=make_url(url).database)
        shutil.copytree(ready, home, symlinks=True, dirs_exist_ok=True)

    return install


@pytest.fixture
def installation(
    tmp_path: Path, database_url: str, redis_url: str, sample_installed: Callable[[Path], None]
) -> Settings:
    """The sample with a database and a broker of its own, for one test."""
    from pydantic import SecretStr

    from resolver.settings import Settings

    home = tmp_path / "home"
    sample_installed(home)
    return Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=home,
        database_url=SecretStr(database_url),
        broker_url=SecretStr(redis_url),
        threads=1,
    )


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`."""
    from resolver.database.connection import connect

    engine = connect(database_url)
    yield engine
    engine.dispose()


# A whole release


@pytest.fixture(scope="session")
def whole_release() -> list[Organisation]:
    """The organisations of release 2.9."""
    from support.paths import RELEASE, SHARED

    from resolver.registry.dump import open_release
    from resolver.registry.organisation import Organisation

    if not RELEASE.is_file():
        pytest.skip(f"no release 2.9 under {SHARED}")
    records = open_release(RELEASE).records()
    return [record for record in records if isinstance(record, Organisation)]


@pytest.fixture(scope="session")
def whole_matcher(
    whole_release: list[Organisation], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matcher]:
    """All default parts on release 2.9. To index it takes more than a minute."""
    from support.paths import RELEASE

    from resolver.encoder.loading import load
    from resolver.index.build import build
    from resolver.index.embedded import EmbeddedStore
    from resolver.registry.dump import open_release
    from resolver.service.installation import Installation, index_directory
    from resolver.settings import BUILTIN, Settings

    # The defaults, whatever the environment or a file .env says.
    settings = Settings.model_construct(home=tmp_path_factory.mktemp("whole-release"))
    store = EmbeddedStore(index_directory(settings))
    manifest = build(
        whole_release,
        release="v2.9",
        release_sha256=open_release(RELEASE).sha256,
        encoder=load(BUILTIN, None),
        store=store,
    )
    store.activate(manifest.version)
    with Installation(settings) as installation, installation.open_matcher() as matcher:
        yield matcher


# Redis

_REDIS_DATABASES = 16
"""What an unconfigured Redis server has."""


@pytest.fixture(scope="session")
def redis_server_url(services_home: Path) -> Iterator[str]:
    from resolver.service import embedded

    if url := os.environ.get("RESOLVER_TEST_REDIS_URL"):
        yield url
        return
    with embedded.redis(services_home) as url:
        yield url


@pytest.fixture(scope="session")
def _redis_numbers() -> Iterator[int]:
    def numbers() -> Iterator[int]:
        while True:
            # Apart from those of the other processes, which may use the same server.
            yield from range(1 + PROCESS, _REDIS_DATABASES, PROCESSES)

    return numbers()


@pytest.fixture
def redis_url(redis_server_url: str, _redis_numbers: Iterator[int]) -> Iterator[str]:
    """An empty Redis database, as a URL that Celery takes."""
    from kombu import Connection

    number = next(_redis_numbers)
    if redis_server_url.startswith("redis+socket"):
        url = f"{redis_server_url}?virtual_host={number}"
    else:
        url = urlunsplit(urlsplit(redis_server_url)._replace(path=f"/{number}"))
    with Connection(url) as connection:
        connection.default_channel.client.flushdb()
    yield url
    with Connection(url) as connection:
        connection.default_channel.client.flushdb()


# RabbitMQ

_RABBITMQ_PORT = 5672
_RABBITMQ_START_SECONDS = 90


def _command(name: str) -> str | None:
    """Debian puts RabbitMQ's commands where only root's PATH leads."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/lib/rabbitmq/bin")


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _rabbitmqctl(*arguments: str) -> None:
    command = _command("rabbitmqctl")
    assert command is not None
    done = subprocess.run([command, "-q", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"rabbitmqctl {' '.join(arguments)}: {done.stderr or done.stdout}"


@pytest.fixture(scope="session")
def rabbitmq_server_url(services_home: Path) -> Iterator[str]:
    """One server for all processes that share the tests: it has one port."""
    if url := os.environ.get("RESOLVER_TEST_RABBITMQ_URL"):
        yield url
        return
    run = Path(tempfile.gettempdir(), f"resolver-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '1')}")
    with run.with_suffix(".start").open("w") as start, run.with_suffix(".use").open("w") as use:
        fcntl.flock(start, fcntl.LOCK_EX)
        server = _rabbitmq(services_home)
        fcntl.flock(use, fcntl.LOCK_SH)
        fcntl.flock(start, fcntl.LOCK_UN)
        yield f"amqp://guest:guest@127.0.0.1:{_RABBITMQ_PORT}//"
        if server is None:
            return
        # Nobody else begins with it, and the others are through.
        fcntl.flock(start, fcntl.LOCK_EX)
        fcntl.flock(use, fcntl.LOCK_EX)
        _rabbitmqctl("stop")
        server.wait(timeout=60)


def _rabbitmq(services_home: Path) -> subprocess.Popen[bytes] | None:
    """The server, started; None where one listens already."""
    if _listens("127.0.0.1", _RABBITMQ_PORT):
        return None
    command = _command("rabbitmq-server")
    if command is None:
        reason = "no RabbitMQ: set RESOLVER_TEST_RABBITMQ_URL or install rabbitmq-server"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    log = services_home / "rabbitmq.log"
    with log.open("w") as output:
        server = subprocess.Popen([command], stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + _RABBITMQ_START_SECONDS
    while not _listens("127.0.0.1", _RABBITMQ_PORT):
        assert server.poll() is None, f"RabbitMQ did not start: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline, f"RabbitMQ is too slow: {log.read_text()[-2000:]}"
        time.sleep(0.5)
    _rabbitmqctl("await_startup")
    return server


_VHOSTS = 12
"""Virtual hosts made at once: each call of rabbitmqctl starts an Erlang machine, for seconds."""


@pytest.fixture(scope="session")
def _rabbitmq_vhosts(rabbitmq_server_url: str) -> Iterator[Iterator[str]]:
    """Names of fresh virtual hosts."""
    user = urlsplit(rabbitmq_server_url).username or "guest"
    made: list[str] = []

    def each(names: list[str], do: str) -> None:
        listed = ", ".join(f'<<"{name}">>' for name in names)
        _rabbitmqctl("eval", f"lists:foreach(fun(Name) -> {do} end, [{listed}]).")

    def names() -> Iterator[str]:
        while True:
            more = [f"resolver_test_{uuid.uuid4().hex[:12]}" for _ in range(_VHOSTS)]
            made.extend(more)
            each(
                more,
                'rabbit_vhost:add(Name, <<"tests">>), '
                f'rabbit_auth_backend_internal:set_permissions(<<"{user}">>, Name, '
                '<<".*">>, <<".*">>, <<".*">>, <<"tests">>)',
            )
            yield from more

    yield names()
    if made:
        each(made, 'rabbit_vhost:delete(Name, <<"tests">>)')


@pytest.fixture
def rabbitmq_url(rabbitmq_server_url: str, request: pytest.FixtureRequest) -> str:
    """A fresh virtual host; the server's own where it cannot be administered from here."""
    parts = urlsplit(rabbitmq_server_url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not local or _command("rabbitmqctl") is None:
        return rabbitmq_server_url
    name = next(request.getfixturevalue("_rabbitmq_vhosts"))
    return urlunsplit(parts._replace(path=f"/{name}"))
