from __future__ import annotations

from resolver.matching.override import Override, Verdict, denied, ids, said


def override(id: int | None, ror_id: str, verdict: str = "is") -> Override:
    return Override(id, "Univ. of York", ror_id, Verdict(verdict), "ada")


def test_what_is_said_is_told_from_what_is_denied() -> None:
    mixed = [override(9, "c"), override(None, "a"), override(3, "d", "is not"), override(2, "b")]
    assert [one.ror_id for one in said(mixed)] == ["a", "b", "c"]
    assert denied(mixed) == {"d"}
    assert ids(mixed) == (2, 3, 9)
