"""Documents as payload, manifests as JSON: what is refused on the way back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from index_points import NAMES, documents_of, manifest_of, points_of

from resolver.errors import IndexProblem
from resolver.index.manifest import from_json, to_json
from resolver.index.payload import document, payload, point_id


def test_point_ids_tell_names_and_organisations_apart() -> None:
    found = documents_of(NAMES)
    other = [
        dataclasses.replace(document, ror_id="099999999", display_name="Another")
        for document in found
    ]
    assert len({point_id(document) for document in found + other}) == 2 * len(NAMES)


def test_a_point_id_depends_on_organisation_and_name_alone() -> None:
    (plain,) = documents_of(["ETH Zürich"])
    assert point_id(plain) == point_id(dataclasses.replace(plain, city="Zürich", is_acronym=True))
    # Of an index that exists already: another formula would double its points.
    assert str(point_id(plain)) == "543268ce-33ef-8e5c-dfa9-03cbecc8acd7"


@pytest.mark.parametrize(
    "value",
    [None, {}, {"name": "ETH Zürich"}, {"ror_id": "05a28rw58"}, {"ror_id": 5, "name": "x"}],
    ids=repr,
)
def test_a_foreign_payload_is_refused(value: Any) -> None:
    with pytest.raises(IndexProblem, match="resolver index build"):
        document(value)


def test_payload_is_json() -> None:
    for found in documents_of(NAMES):
        assert document(json.loads(json.dumps(payload(found)))) == found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": None}, "version: not of type str"),
        ({"points": "14"}, "points: not of type int"),
        ({"form": True}, "form: not of type int"),
    ],
    ids=["missing", "text for a number", "bool for a number"],
)
def test_a_broken_manifest_is_refused(changes: dict[str, Any], says: str) -> None:
    value = {**to_json(manifest_of("v1", points_of(documents_of(NAMES)))), **changes}
    with pytest.raises(IndexProblem, match=f"somewhere: {says}"):
        from_json(value, where="somewhere")


def test_a_manifest_of_a_later_version_is_read() -> None:
    manifest = manifest_of("v1", points_of(documents_of(NAMES)))
    assert from_json({**to_json(manifest), "new_field": 1}, where="here") == manifest
