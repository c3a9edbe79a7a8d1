from __future__ import annotations

import pytest

from resolver.domain.override import Override, Verdict, denied, ids, read_ror_id, said


def override(id: int | None, ror_id: str, verdict: str = "is") -> Override:
    return Override(id, "Univ. of York", ror_id, Verdict(verdict), "ada")


def test_what_is_said_is_told_from_what_is_denied() -> None:
    mixed = [override(9, "c"), override(None, "a"), override(3, "d", "is not"), override(2, "b")]
    assert [one.ror_id for one in said(mixed)] == ["a", "b", "c"]
    assert denied(mixed) == {"d"}
    assert ids(mixed) == (2, 3, 9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("052gg0110", "052gg0110"),
        (" 052GG0110\n", "052gg0110"),
        ("https://ror.org/052gg0110", "052gg0110"),
        ("http://ror.org/052gg0110/", "052gg0110"),
        ("ror.org/052gg0110", "052gg0110"),
        ("", None),
        ("052gg011", None),
        ("052gg01100", None),
        ("152gg0110", None),
        ("052gl0110", None),
        ("052gg01a0", None),
        ("https://example.org/052gg0110", None),
        ("052gg0110 05a28rw58", None),
    ],
)
def test_a_ror_id_is_read_in_any_of_its_forms(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="no ROR id"):
            read_ror_id(text)
    else:
        assert read_ror_id(text) == expected
