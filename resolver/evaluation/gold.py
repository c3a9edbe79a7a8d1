"""Labelled affiliations: what evaluation and training read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from resolver.errors import FileBroken, GoldError, SettingsError
from resolver.intake.lines import not_in, opened
from resolver.registry.ror_id import read_ror_id


@dataclass(frozen=True, slots=True)
class Gold:
    """A labelled affiliation. Empty `ror_ids`: it names no organisation of the registry.

    `source` says whose label it is, where the file says so.
    """

    affiliation: str
    ror_ids: tuple[str, ...]
    source: str | None = None


def read_gold(path: Path) -> list[Gold]:
    """JSON lines of ``{"affiliation": str, "ror_ids": [str]}``, and optionally ``"source"``;
    other keys are ignored. A ROR id may be given bare or as an address
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
            _ror_ids(path, number, ror_ids),
            source if isinstance(source, str) else None,
        )


def _ror_ids(path: Path, number: int, written: Sequence[object]) -> tuple[str, ...]:
    try:
        return tuple(map(read_ror_id, written))
    except ValueError as error:
        raise GoldError(
            f"{path}:{number}: ror_ids: {error}",
            remedy="give ROR ids as 052gg0110 or https://ror.org/052gg0110, and [] where no "
            "organisation is named",
        ) from None
