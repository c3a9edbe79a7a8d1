import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.domain.affiliation import normalise, text_hash


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("University of Bonn", "University of Bonn"),
        ("", ""),
        (" \t\n\u00a0\u3000", ""),
        ("  Univ.\n of\t Bonn ", "Univ. of Bonn"),
        ("Texas A&amp;M", "Texas A&M"),
        ("Texas A&amp;amp;M", "Texas A&M"),
        ("Universit&eacute; de Gen&#232;ve", "Université de Genève"),
        ("<i>Institut</i> Pasteur<br/>Paris", "Institut Pasteur Paris"),
        ("p < 0.05, University of Bonn", "p < 0.05, University of Bonn"),
        ("&lt;b&gt;Bonn&lt;/b&gt;", "Bonn"),
        ("Ｔｏｋｙｏ　Ｕｎｉｖ．", "Tokyo Univ."),
        ("ﬁnance", "finance"),
        ("a\x00b\x07c", "a b c"),
        ("bad \ud800 half", "bad \ufffd half"),
        ("\ufeffUni\u00advers\u200bity", "University"),
        ("\u202eجامعة القاهرة\u202c", "جامعة القاهرة"),
        ("東京大学", "東京大学"),
        ("Lab 🧪 Bonn", "Lab 🧪 Bonn"),
        ("e\u0301cole", "école"),
    ],
)
def test_normalise(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@given(st.text(st.characters()))
def test_normalised_text_is_storable_and_stays(raw: str) -> None:
    text = normalise(raw)
    assert "\x00" not in text
    text.encode()
    assert text == " ".join(text.split())
    assert normalise(text) == text


@given(st.text(alphabet="&amplt;gt#38x<b/> \ud800"))
def test_normalise_settles_on_markup(raw: str) -> None:
    assert normalise(normalise(raw)) == normalise(raw)


def test_text_hash_tells_texts_apart_and_is_16_bytes() -> None:
    assert len(text_hash("a")) == 16
    assert text_hash("a") == text_hash("a") != text_hash("A")
