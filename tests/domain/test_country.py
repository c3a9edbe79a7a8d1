import pytest

from resolver.domain.country import COUNTRY_FORMS, names_country
from resolver.domain.words import words


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
    flat = f" {' '.join(words(text))} "
    assert names_country(flat, code, country) is expected


def test_every_form_has_words() -> None:
    assert all(words(form) for forms in COUNTRY_FORMS.values() for form in forms)
    assert all(code.isupper() and len(code) == 2 for code in COUNTRY_FORMS)
