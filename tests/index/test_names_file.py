"""The documents of a version in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from support.index_points import NAMES, documents_of

from resolver.errors import IndexProblem
from resolver.index.names_file import NamesFile, NamesWriter
from resolver.index.payload import organisation_number, point_id
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus

DOCUMENTS = documents_of(NAMES)
POINTS = [point_id(document) for document in DOCUMENTS]


def written(folder: Path, documents: list[Document]) -> NamesFile:
    writer = NamesWriter(folder)
    writer.write([*map(point_id, documents)], documents)
    return NamesFile(folder, points=writer.finish())


def all_of(names: NamesFile) -> dict[int, Document]:
    return dict(zip(names.ids(), names.documents(range(len(names))).values(), strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "v1" / "names"


@pytest.fixture(autouse=True)
def version(folder: Path) -> None:
    folder.parent.mkdir()


def test_names_are_numbered_in_the_order_of_their_points(folder: Path) -> None:
    names = written(folder, DOCUMENTS)
    numbers = names.numbers([point.int for point in POINTS])
    assert [names.documents([n])[n] for n in numbers.tolist()] == DOCUMENTS
    assert list(names.ids()) == sorted(point.int for point in POINTS)
    assert names.bearers[numbers].tolist() == [organisation_number(d.ror_id) for d in DOCUMENTS]


def test_all_of_a_document_is_kept(folder: Path) -> None:
    document = Document(
        "05a28rw58", "ETH", "ETH Zürich", True, "Zürich", "ZH", "CH", "Switzerland",
        types=("education", "funder"), status=OrganisationStatus.INACTIVE, namesakes=3,
        parents=("000000001",), successors=("000000002",), relatives=("000000003",),
        identifiers=("grid.5801.c",), other_names=("Ecole", "ꟷ \N{GRINNING FACE}"),
        website="https://ethz.ch",
    )  # fmt: skip
    unplaced = Document("05a28rw58", "ETH Zürich", "ETH Zürich", False, None, None, None, None)
    assert set(all_of(written(folder, [document, unplaced])).values()) == {document, unplaced}


def test_organisations_are_found_by_their_display_names(folder: Path) -> None:
    (named,) = documents_of(["University of Bonn"])
    names = written(folder, [dataclasses.replace(named, name="Bonn"), named])
    assert names.organisations([named.ror_id, "099999999"]) == {named.ror_id: named}


def test_points_whose_ids_begin_alike_are_told_apart(folder: Path) -> None:
    alike = [5 << 64 | 7, 5 << 64 | 8, 5 << 64 | 9, 6 << 64]
    writer = NamesWriter(folder)
    writer.write([UUID(int=point) for point in alike], DOCUMENTS[:4])
    names = NamesFile(folder, points=writer.finish())
    numbers = names.numbers(alike[::-1]).tolist()
    assert [names.documents([n])[n] for n in numbers] == DOCUMENTS[3::-1]
    with pytest.raises(IndexProblem, match="2 points that a search found are missing"):
        names.numbers([5 << 64 | 9, 5 << 64 | 10, 7 << 64])


def test_a_version_begins_with_the_names_of_another(folder: Path) -> None:
    written(folder, DOCUMENTS[:3])
    changed = dataclasses.replace(DOCUMENTS[0], city="Elsewhere")
    writer = NamesWriter(folder, base=3)
    writer.write([POINTS[0], POINTS[3]], [changed, DOCUMENTS[3]])
    writer.remove([POINTS[1], POINTS[5]])
    expected = {POINTS[0]: changed, POINTS[2]: DOCUMENTS[2], POINTS[3]: DOCUMENTS[3]}
    assert writer.finish() == 3
    derived = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert all_of(NamesFile(folder, points=3)) == {p.int: d for p, d in expected.items()}
    for file in folder.iterdir():
        file.unlink()
    written(folder, list(expected.values()))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == derived


def shorten(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("points.npy", Path.unlink, "No such file"),
        ("points.npy", lambda file: np.save(file, np.zeros((2, 1), np.uint64)), "not of"),
        ("organisations.npy", shorten, "mmap length"),
        ("ends.npy", lambda file: file.write_bytes(b""), "No data left"),
        ("documents", shorten, "has .* bytes, not"),
        ("documents", lambda file: file.write_bytes(b""), "empty file"),
    ],
)
def test_damaged_files_are_named(
    folder: Path, name: str, damage: Callable[[Path], object], says: str
) -> None:
    written(folder, DOCUMENTS)
    damage(folder / name)
    with pytest.raises(IndexProblem, match=f"v1 are damaged: .*{says}"):
        NamesFile(folder, points=len(DOCUMENTS))


def test_a_damaged_document_is_named(folder: Path) -> None:
    written(folder, DOCUMENTS)
    file = folder / "documents"
    file.write_bytes(bytes(file.stat().st_size))
    names = NamesFile(folder, points=len(DOCUMENTS))
    with pytest.raises(IndexProblem, match="v1 are damaged: document 2"):
        names.documents([2])
