"""How the broker is reached: its URL, and the options of a connection.

It needs kombu only: the client (`resolver.workers.client`) runs in other people's programs, and
loads neither Celery nor anything that resolves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection
from kombu.utils.url import parse_url

from resolver.errors import SettingsError
from resolver.network import addresses, trust
from resolver.service import embedded
from resolver.settings import Settings

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for one connection to the broker."""

CONFIRM_TIMEOUT = 30
"""Seconds to wait until RabbitMQ confirms a message: without memory or disk it confirms none."""

_AMQP = frozenset({"amqp", "amqps", "pyamqp"})
_REDIS = frozenset({"redis", "rediss", "redis+socket", "sentinel"})


@contextmanager
def address(settings: Settings) -> Iterator[str]:
    """The broker's URL; an embedded broker runs as long as the block lasts."""
    if settings.broker_url:
        yield settings.broker_url.get_secret_value()
    else:
        with embedded.redis(settings.home) as url:
            yield url


def is_amqp(url: str) -> bool:
    """Whether a URL is RabbitMQ's; else it is Redis'.

    Raises:
        SettingsError: it is of neither, or cannot be read.
    """
    scheme, separator, _ = url.partition("://")
    if scheme not in _AMQP | _REDIS:
        # Without a scheme the text may begin with a password.
        problem = f"{scheme!r} is no broker known here" if separator else "not a URL"
        raise SettingsError(
            f"RESOLVER_BROKER_URL: {problem}",
            remedy="use RabbitMQ (amqp://) or Redis (redis://)",
        )
    if not _is_readable(url):
        raise SettingsError(
            "RESOLVER_BROKER_URL cannot be read",
            remedy="write it as amqp://user:password@host:5672//, with what is no letter and no "
            "digit in percent-encoding, and the password nowhere else",
        )
    return scheme in _AMQP


def tls(settings: Settings, url: str) -> dict[str, Any] | bool:
    """The option ``ssl`` of kombu's and Celery's connections; False where the URL has no TLS.

    Raises:
        SettingsError: as `resolver.network.trust.broker_options`.
    """
    return (
        trust.broker_options(
            url.partition("://")[0],
            ca_file=settings.ca_file,
            certificate=settings.broker_certificate,
            key=settings.broker_key,
        )
        or False
    )


def transport_options(*, amqp: bool) -> dict[str, Any]:
    return {"confirm_publish": True} if amqp else {"socket_connect_timeout": CONNECT_TIMEOUT}


def connection(settings: Settings, url: str) -> Connection:
    """A connection to send over; nothing is sent yet.

    Raises:
        SettingsError: the URL, or a file that TLS needs, cannot be used.
    """
    return Connection(
        url,
        ssl=tls(settings, url),
        connect_timeout=CONNECT_TIMEOUT,
        transport_options=transport_options(amqp=is_amqp(url)),
    )


def _is_readable(urls: str) -> bool:
    """Whether a URL, or each of several, has no secret in its options, and kombu reads it alike."""
    try:
        return all(
            not any(name in addresses.SECRET_OPTIONS for name, _ in address.options)
            # kombu reads the query of a socket's URL by itself.
            and (address.scheme == "redis+socket" or _read_alike(address))
            for address in addresses.read_all(urls)
        )
    except (KeyError, TypeError, ValueError):
        # Their messages may quote a password.
        return False


def _read_alike(address: addresses.Address) -> bool:
    read = parse_url(address.written())
    return (read["userid"] or "", read["password"] or "", read["port"]) == (
        address.user or "",
        address.password or "",
        address.port,
    )
