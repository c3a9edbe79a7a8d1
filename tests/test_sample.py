"""The sample is a registry that ROR could have published, and its answers are in it."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections import Counter
from functools import cache
from typing import Any

import pytest
from support.paths import SHARED

from resolver import sample
from resolver.intake import files
from resolver.intake.record import SourceRecord
from resolver.registry.dump import open_release
from resolver.registry.organisation import NameKind, Organisation, OrganisationStatus, RelationKind
from resolver.registry.record import parse
from resolver.registry.ror_id import ROR_URL
from resolver.text.affiliation import normalise

RELEASE = SHARED / "data/registry/ror-v2.9.json.gz"

INVERSE = {
    RelationKind.PARENT: RelationKind.CHILD,
    RelationKind.CHILD: RelationKind.PARENT,
    RelationKind.RELATED: RelationKind.RELATED,
    RelationKind.PREDECESSOR: RelationKind.SUCCESSOR,
    RelationKind.SUCCESSOR: RelationKind.PREDECESSOR,
}

# Values of ROR's `types` vocabulary, schema 2.1.
TYPES = {
    "archive", "company", "education", "facility", "funder", "government", "healthcare",
    "nonprofit", "other",
}  # fmt: skip

REQUIRED = {
    "admin", "domains", "established", "external_ids", "id", "links", "locations", "names",
    "relationships", "status", "types",
}  # fmt: skip

SCRIPTS = {
    "Arabic": "ARABIC",
    "Chinese": "CJK UNIFIED",
    "Cyrillic": "CYRILLIC",
    "Devanagari": "DEVANAGARI",
    "Greek": "GREEK",
    "Hangul": "HANGUL",
    "Hebrew": "HEBREW",
    "Japanese": "KATAKANA",
    "Latin": "LATIN",
    "Thai": "THAI",
}
"""A script, and how Unicode's names of its letters begin."""


@cache
def raw_records() -> list[dict[str, Any]]:
    return json.loads(sample.REGISTRY.read_text(encoding="utf-8"))


@cache
def organisations() -> dict[str, Organisation]:
    parsed = [parse(raw, index=index) for index, raw in enumerate(raw_records())]
    return {organisation.ror_id: organisation for organisation in parsed}


@cache
def affiliations() -> list[dict[str, Any]]:
    return [json.loads(line) for line in sample.AFFILIATIONS.read_text("utf-8").splitlines()]


@cache
def gold() -> dict[str, list[str]]:
    lines = [json.loads(line) for line in sample.GOLD.read_text("utf-8").splitlines()]
    answers = {line["affiliation"]: line["ror_ids"] for line in lines}
    assert len(answers) == len(lines), "a string has two answers"
    return answers


def named(display_name: str, country_code: str) -> Organisation:
    (found,) = (
        organisation
        for organisation in organisations().values()
        if organisation.display_name == display_name
        and organisation.place is not None
        and organisation.place.country_code == country_code
    )
    return found


def letters(texts: list[str]) -> str:
    return "".join(character for text in texts for character in text if character.isalpha())


def has_script(text: str, start: str) -> bool:
    return any(unicodedata.name(character, "").startswith(start) for character in text)


def test_the_reader_of_releases_takes_every_record() -> None:
    release = open_release(sample.REGISTRY)
    assert list(release.records()) == list(organisations().values())
    assert release.schema_version == "2.1"


def test_there_are_some_300_organisations_each_once() -> None:
    assert 290 <= len(raw_records()) <= 320
    assert len(organisations()) == len(raw_records())


def test_one_record_a_line_in_id_order() -> None:
    first, *lines, last = sample.REGISTRY.read_text("utf-8").splitlines()
    assert (first, last) == ("[", "]")
    ids = [json.loads(line.removesuffix(","))["id"] for line in lines]
    assert ids == sorted(ids)
    assert ids == [raw["id"] for raw in raw_records()]


def test_records_have_the_fields_that_the_schema_requires() -> None:
    for raw in raw_records():
        assert raw.keys() == REQUIRED, raw["id"]
        assert raw["id"].startswith(ROR_URL)
        assert set() < set(raw["types"]) <= TYPES, raw["id"]
        assert [kind for name in raw["names"] for kind in name["types"]].count("ror_display") == 1


def test_names_are_clean_and_not_repeated() -> None:
    for organisation in organisations().values():
        values = [name.value for name in organisation.names]
        assert len(values) == len(set(values)), organisation.display_name
        assert all(value == normalise(value) for value in values), organisation.display_name
        assert all(name.kinds for name in organisation.names), organisation.display_name


