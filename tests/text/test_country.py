from resolver.text.country import (
    COUNTRY_FORMS,
    ENGLISH_NAMES,
    TERRITORIES,
    family,
)
from resolver.text.words import words


def test_every_form_has_words() -> None:
    assert all(words(form) for forms in COUNTRY_FORMS.values() for form in forms)
    assert all(code.isupper() and len(code) == 2 for code in COUNTRY_FORMS)


def test_territories_lead_to_countries() -> None:
    assert family("PR") == "US"
    assert family("DE") == "DE"
    assert not set(TERRITORIES) & set(TERRITORIES.values())
    assert ENGLISH_NAMES.keys() >= {*TERRITORIES, *TERRITORIES.values(), *COUNTRY_FORMS}
