"""What a program gives to be resolved, read as texts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from numbers import Number

from resolver.api.frames import is_frame
from resolver.errors import AffiliationsError

SHOWN = 60
"""Characters of a value that an error quotes."""


def texts_of(affiliations: Iterable[str | None]) -> list[str]:
    """Each text in order; a missing value (None, NaN, `pandas.NA`, `pandas.NaT`) is "".

    Raises:
        AffiliationsError: it is one string, or nothing that has an order; or a value in it is no
            string: names its position, counted from 0, and its type.
    """
    _require_list(affiliations)
    return [_text(position, value) for position, value in enumerate(affiliations)]


def each_text(
    affiliations: Iterable[str | None] | AsyncIterable[str | None],
) -> Iterator[str] | AsyncIterator[str]:
    """As `texts_of`, one at a time while they come, which may be asynchronously.

    Raises:
        AffiliationsError: as `texts_of`; for a value, when it is its turn.
    """
    if isinstance(affiliations, AsyncIterable):
        return _each_that_comes(affiliations)
    _require_list(affiliations)
    return (_text(position, value) for position, value in enumerate(affiliations))


async def _each_that_comes(affiliations: AsyncIterable[str | None]) -> AsyncIterator[str]:
    position = 0
    async for value in affiliations:
        yield _text(position, value)
        position += 1


def _require_list(affiliations: object) -> None:
    if isinstance(affiliations, str):
        raise AffiliationsError(
            f"a list of affiliations is wanted, not one string: {_shown(affiliations)}",
            remedy="for one text: resolve([text])",
        )
    if is_frame(affiliations):
        raise AffiliationsError(
            "a column is wanted, not a whole frame", remedy='name it: frame["affiliation"]'
        )
    if not isinstance(affiliations, Iterable) or isinstance(
        affiliations, bytes | bytearray | Mapping | set | frozenset
    ):
        raise AffiliationsError(
            f"a list of affiliations is wanted, not {_kind(affiliations)}",
            remedy="give a list, a tuple, a generator, or a Series of pandas or polars",
        )


def _text(position: int, value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if _is_missing(value):
        return ""
    raise AffiliationsError(
        f"the affiliation at position {position} is no string but {_kind(value)}: {_shown(value)}",
        remedy="give strings; None and NaN stand for a missing one",
    )


def _is_missing(value: object) -> bool:
    kind = type(value)
    # pandas' own missing values: not equal to themselves, but NA answers with itself, not True.
    if kind.__name__ in {"NAType", "NaTType"} and kind.__module__.startswith("pandas."):
        return True
    return value is None or (isinstance(value, Number) and bool(value != value))


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= SHOWN else f"{written[:SHOWN]}…"