def test_places_are_complete() -> None:
    for organisation in organisations().values():
        (place,) = organisation.places
        assert None not in (
            place.city, place.country, place.country_code, place.latitude, place.longitude
        ), organisation.display_name  # fmt: skip
        assert organisation.established is not None, organisation.display_name


def test_every_type_of_organisation_is_there_but_other() -> None:
    found = {kind for organisation in organisations().values() for kind in organisation.types}
    assert found == TYPES - {"other"}


def test_relations_stay_inside_and_hold_both_ways() -> None:
    registry = organisations()
    for organisation in registry.values():
        seen = [(relation.kind, relation.ror_id) for relation in organisation.relations]
        assert len(seen) == len(set(seen)), organisation.display_name
        for relation in organisation.relations:
            other = registry[relation.ror_id]
            assert other is not organisation
            assert relation.label == other.display_name
            assert organisation.ror_id in other.related(INVERSE[relation.kind]), (
                f"{other.display_name} does not answer {organisation.display_name}"
            )


def test_what_has_ended_has_a_living_successor() -> None:
    registry = organisations()
    ended = [org for org in registry.values() if org.status is not OrganisationStatus.ACTIVE]
    assert {org.status for org in ended} == {
        OrganisationStatus.INACTIVE,
        OrganisationStatus.WITHDRAWN,
    }
    for organisation in ended:
        successors = organisation.related(RelationKind.SUCCESSOR)
        assert successors, organisation.display_name
        assert all(registry[id_].status is OrganisationStatus.ACTIVE for id_ in successors)
    for organisation in registry.values():
        if organisation.related(RelationKind.SUCCESSOR):
            assert organisation in ended, organisation.display_name


@pytest.mark.parametrize(
    ("parent", "country_code", "least"),
    [
        ("Max Planck Society", "DE", 6),
        ("Helmholtz Association of German Research Centres", "DE", 4),
        ("Chinese Academy of Sciences", "CN", 5),
        ("University of California System", "US", 5),
        ("The University of Texas System", "US", 3),
        ("University of London", "GB", 4),
        ("Consejo Superior de Investigaciones Científicas", "ES", 2),
        ("National Institutes of Health", "US", 2),
        ("Siemens (Germany)", "DE", 2),
    ],
)
def test_parents_have_children(parent: str, country_code: str, least: int) -> None:
    assert len(named(parent, country_code).related(RelationKind.CHILD)) >= least


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Université Paris Descartes", "Université Paris Cité"),
        ("Université Paris Diderot", "Université Paris Cité"),
        ("Université Paris-Sud", "Université Paris-Saclay"),
        ("Université Pierre-et-Marie-Curie", "Sorbonne Université"),
        ("Paris-Sorbonne University", "Sorbonne Université"),
    ],
)
def test_mergers_are_told(before: str, after: str) -> None:
    assert named(before, "FR").related(RelationKind.SUCCESSOR) == (named(after, "FR").ror_id,)


@pytest.mark.parametrize(
    ("acronym", "countries"),
    [
        ("CMU", ["CN", "TH", "TW", "US", "US"]),
        ("CSIR", ["IN", "ZA"]),
        ("IIT", ["IT", "US"]),
        ("KIT", ["DE", "JP"]),
        ("LMU", ["DE", "US"]),
        ("MIT", ["NZ", "US"]),
        ("NIH", ["KR", "PK", "US"]),
        ("NTNU", ["NO", "TW"]),
        ("NTU", ["GB", "SG", "TW"]),
        ("UAB", ["ES", "US"]),
        ("UCL", ["BE", "GB"]),
        ("USP", ["BR", "FJ"]),
    ],
)
def test_acronyms_are_shared(acronym: str, countries: list[str]) -> None:
    found = [
        organisation.places[0].country_code
        for organisation in organisations().values()
        for name in organisation.names
        if name.value == acronym and NameKind.ACRONYM in name.kinds
    ]
    assert sorted(filter(None, found)) == countries


@pytest.mark.parametrize(
    ("display_name", "countries"),
    [("China Medical University", ["CN", "TW"]), ("Northeastern University", ["CN", "US"])],
)
def test_namesakes(display_name: str, countries: list[str]) -> None:
    found = [
        organisation.places[0].country_code
        for organisation in organisations().values()
        if organisation.display_name == display_name
    ]
    assert sorted(filter(None, found)) == countries


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_in_names_and_affiliations(script: str) -> None:
    names = [name.value for org in organisations().values() for name in org.names]
    assert has_script(letters(names), SCRIPTS[script])
    assert has_script(letters(list(gold())), SCRIPTS[script])


LANGUAGE_SCRIPTS = {
    "ar": "Arabic", "el": "Greek", "fa": "Arabic", "he": "Hebrew", "hi": "Devanagari",
    "ja": "Japanese", "ko": "Hangul", "ru": "Cyrillic", "th": "Thai", "uk": "Cyrillic",
    "ur": "Arabic", "zh": "Chinese",
}  # fmt: skip


