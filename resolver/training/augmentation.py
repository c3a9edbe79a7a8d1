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

from resolver.errors import GoldError
from resolver.registry.organisation import Name, NameKind, Organisation
from resolver.text.affiliation import normalise
from resolver.text.country import COUNTRY_FORMS
from resolver.text.gazetteer import STATES
from resolver.text.words import LATIN, script
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

BARE_SHARE = 0.15
"""Of how many strings nothing is given but a name."""


@dataclass(frozen=True, slots=True)
class Writing:
    """How affiliations are written in a script of its own.

    `pattern` places the department ``{d}`` about the name ``{n}``; in `addresses` ``{a}`` stands
    for a number of a house and ``{p}`` for three digits of a postcode.
    """

    pattern: tuple[str, ...]
    departments: tuple[str, ...]
    addresses: tuple[str, ...]


# fmt: off
WRITINGS: Mapping[str, Writing] = {
    "zh": Writing(
        ("{n}{d}", "{n} {d}", "{n}，{d}"),
        ("物理系", "化学学院", "计算机科学与技术学院", "医学院", "数学系", "材料科学与工程学院",
         "生命科学学院", "經濟學系", "外科", "国家重点实验室", "電機工程學系", "研究生院"),
        (
            "，广东省广州市天河区五山路{a}号，510{p}",
            "，江苏 南京 210{p}",
            "，上海市杨浦区邯郸路{a}号",
            "，山东省济南市历下区文化东路{a}号 250{p}",
            "，湖北武汉 430{p}",
            "，四川省成都市武侯区 610{p}",
            "，北京市西城区 100{p}，中国",
            "，臺中市西屯區臺灣大道四段{a}號",
            "，遼寧省大連市",
            "，陕西省西安市碑林区友谊西路{a}号，710{p}",
        ),
    ),
    "ja": Writing(
        ("{n}{d}", "{n} {d}", "{n}、{d}"),
        ("大学院理学研究科", "工学部", "医学部", "大学院医学系研究科内科学講座", "薬学部",
         "大学院情報理工学系研究科", "農学部", "物理学教室", "文学部", "小児科", "外科学講座"),
        (
            "，〒113-8{p} 東京都豊島区西池袋{a}丁目",
            "、〒565-0{p} 大阪府吹田市山田丘{a}-2",
            " 〒980-8{p} 宮城県仙台市青葉区片平{a}-1",
            "、愛知県名古屋市千種区不老町{a}",
            "，福岡県福岡市東区馬出{a}-1-1",
            "、北海道札幌市北区北{a}条西5丁目",
            " 〒700-8{p} 岡山市中区浜{a}-1",
            "、京都府京都市上京区{a}",
        ),
    ),
    "ko": Writing(
        ("{n} {d}", "{n}, {d}"),
        ("물리학과", "화학과", "컴퓨터공학부", "의과대학", "내과학교실", "기계공학과", "약학대학",
         "전자공학과", "생명과학부", "간호학과", "대학원"),
        (
            ", 대구광역시 수성구 달구벌대로 {a}",
            ", 광주광역시 동구 {a}",
            ", 경기도 수원시 영통구 월드컵로 {a}",
            ", 서울시 성북구 안암로 {a}",
            ", 강원도 춘천시 {a}",
            ", 전라북도 전주시 덕진구 백제대로 {a}, 54{p}",
            ", 인천광역시 미추홀구 {a}",
            ", 서울특별시 강남구 테헤란로 {a}, 06{p}",
            ", 충청북도 청주시 서원구 {a}",
        ),
    ),
    "ru": Writing(
        ("{d}, {n}", "{n}, {d}"),
        ("Физический факультет", "Кафедра химии", "Лаборатория оптики", "Медицинский факультет",
         "Кафедра высшей математики", "Отдел биологии", "Кафедра хирургии",
         "Институт прикладной математики", "Кафедра русского языка"),
        (
            ", 420{p}, г. Казань, ул. Баумана, д. {a}",
            ", Санкт-Петербург, Невский пр., {a}",
            ", 119{p}, Москва, ул. Мясницкая, {a}",
            ", г. Екатеринбург, ул. Мира, {a}",
            ", Ростов-на-Дону, 344{p}",
            ", г. Томск, проспект Ленина, {a}, 634{p}",
            ", Самара",
        ),
    ),
    "uk": Writing(
        ("{d}, {n}", "{n}, {d}"),
        ("Фізичний факультет", "Кафедра хімії", "Кафедра вищої математики", "Відділ біології",
         "Кафедра хірургії", "Лабораторія оптики"),
        (
            ", 01{p}, м. Київ, вул. Хрещатик, {a}",
            ", м. Харків, майдан Свободи, {a}",
            ", Одеса, 65{p}",
            ", м. Дніпро, пр. Гагаріна, {a}",
        ),
    ),
    "bg": Writing(
        ("{d}, {n}", "{n}, {d}"),
        ("Физически факултет", "Катедра по химия", "Медицински факултет", "Катедра по математика"),
        (
            ", София 1{p}, бул. Цар Освободител {a}",
            ", гр. Пловдив, ул. Цар Асен {a}",
            ", Варна",
        ),
    ),
    "sr": Writing(
        ("{d}, {n}", "{n}, {d}"),
        ("Физички факултет", "Катедра за хемију", "Медицински факултет", "Одсек за математику"),
        (
            ", 21{p} Нови Сад, Булевар ослобођења {a}",
            ", Крагујевац",
            ", Ниш, Универзитетски трг {a}",
        ),
    ),
    "ar": Writing(
        ("{d}، {n}", "{d}، {n}،", "{d} - {n}"),
        ("كلية الطب", "كلية العلوم", "قسم الفيزياء", "كلية الهندسة", "قسم الكيمياء", "كلية الآداب",
         "كلية التربية", "قسم الرياضيات", "كلية الصيدلة", "قسم علوم الحاسوب"),
        (
            "، شارع الجامعة، القاهرة",
            "، ص.ب. {a}، جدة 21{p}",
            "، بغداد",
            "، الجزائر العاصمة",
            "، عمّان {p}",
            "، شارع الملك فهد، الدمام",
            "، الإسكندرية 21{p}",
            "، دمشق، ص. ب. {a}",
        ),
    ),
    "fa": Writing(
        ("{d}، {n}", "{d} {n}"),
        ("دانشکده پزشکی", "گروه فیزیک", "دانشکده مهندسی", "گروه شیمی", "دانشکده علوم",
         "گروه ریاضی", "مرکز تحقیقات"),
        (
            "، تهران، خیابان انقلاب، پلاک {a}",
            "، شیراز",
            "، تبریز، بلوار ۲۹ بهمن",
            "، اصفهان، کد پستی 81{p}",
            "، مشهد",
        ),
    ),
    "el": Writing(
        ("{d}, {n}", "{n}, {d}"),
        ("Τμήμα Φυσικής", "Σχολή Θετικών Επιστημών", "Ιατρική Σχολή", "Τμήμα Χημείας",
         "Τμήμα Μαθηματικών", "Πολυτεχνική Σχολή", "Τμήμα Πληροφορικής", "Εργαστήριο Βιολογίας"),
        (
            ", Πανεπιστημιούπολη, 157 {a}, Αθήνα",
            ", Λεωφόρος Κηφισίας {a}, 151 {a}",
            ", 541 {a} Θεσσαλονίκη",
            ", Πάτρα, 265 {a}",
            ", Ηράκλειο Κρήτης",
        ),
    ),
    "th": Writing(
        ("{d} {n}", "{d}{n}", "{d}, {n}"),
        ("คณะวิทยาศาสตร์", "คณะแพทยศาสตร์", "คณะวิศวกรรมศาสตร์", "ภาควิชาฟิสิกส์", "ภาควิชาเคมี",
         "คณะเกษตรศาสตร์", "คณะเภสัชศาสตร์", "คณะมนุษยศาสตร์"),
        (
            " ถนนสาทร เขตบางรัก กรุงเทพฯ 10{p}",
            " อำเภอเมือง จังหวัดเชียงใหม่ 50{p}",
            " จังหวัดขอนแก่น 40{p}",
            " เลขที่ {a} ถนนพหลโยธิน เขตบางเขน กรุงเทพมหานคร",
            " อำเภอหาดใหญ่ จังหวัดสงขลา 90{p}",
            " จ.นครปฐม 73{p}",
        ),
    ),
    "he": Writing(
        ("{d}, {n}", "{n}, {d}"),
        ("הפקולטה לרפואה", "המחלקה לפיזיקה", "הפקולטה להנדסה", "בית הספר לכימיה",
         "החוג למתמטיקה", "הפקולטה למדעי הרוח", "המחלקה למדעי המחשב"),
        (
            ", רחוב הרצל {a}, תל אביב",
            ", חיפה {a}",
            ", ת.ד. {a}, ירושלים",
            ", רמת אביב, תל אביב 69{p}",
            ", רחובות 76{p}",
        ),
    ),
}
"""Scripts in which the registry has names, with the commonest departments as authors name them."""
# fmt: on

