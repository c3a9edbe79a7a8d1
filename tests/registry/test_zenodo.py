"""resolver.registry.zenodo, against a server on this machine that answers as Zenodo does."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from resolver.errors import FetchError
from resolver.registry import zenodo
from resolver.registry.zenodo import fetch

KEY = "v2.9-2026-10-28-ror-data.zip"
CONTENT = bytes(range(256)) * 1200
MD5 = hashlib.md5(CONTENT).hexdigest()
PART = f"{KEY}.{MD5[:12]}.part"
LISTING = "/api/communities/ror-data/records"


@dataclass
class Zenodo:
    """What the server holds, how it misbehaves, and what it was asked."""

    url: str = ""
    files: list[dict[str, Any]] | None = None
    older: list[dict[str, Any]] = field(default_factory=list)
    listing: bytes | None = None
    content: bytes = CONTENT
    ranges: bool = True
    content_range: str | None = None
    redirect: bool = False
    # One entry for each request from the first on: a status with headers, or the number of
    # bytes of the body after which the connection is dropped.
    list_faults: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    file_faults: list[tuple[int, dict[str, str]] | int] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def file(self, **changes: object) -> dict[str, Any]:
        return {
            "key": KEY,
            "size": len(CONTENT),
            "checksum": f"md5:{MD5}",
            "links": {"self": f"{self.url}/api/records/17/files/{KEY}/content"},
        } | changes

    @property
    def downloads(self) -> list[str | None]:
        """The Range header of each request for the file."""
        return [requested for path, requested in self.requests if path.endswith("/content")]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ClassVar[Zenodo]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        state, url = self.state, urlsplit(self.path)
        state.requests.append((url.path, self.headers.get("Range")))
        if url.path == LISTING:
            assert parse_qs(url.query)["sort"] == ["newest"]
            if state.list_faults:
                self.answer(*state.list_faults.pop(0))
            elif state.listing is not None:
                self.answer(200, {}, state.listing)
            else:
                files = [state.file()] if state.files is None else state.files
                hits = [{"id": 17, "files": files}, *state.older]
                self.answer(200, {}, json.dumps({"hits": {"hits": hits}}).encode())
        elif state.redirect and "moved" not in url.query:
            self.answer(302, {"Location": f"{url.path}?moved"})
        else:
            self.send_file()

    def send_file(self) -> None:
        state = self.state
        fault = state.file_faults.pop(0) if state.file_faults else None
        if isinstance(fault, tuple):
            self.answer(*fault)
            return
        body, status, headers = state.content, 200, {}
        if state.ranges and (requested := self.headers.get("Range")):
            start = int(requested.removeprefix("bytes=").removesuffix("-"))
            told = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
            headers["Content-Range"] = state.content_range or told
        self.answer(status, headers, body, drop_after=fault)

    def answer(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes = b"",
        drop_after: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:drop_after])
        if drop_after is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


@pytest.fixture
def server() -> Iterator[Zenodo]:
    state = Zenodo()
    handler = type("StatefulHandler", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        state.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def fetched(server: Zenodo, folder: Path, **options: Any) -> Path:
    return fetch(folder, base_url=server.url, backoff=0.01, timeout=5.0, **options)


def test_newest_release(server: Zenodo, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    folder = tmp_path / "not" / "there"
    path = fetched(server, folder, progress=lambda done, total: told.append((done, total)))
    assert path == folder / KEY
    assert path.read_bytes() == CONTENT
    assert list(folder.iterdir()) == [path]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


def test_already_there(server: Zenodo, tmp_path: Path) -> None:
    (tmp_path / KEY).write_bytes(CONTENT)
    assert fetched(server, tmp_path) == tmp_path / KEY
    assert server.downloads == []


@pytest.mark.parametrize("old", [CONTENT[:-1], CONTENT[:-1] + b"x"], ids=["cut", "changed"])
def test_there_but_damaged(server: Zenodo, tmp_path: Path, old: bytes) -> None:
    (tmp_path / KEY).write_bytes(old)
    assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_redirected(server: Zenodo, tmp_path: Path) -> None:
    server.redirect = True
    (tmp_path / PART).write_bytes(CONTENT[:1000])
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server.downloads == ["bytes=1000-", "bytes=1000-"]


def test_other_checksum(server: Zenodo, tmp_path: Path) -> None:
    server.files = [server.file(checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")]
    assert fetched(server, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "choose",
    [
        pytest.param(lambda s: ([s.file(key="notes.pdf"), s.file()], []), id="beside other files"),
        pytest.param(lambda s: ([s.file(), s.file(key="maps.zip")], []), id="two zips"),
        pytest.param(lambda s: ([], [{"files": [s.file()]}]), id="newest has no file"),
        pytest.param(
            lambda s: ([s.file(key="talk.pdf")], [{}, {"files": [s.file()]}]), id="newest is a talk"
        ),
        pytest.param(
            lambda s: ([s.file()], [{"files": [s.file(key="v2.8-ror-data.zip")]}]),
            id="older beside",
        ),
        pytest.param(
            lambda s: ([s.file(), s.file(key="v2.10-2026-11-30-ror-data.zip")], []),
            id="v2.9 listed before v2.10",
        ),
        pytest.param(
            lambda s: ([s.file(key="v2.10-2026-11-30-ror-data.zip"), s.file()], []),
            id="v2.9 listed after v2.10",
        ),
        pytest.param(
            lambda s: ([s.file()], [{"files": [s.file(key="v2.10-2026-11-30-ror-data.zip")]}]),
            id="an old release published again",
        ),
        pytest.param(
            lambda s: (
                [s.file(key="v2.10-2026-11-30-ror-data.zip"), s.file(key="v9.0-figures.zip")],
                [],
            ),
            id="another zip of a higher version",
        ),
    ],
)
def test_choice(server: Zenodo, tmp_path: Path, choose: Callable[[Zenodo], Any]) -> None:
    server.files, server.older = choose(server)
    listed = json.dumps([server.files, server.older])
    newest = "v2.10-2026-11-30-ror-data.zip" if "v2.10" in listed else KEY
    assert fetched(server, tmp_path).name == newest


def named(key: str, **record: object) -> dict[str, Any]:
    return {"files": [{"key": key}], **record}


@pytest.mark.parametrize(
    ("records", "chosen"),
    [
        pytest.param(
            [named("v1.74-2025-11-24-ror-data.zip"), named("v2.0-2025-12-16-ror-data.zip")],
            "v2.0-2025-12-16-ror-data.zip",
            id="of two records",
        ),
        pytest.param(
            [named("v1.49.1-2024-07-29-ror-data.zip"), named("v1.49-2024-07-11-ror-data.zip")],
            "v1.49.1-2024-07-29-ror-data.zip",
            id="a correction",
        ),
        pytest.param(
            [named("v2.9-2026-10-28-ror-data.zip"), named("v2.9-2026-11-02-ror-data.zip")],
            "v2.9-2026-11-02-ror-data.zip",
            id="one version twice: the later day",
        ),
        pytest.param(
            [
                named("a-ror-data.zip", metadata={"version": "v2.9"}),
                named("b-ror-data.zip", metadata={"version": "v2.10"}),
                named("c-ror-data.zip", metadata={"title": "ROR Data v2.8"}),
            ],
            "b-ror-data.zip",
            id="the record tells the version",
        ),
        pytest.param(
            [named("b-ror-data.zip"), named("a-ror-data.zip")], "b-ror-data.zip", id="nothing told"
        ),
        pytest.param(
            [named("V2.10-ROR.ZIP"), named("v2.9-ror-data.zip")],
            "v2.9-ror-data.zip",
            id="ROR's name",
        ),
        pytest.param(
            [
                {
                    "files": [
                        {"key": "v1.60-2025-01-09-ror-data_schema_v2.zip"},
                        {"key": "v1.60-2025-01-09-ror-data.zip"},
                        {"key": "v1.60-2025-01-09-ror-data.csv"},
                    ]
                }
            ],
            "v1.60-2025-01-09-ror-data_schema_v2.zip",
            id="a file for each schema",
        ),
        pytest.param([named("v2.9-ror-data.csv"), {}, {"files": None}], None, id="no zip"),
    ],
)
def test_release_file(records: list[dict[str, Any]], chosen: str | None) -> None:
    for order in (records, records[::-1] if chosen != "b-ror-data.zip" else records):
        found = zenodo._release_file({"hits": {"hits": order}})
        assert (found and found["key"]) == chosen


@pytest.mark.parametrize(
    ("part", "ranges", "faults", "asked"),
    [
        pytest.param(1000, True, [], ["bytes=1000-"], id="continued"),
        pytest.param(1000, False, [], ["bytes=1000-"], id="server sends the whole"),
        pytest.param(len(CONTENT), True, [], [], id="was whole"),
        pytest.param(0, True, [], [None], id="was empty"),
        pytest.param(None, True, [5000], [None, "bytes=5000-"], id="dropped"),
        pytest.param(None, False, [5000], [None, "bytes=5000-"], id="dropped, no ranges"),
        pytest.param(None, True, [0], [None, None], id="dropped at once"),
        pytest.param(
            None, True, [5000, 700, 1], [None, "bytes=5000-", "bytes=5700-", "bytes=5701-"],
            id="dropped thrice",
        ),
        pytest.param(1000, True, [(416, {})], ["bytes=1000-", None], id="range refused"),
        pytest.param(None, True, [(503, {})], [None, None], id="busy"),
    ],
)  # fmt: skip
def test_continued(
    server: Zenodo,
    tmp_path: Path,
    part: int | None,
    ranges: bool,
    faults: list[tuple[int, dict[str, str]] | int],
    asked: list[str | None],
) -> None:
    if part is not None:
        (tmp_path / PART).write_bytes(CONTENT[:part])
    server.ranges, server.file_faults = ranges, faults
    path = fetched(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.downloads == asked
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "part", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 1)], ids=len
)
def test_damaged_part_is_begun_again(server: Zenodo, tmp_path: Path, part: bytes) -> None:
    (tmp_path / PART).write_bytes(part)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server.downloads[-1] is None


def test_part_of_another_upload_is_left_alone(server: Zenodo, tmp_path: Path) -> None:
    (tmp_path / f"{KEY}.0123456789ab.part").write_bytes(b"x" * 1000)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server.downloads == [None]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([(500, {}), (502, {}), (504, {})], id="server errors"),
        pytest.param([(429, {"Retry-After": "0"})], id="too many requests"),
        pytest.param([(429, {"Retry-After": "soon"})], id="Retry-After that says nothing"),
        pytest.param([(503, {"Retry-After": formatdate(usegmt=True)})], id="Retry-After date"),
        pytest.param([(408, {})], id="request timed out"),
    ],
)
def test_passing_faults(
    server: Zenodo, tmp_path: Path, faults: list[tuple[int, dict[str, str]]]
) -> None:
    server.list_faults = list(faults)
    server.file_faults = list(faults)
    assert fetched(server, tmp_path).read_bytes() == CONTENT


def test_retry_after_is_kept(server: Zenodo, tmp_path: Path) -> None:
    server.list_faults = [(429, {"Retry-After": "1"})]
    begin = time.monotonic()
    fetched(server, tmp_path)
    assert time.monotonic() - begin >= 1.0


def set_faults(status: int, **headers: str) -> Callable[[Zenodo], None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def prepare(server: Zenodo) -> None:
        server.list_faults = [(status, named)] * 30

    return prepare


def set_listing(body: bytes) -> Callable[[Zenodo], None]:
    return lambda server: setattr(server, "listing", body)


def set_file(**changes: object) -> Callable[[Zenodo], None]:
    return lambda server: setattr(server, "files", [server.file(**changes)])


def set_state(**changes: object) -> Callable[[Zenodo], None]:
    def prepare(server: Zenodo) -> None:
        for name, value in changes.items():
            setattr(server, name, value)

    return prepare


@pytest.mark.parametrize(
    ("prepare", "problem", "listings"),
    [
        pytest.param(set_faults(500), r"answers 500 \(after 3 attempts\)", 3, id="500s"),
        pytest.param(set_faults(429), r"answers 429 \(after 3 attempts\)", 3, id="429s"),
        pytest.param(
            set_faults(429, Retry_After="3600"), "answers 429 — try again in 3,600", 1, id="an hour"
        ),
        pytest.param(set_faults(404), "answers 404", 1, id="404"),
        pytest.param(set_faults(403), "answers 403", 1, id="403"),
        pytest.param(set_faults(302, Location=LISTING + "?sort=newest"), "redirect", 1, id="loop"),
        pytest.param(set_listing(b"<html>"), "something else than", 1, id="HTML"),
        pytest.param(set_listing(b""), "something else than", 1, id="empty answer"),
        pytest.param(set_listing(b"\xff\xfe{"), "something else than", 1, id="binary answer"),
        pytest.param(set_listing(b"[]"), "something else than", 1, id="array"),
        pytest.param(set_listing(b'{"hits": []}'), "something else than", 1, id="old shape"),
        pytest.param(set_listing(b'{"hits": {"hits": [7]}}'), "something else", 1, id="number"),
        pytest.param(set_listing(b'{"hits": {"hits": []}}'), "lists no release", 1, id="no record"),
        pytest.param(set_state(files=[]), "lists no release", 1, id="no files"),
        pytest.param(set_listing(b" " * (17 * 2**20)), "longer than 16,777,216", 1, id="endless"),
        pytest.param(set_file(size=3 * 2**30), "2,147,483,648 is the most", 1, id="enormous"),
        pytest.param(set_file(key="ror.tar"), "lists no release", 1, id="no zip"),
        pytest.param(set_file(key="../x.zip"), "file name '../x.zip' is not", 1, id="traversal"),
        pytest.param(set_file(key="/tmp/x.zip"), "is not one", 1, id="absolute"),
        pytest.param(set_file(key=".zip"), "is not one", 1, id="hidden"),
        pytest.param(set_file(key="a\x00b.zip"), "is not one", 1, id="NUL"),
        pytest.param(set_file(key="x" * 300 + ".zip"), "is not one", 1, id="too long"),
        pytest.param(set_file(size=None), "size of .* is None", 1, id="no size"),
        pytest.param(set_file(size=-1), "size of .* is -1", 1, id="negative size"),
        pytest.param(set_file(checksum=None), "checksum of .* is None", 1, id="no checksum"),
        pytest.param(set_file(checksum="crc32:00"), "checksum of", 1, id="unknown checksum"),
        pytest.param(set_file(links={}), "address of .* is not a web", 1, id="no link"),
        pytest.param(set_file(links={"self": "file:///etc/passwd"}), "address", 1, id="file link"),
        pytest.param(set_file(checksum="md5:" + "0" * 32), "md5 checksum is not", 1, id="checksum"),
        pytest.param(set_file(size=10), "more than the published 10 bytes", 1, id="too much"),
        pytest.param(
            set_file(size=len(CONTENT) + 1), r"ended after .* \(after 3 attempts\)", 1, id="short"
        ),
        pytest.param(set_state(file_faults=[9] * 9), r"\(after 3 attempts\)", 1, id="drops"),
        pytest.param(set_state(file_faults=[(404, {})]), "answers 404", 1, id="file is gone"),
        pytest.param(
            set_state(file_faults=[9], content_range="bytes 5-20/21"),
            "another range",
            1,
            id="other range",
        ),
    ],
)
def test_refused(
    server: Zenodo,
    tmp_path: Path,
    prepare: Callable[[Zenodo], None],
    problem: str,
    listings: int,
) -> None:
    prepare(server)
    with pytest.raises(FetchError, match=problem) as caught:
        fetched(server, tmp_path, attempts=3)
    assert caught.value.remedy
    # Nothing that could be taken for a release.
    assert list(tmp_path.glob("*.zip")) == []
    if "redirect" not in problem:
        assert [path for path, _ in server.requests].count(LISTING) == listings


def test_a_failed_download_goes_on_next_time(server: Zenodo, tmp_path: Path) -> None:
    server.file_faults = [5000]
    with pytest.raises(FetchError, match="goes on where it stopped"):
        fetched(server, tmp_path, attempts=1)
    assert fetched(server, tmp_path).read_bytes() == CONTENT
    assert server.downloads == [None, "bytes=5000-"]


def test_connection_refused(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(FetchError, match=r"refused \(after 2 attempts\)"):
            fetch(tmp_path, base_url=url, attempts=2, backoff=0.01)


def test_server_that_never_answers(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(FetchError, match=r"timed out \(after 2 attempts\)"):
            fetch(tmp_path, base_url=url, attempts=2, backoff=0.01, timeout=0.2)


@pytest.mark.parametrize("url", ["zenodo.org", "ftp://zenodo.org", "http://zenodo.org:port", ""])
def test_base_url_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="check the base URL"):
        fetch(tmp_path, base_url=url)


@pytest.mark.parametrize(
    "url", ["https://ada:pa55w0rd@host", "https://pa55w0rd@host", "https://ada:pa55/w0rd@host"]
)
def test_base_url_with_a_password_is_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="base URL") as caught:
        fetch(tmp_path, base_url=url)
    assert "pa55" not in "".join(traceback.format_exception(caught.value))


def test_signature_of_a_download_is_not_shown(server: Zenodo, tmp_path: Path) -> None:
    """Where a mirror sends on to may hold a key after the question mark."""
    link = f"{server.url}/gone?X-Amz-Signature=s1gn4ture"
    server.files = [server.file(links={"self": link})]
    server.file_faults = [(404, {})]
    with pytest.raises(FetchError, match="/gone answers 404") as caught:
        fetched(server, tmp_path)
    assert "s1gn4ture" not in str(caught.value)


def test_folder_that_cannot_be_written(server: Zenodo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match="cannot be kept"):
        fetched(server, tmp_path / "file" / "folder")


def test_attempts(server: Zenodo, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        fetched(server, tmp_path, attempts=0)
