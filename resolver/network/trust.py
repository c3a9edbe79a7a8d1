"""Which certificates a TLS connection trusts.

Certificates and host names are always checked. With ``RESOLVER_CA_FILE`` only the authorities in
that file are trusted, without it those of the system.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from resolver.errors import SettingsError

_VERIFIED = "required"
"""What redis-py calls `ssl.CERT_REQUIRED`."""


REMEDY = "set RESOLVER_CA_FILE, or SSL_CERT_FILE, to the certificates of its authority"


def is_refused(error: BaseException | None) -> bool:
    """Whether a failure comes from a certificate that could not be verified."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def context(ca_file: Path) -> ssl.SSLContext:
    """A client's TLS context that trusts the authorities of `ca_file` (PEM), and no others.

    Raises:
        SettingsError: there are no certificates in it.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SettingsError(
            f"RESOLVER_CA_FILE: {ca_file} holds no certificates in PEM: {error}",
            remedy="give the certificates of the authorities, one after the other",
        ) from error


def broker_options(
    scheme: str,
    *,
    ca_file: Path | None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> dict[str, Any] | None:
    """Celery's ``broker_use_ssl`` for the URL scheme of a broker; None where that has no TLS.

    By default Celery would accept a certificate of any host for ``amqps://``, and any certificate
    for ``rediss://``.

    Raises:
        SettingsError: a certificate is given for a connection without TLS, the authority file has
            no certificates, or certificate and key do not belong together.
    """
    if scheme not in ("amqps", "rediss"):
        if certificate is not None:
            raise SettingsError(
                f"RESOLVER_BROKER_CERTIFICATE is set, but {scheme}:// has no TLS",
                remedy="use amqps:// or rediss://",
            )
        return None
    if ca_file is not None:
        context(ca_file)
    if certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"RESOLVER_BROKER_CERTIFICATE: {certificate} and its key cannot be used: {error}",
                remedy="give the certificate and its private key, in PEM and without passphrase",
            ) from error
    files = {"ca_certs": ca_file, "certfile": certificate, "keyfile": key}
    given = {name: str(path) for name, path in files.items() if path is not None}
    if scheme == "rediss":
        options = {"cert_reqs": _VERIFIED, "check_hostname": True, **given}
        return {f"ssl_{name}": value for name, value in options.items()}
    # Kombu puts the host of the URL in the place of the None.
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, **given}
