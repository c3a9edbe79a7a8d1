"""Labelled affiliations: what evaluation and training read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
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
    candidates, so that all it names is labelled: the line has "maybe" or "not". `ruled_out` are
    those that were read and are not named. `asserted` are the ids of an older label, which may be
    one of several, None where there is none.
    """

    affiliation: str
    ror_ids: tuple[str, ...]
    source: str | None = None
    maybe: tuple[str, ...] = ()
    complete: bool = False
    asserted: tuple[str, ...] | None = None
    ruled_out: tuple[str, ...] = ()

    def counted(self, ror_ids: Iterable[str]) -> tuple[str, ...]:
        """Those that are right or wrong by this label, in their order: all but its `maybe`."""
        return tuple(ror_id for ror_id in ror_ids if ror_id not in self.maybe)

    def as_asserted(self) -> Gold | None:
        """The same affiliation with the asserted label in place of this one, if it has any."""
        if self.asserted is None:
            return None
        return Gold(self.affiliation, self.asserted, self.source)


def read_gold(path: Path) -> list[Gold]:
    """JSON lines of ``{"affiliation": str, "ror_ids": [str]}``, and optionally ``"source"``,
    ``"maybe"``, ``"not"`` (`Gold.ruled_out`) and ``"asserted"``, lists like ``"ror_ids"``. Other
    keys are ignored. A ROR id may be given bare or as an address
    (`resolver.registry.ror_id.read_ror_id`). The file may be gzipped, and in UTF-16 if it says so.

    Raises:
        GoldError: the file is missing, breaks off, or a line has another form, names what is no
            ROR id, or has one id in two of the first three lists; names the line.
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
        gold = Gold(
            affiliation,
            _ror_ids(path, number, row, "ror_ids"),
            source if isinstance(source, str) else None,
            maybe=_ror_ids(path, number, row, "maybe") if "maybe" in row else (),
            complete="maybe" in row or "not" in row,
            asserted=_ror_ids(path, number, row, "asserted") if "asserted" in row else None,
            ruled_out=_ror_ids(path, number, row, "not") if "not" in row else (),
        )
        _require_one_verdict(path, number, gold)
        yield gold


def _require_one_verdict(path: Path, number: int, gold: Gold) -> None:
    """Of each organisation a label says one thing."""
    lists = {"ror_ids": gold.ror_ids, "maybe": gold.maybe, "not": gold.ruled_out}
    for (one, ids), (other, others) in combinations(lists.items(), 2):
        for ror_id in ids:
            if ror_id in others:
                raise GoldError(
                    f"{path}:{number}: {ror_id} is in {one} and in {other}",
                    remedy="leave it in the list that is right",
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
