from __future__ import annotations

import pytest

from resolver.curation.spreadsheet import cell


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=HYPERLINK(0)", "'=HYPERLINK(0)"),
        ("+47 22 85 50 50", "'+47 22 85 50 50"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("University of Oslo", "University of Oslo"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_no_spreadsheet_takes_text_for_a_formula(text: str, written: str) -> None:
    assert cell(text) == written
