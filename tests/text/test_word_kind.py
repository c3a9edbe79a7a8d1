import pytest

from resolver.text.text import Text
from resolver.text.word_kind import WordKind

LINK, NUMBER, KIND, FIELD, OWN = WordKind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("University of Technology Sydney", [KIND, LINK, FIELD, OWN]),
        ("Dept 5, A & M 20742", [KIND, NUMBER, LINK, LINK, LINK]),
        ("Paris II", [OWN, NUMBER]),
        ("東京大学 Tokyo", [OWN, OWN, KIND, KIND, OWN]),
        ("", []),
    ],
)
def test_kinds_of_words(text: str, expected: list[WordKind]) -> None:
    assert list(Text(text).kinds) == expected


@pytest.mark.parametrize(
    ("text", "sorts"),
    [
        ("Klinikum der Universität München", {"hospital", "university"}),
        ("北京大学医院", {"hospital", "university"}),
        ("Ministry of Health", {"authority"}),
        ("Department of Physics", set()),
    ],
)
def test_sorts_of_organisations(text: str, sorts: set[str]) -> None:
    assert Text(text).sorts == sorts
