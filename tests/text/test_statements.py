"""Which texts are cut into statements, and where."""

from __future__ import annotations

import time

import pytest

from resolver.text.affiliation import MAX_CHARACTERS, Affiliation
from resolver.text.statements import statements

SEVERAL = {
    "semicolons after countries": [
        "EA 4294, AGIR, Jules Verne Picardy University, Amiens, France",
        "Respiratory and Intensive Care Unit, University Hospital Amiens, Amiens, France",
    ],
    "and after a country": [
        "DAMTP, University of Cambridge, Wilberforce Road, Cambridge CB3 0WA, UK",
        "Department of Physics, University of Regina, Regina, SK, Canada S4S 0A2",
    ],
    "and after a state": [
        "School of Mathematics, Georgia Institute of Technology, Atlanta, GA",
        "Center for Combinatorics, Nankai University, Tianjin 300071, China",
    ],
    "a bare name with town and country": [
        "Inria, Paris, France",
        "Nanyang Technological University, Singapore, Singapore",
    ],
    "towns without countries": [
        "Department of Mathematics, University of Leeds, Leeds",
        "Department of Sociology, University of York, York",
    ],
}
MARKS = {
    "semicolons after countries": "; ",
    "and after a country": " and ",
    "and after a state": "; ",
    "a bare name with town and country": " and ",
    "towns without countries": "; ",
}


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in statements(text)]


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_affiliations_are_cut(kind: str) -> None:
    assert cut(MARKS[kind].join(SEVERAL[kind])) == SEVERAL[kind]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "Université Libre de Bruxelles, Belgium, LaBRI, Université de Bordeaux, France",
            ["Université Libre de Bruxelles, Belgium", "LaBRI, Université de Bordeaux, France"],
            id="nothing but a comma after a country",
        ),
        pytest.param(
            "1] Inserm, U1061, Hopital La Colombiere, Montpellier, France [2] University "
            "Montpellier, U1061, Montpellier, France [3] Tianjin Mental Health Center",
            [
                "Inserm, U1061, Hopital La Colombiere, Montpellier, France",
                "University Montpellier, U1061, Montpellier, France",
                "Tianjin Mental Health Center",
            ],
            id="numbers in brackets",
        ),
        pytest.param(
            "(1) University of Oslo (2) University of Bergen",
            ["University of Oslo", "University of Bergen"],
            id="numbers in round brackets",
        ),
        pytest.param(
            "$^{1}$UC San Diego $^{2}$SUNY Buffalo",
            ["UC San Diego", "SUNY Buffalo"],
            id="numbers in LaTeX",
        ),
        pytest.param(
            "1Department of Hematology, CHU de Rennes, Rennes, France; 2INSERM U1236, Rennes, "
            "France",
            [
                "Department of Hematology, CHU de Rennes, Rennes, France",
                "INSERM U1236, Rennes, France",
            ],
            id="numbers before words",
        ),
        pytest.param(
            "aUniversity of Oslo, Norway; bUniversity of Bergen, Norway",
            ["University of Oslo, Norway", "University of Bergen, Norway"],
            id="letters before words",
        ),
        pytest.param(
            "From the Mayo Foundation, Rochester, Minn (D.R.H.); the Cleveland Clinic Foundation "
            "(E.J.T., K.-L.M.); Duke University Medical Center, Durham, NC (R.M.C.)",
            [
                "From the Mayo Foundation, Rochester, Minn",
                "the Cleveland Clinic Foundation",
                "Duke University Medical Center, Durham, NC",
            ],
            id="initials in brackets",
        ),
        pytest.param(
            "University of Oxford; ETH Zurich; Imperial College London; University of Tokyo; MIT",
            [
                "University of Oxford",
                "ETH Zurich",
                "Imperial College London",
                "University of Tokyo",
                "MIT",
            ],
            id="a list of names",
        ),
        pytest.param(
            "University of Oxford University of Cambridge Imperial College London",
            ["University of Oxford", "University of Cambridge Imperial College London"],
            id="nothing between",
        ),
        pytest.param(
            "Department of Botany; University of Oslo; Oslo Norway; Institute of Zoology; "
            "University of Turku; Turku Finland",
            [
                "Department of Botany; University of Oslo; Oslo Norway",
                "Institute of Zoology; University of Turku; Turku Finland",
            ],
            id="semicolons as commas in two statements",
        ),
        pytest.param(
            "University of Oslo, Oslo; Norway; University of Turku, Turku; Finland",
            ["University of Oslo, Oslo; Norway", "University of Turku, Turku; Finland"],
            id="a country behind a semicolon",
        ),
    ],
)
def test_marks_part_statements(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "University of Oslo",
        "Department of Physics; University of Turku; Turku Finland",
        "Pacific Oceanological Institute; Russian Academy of Sciences; Vladivostok Russia",
        "Telethon Kids Institute; The University of Western Australia; Australia",
        "Department of Mathematics, Tel-Aviv University; Tel-Aviv, Israel; E-mail: a@tau.ac.il, IL",
        "Monash University & RMIT, Melbourne, VIC, Australia",
        "Department of Medicine, University of Eastern Finland and Kuopio University Hospital, "
        "Kuopio, Finland",
        "University Hospital of Wales and School of Medicine, Cardiff University, Cardiff, UK",
        "Royal College of Surgeons in Ireland and Trinity College Dublin, Dublin, Ireland",
        "Queen's University, Kingston, ON, Canada",
        "National University of Singapore, Singapore, Singapore",
        "Academia Sinica, Taipei, Taiwan, Republic of China",
        "Department of Biostatistics, School of Public Health (D.E.S.), University of Michigan",
        "1 Academician Ossipyan Street, Institute of Solid State Physics, 2 Lenin Street, Russia",
        "Laboratoire de Génie Civil (LGCgE) - ULR 4515; Université de Lille",
        "Gembloux, 5030, Belgium; Microbial Processes laboratory, University of Liège",
        "Oxford Centre for Human Brain Activity; University of Oxford; Warneford Hospital Oxford "
        "United Kingdom",
        "Medical University of Vienna",
        "Université de Genève / University of Geneva / 日内瓦大学",
        "Institut de Biologie Structurale, CEA-CNRS-UJF, Grenoble, France;",
        "Research Centre; 東京大学; Japan",
    ],
)
def test_what_does_not_stand_by_itself_is_not_cut_off(text: str) -> None:
    assert statements(text) == [(0, len(text))]


@pytest.mark.parametrize("kind", SEVERAL)
def test_statements_are_of_the_whole_text(kind: str) -> None:
    affiliation = Affiliation.of(MARKS[kind].join(SEVERAL[kind]))
    for start, stated in affiliation.statements:
        assert affiliation.text.startswith(stated.text, start)


def test_one_statement_is_the_affiliation_itself() -> None:
    affiliation = Affiliation.of("Univ. of York, UK;")
    assert affiliation.statements == ((0, affiliation),)


@pytest.mark.parametrize(
    "unit",
    [
        "UK and ",
        "A;",
        "Univ A, UK; ",
        "(A.B., ",
        "(",
        "University of ",
        ", UK",
        "[1]",
        "Dept, UK; ",
    ],
)
def test_no_text_takes_long(unit: str) -> None:
    text = (unit * MAX_CHARACTERS)[:MAX_CHARACTERS].strip()
    began = time.process_time()
    statements(text)
    assert time.process_time() - began < 5
