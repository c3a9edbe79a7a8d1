"""Incoming affiliations: messages → `SourceRecord`s, one refusal for each bad one.

A record is a JSON object ``{"source", "id", "affiliation", "position"}``; `position` may be left
out (0), other keys are ignored. A bad record never stops its neighbours. What is withdrawn is named
by the same keys, without the affiliation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from resolver.errors import IntakeError
from resolver.intake.record import (
    MAX_EXTERNAL_ID,
    MAX_SOURCE,
    Key,
    RefusedRecord,
    SourceRecord,
    WholeRecord,
)
from resolver.validation import json_kind

MAX_POSITION = 2**31 - 1
"""A Postgres integer."""

MAX_CHUNK = 1024
"""Records of one message: the upper end of `Settings.chunk_size`, so that a worker is done with
any message well within its time limit."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_record(raw: object, *, position: int) -> SourceRecord:
    """One record of a message. `position` is its place there, for the error alone.

    The affiliation may be any string: an empty one gets an outcome that says so. An id may be a
    whole number, also one that JSON writes as 17.0: it is kept in digits.

    Raises:
        IntakeError: the record is refused; says which field and why.
    """
    try:
        return _record(raw)
    except ValueError as error:
        raise IntakeError(position=position, reason=str(error)) from None


def parse_chunk(raw: object) -> tuple[list[SourceRecord], list[RefusedRecord]]:
    """All records of a message, and the refused ones.

    Raises:
        IntakeError: the chunk is no list or holds more than `MAX_CHUNK` records.
    """
    records: list[SourceRecord] = []
    refused: list[RefusedRecord] = []
    for item in _items(raw):
        try:
            records.append(_record(item))
        except ValueError as error:
            refused.append(_refused(item, str(error)))
    return records, refused


def parse_keys(raw: object) -> tuple[list[Key], list[RefusedRecord]]:
    """The keys of a message that withdraws, and the refused ones: ``{"source", "id", "position"}``
    each; without `position` it names all positions of the record.

    Raises:
        IntakeError: as `parse_chunk`.
    """
    keys: list[Key] = []
    refused: list[RefusedRecord] = []
    for item in _items(raw):
        try:
            keys.append(_key(item))
        except ValueError as error:
            refused.append(_refused(item, f"to be withdrawn: {error}"))
    return keys, refused


def parse_key(raw: object, *, position: int) -> Key:
    """One key of what is withdrawn. `position` is its place in the input, for the error alone.

    Raises:
        IntakeError: says which field and why.
    """
    try:
        return _key(raw)
    except ValueError as error:
        raise IntakeError(position=position, reason=str(error)) from None


def parse_whole(raw: object) -> tuple[list[WholeRecord], list[RefusedRecord]]:
    """The records that a message replaces whole, and the refused ones:
    ``{"source", "id", "positions"}`` each. `raw` None means that there are none.

    Raises:
        IntakeError: as `parse_chunk`.
    """
    whole: list[WholeRecord] = []
    refused: list[RefusedRecord] = []
    items: list[Any] = [] if raw is None else _items(raw)
    for item in items:
        try:
            source, external_id, _ = _key(item)
            positions = item.get("positions")
            if not isinstance(positions, list):
                raise ValueError(f"positions: is {json_kind(positions)}, not a list")
            whole.append(WholeRecord(source, external_id, tuple(map(_position, positions))))
        except ValueError as error:
            refused.append(_refused(item, f"to be replaced: {error}"))
    return whole, refused


def _items(raw: object) -> list[object]:
    if not isinstance(raw, list):
        raise IntakeError(position=0, reason=f"the chunk is not a list but {json_kind(raw)}")
    if len(raw) > MAX_CHUNK:
        raise IntakeError(
            position=MAX_CHUNK, reason=f"the chunk has {len(raw)} records; {MAX_CHUNK} is the most"
        )
    return raw


def _key(raw: object) -> Key:
    if not isinstance(raw, Mapping):
        raise ValueError(f"not an object but {json_kind(raw)}")
    return (
        _name(raw, "source", MAX_SOURCE),
        _name(raw, "id", MAX_EXTERNAL_ID),
        _position(raw["position"]) if raw.get("position") is not None else None,
    )


def _refused(raw: object, reason: str) -> RefusedRecord:
    """A bad record, with what of it can be read."""
    fields = raw if isinstance(raw, Mapping) else {}
    source, external_id, place = (fields.get(name) for name in ("source", "id", "position"))
    return RefusedRecord(
        source=source if isinstance(source, str) else None,
        external_id=external_id if isinstance(external_id, str) else None,
        position=place if isinstance(place, int) and not isinstance(place, bool) else None,
        reason=reason,
        payload=json.dumps(raw, ensure_ascii=False, default=str),
    )


def _record(raw: object) -> SourceRecord:
    if not isinstance(raw, Mapping):
        raise ValueError(f"not an object but {json_kind(raw)}")
    affiliation = raw.get("affiliation")
    if not isinstance(affiliation, str):
        missing = "affiliation" not in raw
        raise ValueError(f"affiliation: {'missing' if missing else f'is {json_kind(affiliation)}'}")
    return SourceRecord(
        source=_name(raw, "source", MAX_SOURCE),
        external_id=_name(raw, "id", MAX_EXTERNAL_ID),
        affiliation=affiliation,
        position=_position(raw.get("position", 0)),
    )


def _name(raw: Mapping[str, object], field: str, longest: int) -> str:
    if field not in raw:
        raise ValueError(f"{field}: missing")
    value = raw[field]
    if field == "id":
        value = _whole(value)
    if field == "id" and isinstance(value, int) and not isinstance(value, bool):
        # str() refuses integers of thousands of digits, in words that name no field.
        if abs(value) >= 10**longest:
            raise ValueError(f"{field}: longer than {longest} digits")
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{field}: is {json_kind(value)}, not a string")
    if not value.strip():
        raise ValueError(f"{field}: empty")
    if len(value) > longest:
        raise ValueError(f"{field}: {len(value)} characters; {longest} is the most")
    # Neither can be stored, and a changed id would be the id of something else.
    if "\0" in value:
        raise ValueError(f"{field}: contains NUL")
    if _SURROGATE.search(value):
        raise ValueError(f"{field}: is not valid Unicode (lone surrogate)")
    return value


def _whole(value: object) -> object:
    """A float that is a whole number, as an int: JSON knows no difference. From 2**53 on floats
    lose digits, and stay as they are."""
    if isinstance(value, float) and abs(value) < 2**53 and value.is_integer():
        return int(value)
    return value


def _position(value: object) -> int:
    value = _whole(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"position: is {json_kind(value)}, not a whole number")
    if not 0 <= value <= MAX_POSITION:
        raise ValueError(f"position: not between 0 and {MAX_POSITION}")
    return value
