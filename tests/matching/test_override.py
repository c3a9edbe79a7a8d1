from __future__ import annotations

import pytest

from resolver.matching.override import (
    Override,
    Verdict,
    affirmed,
    denied,
    ids,
    names_none,
    new_override,
)


def override(id: int | None, ror_id: str | None, verdict: str = "is") -> Override:
    return Override(id, "Univ. of York", ror_id, Verdict(verdict), "ada")


def test_affirmed_and_denied_organisations() -> None:
    mixed = [override(9, "c"), override(None, "a"), override(3, "d", "is not"), override(2, "b")]
    assert list(affirmed(mixed)) == ["a", "b", "c"]
    assert affirmed(mixed)["b"] == mixed[-1]
    assert denied(mixed) == {"d"}
    assert ids(mixed) == (2, 3, 9)
    assert not names_none(mixed)


def test_a_text_that_names_none() -> None:
    mixed = [override(1, None, "none"), override(3, "d", "is not")]
    assert names_none(mixed)
    assert affirmed(mixed) == {}
    assert denied(mixed) == {"d"}
    assert new_override("York", " ", "NONE", author="ada").key == ("York", None)


@pytest.mark.parametrize(("ror_id", "verdict"), [(None, "is"), (None, "is not"), ("a", "none")])
def test_only_none_has_no_organisation(ror_id: str | None, verdict: str) -> None:
    with pytest.raises(ValueError, match="a ROR id, or the verdict none"):
        override(1, ror_id, verdict)
