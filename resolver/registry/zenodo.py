"""The newest release, downloaded from ROR's community on Zenodo.

The steps are those of ROR's documentation ("Retrieve ROR data from Zenodo"): list the newest
records of the community ``ror-data``, and take the zip of the highest version. The order of the
list does not show which that is: a record may hold several files, and an old release may be
published again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import httpx

from resolver import __version__
from resolver.errors import FetchError
from resolver.network import addresses
from resolver.network.retrying import PassingError, asked_wait, retrying
from resolver.registry.release_name import MARK, date_in, numbers_in

BASE_URL = "https://zenodo.org"
COMMUNITY = "ror-data"

MAX_WAIT = 120.0
"""Longest wait between two attempts, in seconds. Zenodo limits requests by the minute; if a server
asks for a longer wait, the caller should try again later."""

MAX_LISTING_BYTES = 16 * 2**20
"""Longest list of records that is read; Zenodo's has some 50 KiB."""

MAX_RELEASE_BYTES = 2 * 2**30
"""Largest file that is downloaded: fifty times a release."""

_LISTED = 10
"""Records that are listed: some in the community are no releases."""

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,199}\.zip", re.IGNORECASE)
_CHECKSUM = re.compile(r"(md5|sha1|sha256|sha512):([0-9a-f]{32,128})")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")

Progress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the bytes of the whole file."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file as Zenodo lists it; `digest` is hexadecimal."""

    name: str
    url: str
    size: int
    algorithm: str
    digest: str


