import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.text import words
from resolver.text.affiliation import Affiliation
from resolver.text.parts import parts
from resolver.text.segments import searched, segments
from resolver.text.text import Text, registry_text


@given(st.text())
def test_a_text_has_what_the_functions_give(text: str) -> None:
    value = Text(text)
    assert value.folded == words.fold(text)
    assert list(value.words) == words.words(text)
    assert list(value.units) == words.units(text)
    assert list(value.spans) == words.spans(text)
    assert value.padded.split() == words.words(text)


@given(st.text())
def test_an_affiliation_has_what_the_functions_give(raw: str) -> None:
    affiliation = Affiliation.of(raw)
    assert list(affiliation.segments) == segments(affiliation.text)
    assert list(affiliation.searched) == searched(segments(affiliation.text))
    assert affiliation.parts({"York"}) == parts(affiliation.text, {"York"})


@given(
    st.text(st.characters())
    | st.lists(st.sampled_from(",;(/ \u0301\u0338\u3099\u1161한京Ａé،ال")).map("".join)
)
def test_the_units_of_the_pieces_are_those_of_the_text(raw: str) -> None:
    affiliation = Affiliation.of(raw)
    pieces = [unit for piece in affiliation.pieces for unit in piece.units]
    assert pieces == list(affiliation.units)


@pytest.mark.parametrize(
    ("text", "phrase", "expected"),
    [
        ("Univ. of York, York, UK", "York", True),
        ("Univ. of York, York, UK", "york uk", True),
        ("Univ. of York, York, UK", "University", False),
        ("Yorkshire", "York", False),
        ("Zürich", "ZURICH", True),
        ("York", "", False),
        ("York", "?!", False),
        ("", "York", False),
    ],
)
def test_holds(text: str, phrase: str, expected: bool) -> None:
    assert Text(text).holds(Text(phrase)) is expected
    assert Text(text).holds(registry_text(phrase)) is expected


def test_equal_texts_are_equal_whatever_was_worked_out() -> None:
    read = Text("Univ. of York")
    assert read.units
    assert read == Text("Univ. of York")
    assert hash(read) == hash(Text("Univ. of York"))
    assert read != Text("Univ. of Oslo")


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("Bicêtre, APHP, Paris", "AP-HP", {1}),
        ("Bicêtre, AP-HP, Paris", "AP-HP", {1, 2}),
        ("Bicêtre, aphp, Paris", "AP-HP", set()),
        ("Bicêtre, APHP, Paris", "Ap-Hp Clinic", set()),
    ],
    ids=["without its hyphen", "with it", "in small letters", "no acronym"],
)
def test_an_acronym_matches_without_its_hyphen(text: str, name: str, expected: set[int]) -> None:
    assert Text(text).matched(Text(name)) == expected


@pytest.mark.parametrize(
    ("text", "positions", "expected"),
    [
        ("Univ. of York, York", [0, 1, 2], ["Univ. of York"]),
        ("Univ. of York, York", [2, 3], ["York", "York"]),
        ("Univ. of York, York", [0, 2], ["Univ", "York"]),
        ("AP-HP, Paris", [1, 0], ["AP-HP"]),
        ("جامعة الملك سعود", [1], ["الملك"]),
        ("جامعة الملك سعود", [0, 1], ["جامعة الملك"]),
        ("האוניברסיטה העברית", [1], ["העברית"]),
        ("東京大学 Univ", [0, 1, 2, 3, 4], ["東京大学 Univ"]),
        ("York", [], []),
    ],
)
def test_stretches(text: str, positions: list[int], expected: list[str]) -> None:
    assert [text[start:end] for start, end in Text(text).stretches(positions)] == expected


@given(st.text(max_size=40), st.sets(st.integers(0, 9)))
def test_stretches_are_in_order_and_hold_their_units(text: str, positions: set[int]) -> None:
    whole = Text(text)
    there = sorted(position for position in positions if position < len(whole.units))
    stretches = whole.stretches(there)
    assert stretches == sorted(stretches)
    for position in there:
        start, end = whole.spans[position]
        assert any(first <= start and end <= last for first, last in stretches)


@given(
    st.lists(st.sampled_from(["UNIV", "Univ", "University", "of", "York", "AP", "HP"]), max_size=6),
    st.lists(
        st.lists(st.sampled_from(["University", "UNIV", "of", "Yorks", "AP"]), max_size=4),
        max_size=4,
    ),
)
def test_a_text_matches_each_name_as_if_it_were_the_first(
    written: list[str], names: list[list[str]]
) -> None:
    text = Text(" ".join(written))
    for name in map(Text, map(" ".join, names)):
        assert text.matching(name) == words.matching(
            words.by_beginning(text.units), name.units, text.capitals | name.capitals
        )
