import pytest

from resolver.text.words import words
from resolver.training.mentions import ground, informative, mention, share


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("University of Oslo", ["university", "oslo"]),
        ("The", ["the"]),
        ("", []),
        ("Universität für Bodenkultur", ["universitat", "bodenkultur"]),
    ],
)
def test_informative(name: str, expected: list[str]) -> None:
    assert informative(name) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("Dept, University of Oslo, Norway", "University of Oslo", {1, 3}),
        ("Dept, Oslo University, Norway", "University of Oslo", {1, 2}),
        ("University of Bergen, Oslo", "University of Oslo", {0, 3}),
        ("University of Bergen, Faculty of Law, Oslo", "University of Oslo", set()),
        ("Oslo", "University of Oslo", set()),
        ("Oslo", "", set()),
        ("", "University of Oslo", set()),
    ],
)
def test_mention(text: str, name: str, expected: set[int]) -> None:
    assert mention(words(text), name) == expected


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("University of Oslo", "Oslo University Hospital", 2 / 3),
        ("University of Oslo", "University of Oslo", 1.0),
        ("", "University of Oslo", 0.0),
        ("Oslo", "", 0.0),
    ],
)
def test_share(text: str, name: str, expected: float) -> None:
    assert share(words(text), name) == pytest.approx(expected)


def test_ground_is_every_whole_mention_else_the_nearest_name() -> None:
    text = words("MIT, Massachusetts Institute of Technology, Cambridge")
    names = ["Massachusetts Institute of Technology", "MIT"]
    assert ground(text, names) == {0, 1, 2, 4}
    assert ground(words("Massachusetts Inst of Technology"), names) == {0, 3}
    assert ground(text, []) == frozenset()