def fetch(
    directory: Path,
    *,
    base_url: str = BASE_URL,
    timeout: float = 30.0,
    attempts: int = 5,
    backoff: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Download the newest release into `directory` and return the path of its zip.

    A file that is there already and has the published checksum is not downloaded again. A download
    that was interrupted continues where it stopped. The zip gets its name only when it is whole and
    its checksum is right.

    Args:
        timeout: seconds to wait for a connection, and for each read.
        attempts: tries of the listing and of the download each. Between two of them:
            `backoff` seconds, doubled each time, or what the server asks for.

    Raises:
        FetchError: Zenodo cannot be reached, lists no release, or sends another file than it
            lists; or the file cannot be written.
    """
    with (
        _reporting_disk(directory),
        httpx.Client(
            timeout=timeout,
            follow_redirects=True,
            headers={
                "User-Agent": f"affiliation-resolver/{__version__}",
                # The size and ranges are those of the file itself.
                "Accept-Encoding": "identity",
            },
        ) as client,
    ):
        directory.mkdir(parents=True, exist_ok=True)
        published = _retrying(
            lambda: newest_release(client, base_url), attempts=attempts, backoff=backoff
        )
        target = directory / published.name
        if target.is_file() and _is_whole(target, published):
            return target
        # With the digest in the name, the part of another upload of this name is not continued.
        part = directory / f"{published.name}.{published.digest[:12]}.part"
        _retrying(
            lambda: _download(client, published, part, progress),
            attempts=attempts,
            backoff=backoff,
        )
        part.replace(target)
        _sync_directory(directory)
        return target


def newest_release(client: httpx.Client, base_url: str = BASE_URL) -> PublishedFile:
    """The zip of the highest version among the newest records of ROR's community.

    Raises:
        FetchError: the answer is not Zenodo's, or lists no release.
    """
    try:
        base = addresses.read(base_url)
    except ValueError:
        raise FetchError(
            "the base URL cannot be read", remedy="check the base URL: https://host:port"
        ) from None
    if base.user is not None:
        raise FetchError(
            "the base URL holds a user or a password, which would be shown",
            remedy="name a mirror that needs none, or download the zip by hand, and load that file",
        )
    url = f"{base_url.rstrip('/')}/api/communities/{COMMUNITY}/records"
    with _reporting_network(url):
        content = _listing(client, url)
    try:
        file = _release_file(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FetchError(
            f"{addresses.shown(url)} answered with something else than Zenodo's list of records",
            remedy="check the base URL, and whether zenodo.org is under maintenance",
        ) from error
    if file is None:
        raise FetchError(
            f"{addresses.shown(url)} lists no release: none of its records has a .zip file",
            remedy=f"look at https://zenodo.org/communities/{COMMUNITY}, "
            "download the zip by hand, and load that file",
        )
    return _published(file, url)


def _listing(client: httpx.Client, url: str) -> bytes:
    """The newest records of the community, as JSON."""
    query = {"q": "", "sort": "newest", "size": str(_LISTED)}
    content = bytearray()
    with client.stream("GET", url, params=query) as response:
        _check_status(response)
        for piece in response.iter_bytes():
            content += piece
            if len(content) > MAX_LISTING_BYTES:
                _refuse(url, f"the list of records is longer than {MAX_LISTING_BYTES:,} bytes")
    return bytes(content)


def _release_file(answer: Any) -> dict[str, Any] | None:
    """The zip of the highest version. Files named as ROR names them go before all others; of two
    files of the same version the later published goes first, then the one listed first."""
    zips = [
        (_precedence(file["key"], record), file)
        for record in answer["hits"]["hits"]
        for file in record.get("files") or ()
        if file["key"].lower().endswith(".zip")
    ]
    if not zips:
        return None
    chosen: dict[str, Any] = max(zips, key=lambda item: item[0])[1]
    return chosen


def _precedence(name: str, record: dict[str, Any]) -> tuple[bool, tuple[int, ...], str, bool]:
    """The key by which files are sorted, the best one last. Where the name has no version or date,
    those of the record count."""
    metadata = record.get("metadata") or {}
    texts = (name, *(f"{metadata.get(field) or ''}" for field in ("version", "title")))
    day = date_in(name) or date_in(f"{metadata.get('publication_date') or ''}")
    return (
        MARK in name,
        next(filter(None, map(numbers_in, texts)), ()),
        str(day or ""),
        # A release of both schemas may come as two files.
        "_schema_v2" in name,
    )


def _published(file: dict[str, Any], url: str) -> PublishedFile:
    name, size, checksum, links = (file.get(key) for key in ("key", "size", "checksum", "links"))
    link = links.get("self") if isinstance(links, dict) else None
    match = _CHECKSUM.fullmatch(checksum) if isinstance(checksum, str) else None
    # The name becomes a path: no folder, nothing hidden.
    if not isinstance(name, str) or not _KEY.fullmatch(name):
        _refuse(url, f"the file name {name!r} is not one")
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        _refuse(url, f"the size of {name} is {size!r}")
    if size > MAX_RELEASE_BYTES:
        _refuse(url, f"{name} has {size:,} bytes; {MAX_RELEASE_BYTES:,} is the most")
    if match is None:
        _refuse(url, f"the checksum of {name} is {checksum!r}")
    if not isinstance(link, str) or not link.startswith(("https://", "http://")):
        _refuse(url, f"the address of {name} is not a web address")
    if url.startswith("https://") and not link.startswith("https://"):
        _refuse(url, f"the address of {name} is without TLS: {addresses.shown(link)}")
    return PublishedFile(name=name, url=link, size=size, algorithm=match[1], digest=match[2])


def _refuse(url: str, reason: str) -> NoReturn:
    raise FetchError(
        f"{addresses.shown(url)}: {reason}", remedy="download the zip by hand, and load that file"
    )


def _download(
    client: httpx.Client, published: PublishedFile, part: Path, progress: Progress | None
) -> None:
    """Download into `part` until it is the whole file, with the right checksum, on the disk."""
    start = part.stat().st_size if part.exists() else 0
    if start > published.size:
        part.unlink()
        start = 0
    resumed = True
    if start < published.size:
        resumed = _append(client, published, part, start, progress)
    if _is_whole(part, published):
        return
    part.unlink()
    if resumed:
        # The bytes of an earlier attempt may be wrong: start again from the beginning.
        raise PassingError("the checksum of the continued download does not fit")
    raise FetchError(
        f"{addresses.shown(published.url)}: the {published.algorithm} checksum is not the "
        f"published {published.digest}",
        remedy="try again; if it stays so, the upload or a proxy on the way is at fault",
    )


def _append(
    client: httpx.Client,
    published: PublishedFile,
    part: Path,
    start: int,
    progress: Progress | None,
) -> bool:
    """Write the bytes that are missing. Returns whether the server continued where `part` ends.

    Raises:
        PassingError: the connection ended early; the bytes received are kept.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    with (
        _reporting_network(published.url),
        client.stream("GET", published.url, headers=headers) as response,
    ):
        if start and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise PassingError("the server refuses to continue the download")
        _check_status(response)
        resumed = start > 0 and _continues(response, start)
        done = start if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            if progress:
                progress(done, published.size)
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > published.size:
                    break
                file.write(chunk)
                if progress:
                    progress(done, published.size)
            file.flush()
            os.fsync(file.fileno())
    if done > published.size:
        part.unlink()
        raise FetchError(
            f"{addresses.shown(published.url)} sends more than the published "
            f"{published.size:,} bytes",
            remedy="try again; if it stays so, the upload or a proxy on the way is at fault",
        )
    if done < published.size:
        raise PassingError(f"the connection ended after {done:,} of {published.size:,} bytes")
    return resumed


def _continues(response: httpx.Response, start: int) -> bool:
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start:
        raise FetchError(
            f"{addresses.shown(str(response.url))} sends another range than was asked for",
            remedy="delete the .part file and try again",
        )
    return True


def _is_whole(path: Path, published: PublishedFile) -> bool:
    if path.stat().st_size != published.size:
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(
            file, lambda: hashlib.new(published.algorithm, usedforsecurity=False)
        )
    return digest.hexdigest() == published.digest


def _sync_directory(directory: Path) -> None:
    """Have the new name of a file on the disk too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _retrying(attempt: Callable[[], _T], *, attempts: int, backoff: float) -> _T:
    try:
        return retrying(attempt, attempts=attempts, backoff=backoff, longest=MAX_WAIT)
    except PassingError as error:
        if error.wait is not None and error.wait > MAX_WAIT:
            raise FetchError(
                error.reason, remedy=f"try again in {error.wait:,.0f} seconds"
            ) from error
        raise FetchError(
            f"{error.reason} (after {attempts} attempts)",
            remedy="check the network and that Zenodo is up, then try again: "
            "a download goes on where it stopped",
        ) from error


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    if status in _RETRIED:
        raise PassingError(
            f"{addresses.shown(str(response.url))} answers {status}",
            wait=asked_wait(response.headers.get("Retry-After", "")),
        )
    if not response.is_success:
        raise FetchError(
            f"{addresses.shown(str(response.url))} answers {status}",
            remedy="check the base URL, and whether Zenodo's API has changed",
        )


@contextmanager
def _reporting_network(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise FetchError(f"{addresses.shown(url)}: {error}", remedy="check the base URL") from error
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise PassingError(f"{addresses.shown(url)}: {reason}") from error


@contextmanager
def _reporting_disk(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FetchError(
            f"{directory}: the release cannot be kept ({error.strerror or error})",
            remedy="give a folder that can be written to and has room",
        ) from error
