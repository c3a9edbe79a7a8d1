import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.text.words import (
    by_beginning,
    capitals,
    fold,
    matched_words,
    matching,
    same,
    spans,
    undotted,
    units,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Universität Zürich", ["universitat", "zurich"]),
        ("A&M (Texas)", ["a", "m", "texas"]),
        ("C.S.I.R.O., U. S. A., U.S.A", ["csiro", "usa", "usa"]),
        ("A. B. Müller, U.K., S.p.A.", ["a", "b", "muller", "u", "k", "spa"]),
        ("Т.Г.Ш. Шевченко", ["тгш", "шевченко"]),
        ("東京大学 Tokyo", ["東京大学", "tokyo"]),
        ("第2研究所", ["第", "2", "研究所"]),
        ("МГУ имени Ломоносова", ["мгу", "имени", "ломоносова"]),
        ("कानपुर विश्वविद्यालय", ["कानपुर", "विश्वविद्यालय"]),
        ("มหาวิทยาลัยนเรศวร", ["มหาว", "ทยาล", "ยนเรศวร"]),
        ("המרכז הרפואי", ["מרכז", "רפואי"]),
        ("שָׁלוֹם", ["שלום"]),
        ("الجامعة والعلوم", ["جامعه", "علوم"]),
        ("أكاديمية إيران", ["اكاديميه", "ايران"]),
        ("دانشکده پزشکی", ["دانشكده", "پزشكي"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_words_of_ascii_are_those_of_any_text(text: str) -> None:
    assert words(text) == words(f"{text} \u0436")[:-1]


def test_units_count_cjk_characters() -> None:
    assert units("東京大学 Tokyo") == ["東", "京", "大", "学", "tokyo"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C.S.I.R.O., Canberra", "CSIRO, Canberra"),
        ("at C.N.R.S", "at CNRS"),
        ("A. B. Müller, www.a.b.c.d", "A. B. Müller, www.a.b.c.d"),
        ("no dots", "no dots"),
    ],
)
def test_undotted(text: str, expected: str) -> None:
    assert undotted(text) == expected


@given(st.text())
def test_fold_is_idempotent_on_words(text: str) -> None:
    assert [fold(word) for word in words(text)] == words(text)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("university", "university", True),
        ("univ", "university", True),
        ("universitat", "university", True),
        ("inst", "institute", True),
        ("graz", "grazer", False),
        ("york", "new", False),
        ("medical", "medicine", False),
        ("of", "oflag", False),
        ("national", "nature", False),
        ("milan", "milano", True),
        ("geneva", "geneve", True),
        ("poznan", "poznaniu", True),
        ("berlin", "berliner", True),
        ("russia", "russian", True),
        ("inria", "inrial", False),
        ("спбгу", "спбгут", False),
        ("for", "forschung", False),
        ("new", "newcastle", False),
        ("san", "sanitaria", False),
        ("lab", "laboratory", True),
    ],
)
def test_same(a: str, b: str, expected: bool) -> None:
    assert same(a, b) is expected
    assert same(b, a) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CONICET, Argentina", {"conicet"}),
        ("Institute of Physics (IoP)", {"iop"}),
        ("СПбГУ", {"спбгу"}),
        ("UNIV OXFORD", set()),
        ("Université de Lille", set()),
        ("Virginia Tech A", set()),
        ("", set()),
    ],
)
def test_capitals(text: str, expected: set[str]) -> None:
    assert capitals(text) == expected


@pytest.mark.parametrize(
    ("text", "name", "whole", "expected"),
    [
        ("Univ of York, York", "University of York", set(), [[0], [1], [2, 3]]),
        ("CONICET", "CONICIT", set(), [[0]]),
        ("CONICET", "CONICIT", {"conicet"}, [[]]),
        ("CONICET", "CONICIT", {"conicit"}, [[]]),
        ("CONICET", "Conicet", {"conicet"}, [[0]]),
        ("", "York", set(), [[]]),
    ],
)
def test_matching(text: str, name: str, whole: set[str], expected: list[list[int]]) -> None:
    assert matching(by_beginning(units(text)), units(name), whole) == expected


