"""How the broker is reached: its URL, and what a connection to it needs.

With kombu alone: who only sends (`resolver.workers.client`) is a guest in another's process, and
loads neither Celery nor anything that works on what is sent.
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
"""Seconds to wait for RabbitMQ to confirm a message: it withholds that when it runs full."""

_AMQP = frozenset({"amqp", "amqps", "pyamqp"})
_REDIS = frozenset({"redis", "rediss", "redis+socket", "sentinel"})


@contextmanager
def address(settings: Settings) -> Iterator[str]:
    """The broker's URL, with the embedded broker running for as long as the block lasts."""
    if settings.broker_url:
        yield settings.broker_url.get_secret_value()
    else:
        with embedded.redis(settings.home) as url:
            yield url


def is_amqp(url: str) -> bool:
    """Whether a broker's URL is RabbitMQ's; else it is Redis'.

    Raises:
        SettingsError: it is neither's, or cannot be read.
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
    """What kombu's and Celery's connections call ``ssl``; False where the URL is without TLS.

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
        SettingsError: the URL, or what TLS needs, cannot be used.
    """
    return Connection(
        url,
        ssl=tls(settings, url),
        connect_timeout=CONNECT_TIMEOUT,
        transport_options=transport_options(amqp=is_amqp(url)),
    )


def _is_readable(urls: str) -> bool:
    """Whether a broker's URL, or each of several, is plain, and kombu reads it as we do."""
    try:
        return all(
            not any(name in addresses.SECRET_OPTIONS for name, _ in address.options)
            # Of a socket kombu reads the query by itself.
            and (address.scheme == "redis+socket" or _read_alike(address))
            for address in addresses.read_all(urls)
        )
    except (KeyError, TypeError, ValueError):
        # What they say may quote a password.
        return False


def _read_alike(address: addresses.Address) -> bool:
    read = parse_url(address.written())
    return (read["userid"] or "", read["password"] or "", read["port"]) == (
        address.user or "",
        address.password or "",
        address.port,
    )
