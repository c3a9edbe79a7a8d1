from dataclasses import replace

import pytest

from resolver.registry.document import Document, documents
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place

ETH = Organisation(
    ror_id="05a28rw58",
    status=OrganisationStatus.ACTIVE,
    names=(
        Name("ETH Zurich", frozenset({NameKind.DISPLAY, NameKind.LABEL}), "en"),
        Name("ETHZ", frozenset({NameKind.ACRONYM})),
        Name("eth zurich", frozenset({NameKind.ALIAS})),
        Name("Eidgenössische  Technische Hochschule Zürich", frozenset({NameKind.LABEL}), "de"),
    ),
    types=("education",),
    places=(Place("CH", "Switzerland", "Zurich", "Zurich"),),
)


def test_one_document_for_each_distinct_name() -> None:
    assert [document.name for document in documents(ETH)] == [
        "ETH Zurich",
        "ETHZ",
        "Eidgenössische Technische Hochschule Zürich",
    ]
    assert [document.is_acronym for document in documents(ETH)] == [False, True, False]


def test_the_display_name_s_document_has_the_website() -> None:
    organisation = replace(ETH, websites=("https://ethz.ch", "https://ethz.example"))
    websites = [document.website for document in documents(organisation)]
    assert websites == ["https://ethz.ch", None, None]


def test_a_document_knows_the_other_names() -> None:
    assert [document.other_names for document in documents(ETH)] == [
        ("ETHZ", "Eidgenössische Technische Hochschule Zürich"),
        ("ETH Zurich", "Eidgenössische Technische Hochschule Zürich"),
        ("ETH Zurich", "ETHZ"),
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (Document("x", "A", "A", False, "Bonn", None, "DE", "Germany"), "A, Bonn, Germany"),
        (Document("x", "B", "A", False, "Bonn", None, "DE", "Germany"), "B (A), Bonn, Germany"),
        (Document("x", "A", "A", False, None, None, None, None), "A"),
    ],
)
def test_text_is_written_as_an_affiliation(document: Document, expected: str) -> None:
    assert document.text == expected
