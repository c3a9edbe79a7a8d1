"""Documents as payload, manifests as JSON: what is refused on the way back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from support.index_points import NAMES, documents_of, manifest_of, points_of

from resolver.errors import IndexProblem
from resolver.index.manifest import from_json, to_json
from resolver.index.payload import Points, document, payload, point_id


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
    [
        None,
        {},
        {"document": '{"name": "ETH Zürich"}'},
        {"ror_id": "05a28rw58"},
        {"ror_id": 5, "document": '{"name": "ETH Zürich"}'},
        {"ror_id": "05a28rw58", "name": "ETH Zürich"},
        {"ror_id": "05a28rw58", "document": {"name": "ETH Zürich"}},
        {"ror_id": "05a28rw58", "document": '"ETH Zürich"'},
        {"ror_id": "05a28rw58", "document": "{}"},
        {"ror_id": "05a28rw58", "document": '{"name": "ETH'},
    ],
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
        ({"version": None}, "version: missing or empty"),
        ({"points": "14"}, "points: is a string, not a whole number"),
        ({"form": True}, "form: is a boolean, not a whole number"),
    ],
    ids=["missing", "text for a number", "bool for a number"],
)
def test_a_broken_manifest_is_refused(changes: dict[str, Any], says: str) -> None:
    value = {**to_json(manifest_of("v1", points_of(documents_of(NAMES)))), **changes}
    with pytest.raises(IndexProblem, match=f"somewhere: {says}"):
        from_json(json.dumps(value).encode(), where="somewhere")


def test_a_manifest_of_a_later_version_is_read() -> None:
    manifest = manifest_of("v1", points_of(documents_of(NAMES)))
    content = json.dumps({**to_json(manifest), "new_field": 1}).encode()
    assert from_json(content, where="here") == manifest


class Stored:
    """Payloads by point, and what was read of them."""

    def __init__(self, payloads: Mapping[UUID, Any]) -> None:
        self.payloads = dict(payloads)
        self.read: list[tuple[int, list[str] | None]] = []

    def __call__(
        self, ids: Sequence[UUID], keys: list[str] | None
    ) -> Iterator[tuple[UUID, Mapping[str, Any] | None]]:
        self.read.append((len(ids), keys))
        for point in ids:
            if point in self.payloads:
                value = self.payloads[point]
                yield point, {key: value[key] for key in keys} if keys else value


@pytest.fixture
def stored() -> Stored:
    return Stored({point_id(found): payload(found) for found in documents_of(NAMES)})


def test_points_are_read_once_and_documents_when_wanted(stored: Stored) -> None:
    points = Points(stored)
    ids = [point.int for point in stored.payloads]
    first = points.results(
        points.found([(ids[:3], [3.0, 2.0, 1.0]), (ids[2:5], [3.0, 2.0, 1.0]), ([], [])])
    )
    assert stored.read == [(5, ["ror_id"])]
    again = points.results(points.found([(ids[:5], [0.5] * 5)]))
    assert len(stored.read) == 1
    wanted = first[0].names.tolist()[:2]
    for _ in range(2):
        assert [points.documents(wanted)[name] for name in wanted] == documents_of(NAMES)[:2]
    assert stored.read[1:] == [(2, None)]
    assert [len(found) for found in (*first, *again)] == [3, 3, 0, 5]


def test_equal_scores_come_in_order_of_organisation_then_name() -> None:
    bonn, oslo = documents_of(["University of Bonn", "University of Oslo"])
    aliases = [dataclasses.replace(bonn, name=f"Bonn {i}") for i in (3, 0, 4, 1, 2)]
    stored = Stored({point_id(found): payload(found) for found in [oslo, *aliases, bonn]})
    points = Points(stored)
    ids = [point.int for point in stored.payloads]

    def names(answers: list[tuple[list[int], list[float]]]) -> list[list[str]]:
        found = points.results(points.found(answers))
        documents = points.documents({name for results in found for name in results.names.tolist()})
        return [[documents[name].name for name in results.names.tolist()] for results in found]

    bonns = [*(f"Bonn {i}" for i in range(5)), "University of Bonn"]
    assert names(
        [
            (ids, [1.0] * 7),
            (ids[::-1], [1.0] * 7),
            (ids[::-1], [2.0] + [1.0] * 5 + [2.0]),
            (ids[:2], [2.0, 1.0]),
            # Alike beside the answer before and the one after, which are no twins of its own.
            (ids[2:3], [1.0]),
            (ids[1:2], [1.0]),
        ]
    ) == [
        [*bonns, "University of Oslo"],
        [*bonns, "University of Oslo"],
        ["University of Bonn", "University of Oslo", *bonns[:-1]],
        ["University of Oslo", "Bonn 3"],
        ["Bonn 0"],
        ["Bonn 3"],
    ]


def test_a_point_that_goes_away_is_an_error(stored: Stored) -> None:
    points = Points(stored)
    ids = [point.int for point in stored.payloads]
    (found,) = points.results(points.found([(ids[:2], [2.0, 1.0])]))
    stored.payloads.clear()
    with pytest.raises(IndexProblem, match="2 points went away"):
        points.documents(found.names.tolist())
    with pytest.raises(IndexProblem, match="1 points went away"):
        points.results(points.found([(ids[:3], [3.0, 2.0, 1.0])]))


@pytest.mark.parametrize("ror_id", [None, 5, "", "05A28RW58"], ids=repr)
def test_a_foreign_point_is_refused(stored: Stored, ror_id: Any) -> None:
    point = next(iter(stored.payloads))
    stored.payloads[point] = {"ror_id": ror_id}
    with pytest.raises(IndexProblem, match=r"no ror_id.*resolver index build"):
        Points(stored).found([([point.int], [1.0])])
