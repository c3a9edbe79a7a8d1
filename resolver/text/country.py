"""How authors write a country."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from resolver.text.words import CJK, words

# fmt: off
ENGLISH_NAMES: Mapping[str, str] = {
    "AD": "Andorra", "AE": "United Arab Emirates", "AF": "Afghanistan",
    "AG": "Antigua and Barbuda", "AL": "Albania", "AM": "Armenia", "AO": "Angola",
    "AQ": "Antarctica", "AR": "Argentina", "AS": "American Samoa", "AT": "Austria",
    "AU": "Australia", "AW": "Aruba", "AX": "Åland", "AZ": "Azerbaijan",
    "BA": "Bosnia and Herzegovina", "BB": "Barbados", "BD": "Bangladesh", "BE": "Belgium",
    "BF": "Burkina Faso", "BG": "Bulgaria", "BH": "Bahrain", "BI": "Burundi", "BJ": "Benin",
    "BM": "Bermuda", "BN": "Brunei", "BO": "Bolivia", "BQ": "Bonaire, Sint Eustatius, and Saba",
    "BR": "Brazil", "BS": "Bahamas", "BT": "Bhutan", "BW": "Botswana", "BY": "Belarus",
    "BZ": "Belize", "CA": "Canada", "CD": "Democratic Republic of the Congo",
    "CF": "Central African Republic", "CG": "Republic of the Congo", "CH": "Switzerland",
    "CI": "Ivory Coast", "CL": "Chile", "CM": "Cameroon", "CN": "China", "CO": "Colombia",
    "CR": "Costa Rica", "CU": "Cuba", "CV": "Cabo Verde", "CW": "Curacao", "CY": "Cyprus",
    "CZ": "Czechia", "DE": "Germany", "DJ": "Djibouti", "DK": "Denmark", "DM": "Dominica",
    "DO": "Dominican Republic", "DZ": "Algeria", "EC": "Ecuador", "EE": "Estonia", "EG": "Egypt",
    "EH": "Western Sahara", "ER": "Eritrea", "ES": "Spain", "ET": "Ethiopia", "FI": "Finland",
    "FJ": "Fiji", "FK": "Falkland Islands", "FM": "Micronesia", "FO": "Faroe Islands",
    "FR": "France", "GA": "Gabon", "GB": "United Kingdom", "GD": "Grenada", "GE": "Georgia",
    "GF": "French Guiana", "GG": "Guernsey", "GH": "Ghana", "GI": "Gibraltar", "GL": "Greenland",
    "GM": "The Gambia", "GN": "Guinea", "GP": "Guadeloupe", "GQ": "Equatorial Guinea",
    "GR": "Greece", "GT": "Guatemala", "GU": "Guam", "GW": "Guinea-Bissau", "GY": "Guyana",
    "HK": "Hong Kong", "HN": "Honduras", "HR": "Croatia", "HT": "Haiti", "HU": "Hungary",
    "ID": "Indonesia", "IE": "Ireland", "IL": "Israel", "IM": "Isle of Man", "IN": "India",
    "IQ": "Iraq", "IR": "Iran", "IS": "Iceland", "IT": "Italy", "JE": "Jersey", "JM": "Jamaica",
    "JO": "Jordan", "JP": "Japan", "KE": "Kenya", "KG": "Kyrgyzstan", "KH": "Cambodia",
    "KI": "Kiribati", "KM": "Comoros", "KN": "Saint Kitts and Nevis", "KP": "North Korea",
    "KR": "South Korea", "KW": "Kuwait", "KY": "Cayman Islands", "KZ": "Kazakhstan", "LA": "Laos",
    "LB": "Lebanon", "LC": "Saint Lucia", "LI": "Liechtenstein", "LK": "Sri Lanka",
    "LR": "Liberia", "LS": "Lesotho", "LT": "Lithuania", "LU": "Luxembourg", "LV": "Latvia",
    "LY": "Libya", "MA": "Morocco", "MC": "Monaco", "MD": "Moldova", "ME": "Montenegro",
    "MG": "Madagascar", "MK": "North Macedonia", "ML": "Mali", "MM": "Myanmar", "MN": "Mongolia",
    "MO": "Macao", "MP": "Northern Mariana Islands", "MQ": "Martinique", "MR": "Mauritania",
    "MS": "Montserrat", "MT": "Malta", "MU": "Mauritius", "MV": "Maldives", "MW": "Malawi",
    "MX": "Mexico", "MY": "Malaysia", "MZ": "Mozambique", "NA": "Namibia", "NC": "New Caledonia",
    "NE": "Niger", "NG": "Nigeria", "NI": "Nicaragua", "NL": "Netherlands", "NO": "Norway",
    "NP": "Nepal", "NU": "Niue", "NZ": "New Zealand", "OM": "Oman", "PA": "Panama", "PE": "Peru",
    "PF": "French Polynesia", "PG": "Papua New Guinea", "PH": "Philippines", "PK": "Pakistan",
    "PL": "Poland", "PM": "Saint Pierre and Miquelon", "PR": "Puerto Rico",
    "PS": "Palestinian Territory", "PT": "Portugal", "PW": "Palau", "PY": "Paraguay",
    "QA": "Qatar", "RE": "Réunion", "RO": "Romania", "RS": "Serbia", "RU": "Russia",
    "RW": "Rwanda", "SA": "Saudi Arabia", "SB": "Solomon Islands", "SC": "Seychelles",
    "SD": "Sudan", "SE": "Sweden", "SG": "Singapore", "SI": "Slovenia",
    "SJ": "Svalbard and Jan Mayen", "SK": "Slovakia", "SL": "Sierra Leone", "SM": "San Marino",
    "SN": "Senegal", "SO": "Somalia", "SR": "Suriname", "SS": "South Sudan",
    "ST": "Sao Tome and Principe", "SV": "El Salvador", "SX": "Sint Maarten", "SY": "Syria",
    "SZ": "Eswatini", "TC": "Turks and Caicos Islands", "TD": "Chad", "TG": "Togo",
    "TH": "Thailand", "TJ": "Tajikistan", "TL": "Timor-Leste", "TM": "Turkmenistan",
    "TN": "Tunisia", "TO": "Tonga", "TR": "Türkiye", "TT": "Trinidad and Tobago", "TW": "Taiwan",
    "TZ": "Tanzania", "UA": "Ukraine", "UG": "Uganda", "US": "United States", "UY": "Uruguay",
    "UZ": "Uzbekistan", "VA": "Vatican", "VC": "Saint Vincent and the Grenadines",
    "VE": "Venezuela", "VG": "British Virgin Islands", "VI": "U.S. Virgin Islands",
    "VN": "Vietnam", "VU": "Vanuatu", "WS": "Samoa", "XK": "Kosovo", "YE": "Yemen",
    "YT": "Mayotte", "ZA": "South Africa", "ZM": "Zambia", "ZW": "Zimbabwe",
}
"""ROR's English names by ISO 3166-1 alpha-2 (registry release v2.9, CC0)."""

TERRITORIES: Mapping[str, str] = {
    "AS": "US", "GU": "US", "MP": "US", "PR": "US", "VI": "US",
    "GG": "GB", "GI": "GB", "IM": "GB", "JE": "GB",
    "HK": "CN", "MO": "CN", "TW": "CN",
    "GF": "FR", "GP": "FR", "MQ": "FR", "NC": "FR", "PF": "FR", "PM": "FR", "RE": "FR", "YT": "FR",
    "AW": "NL", "BQ": "NL", "CW": "NL", "SX": "NL",
    "FO": "DK", "GL": "DK", "AX": "FI", "SJ": "NO",
}
"""Codes of their own that authors also write under another country's name ("San Juan, PR, USA"):
for a contradiction between text and organisation they count as that country."""

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
    "PS": ("Palestine", "فلسطين"),
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
    """The forms as they stand in `Text.padded`; those in CJK may be part of a run."""
    forms = (" ".join(words(form)) for form in COUNTRY_FORMS.get(code, ()))
    return tuple(
        form if CJK.fullmatch(form) else f" {form} " for form in forms if form not in _AMBIGUOUS
    )


def family(code: str) -> str:
    """The country that a territory counts as; any other country itself."""
    return TERRITORIES.get(code, code)
