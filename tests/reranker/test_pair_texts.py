import pytest

from resolver.errors import PairError
from resolver.reranker import Pair, require_texts


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("Oslo", "University of Oslo")],
        [("(Oslo)", "…"), ("東京", "\ud800"), (" x", "\ufeffx"), ("&amp;", "?")],
    ],
)
def test_texts_are_there(pairs: list[Pair]) -> None:
    require_texts(pairs)


@pytest.mark.parametrize(
    ("pair", "which"),
    [
        (("", "Oslo"), "affiliation"),
        (("Oslo", ""), "organisation text"),
        (("", ""), "affiliation"),
        ((" \t\r\n\u3000", "Oslo"), "affiliation"),
        (("Oslo", "\u200b\u2060\ufeff"), "organisation text"),
        (("\x00\x1f", "Oslo"), "affiliation"),
        (("<br/>&nbsp;", "Oslo"), "affiliation"),
    ],
)
def test_a_pair_without_text_is_named(pair: Pair, which: str) -> None:
    pairs = [("Oslo", "University of Oslo"), pair, ("", "")]
    with pytest.raises(PairError, match=f"pair 1 of 3: the {which} is empty") as caught:
        require_texts(pairs)
    assert caught.value.remedy
