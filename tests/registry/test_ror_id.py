import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.registry.ror_id import read_ror_id, ror_ids_in

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


@pytest.mark.parametrize(
    "text",
    [
        "05a28rw58",
        "https://ror.org/05a28rw58",
        "http://ror.org/05a28rw58",
        "ror.org/05a28rw58",
        "https://ror.org/05a28rw58/",
        "05a28rw58/",
        "05A28RW58",
        "HTTPS://ROR.ORG/05A28RW58",
        " 05a28rw58\n",
    ],
)
def test_an_id_is_read_in_any_of_its_forms(text: str) -> None:
    assert read_ror_id(text) == "05a28rw58"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no ROR id"),
        ("null", "'null' is no ROR id"),
        (None, "None is no ROR id"),
        (52110110, "52110110 is no ROR id"),
        (["05a28rw58"], "is no ROR id"),
        ("5a28rw58", "is no ROR id"),
        ("5a28rw58/", "is no ROR id"),
        ("05a28rw5", "is no ROR id"),
        ("05a28rw580", "is no ROR id"),
        ("105a28rw58", "is no ROR id"),
        ("50a28rw58", "is no ROR id"),
        ("05a28rw5a", "is no ROR id"),
        ("05a|8rw58", "is no ROR id"),
        ("05i28rw58", "is no ROR id"),
        ("05l28rw58", "is no ROR id"),
        ("05o28rw58", "is no ROR id"),
        ("05u28rw58", "is no ROR id"),
        ("05a28rw58 05a28rw58", "is no ROR id"),
        ("05a28rw58//", "is no ROR id"),
        ("https://05a28rw58", "is no ROR id"),
        ("https://example.org/05a28rw58", "is no ROR id"),
        ("https://ror.org/https://ror.org/05a28rw58", "is no ROR id"),
        ("https://ror.org/05a28rw58?x=1", "is no ROR id"),
        ("\u06605a28rw58", "is no ROR id"),
        ("05a28rw\u0665\u0668", "is no ROR id"),
        ("04mmfes\u212a8", "is no ROR id"),
        ("05a28rw59", "check digits"),
        ("05a28rw85", "check digits"),
        ("0zzzzzz97", "check digits"),
        ("ROR.org/05A28RW59", "check digits"),
    ],
    ids=ascii,
)
def test_what_is_none_is_refused(text: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_ror_id(text)


@given(position=st.integers(0, 8), replacement=st.sampled_from(DIGITS))
def test_one_wrong_character_is_found(position: int, replacement: str) -> None:
    right = "05a28rw58"
    other = right[:position] + replacement + right[position + 1 :]
    if other != right:
        with pytest.raises(ValueError, match="no ROR id"):
            read_ror_id(other)


@given(st.text() | st.none() | st.integers() | st.lists(st.none()))
def test_anything_is_an_id_or_refused_in_a_short_line(value: object) -> None:
    try:
        ror_id = read_ror_id(value)
    except ValueError as error:
        said = str(error)
    else:
        said = ror_id
        assert read_ror_id(ror_id) == ror_id
    assert said.isprintable()
    assert len(said) < 400


def test_a_text_of_megabytes_is_refused_in_a_short_line() -> None:
    with pytest.raises(ValueError, match="is no ROR id") as told:
        read_ror_id("\u212a" * 15_000_000)
    assert len(str(told.value)) < 1_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ETH, https://ror.org/05a28rw58; ROR.org/041NAS322", ["05a28rw58", "041nas322"]),
        ("ror.org/05a28rw59", []),
        ("ror.org/05a28rw581", []),
        ("ETH (05a28rw58)", ["05a28rw58"]),
        ("ROR ID: 05a28rw58", ["05a28rw58"]),
        ("ROR 012345654; tel. 012345654", ["012345654"]),
        ("x05a28rw58", []),
    ],
)
def test_ids_within_a_text(text: str, expected: list[str]) -> None:
    found = list(ror_ids_in(text))
    assert [ror_id for ror_id, _, _ in found] == expected
    assert all(text[start:end].lower().endswith(ror_id) for ror_id, start, end in found)