@pytest.mark.parametrize(
    ("text", "name", "claimed", "expected"),
    [
        ("Dept of Physics, Univ of York, York", "University of York", set(), {3, 4, 5}),
        ("Dept of Physics, Univ of York, York", "York University", {3, 4, 5}, {6}),
        ("University of Vienna, Medical University of Vienna", "University of Vienna", {3, 4, 5, 6}, {0, 1, 2}),
        ("CNRS, Paris", "Inserm", set(), set()),
        ("東京大学病院", "東京大学", set(), {0, 1, 2, 3}),
        ("", "Bonn", set(), set()),
        ("Bonn", "", set(), set()),
    ],
)  # fmt: skip
def test_matched_words(text: str, name: str, claimed: set[int], expected: set[int]) -> None:
    alike = matching(by_beginning(units(text)), units(name))
    assert matched_words(alike, frozenset(claimed)) == expected


@given(
    st.lists(st.sampled_from(["univ", "university", "bonn", "york", "of", "京"]), max_size=12),
    st.lists(st.sampled_from(["university", "bonn", "york", "京"]), max_size=5),
    st.frozensets(st.integers(0, 11)),
)
def test_matched_words_are_free_and_no_more_than_the_name_has(
    text: list[str], name: list[str], claimed: frozenset[int]
) -> None:
    matched = matched_words(matching(by_beginning(text), name), claimed)
    assert not matched & claimed
    assert len(matched) <= len(name)
    assert all(any(same(text[position], word) for word in name) for position in matched)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Univ. of York", ["Univ", "of", "York"], id="plain"),
        pytest.param("Straße, Zürich", ["Straße", "Zürich"], id="a letter that folds to two"),
        pytest.param("Zu\u0308rich A", ["Zu\u0308rich", "A"], id="an accent of its own"),
        pytest.param("ﬁn ㈱日立", ["ﬁn", "㈱", "日", "立"], id="ligature, bracketed character"),
        pytest.param("جامعة الملك", ["جامعة", "ملك"], id="an article is left out"),
        pytest.param("서울대학교 ab", ["서", "울", "대", "학", "교", "ab"], id="Hangul"),
        pytest.param("at C.S.I.R.O.", ["at", "C.S.I.R.O"], id="letters with dots"),
        pytest.param("東.京.大", ["東", "京", "大"], id="dots between CJK"),
        pytest.param("", [], id="empty"),
    ],
)
def test_spans(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in spans(text)] == expected


_LETTERS = st.text(
    st.sampled_from("..aé\u0301\u0308ßﬁŉΐς ,가각\u1100\u1161\u11a8ﾡﾣｶﾞ日㈱ﷺالءةىकि\u0e33İı"),
    max_size=12,
)


@given(st.one_of(st.text(max_size=30), _LETTERS))
def test_spans_hold_their_units(text: str) -> None:
    """However folding changes lengths: a unit is found in what its span folds to, in order."""
    found = spans(text)
    for unit, (start, end) in zip(units(text), found, strict=True):
        assert 0 <= start < end <= len(text)
        assert unit in undotted(fold(text[start:end]))
    assert found == sorted(found)


POSITIONS = st.lists(st.lists(st.integers(0, 14), unique=True, max_size=4).map(sorted), max_size=6)


@given(POSITIONS, st.frozensets(st.integers(0, 14), max_size=3))
def test_of_all_windows_the_one_with_most_words_is_taken(
    alike: list[list[int]], claimed: frozenset[int]
) -> None:
    best: tuple[int, int, frozenset[int]] = (0, 0, frozenset())
    free = sorted({position for positions in alike for position in positions} - claimed)
    for first in free:
        met: set[int] = set()
        taken: list[int] = []
        for position in free:
            if first <= position < first + 2 * len(alike) + 2:
                its_words = {i for i, positions in enumerate(alike) if position in positions}
                if new := its_words - met:
                    met.add(min(new))
                    taken.append(position)
                    best = max(
                        best, (len(met), first - position, frozenset(taken)), key=lambda b: b[:2]
                    )
    assert matched_words(alike, claimed) == best[2]
