import pytest

from resolver.text.country import (
    COUNTRY_FORMS,
    ENGLISH_NAMES,
    TERRITORIES,
    family,
    named_country,
    names_country,
)
from resolver.text.text import Text
from resolver.text.words import words


@pytest.mark.parametrize(
    ("text", "code", "country", "expected"),
    [
        ("Univ. Bonn, Germany", "DE", "Germany", True),
        ("Universität Bonn, Deutschland", "DE", "Germany", True),
        ("MIT, Cambridge, U.S.A.", "US", "United States", True),
        ("contact us at the office", "US", "United States", False),
        ("Univ. of Oslo", "DE", "Germany", False),
        ("中国浙江省杭州市浙江大学", "CN", "China", True),
        ("서울대학교, 대한민국", "KR", "South Korea", True),
        ("Кафедра химии, Россия", "RU", "Russia", True),
        ("المركز، المملكة العربية السعودية", "SA", "Saudi Arabia", True),
        ("Τμήμα Φυσικής, Ελλάδα", "GR", "Greece", True),
        ("anywhere", None, None, False),
    ],
)
def test_names_country(text: str, code: str | None, country: str | None, expected: bool) -> None:
    assert names_country(Text(text), code, country) is expected


def test_every_form_has_words() -> None:
    assert all(words(form) for forms in COUNTRY_FORMS.values() for form in forms)
    assert all(code.isupper() and len(code) == 2 for code in COUNTRY_FORMS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Univ. Bonn, Deutschland", "DE"),
        ("Goethe University, Germany; now in Rome, Italy", "IT"),
        ("San Juan, Puerto Rico, USA", "US"),
        ("Université Laval, Québec", None),
        ("", None),
    ],
)
def test_named_country(text: str, expected: str | None) -> None:
    assert named_country(text) == expected


def test_territories_lead_to_countries() -> None:
    assert family("PR") == "US"
    assert family("DE") == "DE"
    assert not set(TERRITORIES) & set(TERRITORIES.values())
    assert ENGLISH_NAMES.keys() >= {*TERRITORIES, *TERRITORIES.values(), *COUNTRY_FORMS}
