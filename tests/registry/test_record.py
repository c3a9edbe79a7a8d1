"""resolver.registry.record: what a record becomes, what is refused, and the stored form."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import RecordError, RegistryError
from resolver.registry.organisation import (
    Edit,
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.registry.record import dump_record, load_record, parse

FULL: dict[str, Any] = {
    "admin": {
        "created": {"date": "2018-11-14", "schema_version": "1.0"},
        "last_modified": {"date": "2024-12-11", "schema_version": "2.1"},
    },
    "domains": ["ethz.ch"],
    "established": 1855,
    "external_ids": [
        {"all": ["501100003006", "501100012652"], "preferred": "501100003006", "type": "fundref"},
        {"all": ["0000 0001 2156 2780"], "preferred": None, "type": "isni"},
    ],
    "id": "https://ror.org/05a28rw58",
    "links": [
        {"type": "website", "value": "https://ethz.ch"},
        {"type": "wikipedia", "value": "https://en.wikipedia.org/wiki/ETH_Zurich"},
    ],
    "locations": [
        {
            "geonames_details": {
                "continent_code": "EU",
                "continent_name": "Europe",
                "country_code": "CH",
                "country_name": "Switzerland",
                "country_subdivision_code": "ZH",
                "country_subdivision_name": "Zurich",
                "lat": 47.36667,
                "lng": 9,
                "name": "Zürich",
            },
            "geonames_id": 2657896,
        }
    ],
    "names": [
        {"lang": None, "types": ["acronym"], "value": "ETH"},
        {"lang": "de", "types": ["ror_display", "label"], "value": "ETH Zürich"},
        {"lang": "en", "types": ["alias"], "value": "Swiss Federal Institute of Technology"},
    ],
    "relationships": [
        {"type": "child", "label": "Collegium Helveticum", "id": "https://ror.org/02crff812"},
        {"type": "related", "label": "Empa", "id": "https://ror.org/02x681a42"},
    ],
    "status": "active",
    "types": ["education", "funder"],
}

MINIMAL: dict[str, Any] = {
    "id": "https://ror.org/05a28rw58",
    "names": [{"types": ["ror_display"], "value": "ETH Zürich"}],
    "status": "withdrawn",
}


def changed(path: str, value: object) -> dict[str, Any]:
    """FULL with one value replaced; `path` like "names.0.value"."""
    record = copy.deepcopy(FULL)
    *parents, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    target: Any = record
    for step in parents:
        target = target[step]
    target[last] = value
    return record


def lacking(path: str) -> dict[str, Any]:
    record = copy.deepcopy(FULL)
    *parents, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    target: Any = record
    for step in parents:
        target = target[step]
    del target[last]
    return record


def test_full_record() -> None:
    assert parse(FULL, index=0) == Organisation(
        ror_id="05a28rw58",
        status=OrganisationStatus.ACTIVE,
        names=(
            Name("ETH", frozenset({NameKind.ACRONYM})),
            Name("ETH Zürich", frozenset({NameKind.DISPLAY, NameKind.LABEL}), "de"),
            Name("Swiss Federal Institute of Technology", frozenset({NameKind.ALIAS}), "en"),
        ),
        types=("education", "funder"),
        places=(
            Place(
                "CH",
                "Switzerland",
                "Zürich",
                "Zurich",
                47.36667,
                9.0,
                2657896,
                "ZH",
                "EU",
                "Europe",
            ),
        ),
        relations=(
            Relation(RelationKind.CHILD, "02crff812", "Collegium Helveticum"),
            Relation(RelationKind.RELATED, "02x681a42", "Empa"),
        ),
        identifiers=(
            Identifier("fundref", ("501100003006", "501100012652"), "501100003006"),
            Identifier("isni", ("0000 0001 2156 2780",), None),
        ),
        domains=("ethz.ch",),
        websites=("https://ethz.ch",),
        established=1855,
        wikipedia=("https://en.wikipedia.org/wiki/ETH_Zurich",),
        created=Edit("2018-11-14", "1.0"),
        last_modified=Edit("2024-12-11", "2.1"),
    )


@pytest.mark.parametrize(
    ("raw", "field", "expected"),
    [
        pytest.param(
            MINIMAL,
            None,
            Organisation(
                "05a28rw58",
                OrganisationStatus.WITHDRAWN,
                (Name("ETH Zürich", frozenset({NameKind.DISPLAY})),),
            ),
            id="only what the schema requires",
        ),
        pytest.param(changed("id", "05a28rw58"), "ror_id", "05a28rw58", id="bare id"),
        pytest.param(changed("new_field", {"a": [1]}), None, parse(FULL, index=0), id="new field"),
        pytest.param(
            changed("locations.0.geonames_details.lat", 47),
            "places",
            (
                Place(
                    "CH",
                    "Switzerland",
                    "Zürich",
                    "Zurich",
                    47.0,
                    9.0,
                    2657896,
                    "ZH",
                    "EU",
                    "Europe",
                ),
            ),
            id="whole degrees",
        ),
        pytest.param(
            # Schema 2.0: no continent and no subdivision.
            changed(
                "locations.0.geonames_details",
                {"country_code": "CH", "country_name": "Switzerland", "lat": None, "name": ""},
            ),
            "places",
            (Place("CH", "Switzerland", geonames_id=2657896),),
            id="schema 2.0 place",
        ),
        pytest.param(
            changed("locations.0.geonames_details", None),
            "places",
            (Place(None, None, geonames_id=2657896),),
            id="place without details",
        ),
        pytest.param(
            changed("relationships.0.type", "merged_into"),
            "relations",
            (Relation(RelationKind.RELATED, "02x681a42", "Empa"),),
            id="unknown relation is left out",
        ),
        pytest.param(
            changed("relationships", [{"type": "parent", "id": "https://ror.org/02x681a42"}]),
            "relations",
            (Relation(RelationKind.PARENT, "02x681a42", ""),),
            id="relation without label",
        ),
        pytest.param(
            changed("names.0.types", ["acronym", "transliteration"]),
            "names",
            parse(FULL, index=0).names,
            id="unknown name type is left out",
        ),
        pytest.param(
            changed("names", [*FULL["names"], {"types": ["nickname"], "value": "Poly"}]),
            "names",
            (*parse(FULL, index=0).names, Name("Poly", frozenset())),
            id="name of only unknown types stays",
        ),
        pytest.param(
            changed("links.1.type", "mastodon"), "websites", ("https://ethz.ch",), id="unknown link"
        ),
        pytest.param(changed("established", None), "established", None, id="no year"),
    ],
)
def test_accepted(raw: object, field: str | None, expected: object) -> None:
    organisation = parse(raw, index=0)
    assert (getattr(organisation, field) if field else organisation) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("ETH\x00 Zürich", "ETH Zürich", id="NUL"),
        pytest.param("ETH \ud800Zürich", "ETH \ufffdZürich", id="lone surrogate"),
        pytest.param(" ETH \t\n Zürich\u00a0 ", "ETH Zürich", id="white space"),
        pytest.param("ETH  Zürich", "ETH Zürich", id="two spaces"),
        pytest.param("\x9bETH\x7f", "ETH", id="C1 controls and DEL"),
        pytest.param("A&amp;B <i>x</i>", "A&amp;B <i>x</i>", id="as ROR has it"),
        pytest.param("دانشگاه بین\u200cالمللی", "دانشگاه بین\u200cالمللی", id="joiners stay"),
        pytest.param("Zu\u0308rich", "Zu\u0308rich", id="not composed"),
        pytest.param("𝔈𝔗ℌ 🎓", "𝔈𝔗ℌ 🎓", id="beyond the BMP"),
    ],
)
def test_text_can_be_stored(value: str, expected: str) -> None:
    organisation = parse(changed("names.1.value", value), index=0)
    assert organisation.display_name == expected
    assert organisation.display_name.encode()


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        pytest.param(None, "record", "null, not an object", id="null"),
        pytest.param(["x"], "record", "a list, not an object", id="array"),
        pytest.param({}, "id", "missing", id="empty object"),
        pytest.param(lacking("id"), "id", "missing", id="no id"),
        pytest.param(changed("id", 5), "id", "a number, not a string", id="numeric id"),
        pytest.param(changed("id", "https://ror.org/"), "id", "no ROR id", id="id cut off"),
        pytest.param(
            changed("id", "https://ror.org/05a28rw59"), "id", "check digits", id="check digits"
        ),
        pytest.param(
            changed("id", "grid.5801.c"), "id", "'grid.5801.c' is no ROR id", id="GRID id"
        ),
        pytest.param(lacking("status"), "status", "missing", id="no status"),
        pytest.param(changed("status", "merged"), "status", "'merged' is none", id="status"),
        pytest.param(changed("status", True), "status", "a boolean", id="status kind"),
        pytest.param(lacking("names"), "names", "missing or empty", id="no names"),
        pytest.param(changed("names", []), "names", "missing or empty", id="names empty"),
        pytest.param(changed("names", "ETH"), "names", "a string, not a list", id="names kind"),
        pytest.param(changed("names.0", "ETH"), "names[0]", "not an object", id="name kind"),
        pytest.param(lacking("names.2.value"), "names[2].value", "missing", id="no value"),
        pytest.param(changed("names.2.value", 7), "names[2].value", "a number", id="value kind"),
        pytest.param(changed("names.2.value", " \x00"), "names[2].value", "empty", id="blank"),
        pytest.param(
            changed("names.2.value", "\u200b\u200e"), "names[2].value", "visible", id="invisible"
        ),
        pytest.param(
            changed("names.2.value", "x" * 10_001), "names[2].value", "10,000", id="name too long"
        ),
        pytest.param(changed("names.1.lang", 1), "names[1].lang", "a number", id="language kind"),
        pytest.param(
            changed("names.1.types", [["label"]]), "names[1].types[0]", "a list", id="type kind"
        ),
        pytest.param(changed("names.1.types", ["label"]), "names", "0 names", id="no display"),
        pytest.param(
            changed("names.0.types", ["ror_display"]), "names", "2 names", id="two displays"
        ),
        pytest.param(changed("types", {"a": 1}), "types", "an object", id="types kind"),
        pytest.param(changed("types", [None]), "types[0]", "missing", id="null type"),
        pytest.param(changed("domains", "ethz.ch"), "domains", "a string", id="domains kind"),
        pytest.param(changed("locations.0", None), "locations[0]", "null", id="null place"),
        pytest.param(
            changed("locations.0.geonames_details", "CH"),
            "locations[0].geonames_details",
            "a string",
            id="details kind",
        ),
        pytest.param(
            changed("locations.0.geonames_details.country_code", "Switzerland"),
            "locations[0].geonames_details.country_code",
            "alpha-2",
            id="country code",
        ),
        pytest.param(
            changed("locations.0.geonames_details.lat", "47"),
            "locations[0].geonames_details.lat",
            "a string, not a number",
            id="latitude kind",
        ),
        pytest.param(
            changed("locations.0.geonames_details.lat", 91.0),
            "locations[0].geonames_details.lat",
            "more than 90",
            id="latitude",
        ),
        pytest.param(
            changed("locations.0.geonames_details.lng", float("nan")),
            "locations[0].geonames_details.lng",
            "not a finite number",
            id="longitude NaN",
        ),
        pytest.param(
            changed("locations.0.geonames_details.lng", 10**400),
            "locations[0].geonames_details.lng",
            "too large",
            id="longitude beyond any float",
        ),
        pytest.param(
            changed("locations.0.geonames_id", 2**31),
            "locations[0].geonames_id",
            "more than 2147483647",
            id="geonames id",
        ),
        pytest.param(
            changed("relationships.1.id", "02x681a43"),
            "relationships[1].id",
            "check digits",
            id="related id",
        ),
        pytest.param(
            lacking("relationships.0.type"), "relationships[0].type", "missing", id="no relation"
        ),
        pytest.param(
            changed("external_ids.0.all", "501100003006"),
            "external_ids[0].all",
            "a string",
            id="identifiers kind",
        ),
        pytest.param(
            changed("external_ids.0.all", ["1", 2]), "external_ids[0].all[1]", "a number", id="all"
        ),
        pytest.param(lacking("links.0.value"), "links[0].value", "missing", id="link value"),
        pytest.param(changed("established", "1855"), "established", "a string", id="year kind"),
        pytest.param(changed("established", True), "established", "a boolean", id="year boolean"),
        pytest.param(changed("established", 10_000), "established", "more than 9999", id="year"),
        pytest.param(
            {"id": FULL["id"], "name": "ETH Zurich", "status": "active", "country": {}},
            "names",
            "schema 1",
            id="schema 1",
        ),
    ],
)
def test_refused(raw: object, field: str, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(raw, index=41)
    assert caught.value.index == 41
    assert caught.value.field == field
    assert reason in caught.value.reason
    # The id is told wherever it can be read.
    assert caught.value.ror_id == (None if field in {"record", "id"} else "05a28rw58")
    assert str(caught.value).isprintable()


STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
MAYBE = st.none() | STORABLE
DEGREES = st.none() | st.floats(-180, 180)
STRINGS = st.lists(STORABLE, max_size=3).map(tuple)
ORGANISATIONS = st.builds(
    Organisation,
    ror_id=STORABLE,
    status=st.sampled_from(OrganisationStatus),
    names=st.lists(
        st.builds(
            Name, value=STORABLE, kinds=st.frozensets(st.sampled_from(NameKind)), language=MAYBE
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    types=STRINGS,
    places=st.lists(
        st.builds(
            Place,
            country_code=MAYBE,
            country=MAYBE,
            city=MAYBE,
            region=MAYBE,
            latitude=DEGREES,
            longitude=DEGREES,
            geonames_id=st.none() | st.integers(1, 2**31 - 1),
            region_code=MAYBE,
            continent_code=MAYBE,
            continent=MAYBE,
        ),
        max_size=2,
    ).map(tuple),
    relations=st.lists(
        st.builds(Relation, kind=st.sampled_from(RelationKind), ror_id=STORABLE, label=STORABLE),
        max_size=2,
    ).map(tuple),
    identifiers=st.lists(
        st.builds(Identifier, scheme=STORABLE, values=STRINGS, preferred=MAYBE), max_size=2
    ).map(tuple),
    domains=STRINGS,
    websites=STRINGS,
    established=st.none() | st.integers(0, 9999),
    wikipedia=STRINGS,
    created=st.none() | st.builds(Edit, MAYBE, MAYBE),
    last_modified=st.none() | st.builds(Edit, MAYBE, MAYBE),
)


@given(ORGANISATIONS)
def test_stored_form_loses_nothing(organisation: Organisation) -> None:
    stored = dump_record(organisation)
    assert load_record(stored) == organisation
    assert load_record(orjson.loads(orjson.dumps(stored))) == organisation


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(field=st.sampled_from(sorted(FULL)), value=JSON_VALUES)
def test_any_json_is_taken_or_refused(field: str, value: object) -> None:
    try:
        organisation = parse({**FULL, field: value}, index=0)
    except RecordError as error:
        assert error.field.startswith(field)  # noqa: PT017
    else:
        assert load_record(json.loads(json.dumps(dump_record(organisation)))) == organisation


def test_stored_form_is_compact() -> None:
    assert dump_record(parse(MINIMAL, index=0)) == {
        "id": "05a28rw58",
        "status": "withdrawn",
        "names": [{"value": "ETH Zürich", "kinds": ["ror_display"]}],
    }


def test_whole_degrees_of_a_json_store_come_back_as_floats() -> None:
    stored: dict[str, Any] = dump_record(parse(FULL, index=0))
    stored["places"][0]["latitude"] = 47
    place = load_record(stored).places[0]
    assert isinstance(place.latitude, float)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({}, id="empty"),
        pytest.param({"id": "05a28rw58", "status": "active"}, id="no names"),
        pytest.param({"id": "05a28rw58", "status": "gone", "names": []}, id="status"),
        pytest.param({"id": "05a28rw58", "status": "active", "names": ["ETH"]}, id="name"),
        pytest.param(
            {"id": "05a28rw58", "status": "active", "names": [], "places": [{"latitude": "x"}]},
            id="latitude",
        ),
    ],
)
def test_foreign_stored_form(stored: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="load the release again"):
        load_record(stored)
