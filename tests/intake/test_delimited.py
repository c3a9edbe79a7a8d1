from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.intake.delimited import BadRow, Row, delimiter_of, header, repeated, rows


def _rows(*lines: str | None, quoted: bool = True) -> list[Row | BadRow]:
    return list(rows(enumerate(lines, 1), delimiter=",", quoted=quoted))


OPEN = "a quote is opened and not closed"
INSIDE = "a quote inside a quoted cell is not doubled"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("a,b\n", "c,d"), [Row(1, 1, ["a", "b"]), Row(2, 1, ["c", "d"])]),
        (('a,"b\n', 'c"\n', "d\n"), [Row(1, 2, ["a", "b\nc"]), Row(3, 1, ["d"])]),
        (('a,"b\n', "c\n", "d\n"), [BadRow(1, OPEN), Row(2, 1, ["c"]), Row(3, 1, ["d"])]),
        (('"a\n', '"b"\n', "c\n"), [BadRow(1, OPEN), Row(2, 1, ["b"]), Row(3, 1, ["c"])]),
        (('"a\n', '"b\n', '"c\n'), [BadRow(1, OPEN), BadRow(2, OPEN), BadRow(3, OPEN)]),
        (('"a" b\n', "c\n"), [BadRow(1, INSIDE), Row(2, 1, ["c"])]),
        (('"a\n', None, "c\n"), [BadRow(1, OPEN), BadRow(2, "longer than any line may be"),
                                 Row(3, 1, ["c"])]),
        (('5" lens,b\n',), [Row(1, 1, ['5" lens', "b"])]),
    ],
)  # fmt: skip
def test_bad_row_leaves_its_neighbours(
    lines: tuple[str | None, ...], expected: list[Row | BadRow]
) -> None:
    assert _rows(*lines) == expected


def test_open_quote_is_not_looked_for_to_the_end_of_the_file() -> None:
    """csv's longest cell ends the search: what is looked at twice is bounded."""
    taken = 0

    def lines() -> list[tuple[int, str | None]]:
        return [(1, '"a\n'), *((number, "x" * 1000 + "\n") for number in range(2, 2000))]

    def counted():  # type: ignore[no-untyped-def]
        nonlocal taken
        for line in lines():
            taken += 1
            yield line

    found = rows(counted(), delimiter=",", quoted=True)
    assert next(found) == BadRow(1, OPEN)
    assert taken < 2 * csv.field_size_limit() / 1000
    assert sum(1 for _ in found) == 1998


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
                         min_size=2, max_size=4)))  # fmt: skip
def test_rows_of_the_csv_module(table: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows(table)
    written.seek(0)
    lines = enumerate(written, 1)
    assert [
        row.cells for row in rows(lines, delimiter=",", quoted=True) if isinstance(row, Row)
    ] == table


@pytest.mark.parametrize(
    ("line", "likely", "expected"),
    [
        ("id,affiliation", ",", ","),
        ("id;affiliation", ",", ";"),
        ('"id";"affiliation"', ",", ";"),
        ("id\t affiliation ", ",", "\t"),
        ("affiliation", "\t", "\t"),
        ("id,b;affiliation", ",", ";"),
        ("id,name", ",", None),
    ],
)
def test_delimiter_of_a_header(line: str, likely: str, expected: str | None) -> None:
    assert delimiter_of(line, "affiliation", likely) == expected


def test_header_that_cannot_be_read_has_names_all_the_same() -> None:
    assert header('a,"b', ",") == ["a", '"b']


def test_repeated_names() -> None:
    assert repeated(["a", "b", "a", "c", "c"], ["b", "a", "x"]) == ["a"]
