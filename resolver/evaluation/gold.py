"""Labelled affiliations: what evaluation and training read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from resolver.errors import FileBroken, GoldError, SettingsError
from resolver.intake.lines import not_in, opened
from resolver.registry.ror_id import read_ror_id


@dataclass(frozen=True, slots=True)
class Gold:
    """A labelled affiliation. Empty `ror_ids`: it names no organisation of the registry.

    `source` says whose label it is, where the file says so. `maybe` are organisations that count
    neither as right nor as wrong. `complete` says that somebody read the string beside its
    candidates, so that all it names is labelled: the line has "maybe" or "not". `asserted` are the
    ids of an older label, which may be one of several, None where there is none.
    """

    affiliation: str
    ror_ids: tuple[str, ...]
    source: str | None = None
    maybe: tuple[str, ...] = ()
    complete: bool = False
    asserted: tuple[str, ...] | None = None


def read_gold(path: Path) -> list[Gold]:
    """JSON lines of ``{"affiliation": str, "ror_ids": [str]}``, and optionally ``"source"``,
    ``"maybe"`` and ``"asserted"`` (lists like ``"ror_ids"``); ``"not"`` may list what was read and
    is not named. Other keys are ignored. A ROR id may be given bare or as an address
    (`resolver.registry.ror_id.read_ror_id`). The file may be gzipped, and in UTF-16 if it says so.

    Raises:
        GoldError: the file is missing, breaks off, or a line has another form or names what is no
            ROR id; names the line.
    """
    try:
        with opened(path) as file:
            encoding = file.encoding()
            return list(_parse(path, file.lines(encoding), encoding))
    except FileBroken as error:
        raise GoldError(error.problem, remedy="get the whole file") from error
    except SettingsError as error:
        raise GoldError(error.problem, remedy="name a JSON lines file") from error


def _parse(path: Path, lines: Iterable[tuple[int, str | None]], encoding: str) -> Iterator[Gold]:
    for number, line in lines:
        if line is not None and not line.strip():
            continue
        if line is None or (problem := not_in(encoding, line)):
            raise GoldError(f"{path}:{number}: {'too long' if line is None else problem}")
        try:
            row = orjson.loads(line)
            affiliation, ror_ids = row["affiliation"], row["ror_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise GoldError(
                f"{path}:{number}: not a labelled affiliation",
                remedy='each line is {"affiliation": "…", "ror_ids": ["…"]}',
            ) from error
        if not isinstance(affiliation, str) or not isinstance(ror_ids, list):
            raise GoldError(
                f"{path}:{number}: affiliation must be a string and ror_ids a list",
                remedy='each line is {"affiliation": "…", "ror_ids": ["…"]}',
            )
        source = row.get("source")
        yield Gold(
            affiliation,
            _ror_ids(path, number, row, "ror_ids"),
            source if isinstance(source, str) else None,
            maybe=_ror_ids(path, number, row, "maybe") if "maybe" in row else (),
            complete="maybe" in row or "not" in row,
            asserted=_ror_ids(path, number, row, "asserted") if "asserted" in row else None,
        )


def _ror_ids(path: Path, number: int, row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    written = row[key]
    if not isinstance(written, list):
        raise GoldError(f"{path}:{number}: {key} must be a list of ROR ids")
    try:
        return tuple(map(read_ror_id, written))
    except ValueError as error:
        raise GoldError(
            f"{path}:{number}: {key}: {error}",
            remedy="give ROR ids as 052gg0110 or https://ror.org/052gg0110, and [] where no "
            "organisation is named",
        ) from None
