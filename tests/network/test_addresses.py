"""One reader and one printer of URLs, against all who read them after us."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from kombu.utils.url import parse_url
from psycopg import pq

from resolver.database.connection import connect, place
from resolver.errors import SettingsError
from resolver.network import addresses
from resolver.network.addresses import SECRET_OPTIONS, Address, masked, read, secrets, shown
from resolver.settings import Settings
from resolver.workers.app import create_app

SECRET = "s3cr3t"

budget = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)

characters = st.characters(codec="utf-8", exclude_characters="\0")
texts = st.text(characters, max_size=12)
# With all that means something in a URL, far more often than chance would have it.
nasty = st.text(st.one_of(st.sampled_from("@:/?#[];&=%+ \\'\"\t\n"), characters), max_size=8)
passwords = nasty.map(lambda text: f"{SECRET}{text}{SECRET}")
hosts = st.sampled_from(["", "host", "127.0.0.1", "[::1]", "%2Frun%2Fpostgres", "a-b.c_d"])
ports = st.none() | st.integers(0, 65535)
schemes = st.sampled_from(
    ["postgresql", "postgres", "amqp", "redis", "rediss", "http", "redis+socket"]
)
options = st.lists(
    st.tuples(st.sampled_from(["host", "sslmode", "password", "x y"]), nasty), max_size=2
)


@budget
@given(schemes, hosts, ports, texts, st.none() | passwords, options)
def test_what_is_written_is_read_again(
    scheme: str,
    host: str,
    port: int | None,
    user: str,
    password: str | None,
    options: list[tuple[str, str]],
) -> None:
    written = Address(scheme, host, port, "/a/b", user, password, tuple(options))
    assert read(written.written()) == written


@budget
@given(schemes, hosts, ports, texts, passwords, options)
def test_what_is_shown_holds_no_secret(
    scheme: str,
    host: str,
    port: int | None,
    user: str,
    password: str,
    options: list[tuple[str, str]],
) -> None:
    address = Address(scheme, host, port, "/a/b", user, password, tuple(options))
    for told in (str(address), repr(address), address.place, shown(address.written())):
        assert SECRET not in told
    assert password in secrets(address.written())
    assert SECRET not in masked(f"it is {address.written()} .", secrets(address.written()))


WAYS: dict[str, Callable[[str, str], str]] = {
    "as it is": lambda scheme, password: f"{scheme}://ada:{password}@host:1/db",
    "half encoded": lambda scheme, password: (
        f"{scheme}://ada:{quote(password, safe='@/:')}@host/db"
    ),
    "encoded": lambda scheme, password: f"{scheme}://ada:{quote(password, safe='')}@host/db",
    "without a user": lambda scheme, password: f"{scheme}://:{password}@host/db",
    "as the user": lambda scheme, password: f"{scheme}://{password}@host/db",
    "as an option": lambda scheme, password: f"{scheme}://host/db?password={password}",
    "as a second broker's": lambda scheme, password: (
        f"{scheme}://ada:{quote(password, safe='')}@one//;{scheme}://ada:{password}@two//"
    ),
    "without slashes": lambda scheme, password: f"{scheme}:ada:{password}@host/db",
    "without a scheme": lambda _, password: f"ada:{password}@host/db",
    "without an @": lambda scheme, password: f"{scheme}://ada:{password}host/db",
    "in brackets": lambda scheme, password: f"{scheme}://[ada:{password}@host/db",
    "behind a space": lambda scheme, password: f" {scheme}://ada:{password}@host/db",
}


@budget
@given(schemes, passwords, st.sampled_from(sorted(WAYS)))
@example("postgresql", f"{SECRET}/b", "as it is")
@example("postgresql", f"a@{SECRET}", "as it is")
@example("amqp", f"a@{SECRET}", "as a second broker's")
def test_however_a_password_is_written_it_is_not_shown(
    scheme: str, password: str, way: str
) -> None:
    """Whether it can be read, or some of it looks like a host, a port or a path."""
    url = WAYS[way](scheme, password)
    # A host that is called like a password cannot be told from one.
    assume(way not in ("without an @", "without a scheme", "without slashes") or "@" in url)
    assert SECRET not in shown(url)
    # Who only gives a user is shown by that name.
    assert SECRET not in masked(url, secrets(url)) or way == "as the user"


NOWHERE = Settings(_env_file=None)  # type: ignore[call-arg]

T = TypeVar("T")


def taken(use: Callable[[str], T], url: str) -> T | None:
    """What is made of a URL; None where it is refused, without a word of it."""
    try:
        return use(url)
    except SettingsError as error:
        refused = "".join(traceback.format_exception(error))
    assert SECRET not in refused
    return None


@budget
@given(st.sampled_from(["postgresql", "postgres"]), passwords, st.sampled_from(sorted(WAYS)))
def test_an_engine_reads_a_url_as_we_do(scheme: str, password: str, way: str) -> None:
    url = WAYS[way](scheme, password)
    engine = taken(connect, url)
    if engine is None:
        return
    address = read(url)
    expected = dict(address.options).get("password", address.password)
    assert (engine.url.password, engine.url.username) == (expected, address.user)
    assert SECRET not in repr(engine.url) or way == "as the user"
    assert SECRET not in place(engine)


@budget
@given(
    st.sampled_from(["amqp", "amqps", "redis", "rediss", "sentinel"]),
    passwords,
    st.sampled_from(sorted(WAYS)),
)
def test_a_broker_is_read_by_celery_as_by_us(scheme: str, password: str, way: str) -> None:
    url = WAYS[way](scheme, password)
    app = taken(lambda url: create_app(NOWHERE, broker_url=url), url)
    if app is None:
        return
    for one, address in zip(url.split(";"), addresses.read_all(url), strict=False):
        read = parse_url(one)
        assert (read["userid"] or "", read["password"] or "") == (
            address.user or "", address.password or "",
        )  # fmt: skip
    if way != "as the user":
        # What Celery prints when a worker starts, and when it has lost its broker.
        assert SECRET not in app.connection_for_read().as_uri()
        assert SECRET not in repr(app.connection_for_read())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ada:x@host:5432/db", "postgresql://host:5432/db"),
        ("postgresql://ada:x@/db?host=%2Frun%2Fpostgres", "postgresql:///db"),
        ("amqp://ada:x@one//;amqp://ada:x@two:1//", "amqp://one//; amqp://two:1//"),
        ("redis+socket://%2Frun%2Fr.sock?virtual_host=3", "redis+socket://%2Frun%2Fr.sock"),
        ("https://host:6333?api_key=x", "https://host:6333"),
        ("https://[::1]:6333", "https://[::1]:6333"),
        ("https://a:b@c:d@host", addresses.UNREADABLE),
        ("ada:x@host", addresses.UNREADABLE),
        ("", addresses.UNREADABLE),
    ],
)
def test_what_people_see(url: str, expected: str) -> None:
    assert shown(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://ada:x@host:5432/db", "host:5432/db"),
        ("postgresql://ada:x@host/db", "host/db"),
        ("postgresql://ada:x@/db?host=%2Frun%2Fpostgres", "/run/postgres/db"),
        ("postgresql://%2Frun%2Fpostgres/db", "%2Frun%2Fpostgres/db"),
        ("postgresql:///db?host=one:1&host=two:2", "one:1,two:2/db"),
        ("postgresql:///db", "the local socket/db"),
    ],
)
def test_where_a_database_is(url: str, expected: str) -> None:
    assert read(url).place == expected
    assert place(connect(url)) == expected.replace("%2F", "/")


def test_the_secret_options_are_those_of_libpq() -> None:
    hidden = {one.keyword.decode() for one in pq.Conninfo.get_defaults() if one.dispchar == b"*"}
    assert hidden == SECRET_OPTIONS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at amqp://ada:x/y@z@host//: refused", "at amqp://ada:***@host//: refused"),
        ("password=x&sslpassword=y z", "password=***&sslpassword=*** z"),
        ("see https://ror.org/052gg0110: gone", "see https://ror.org/052gg0110: gone"),
        ("http://host:6333/a is away", "http://host:6333/a is away"),
    ],
)
def test_what_looks_like_a_password_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected
