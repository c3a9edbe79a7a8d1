"""What may be given to be resolved, and what a missing value is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from resolver.api.texts import each_text, texts_of
from resolver.errors import AffiliationsError, ResolverError

MISSING = {
    "None": None,
    "NaN": float("nan"),
    "NaN of numpy": np.float64("nan"),
    "NaN of numpy, 32 bits": np.float32("nan"),
    "NaN of decimal": Decimal("nan"),
    "pandas.NA": pd.NA,
    "pandas.NaT": pd.NaT,
}


@pytest.mark.parametrize("value", MISSING.values(), ids=MISSING)
def test_a_missing_value_is_an_empty_text(value: Any) -> None:
    assert texts_of(["a", value]) == ["a", ""]


TEXTS = ["Univ. of York", None, "ETH Zürich"]
GIVEN = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "generator": (text for text in TEXTS),
    "keys of a dict": dict.fromkeys(TEXTS).keys(),
    "numpy": np.array(TEXTS, dtype=object),
    "pandas, object": pd.Series(TEXTS, dtype=object),
    "pandas, str": pd.Series(TEXTS, dtype="str"),
    "pandas, string": pd.Series(TEXTS, dtype="string"),
    "pandas, pyarrow": pd.Series(TEXTS, dtype="string[pyarrow]"),
    "pandas, category": pd.Series(TEXTS, dtype="category"),
    "pandas, index": pd.Index(TEXTS),
    "polars": pl.Series(TEXTS),
    "polars, categories": pl.Series(TEXTS, dtype=pl.Categorical),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_texts_come_in_order(given: Any) -> None:
    texts = texts_of(given)
    assert texts == ["Univ. of York", "", "ETH Zürich"]
    assert {type(text) for text in texts} == {str}


WHOLLY_MISSING = {
    "pandas": pd.Series([None, None], dtype="float64"),
    "polars": pl.Series([None, None]),
    "list": [None, float("nan")],
}


@pytest.mark.parametrize("given", WHOLLY_MISSING.values(), ids=WHOLLY_MISSING)
def test_a_column_may_be_empty_throughout(given: Any) -> None:
    assert texts_of(given) == ["", ""]


REFUSED = {
    "one string": ("Univ. of York", r"not one string: 'Univ\. of York' — for one text: resolve\("),
    "a long string": ("a" * 100, "'" + "a" * 59 + "… — "),
    "bytes": (b"Univ. of York", "not bytes — give a list, a tuple, a generator, or a Series"),
    "dict": ({"Univ. of York": 1}, "not dict"),
    "set": ({"Univ. of York"}, "not set"),
    "None": (None, "not NoneType"),
    "number": (3, "not int"),
    "number inside": (["a", 3], "position 1 is no string but int: 3 — give strings"),
    "infinity": ([float("inf")], "position 0 is no string but float: inf"),
    "bytes inside": (["a", "b", b"c"], "position 2 is no string but bytes: b'c'"),
    "list inside": ([["a"]], r"position 0 is no string but list: \['a'\]"),
    "bool": ([True], "position 0 is no string but bool: True"),
    "numpy number": ([np.int64(7)], "position 0 is no string but numpy.int64"),
    "table of numpy": (np.array([["a"], ["b"]]), "position 0 is no string but numpy.ndarray"),
    "numbers of pandas": (pd.Series([1.5]), "position 0 is no string but float: 1.5"),
    "numbers of polars": (pl.Series([1]), "position 0 is no string but int: 1"),
    "frame of pandas": (pd.DataFrame({"a": TEXTS}), "not a whole frame — name it: frame"),
    "frame of polars": (pl.DataFrame({"a": TEXTS}), "not a whole frame — name it: frame"),
    "lazy frame of polars": (pl.LazyFrame({"a": TEXTS}), "not a whole frame — name it: frame"),
}


def one_by_one(given: Any) -> list[str]:
    texts = each_text(given)
    assert isinstance(texts, Iterator)
    return list(texts)


def coming(given: Any) -> list[str]:
    async def source() -> AsyncIterator[str | None]:
        for value in given:
            yield value

    async def texts() -> list[str]:
        texts = each_text(source())
        assert isinstance(texts, AsyncIterator)
        return [text async for text in texts]

    return asyncio.run(texts())


@pytest.mark.parametrize("read", [one_by_one, coming])
def test_texts_come_one_by_one(read: Callable[[Any], list[str]]) -> None:
    assert read([*TEXTS, pd.NA]) == ["Univ. of York", "", "ETH Zürich", ""]
    with pytest.raises(AffiliationsError, match="position 1 is no string but int"):
        read(["a", 7])


@pytest.mark.parametrize("read", [texts_of, one_by_one])
@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_list_of_texts_is_refused(
    given: Any, message: str, read: Callable[[Any], list[str]]
) -> None:
    with pytest.raises(AffiliationsError, match=message) as caught:
        read(given)
    assert isinstance(caught.value, ResolverError)
    assert isinstance(caught.value, TypeError)
