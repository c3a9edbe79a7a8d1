"""Answers as a frame of the library that the texts came in."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pytest

from resolver import Resolver
from resolver.api.frames import COLUMNS
from resolver.errors import AffiliationsError

TEXTS = ["ETH Zurich and University of Bonn", None, "Department of Physics", "東京大学"]
NAMES = ["University of Bonn", "ETH Zurich", None, None, "University of Tokyo"]
ROWS = [0, 0, 1, 2, 3]


@pytest.fixture(scope="module")
def in_pandas(resolver: Resolver) -> pd.DataFrame:
    return resolver.frame(pd.Series(TEXTS, index=["a", "b", "c", "d"], name="affiliation"))


@pytest.fixture(scope="module")
def in_polars(resolver: Resolver) -> pl.DataFrame:
    return resolver.frame(pl.Series("affiliation", TEXTS))


def test_a_row_is_a_link_or_the_reason_for_none(
    in_pandas: pd.DataFrame, in_polars: pl.DataFrame
) -> None:
    rows = in_polars.rows(named=True)
    assert [row["row"] for row in rows] == ROWS
    assert [row["name"] and row["name"].removeprefix("The ") for row in rows] == NAMES
    assert rows[1] | {"probability": 0.9, "score": 3.5} == {
        "row": 0, "text": TEXTS[0], "rank": 2, "ror_id": "05a28rw58",
        "ror_url": "https://ror.org/05a28rw58", "name": "ETH Zurich", "matched_name": "ETH Zurich",
        "probability": 0.9, "score": 3.5, "country_code": "CH", "country": "Switzerland",
        "city": "Zurich", "types": "education, funder", "website": "https://ethz.ch", "matched_text": "ETH Zurich", "start": 0,
        "end": 10, "reason": None,
    }  # fmt: skip
    assert rows[2] == dict.fromkeys(COLUMNS) | {"row": 1, "text": "", "reason": "empty"}
    assert rows[3]["reason"] == "department_only"
    whole: Any = in_pandas.astype(object)
    assert whole.where(whole.notna(), None).to_dict("records") == rows


def test_rows_of_pandas_keep_the_index(in_pandas: pd.DataFrame) -> None:
    assert in_pandas.index.tolist() == ["a", "a", "b", "c", "d"]


def test_a_frame_of_pandas_joins_the_frame_that_it_came_from(in_pandas: pd.DataFrame) -> None:
    papers = pd.DataFrame({"affiliation": TEXTS, "year": range(4)}, index=["a", "b", "c", "d"])
    joined = papers.join(in_pandas)
    assert joined["year"].tolist() == ROWS
    assert joined["name"].tolist() == in_pandas["name"].tolist()


def test_an_index_of_several_levels_is_kept(resolver: Resolver) -> None:
    index = pd.MultiIndex.from_tuples(
        [("p1", 0), ("p1", 1), ("p2", 0), ("p2", 1)], names=["p", "n"]
    )
    frame = resolver.frame(pd.Series(TEXTS, index=index))
    assert frame.index.names == ["p", "n"]
    assert frame.index.tolist() == [index[row] for row in ROWS]


def test_where_labels_repeat_the_row_tells_them_apart(resolver: Resolver) -> None:
    frame = resolver.frame(pd.Series(TEXTS, index=[7, 7, 7, 7]))
    assert frame.index.tolist() == [7] * 5
    assert frame["row"].tolist() == ROWS


def test_a_frame_of_polars_joins_by_row(in_polars: pl.DataFrame) -> None:
    papers = pl.DataFrame({"affiliation": TEXTS, "year": range(4)})
    joined = papers.with_row_index("row").join(in_polars, on="row", maintain_order="left_right")
    assert joined["year"].to_list() == ROWS
    assert joined["name"].to_list() == in_polars["name"].to_list()


KINDS = {
    "whole": ("Int64", pl.Int64),
    "text": ("string", pl.String),
    "number": ("float64", pl.Float64),
}


@pytest.mark.parametrize("texts", [TEXTS, [None], []], ids=["some", "none linked", "none at all"])
def test_columns_have_their_types_whatever_is_in_them(
    resolver: Resolver, texts: list[str | None]
) -> None:
    pandas = resolver.frame(pd.Series(texts, dtype=object))
    assert {str(name): str(kind) for name, kind in pandas.dtypes.items()} == {
        name: KINDS[kind][0] for name, kind in COLUMNS.items()
    }
    polars = resolver.frame(pl.Series(texts, dtype=pl.String))
    assert polars.schema == {name: KINDS[kind][1] for name, kind in COLUMNS.items()} | {
        "row": pl.get_index_type()
    }


def test_choices_hold_for_frames_too(resolver: Resolver) -> None:
    assert resolver.frame(pl.Series(TEXTS), max_links=1)["row"].to_list() == [0, 1, 2, 3]


class Own(pd.Series):  # type: ignore[type-arg]
    """As libraries on top of pandas have them."""


def test_a_series_of_a_class_of_one_s_own(resolver: Resolver) -> None:
    assert isinstance(resolver.frame(Own(TEXTS)), pd.DataFrame)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (TEXTS, r"not list — .* for a list: resolve\(affiliations\)"),
        (pd.DataFrame({"a": TEXTS}), 'not DataFrame — for a column: frame\\["affiliation"\\]'),
        ("ETH Zurich", "not str"),
    ],
    ids=["list", "frame", "string"],
)
def test_what_is_no_series_is_refused(resolver: Resolver, given: Any, message: str) -> None:
    with pytest.raises(AffiliationsError, match=message):
        resolver.frame(given)
