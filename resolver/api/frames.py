"""Answers as a frame of pandas or polars, whichever the texts came in.

Neither is needed: a value of theirs is known by where its class was defined, and the library is
imported only when there is such a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from resolver.api.answer import Answer
from resolver.errors import AffiliationsError

if TYPE_CHECKING:
    import pandas
    import polars

COLUMNS = {
    "row": "whole",
    "text": "text",
    "rank": "whole",
    "ror_id": "text",
    "ror_url": "text",
    "name": "text",
    "matched_name": "text",
    "probability": "number",
    "score": "number",
    "country_code": "text",
    "country": "text",
    "city": "text",
    "types": "text",
    "website": "text",
    "matched_text": "text",
    "start": "whole",
    "end": "whole",
    "reason": "text",
}
"""The columns of a frame, and what is in each: text, whole numbers or numbers.

A row is a link, or the reason for none. `row` is the position of the affiliation among those that
were given, from 0; `text`, `rank` and the others are as `Answer` and `LinkedOrganisation` have
them, `types` with commas between them."""

_OF_LINK = ("rank", "ror_id", "ror_url", "name", "matched_name", "probability", "score",
            "country_code", "country", "city", "website")  # fmt: skip

_PANDAS = {"whole": "Int64", "text": "string", "number": "float64"}


def is_frame(value: object) -> bool:
    """Whether it is a DataFrame of pandas, or one or a LazyFrame of polars."""
    return bool({"DataFrame", "LazyFrame"} & {name for _, name in _classes(value)})


def frame_maker(
    series: object,
) -> Callable[[Sequence[Answer]], polars.DataFrame | pandas.DataFrame]:
    """The function that makes a frame of the answers, in the library that the Series is of.

    Raises:
        AffiliationsError: it is a Series of neither pandas nor polars.
    """
    for library, name in _classes(series):
        if name == "Series":
            return in_polars if library == "polars" else partial(in_pandas, series)
    raise AffiliationsError(
        f"a Series of pandas or polars is wanted, not {type(series).__name__}",
        remedy='for a column: frame["affiliation"]; for a list: resolve(affiliations)',
    )


def _classes(value: object) -> Iterator[tuple[str, str]]:
    """Library and name of each class of pandas or polars that the value is of."""
    for kind in type(value).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in {"pandas", "polars"}:
            yield library, kind.__name__


def in_pandas(series: Any, answers: Sequence[Answer]) -> pandas.DataFrame:
    """A row a link, under the label of the affiliation in the index of the pandas Series."""
    import pandas

    table = _table(answers)
    kinds = {name: _PANDAS[kind] for name, kind in COLUMNS.items()}
    return pandas.DataFrame(table, index=series.index.take(table["row"])).astype(kinds)


def in_polars(answers: Sequence[Answer]) -> polars.DataFrame:
    """A row a link. `row` is of the type that ``with_row_index`` gives, to be joined by it."""
    import polars

    kinds = {"whole": polars.Int64, "text": polars.String, "number": polars.Float64}
    schema = {name: kinds[kind] for name, kind in COLUMNS.items()}
    return polars.DataFrame(_table(answers), schema={**schema, "row": polars.get_index_type()})


def _table(answers: Sequence[Answer]) -> dict[str, list[Any]]:
    """The values of each column of `COLUMNS`."""
    table: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in _rows(answers):
        for name, values in table.items():
            values.append(row.get(name))
    return table


def _rows(answers: Sequence[Answer]) -> Iterator[dict[str, object]]:
    for row, answer in enumerate(answers):
        if not answer.links:
            reason = str(answer.reason)
            yield {"row": row, "text": answer.text, "reason": reason}
        for link in answer.links:
            yield {
                "row": row,
                "text": answer.text,
                **{name: getattr(link, name) for name in _OF_LINK},
                "types": ", ".join(link.types),
                # No part of the text has the name, so there is none to point at.
                **(
                    {"matched_text": link.matched_text, "start": link.start, "end": link.end}
                    if link.matched_text
                    else {}
                ),
            }
