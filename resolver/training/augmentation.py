"""Affiliations made from registry records: what gold strings have too few of.

Other languages, acronyms with a place, abbreviations, typos, departments, addresses, two
organisations in one string. The departments and addresses come from annotated strings
(`read_material`); the rest from the record itself.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from resolver.domain.affiliation import normalise
from resolver.domain.organisation import Name, NameKind, Organisation
from resolver.errors import GoldError
from resolver.training.pairs import Labelled, held_out

ABBREVIATIONS: Mapping[str, tuple[str, ...]] = {
    "academy": ("Acad.", "Acad"),
    "center": ("Ctr.", "Ctr"),
    "centre": ("Ctr.", "Ctr"),
    "college": ("Coll.", "Coll"),
    "department": ("Dept.", "Dept", "Dep."),
    "engineering": ("Eng.", "Engn"),
    "faculty": ("Fac.", "Fac"),
    "foundation": ("Fdn", "Found."),
    "general": ("Gen.", "Gen"),
    "hospital": ("Hosp.", "Hosp"),
    "institut": ("Inst.", "Inst"),
    "institute": ("Inst.", "Inst"),
    "international": ("Int.", "Intl"),
    "laboratory": ("Lab.", "Lab"),
    "medical": ("Med.", "Med"),
    "ministry": ("Min.", "Minist"),
    "national": ("Nat.", "Natl"),
    "research": ("Res.", "Res"),
    "saint": ("St.", "St"),
    "school": ("Sch.", "Sch"),
    "science": ("Sci.", "Sci"),
    "sciences": ("Sci.", "Sci"),
    "technical": ("Tech.", "Tech"),
    "technology": ("Technol.", "Tech"),
    "universidad": ("Univ.", "Univ"),
    "universidade": ("Univ.", "Univ"),
    "university": ("Univ.", "Univ", "Uni."),
    "université": ("Univ.", "Univ"),
    "università": ("Univ.", "Univ"),
    "universität": ("Univ.", "Uni"),
}
"""Short forms as bibliographic databases and authors write them."""

COUNTRY_FORMS: Mapping[str, tuple[str, ...]] = {
    "AE": ("UAE", "U.A.E."),
    "BR": ("Brasil",),
    "CH": ("Schweiz", "Suisse"),
    "CN": ("P.R. China", "PR China", "People's Republic of China", "P. R. China"),
    "CZ": ("Czech Republic",),
    "DE": ("Deutschland", "FRG"),
    "ES": ("España",),
    "GB": ("UK", "U.K.", "England", "Scotland"),
    "IR": ("Islamic Republic of Iran",),
    "IT": ("Italia",),
    "KR": ("Korea", "Republic of Korea"),
    "MX": ("México",),
    "NL": ("The Netherlands", "Holland"),
    "RU": ("Russian Federation",),
    "SA": ("KSA", "Kingdom of Saudi Arabia"),
    "TR": ("Turkey", "Turkiye"),
    "TW": ("Taiwan, ROC", "Taiwan (R.O.C.)"),
    "US": ("USA", "U.S.A.", "United States of America", "US"),
    "VN": ("Vietnam", "Viet Nam"),
}

_BRANCH = re.compile(r" \([^()]*\)$")
_OF = re.compile(r"^(University|College|Institute) of (?!Technology|Science|Applied)(\S+)$")


@dataclass(frozen=True, slots=True)
class Material:
    """Parts of real affiliations, each distinct, in file order."""

    departments: tuple[str, ...]
    addresses: tuple[str, ...]
    postcodes: tuple[str, ...]


def read_material(path: Path) -> Material:
    """Spans of annotated affiliations: ``{"text": str, "spans": [[start, end, label], …]}``.

    Raises:
        GoldError: a line is not of this form; names the line.
    """
    found: dict[str, dict[str, None]] = {"SUB": {}, "ADDRESS": {}, "POSTALCODE": {}}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                record = orjson.loads(line)
                for start, end, label in record["spans"]:
                    if label in found:
                        part = normalise(record["text"][start:end])
                        if 2 < len(part) < 90:
                            found[label][part] = None
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise GoldError(
                    f"{path}:{number}: not an annotated affiliation: {error!r}",
                    remedy='each line is {"text": "…", "spans": [[start, end, label]]}',
                ) from error
    return Material(*(tuple(found[label]) for label in ("SUB", "ADDRESS", "POSTALCODE")))


def synthetic(
    organisations: Sequence[Organisation], material: Material, *, count: int, seed: int
) -> Iterator[Labelled]:
    """`count` affiliations of random organisations, none held out.

    Organisations with many names are drawn more often; 12 in 100 strings name two, and 4 in
    100 none at all: a department and a place. The same arguments give the same strings.
    """
    rng = random.Random(seed)  # noqa: S311
    drawable = [o for o in organisations if not held_out(o.ror_id)]
    weights = [1 + min(len(o.names), 6) for o in drawable]
    for organisation in rng.choices(drawable, weights, k=count):
        kind = rng.random()
        if kind < 0.04:
            yield Labelled(normalise(_nothing(organisation, material, rng)), frozenset(), True)
        elif kind < 0.16:
            (other,) = rng.choices(drawable, weights)
            both = [_written(organisation, material, rng), _written(other, material, rng)]
            ids = frozenset({organisation.ror_id, other.ror_id})
            yield Labelled(normalise(rng.choice(("; ", ", ", " and ")).join(both)), ids, True)
        else:
            text = normalise(_written(organisation, material, rng))
            yield Labelled(text, frozenset({organisation.ror_id}), True)


def _nothing(organisation: Organisation, material: Material, rng: random.Random) -> str:
    parts = [rng.choice(material.departments)] if material.departments else ["Department"]
    return ", ".join([*parts, *_place(organisation, rng, sure=True)])


def _written(organisation: Organisation, material: Material, rng: random.Random) -> str:
    name = _pick(organisation.names, rng)
    acronym = name.kinds == {NameKind.ACRONYM}
    written = _noisy(name.value, rng, acronym=acronym)
    parts = [written]
    if material.departments and rng.random() < 0.6:
        wanted = min(rng.choice((1, 1, 1, 2)), len(material.departments))
        parts[:0] = rng.sample(material.departments, wanted)
        if rng.random() < 0.1:
            parts.reverse()
    if material.addresses and rng.random() < 0.2:
        parts.append(rng.choice(material.addresses))
    if material.postcodes and rng.random() < 0.12:
        parts.append(rng.choice(material.postcodes))
    parts += _place(organisation, rng, sure=acronym)
    text = rng.choices((", ", ",", "; ", " - ", " "), (86, 4, 4, 2, 4))[0].join(parts)
    if rng.random() < 0.2:
        text += "."
    if rng.random() < 0.06:
        text = f"{rng.choice(('1', '2', 'a', 'b', '*'))}{rng.choice((' ', ''))}{text}"
    if rng.random() < 0.04 and organisation.domains:
        text += f" Email: {rng.choice('abcdejklmst')}.author@{organisation.domains[0]}"
    return text


def _pick(names: Sequence[Name], rng: random.Random) -> Name:
    display = next(name for name in names if NameKind.DISPLAY in name.kinds)
    return display if rng.random() < 0.4 else rng.choice(names)


def _place(organisation: Organisation, rng: random.Random, *, sure: bool) -> list[str]:
    place = organisation.place
    if place is None:
        return []
    parts = []
    if place.city and rng.random() < 0.7:
        parts.append(place.city)
    if place.region and place.region != place.city and rng.random() < 0.15:
        parts.append(place.region)
    if place.country and (rng.random() < 0.7 or (sure and not parts)):
        forms = COUNTRY_FORMS.get(place.country_code or "", ())
        parts.append(rng.choice(forms) if forms and rng.random() < 0.5 else place.country)
    return parts


def _noisy(name: str, rng: random.Random, *, acronym: bool) -> str:
    # A company's branch carries its country in brackets, which no author writes.
    if rng.random() < 0.8:
        name = _BRANCH.sub("", name) or name
    if acronym:
        return name
    if rng.random() < 0.2:
        name = " ".join(_abbreviated(word, rng) for word in name.split(" "))
    if rng.random() < 0.08:
        name = _OF.sub(r"\2 \1", name)
    if rng.random() < 0.15:
        name = _unaccented(name)
    if rng.random() < 0.12:
        name = _mistyped(name, rng)
    case = rng.random()
    if case < 0.05:
        return name.upper()
    return name.lower() if case < 0.08 else name


def _abbreviated(word: str, rng: random.Random) -> str:
    forms = ABBREVIATIONS.get(word.casefold())
    return rng.choice(forms) if forms and rng.random() < 0.8 else word


def _unaccented(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not "\u0300" <= c <= "\u036f")


def _mistyped(text: str, rng: random.Random) -> str:
    places = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    match rng.randrange(3):
        case 0:
            return text[:i] + text[i + 1 :]
        case 1:
            return text[:i] + text[i] + text[i:]
        case _:
            return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
