"""How authors write a country."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from resolver.domain.words import CJK, words

# fmt: off
COUNTRY_FORMS: Mapping[str, tuple[str, ...]] = {
    "AE": ("UAE", "U.A.E.", "الإمارات العربية المتحدة"),
    "AF": ("افغانستان",),
    "AT": ("Österreich",),
    "BE": ("Belgique", "België"),
    "BG": ("България",),
    "BH": ("البحرين",),
    "BR": ("Brasil",),
    "BY": ("Беларусь", "Белоруссия"),
    "CH": ("Schweiz", "Suisse", "Svizzera"),
    "CN": ("P.R. China", "PR China", "People's Republic of China", "P. R. China", "中国", "中國"),
    "CY": ("Κύπρος",),
    "CZ": ("Czech Republic", "Česká republika"),
    "DE": ("Deutschland", "FRG"),
    "DK": ("Danmark",),
    "DZ": ("Algérie", "الجزائر"),
    "EG": ("مصر",),
    "ES": ("España",),
    "FI": ("Suomi",),
    "GB": ("UK", "U.K.", "England", "Scotland", "Wales", "Northern Ireland", "Great Britain"),
    "GR": ("Ελλάδα", "Ελλάς", "Hellas"),
    "HK": ("香港",),
    "IL": ("ישראל",),
    "IQ": ("العراق",),
    "IR": ("Islamic Republic of Iran", "ایران"),
    "IT": ("Italia",),
    "JO": ("الأردن",),
    "JP": ("日本",),
    "KG": ("Киргизия", "Кыргызстан"),
    "KR": ("Korea", "Republic of Korea", "대한민국", "한국"),
    "KW": ("الكويت",),
    "KZ": ("Казахстан",),
    "LB": ("Liban", "لبنان"),
    "LY": ("ليبيا",),
    "MA": ("Maroc", "المغرب"),
    "MX": ("México",),
    "NL": ("The Netherlands", "Netherlands", "Holland", "Nederland"),
    "NO": ("Norge",),
    "OM": ("سلطنة عمان",),
    "PL": ("Polska",),
    "PS": ("فلسطين",),
    "QA": ("قطر",),
    "RS": ("Србија", "Srbija"),
    "RU": ("Russian Federation", "Russia", "Россия", "РФ"),
    "SA": ("KSA", "Kingdom of Saudi Arabia", "المملكة العربية السعودية", "السعودية"),
    "SD": ("السودان",),
    "SE": ("Sverige",),
    "SG": ("新加坡",),
    "SY": ("سوريا",),
    "TH": ("ประเทศไทย",),
    "TN": ("Tunisie", "تونس"),
    "TR": ("Turkey", "Turkiye"),
    "TW": ("Taiwan, ROC", "Taiwan (R.O.C.)", "Taiwan", "台灣", "臺灣", "台湾"),
    "UA": ("Україна",),
    "US": ("USA", "U.S.A.", "United States of America", "US"),
    "VN": ("Vietnam", "Viet Nam"),
    "YE": ("اليمن",),
}
"""Forms beside ROR's English name, by ISO 3166-1 alpha-2: the official language's, and what
affiliations abbreviate."""
# fmt: on

_AMBIGUOUS = frozenset({"us"})
"""Folded forms that are words of their own."""


@cache
def _folded(code: str) -> tuple[str, ...]:
    """The forms as they stand in `words` joined by spaces; those in CJK may be part of a run."""
    forms = (" ".join(words(form)) for form in COUNTRY_FORMS.get(code, ()))
    return tuple(
        form if CJK.fullmatch(form) else f" {form} " for form in forms if form not in _AMBIGUOUS
    )


def names_country(flat: str, code: str | None, country: str | None) -> bool:
    """Whether a text names a country.

    `flat` is the text's `words`, joined by spaces and with one at either end; `country` is the
    English name.
    """
    english = f" {' '.join(words(country))} " if country else ""
    return bool(english.strip() and english in flat) or any(
        form in flat for form in _folded(code or "")
    )