_GENERIC = frozenset({*ABBREVIATIONS, "universitat", "universite", "facultad", "klinik", "clinic"})
"""Words that name nothing by themselves: a name is not cut down to them."""

_TAIL = re.compile(r" (?:of|for|and|de|für|pour) ")
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

    Organisations with many names are drawn more often, those with a name in a script of
    `WRITINGS` most; 12 in 100 strings name two, and 4 in
    100 none at all: a department and a place. The same arguments give the same strings.
    """
    rng = random.Random(seed)  # noqa: S311
    drawable = [o for o in organisations if not held_out(o.ror_id)]
    weights = [1 + min(len(o.names), 6) + 6 * _has_its_script(o) for o in drawable]
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


def joint(
    organisations: Sequence[Organisation],
    material: Material,
    *,
    count: int,
    seed: int,
) -> Iterator[Labelled]:
    """`count` affiliations as laboratories with several parents write them.

    Organisations of one city, most by a name and some by an acronym, together with such as act in
    the whole country: "LAAS, CNRS, Univ. Toulouse, INSA, Toulouse, France". None of them is held
    out. No string, where no city has two. The same arguments give the same strings.
    """
    rng = random.Random(seed)  # noqa: S311
    cities: dict[tuple[str, str], list[Organisation]] = {}
    national: dict[str, list[Organisation]] = {}
    for organisation in organisations:
        place = organisation.place
        if not held_out(organisation.ror_id) and place and place.country_code:
            if place.city:
                cities.setdefault((place.country_code, place.city), []).append(organisation)
            if any(name.kinds == {NameKind.ACRONYM} for name in organisation.names):
                national.setdefault(place.country_code, []).append(organisation)
    meeting = [where for where, here in cities.items() if len(here) > 1]
    if not meeting:
        return
    for where in rng.choices(meeting, [min(len(cities[w]), 20) for w in meeting], k=count):
        here = cities[where]
        local = rng.sample(here, min(rng.choice((1, 1, 2, 2, 3)), len(here)))
        known = national.get(where[0], [])
        wide = rng.sample(known, min(rng.choice((0, 1, 1, 2, 3)), len(known)))
        named = list(dict.fromkeys([*local, *wide]))
        rng.shuffle(named)
        names = [_short(organisation, rng, often=organisation in wide) for organisation in named]
        joint = rng.choices((", ", "/", "-", "; ", " and "), (70, 10, 8, 6, 6))[0]
        parts = [joint.join(names), *_place(local[0], rng, sure=True)]
        if material.departments and rng.random() < 0.5:
            parts.insert(0, rng.choice(material.departments))
        ids = frozenset(organisation.ror_id for organisation in named)
        yield Labelled(normalise(", ".join(parts)), ids, True)


def _short(organisation: Organisation, rng: random.Random, *, often: bool) -> str:
    """A name as lists have it: an acronym more `often`, or not."""
    acronyms = [name for name in organisation.names if name.kinds == {NameKind.ACRONYM}]
    if acronyms and rng.random() < (0.7 if often else 0.3):
        return rng.choice(acronyms).value
    latin = [name for name in organisation.names if script(name.value) == LATIN]
    return _noisy(_pick_latin(latin, organisation, rng).value, rng, acronym=False)


def in_their_scripts(
    organisations: Sequence[Organisation], *, count: int, seed: int
) -> Iterator[Labelled]:
    """`count` affiliations of held-out organisations, each in a script of `WRITINGS`.

    Gold strings are nearly all in Latin, so these stand beside them where something is fitted
    on held-out strings. The same arguments give the same strings.
    """
    rng = random.Random(seed)  # noqa: S311
    drawable = [o for o in organisations if held_out(o.ror_id) and _has_its_script(o)]
    for organisation in rng.sample(drawable, min(count, len(drawable))):
        name = rng.choice([name for name in organisation.names if _in_script(name)])
        text = _in_its_script(name, organisation, WRITINGS[name.language or ""], rng)
        yield Labelled(normalise(text), frozenset({organisation.ror_id}), True)


def _nothing(organisation: Organisation, material: Material, rng: random.Random) -> str:
    parts = [rng.choice(material.departments)] if material.departments else ["Department"]
    return ", ".join([*parts, *_place(organisation, rng, sure=True)])


def _written(organisation: Organisation, material: Material, rng: random.Random) -> str:
    name = _pick(organisation.names, rng)
    acronym = name.kinds == {NameKind.ACRONYM}
    if _in_script(name):
        return _in_its_script(name, organisation, WRITINGS[name.language or ""], rng)
    written = _noisy(name.value, rng, acronym=acronym)
    if rng.random() < BARE_SHARE:
        # As people type into a search box.
        return written
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
    if rng.random() < 0.02:
        text = f"[{text}]"
    if rng.random() < 0.04 and organisation.domains:
        text += f" Email: {rng.choice('abcdejklmst')}.author@{organisation.domains[0]}"
    return text


def _in_script(name: Name) -> bool:
    return name.language in WRITINGS and not name.value.isascii()


def _has_its_script(organisation: Organisation) -> bool:
    return any(_in_script(name) for name in organisation.names)


def _in_its_script(
    name: Name, organisation: Organisation, writing: Writing, rng: random.Random
) -> str:
    """A string in a script of its own, half of the time with the Latin form behind it."""
    text = name.value
    if rng.random() < 0.7:
        pattern = rng.choice(writing.pattern)
        text = pattern.format(n=text, d=rng.choice(writing.departments))
    if rng.random() < 0.5:
        address = rng.choice(writing.addresses)
        text += address.format(a=rng.randint(1, 300), p=f"{rng.randint(0, 999):03}")
    place = organisation.place
    forms = COUNTRY_FORMS.get(place.country_code or "", ()) if place else ()
    country = next((form for form in forms if script(form) == script(name.value)), None)
    if country and rng.random() < 0.4:
        text = f"{text}, {country}" if rng.random() < 0.7 else f"{country} {text}"
    latin = [other for other in organisation.names if other.value.isascii()]
    if latin and rng.random() < 0.4:
        parts = [rng.choice(latin).value, *_place(organisation, rng, sure=False)]
        latin_form = ", ".join(parts)
        text += rng.choice((" {}", ", {}", " / {}", " ({})")).format(latin_form)
    return text


def _pick_latin(latin: Sequence[Name], organisation: Organisation, rng: random.Random) -> Name:
    return rng.choice(latin) if latin else _pick(organisation.names, rng)


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
    american = place.country_code == "US"
    if place.region and place.region != place.city and rng.random() < (0.5 if american else 0.15):
        state = STATES["US"].get(place.region) if american and rng.random() < 0.8 else None
        parts.append(state or place.region)
    if place.country and (rng.random() < 0.7 or (sure and not parts)):
        forms = [f for f in COUNTRY_FORMS.get(place.country_code or "", ()) if script(f) == LATIN]
        parts.append(rng.choice(forms) if forms and rng.random() < 0.5 else place.country)
    return parts


def _noisy(name: str, rng: random.Random, *, acronym: bool) -> str:
    # A company's branch carries its country in brackets, which no author writes.
    if rng.random() < 0.8:
        name = _BRANCH.sub("", name) or name
    if acronym:
        return name
    if rng.random() < 0.08:
        name = _cut(name)
    if rng.random() < 0.2:
        name = " ".join(_abbreviated(word, rng) for word in name.split(" "))
    elif rng.random() < 0.05:
        name = " ".join(_clipped(word, rng) for word in name.split(" "))
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


def _cut(name: str) -> str:
    """What comes before the first "of": "Weizmann Institute of Science" as authors shorten it.

    A name of which only words that all its kind share would be left stays whole.
    """
    head = _TAIL.split(name, maxsplit=1)[0]
    telling = [word for word in head.split() if _unaccented(word).casefold() not in _GENERIC]
    return head if telling and len(head.split()) > 1 else name


def _clipped(word: str, rng: random.Random) -> str:
    """A long word clipped to its first letters, as in journals' abbreviations: "Technol."."""
    if len(word) < 8 or not word.isalpha() or rng.random() < 0.3:
        return word
    return word[: rng.randint(3, 6)] + "."


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
