"""How a file of JSON is laid out, and whose works are in it: by what it begins with."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import ijson

LOOK = 2**20
"""Most bytes looked at before anything is read: an answer of Crossref's API may have long counts
(facets) before its works."""

WORK_KEYS = {
    "DOI": "crossref",
    "authorships": "openalex",
    "attributes": "datacite",
    "creators": "datacite",
}
"""Keys of a record that only works of one source have, and the name of its format."""

LISTS = {
    "": "item",
    "items": "items.item",
    "message.items": "message.items.item",
    "results": "results.item",
    "data": "data.item",
}
"""Where a document may have its list of works, and the path of each work: a plain list, a file of
Crossref's public data file, and the answers of the three APIs."""

_SINGLE = ("", "message", "data")
"""Where a document of one work has it."""

_LINES = 20
"""Lines that are looked at in a file whose first one is broken."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`path` is that of each work in a document, in the words of ijson; "" where the works follow
    each other, and None where there is neither a work nor a list of them. `lines` says that each
    work is a line. `of` names the format of the works, None where no key shows it."""

    path: str | None
    lines: bool = False
    of: str | None = None


def begins(head: bytes) -> bool:
    """Whether a file with these first bytes may be JSON."""
    return _text(head)[:1] in (b"{", b"[")


def first_line_has(head: bytes, key: str) -> bool:
    """Whether the first line is an object with this key."""
    line = _text(head).split(b"\n", 1)[0]
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and key in record


def shape_of(start: bytes) -> Shape:
    """The shape of a file that begins with these bytes; they may end anywhere."""
    text = _text(start)
    first = text.split(b"\n", 1)[0].strip()
    path, of = _first_work(text)
    if path is None and first.startswith(b"{") and first != b"{":
        # The first line may be broken, the others good.
        for line in text.split(b"\n", _LINES)[1:_LINES]:
            path, of = _first_work(line)
            if path == "" and of:
                return Shape("", lines=True, of=of)
        return Shape(None, lines=True)
    return Shape(path, lines=path == "" and first != b"{", of=of)


def _text(start: bytes) -> bytes:
    return start.removeprefix(codecs.BOM_UTF8).lstrip()


def _first_work(text: bytes) -> tuple[str | None, str | None]:
    """The path of the works and their format, as far as these bytes show them."""
    works: str | None = None
    steps: list[str] = []
    """From the whole to the present value; in an object the last is its present key."""
    try:
        for event, value in ijson.basic_parse(io.BytesIO(text), multiple_values=True):
            if event == "map_key":
                if value in WORK_KEYS:
                    path = _path(steps[:-1])
                    if works is None and path in _SINGLE:
                        return path, WORK_KEYS[value]
                    if path == works:
                        return works, WORK_KEYS[value]
                steps[-1] = value
            elif event == "start_map":
                steps.append("")
            elif event == "start_array":
                if works is None:
                    works = LISTS.get(_path(steps))
                steps.append("item")
            elif event in ("end_map", "end_array"):
                steps.pop()
    except (ijson.JSONError, UnicodeDecodeError):
        # The bytes end in the middle, or are no JSON.
        pass
    return works, None


def _path(steps: Sequence[str]) -> str:
    """As ijson writes it; of a place deeper than any of `LISTS` only that it is none of them."""
    return ".".join(steps) if len(steps) <= _DEEPEST else "…"


_DEEPEST = 1 + max(path.count(".") for path in LISTS.values())
