"""What parts of affiliations are taken for; made up, but for places and terms in use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.matching.place import place_names
from resolver.registry.document import Document
from resolver.text.affiliation import normalise
from resolver.text.parts import PartKind, parts

ORGANISATION, UNIT, ACRONYM, NAME = (
    PartKind.ORGANISATION,
    PartKind.UNIT,
    PartKind.ACRONYM,
    PartKind.NAME,
)
PLACE, PERSON, REMARK, NUMBER = PartKind.PLACE, PartKind.PERSON, PartKind.REMARK, PartKind.NUMBER

IN_JENA = Document("0", "Optik Jena", "Optik Jena", False, "Jena", "Thüringen", "DE", "Germany")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Department of Physics, Univ. of Kelmar, Jena, Germany", [UNIT, ORGANISATION, PLACE, PLACE]),
        ("Institut für Chemie, Hochschule Kelmar", [UNIT, ORGANISATION]),
        ("Kelmar Institute of Chemistry", [ORGANISATION]),
        ("Division of Hospital Pharmacy", [UNIT]),
        ("Kelmar University Hospital", [ORGANISATION]),
        ("Internal Medicine and Oncology", [UNIT]),
        ("Faculté des Sciences, Université de Kelmar", [UNIT, ORGANISATION]),
        ("Кафедра химии, Келмарский университет", [UNIT, ORGANISATION]),
        ("ケルマル大学 物理学科", [ORGANISATION]),
        ("物理学科", [UNIT]),
        ("قسم الكيمياء، جامعة كلمار", [UNIT, ORGANISATION]),
        ("Kelmar Optics Ltd.", [ORGANISATION]),
        ("Optica s.r.o.", [ORGANISATION]),
        ("Kelmar Metal Co", [ORGANISATION]),
        ("Kelmar U.", [ORGANISATION]),
        ("1 University Road", [PLACE]),
        ("CNRS, 12 rue de la Paix, 75002 Paris", [ACRONYM, PLACE, PLACE]),
        ("07743 Jena, Deutschland", [PLACE, PLACE]),
        ("Portland, OR 97239", [PLACE, PLACE]),
        ("Kelmarville, OR 97239", [NAME, PLACE]),
        ("Kelmar Optics, Sheffield, UK", [NAME, PLACE, PLACE]),
        ("Dr. Ada Kelmar, PhD", [PERSON, PERSON]),
        ("A. B. Kelmar", [PERSON]),
        ("independent researcher, UK", [PERSON, PLACE]),
        ("ada@kelmar.example, https://kelmar.example/x", [REMARK, REMARK]),
        ("Received 3 May 2020", [REMARK]),
        ("Independent researcher, no institution", [PERSON, REMARK]),
        ("This was done while the second of us was on leave", [REMARK]),
        ("12345", [NUMBER]),
        ("KELMAR UNIVERSITY, JENA", [ORGANISATION, PLACE]),
        ("Kelmar", [NAME]),
        ("", []),
        (" ,;- ", []),
    ],
    ids=ascii,
)  # fmt: skip
def test_parts(text: str, expected: list[PartKind]) -> None:
    assert [part.kind for part in parts(normalise(text), place_names([IN_JENA]))] == expected


@given(st.text(max_size=60))
def test_parts_are_of_the_text_and_in_order(text: str) -> None:
    found = parts(text, place_names([IN_JENA]))
    assert all(part.text == text[part.start : part.end] for part in found)
    assert all(any(map(str.isalnum, part.text)) or part.kind is REMARK for part in found)
    assert [part.start for part in found] == sorted(part.start for part in found)