def test_labels_are_in_the_script_of_their_language() -> None:
    counts: Counter[str] = Counter()
    for organisation in organisations().values():
        for name in organisation.names:
            if name.language is None:
                continue
            assert re.fullmatch("[a-z]{2}", name.language), name
            script = LANGUAGE_SCRIPTS.get(name.language, "Latin")
            starts = ("CJK UNIFIED", "KATAKANA") if name.language == "ja" else (SCRIPTS[script],)
            assert any(has_script(name.value, start) for start in starts), name
            counts[name.language] += 1
    assert counts.keys() >= LANGUAGE_SCRIPTS.keys()


def test_affiliations_can_be_enqueued() -> None:
    records = list(files.read_file(sample.AFFILIATIONS))
    assert [record for record in records if not isinstance(record, SourceRecord)] == []
    keys = [(r.source, r.external_id, r.position) for r in records if isinstance(r, SourceRecord)]
    assert len(set(keys)) == len(keys) == len(affiliations())


def test_positions_count_from_zero() -> None:
    positions: dict[str, list[int]] = {}
    for line in affiliations():
        positions.setdefault(line["id"], []).append(line.get("position", 0))
    assert all(found == list(range(len(found))) for found in positions.values())


def test_every_affiliation_has_one_answer_and_every_answer_an_affiliation() -> None:
    assert {line["affiliation"] for line in affiliations()} == gold().keys()


def test_answers_name_organisations_that_are_not_withdrawn() -> None:
    for affiliation, ror_ids in gold().items():
        assert len(ror_ids) == len(set(ror_ids)), affiliation
        for ror_id in ror_ids:
            status = organisations()[ror_id].status
            assert status is not OrganisationStatus.WITHDRAWN, affiliation


@pytest.mark.parametrize(
    ("affiliation", "display_names"),
    [
        ("Siemens AG, Corporate Technology, Otto-Hahn-Ring 6, München", ["Siemens (Germany)"]),
        (
            "Université Paris-Sud, bâtiment 425, 91405 Orsay cedex",
            ["Université Paris-Sud"],
        ),
        (
            "From the Department of Medicine, Brigham and Women&#8217;s Hospital and Harvard "
            "Medical School, Boston, MA",
            ["Brigham and Women's Hospital", "Harvard University"],
        ),
        ("서울대학교병원 신경과", ["Seoul National University Hospital"]),
        ("東京大学医学部附属病院 循環器内科", ["University of Tokyo Hospital"]),
        ("", []),
    ],
)
def test_answers(affiliation: str, display_names: list[str]) -> None:
    found = [organisations()[ror_id].display_name for ror_id in gold()[affiliation]]
    assert found == display_names


def test_the_affiliations_are_of_all_kinds() -> None:
    answers = gold()
    inactive = {
        ror_id
        for ror_id, organisation in organisations().items()
        if organisation.status is OrganisationStatus.INACTIVE
    }
    assert len(affiliations()) > len(answers), "no text comes from two records"
    assert sum(not ror_ids for ror_ids in answers.values()) >= 15
    assert sum(len(ror_ids) > 1 for ror_ids in answers.values()) >= 15
    assert max(len(ror_ids) for ror_ids in answers.values()) >= 4
    assert sum(bool(inactive.intersection(ror_ids)) for ror_ids in answers.values()) >= 4
    assert sum(normalise(text) != text and "&" in text for text in answers) >= 3


@cache
def released() -> dict[str, tuple[str, str]]:
    """Display name and status of each record of the release."""
    if not RELEASE.exists():
        pytest.skip(f"no ROR release at {RELEASE}")
    with gzip.open(RELEASE) as file:
        return {
            raw["id"]: (
                next(n["value"] for n in raw["names"] if "ror_display" in n["types"]),
                raw["status"],
            )
            for raw in json.load(file)
        }


@pytest.mark.slow
def test_ids_and_statuses_are_those_of_the_release() -> None:
    release = released()
    for ror_id, organisation in organisations().items():
        found = release[ROR_URL + ror_id]
        assert found == (organisation.display_name, organisation.status.value)


def test_no_affiliation_was_taken_from_the_reference_data() -> None:
    files = sorted((SHARED / "data/gold").rglob("*.jsonl"))
    if not files:
        pytest.skip(f"no reference affiliations under {SHARED}")
    taken = set()
    for path in files:
        for line in path.read_text("utf-8").splitlines():
            taken.add(normalise(json.loads(line)["affiliation"]).casefold())
    assert {text for text in gold() if normalise(text).casefold() in taken} == set()
