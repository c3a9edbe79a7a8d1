"""Affiliations as requests bring them: JSON, or a line each (NDJSON)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request

from resolver.doors.problems import Problem
from resolver.validation import json_kind

MAX_LINE = 128 * 1024
"""Most bytes of a line: 10,000 characters and an id, escaped."""

MAX_ID = 500
"""Most characters of the id of an affiliation, as in a message (docs/tasks.md)."""

JSON = "application/json"
NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Asked:
    """An affiliation of a request: its number there from 0, the id that it came with, the text.

    Where it cannot be read `text` is None and `refusal` says why.
    """

    index: int
    id: str | int | None
    text: str | None
    refusal: str | None = None


def read(index: int, value: object) -> Asked:
    """An entry: a text, or an object with ``affiliation`` and, if wanted, ``id``."""
    identifier: object = None
    if isinstance(value, Mapping):
        identifier = value.get("id")
        if unknown := sorted(value.keys() - {"id", "affiliation"}):
            return Asked(index, _id(identifier), None, f"{unknown[0][:80]}: no such key")
        if "affiliation" not in value:
            return Asked(index, _id(identifier), None, "affiliation: missing")
        value = value["affiliation"]
        if identifier is not None and _id(identifier) is None:
            return Asked(index, None, None, f"id: not a number, and no string of {MAX_ID}")
    if not isinstance(value, str):
        return Asked(
            index, _id(identifier), None, f"affiliation: is {json_kind(value)}, not a string"
        )
    return Asked(index, _id(identifier), value)


def _id(value: object) -> str | int | None:
    if isinstance(value, str) and len(value) <= MAX_ID:
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_line(index: int, line: bytes) -> Asked:
    """A line of NDJSON: a text in quotes, or an object."""
    if len(line) > MAX_LINE:
        return Asked(index, None, None, f"the line has more than {MAX_LINE:,} bytes")
    try:
        return read(index, orjson.loads(line))
    except orjson.JSONDecodeError as error:
        return Asked(index, None, None, f"not JSON: {error.msg}")


class Lines:
    """Cuts the pieces of a body into lines. What is longer than `MAX_LINE` is cut off there, and no
    more is kept of it; empty lines are left out."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def add(self, piece: bytes) -> Iterator[bytes]:
        """The lines that this piece completes."""
        *complete, rest = piece.split(b"\n")
        for end in complete:
            yield from self._line(end)
        self._keep(rest)

    def end(self) -> Iterator[bytes]:
        """A last line without its end."""
        yield from self._line(b"")

    def _line(self, end: bytes) -> Iterator[bytes]:
        self._keep(end)
        line = bytes(self._begun)
        self._begun.clear()
        if line.strip():
            yield line

    def _keep(self, piece: bytes) -> None:
        self._begun += piece[: MAX_LINE + 1 - len(self._begun)]


async def asked_lines(request: Request) -> AsyncIterator[list[Asked]]:
    """The lines of a body, some at a time, while it comes.

    The body is read on while the answers are sent: many clients read nothing before they have sent
    all, and both sides would wait for each other.
    """
    came: asyncio.Queue[list[bytes] | Exception | None] = asyncio.Queue()

    async def receive() -> None:
        lines = Lines()
        try:
            async for piece in request.stream():
                came.put_nowait(list(lines.add(piece)))
            came.put_nowait(list(lines.end()))
            came.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - it is raised where the lines are read
            came.put_nowait(error)

    receiving = asyncio.create_task(receive())
    index = 0
    try:
        while (lines := await came.get()) is not None:
            if isinstance(lines, Exception):
                raise lines
            if lines:
                yield [read_line(index + i, line) for i, line in enumerate(lines)]
                index += len(lines)
    finally:
        receiving.cancel()


def json_of(body: bytes) -> Any:
    """A body as JSON.

    Raises:
        Problem: 400, it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error.msg}") from error


def content_type(request: Request) -> str:
    """``application/json`` or ``application/x-ndjson``.

    Raises:
        Problem: 415, it is of another kind.
    """
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind in (JSON, NDJSON):
        return kind
    if kind in ("application/ndjson", "application/jsonl", "application/jsonlines"):
        return NDJSON
    raise Problem(415, f"send {JSON} or {NDJSON}")
