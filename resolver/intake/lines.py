"""Files of text: compressed or not, in any encoding, with any line ends.

`opened` looks at the first bytes, whatever the file's name says; `Opened.lines` has the text.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from resolver.errors import FileBroken, SettingsError

MAX_LINE = 16 * 2**20
"""Most characters of a line. A file without line breaks is refused before it fills the memory."""

HEAD = 2**16
"""Most bytes looked at before anything is read."""

PARQUET = b"PAR1"

_TAR = b"ustar"
_TAR_AT = 257
"""What a tar archive has, and where (POSIX.1-1988, "ustar")."""

_XML = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<[\0]?[?!a-zA-Z]")
"""How XML begins, after a byte order mark of UTF-8 or UTF-16 or none."""

_GZIP = b"\x1f\x8b"

_OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "save it as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old Excel", "save it as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it: zstd -dc FILE | resolver … -"),
    (b"\xfd7zXZ\x00", "compressed by xz", "unpack it: xz -dc FILE | resolver … -"),
    (b"BZh", "compressed by bzip2", "unpack it: bzip2 -dc FILE | resolver … -"),
)
"""First bytes of files that hold no text, what they are, and what helps."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16: its mark begins like that one's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that is opened and not read yet.

    `stream` gives its content, unpacked. `head` are the first bytes, to the end of the first line
    that is not blank. `sought` says whether the file can be read from any place (is seekable).
    """

    name: str
    stream: IO[bytes]
    head: bytes
    sought: bool

    @property
    def is_tar(self) -> bool:
        return self.head[_TAR_AT:].startswith(_TAR)

    @property
    def is_xml(self) -> bool:
        """Whether it may be XML; a text may begin with a sign < too."""
        return _XML.match(self.head) is not None

    def ahead(self, size: int) -> bytes:
        """The first `size` bytes, or all if there are fewer; reading begins before them still.

        To be called before anything is read. Waits for the other end of a pipe.
        """
        return cast(Any, self.stream).raw.ahead(size)  # type: ignore[no-any-return]

    def encoding(self, given: str | None = None) -> str:
        """The encoding: as `given`, or else as the byte order mark says, or else UTF-8.

        Raises:
            SettingsError: no such encoding, or UTF-16 without a byte order mark.
        """
        if given is not None:
            try:
                "".encode(given)
                return codecs.lookup(given).name
            except (LookupError, UnicodeError) as error:
                raise SettingsError(
                    f"no such encoding: {given}", remedy="utf-8, utf-16-le, windows-1252, …"
                ) from error
        for mark, encoding in _MARKS:
            if self.head.startswith(mark):
                return encoding
        if (likely := _without_mark(self.head)) is not None:
            raise SettingsError(
                f"{self.name}: it seems to be {likely.upper()}, without a byte order mark",
                remedy=f"say so (--encoding {likely})",
            )
        return "utf-8"

    def first_line(self, encoding: str) -> str:
        """The first line that is not blank."""
        text = self.head.decode(encoding, errors="ignore").removeprefix("\ufeff")
        return next((line for line in re.split("[\r\n]", text) if line.strip()), "")

    def _ends_in_lf(self, encoding: str) -> bool:
        end = re.search("\r?\n|\r", self.head.decode(encoding, errors="ignore"))
        return end is None or end[0] != "\r"

    def lines(self, encoding: str) -> Iterator[tuple[int, str | None]]:
        """Line numbers from 1 and lines with their ends; None for one beyond `MAX_LINE`.

        Lines end in LF or CR LF; where the first line ends in CR, in CR too. Bytes that are not
        valid in this encoding come as lone surrogates: see `not_in`.

        Raises:
            FileBroken: the file ends in the middle; names the line.
        """
        wide = encoding.replace("_", "-").startswith(("utf-16", "utf-32"))
        text = io.TextIOWrapper(
            cast(Any, self.stream),
            encoding=encoding,
            errors="surrogatepass" if wide else "surrogateescape",
            newline="\n" if self._ends_in_lf(encoding) else "",
        )
        number = 0
        try:
            while line := text.readline(MAX_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix("\ufeff")
                if len(line) >= MAX_LINE and line[-1] not in "\r\n":
                    while (rest := text.readline(MAX_LINE)) and rest[-1] not in "\r\n":
                        pass
                    yield number, None
                else:
                    yield number, line
        except (EOFError, OSError, zlib.error, UnicodeError) as error:
            raise FileBroken(self.name, line=number + 1, reason=str(error)) from error


def not_in(encoding: str, line: str) -> str | None:
    """What of a line is not valid in its encoding, as a reason; None where all is valid."""
    match = _SURROGATE.search(line)
    if match is None:
        return None
    shown = encoding.upper()
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        place = len(line[: match.start()].encode(errors="surrogateescape"))
        return f"not {shown} (byte 0x{code - 0xDC00:02x} at {place})"
    return f"not {shown} (a lone surrogate at {match.start()})"


@contextmanager
def opened(path: Path | None) -> Iterator[Opened]:
    """A file, or standard input (None), unpacked if it is gzipped.

    Raises:
        SettingsError: it is missing, or of a kind that holds no text.
        FileBroken: its beginning cannot be unpacked.
    """
    with ExitStack() as files:
        name = str(path or "standard input")
        try:
            stream: Any = sys.stdin.buffer if path is None else files.enter_context(path.open("rb"))
            sought = path is not None and bool(stream.seekable())
            start = unpacked(name, stream, sought=sought)
        except OSError as error:
            raise SettingsError(f"{name}: {error.strerror or error}") from error
        for magic, what, remedy in _OTHERS:
            if start.head.startswith(magic):
                raise SettingsError(f"{name} is {what}", remedy=remedy)
        yield start


def unpacked(name: str, stream: Any, *, sought: bool = False) -> Opened:
    """A stream of bytes, unpacked if it is gzipped.

    Raises:
        FileBroken: its beginning cannot be unpacked.
    """
    try:
        head, stream = _looked_at(stream)
        if head.startswith(_GZIP):
            head, stream = _looked_at(gzip.GzipFile(fileobj=stream))
            sought = False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileBroken(name, line=1, reason=str(error)) from error
    return Opened(name, stream, head, sought)


def _looked_at(stream: Any) -> tuple[bytes, IO[bytes]]:
    """The first bytes of a stream, and the stream with them still to be read."""
    head = b""
    # Not more than a line: the other end of a pipe, or a person at a terminal, may be slow.
    while len(head) < HEAD and (line := stream.readline(HEAD - len(head))):
        head += line
        if head.strip():
            break
    return head, cast(IO[bytes], io.BufferedReader(_Rejoined(head, stream), 2**17))


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already: it gives these again, and then the rest."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = head
        self._rest = rest
        self._error: Exception | None = None

    def readable(self) -> bool:
        return True

    def ahead(self, size: int) -> bytes:
        """The first bytes, which are still to be read. An error waits until they are."""
        try:
            while len(self._head) < size and (more := self._rest.read1(size - len(self._head))):
                self._head += more
        except Exception as error:  # noqa: BLE001
            self._error = error
        return self._head

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        elif self._error is not None:
            raise self._error
        else:
            data = self._rest.read1(size)
        buffer[: len(data)] = data
        return len(data)


def _without_mark(head: bytes) -> str | None:
    """Which UTF-16 a file without a byte order mark seems to be: there every other byte of an ASCII
    text is zero. None where it is not UTF-16."""
    zeros = [head[start::2].count(0) / max(len(head[start::2]), 1) for start in (0, 1)]
    if len(head) >= 4:
        if zeros[1] > 0.4 and zeros[0] < 0.1:
            return "utf-16-le"
        if zeros[0] > 0.4 and zeros[1] < 0.1:
            return "utf-16-be"
    return None
