from __future__ import annotations

from resolver.matching.override import Override, Verdict, affirmed, denied, ids


def override(id: int | None, ror_id: str, verdict: str = "is") -> Override:
    return Override(id, "Univ. of York", ror_id, Verdict(verdict), "ada")


def test_affirmed_and_denied_organisations() -> None:
    mixed = [override(9, "c"), override(None, "a"), override(3, "d", "is not"), override(2, "b")]
    assert [override.ror_id for override in affirmed(mixed)] == ["a", "b", "c"]
    assert denied(mixed) == {"d"}
    assert ids(mixed) == (2, 3, 9)
