import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.text.acronyms import acronyms, not_acronyms
from resolver.text.text import Text


def read(text: str) -> dict[str, str]:
    """Each acronym with the words that it is spelled out as."""
    affiliation = Text(text)
    return {
        affiliation.units[acronym.position]: " ".join(
            affiliation.units[position] for position in sorted(acronym.spelled_out)
        )
        for acronym in acronyms(affiliation)
    }


def by_initials(text: str) -> list[bool]:
    return [acronym.by_initials for acronym in acronyms(Text(text)) if acronym.spelled_out]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CNRS, Paris", ["cnrs"]),
        ("LEF-ENGREF-INRA", ["lef", "engref", "inra"]),
        ("UniSA; IN2P3", ["unisa", "in2p3"]),
        ("University of Oslo (UiO), McGill University", ["uio"]),
        ("C.S.I.R.O., Canberra", ["csiro"]),
        ("C. N. R. S., Orsay", ["cnrs"]),
        ("ИЯФ СО РАН, Новосибирск", ["ияф", "со", "ран"]),
        ("cern", ["cern"]),
        ("uni lab at cern", ["uni", "cern"]),
        ("IIT BOMBAY, DEPARTMENT OF PHYSICS", ["iit", "bombay"]),
        ("Department of Physics, Oslo", []),
        ("", []),
    ],
)
def test_what_is_an_acronym(text: str, expected: list[str]) -> None:
    assert list(read(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Atlanta, GA, 30332, USA",
        "Allentown, PA;",
        "Pittsburgh PA 15213",
        "New York, NY 10012",
        "75231 Paris CEDEX 05",
        "London SW7 2AZ",
        "SE-751 85 Uppsala",
        "Gif-sur-Yvette, GIF-SUR-YVETTE",
        "Ada Kelmar, MCA, Jena",
        "MBBS, PhD, CFA of Kelmar",
        "UMR 8190, USR 3388, UMR7501, EA 4245, U1053, CS 50449",
        "The Kelmar Clinic (D.R.H.)",
        "J. R. R. Kelmar, Jena",
        "ORCID 0000-0002-1825-0097",
        "E-mail: A.MUSTER@ENS.fr, https://ENS.fr/LAB",
        "Kelmar University, UAE",
    ],
)
def test_what_is_none(text: str) -> None:
    assert read(text) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Universidade do Extremo Sul Catarinense (UNESC), Criciúma",
            {"unesc": "universidade do extremo sul catarinense"},
        ),
        (
            "National Agri-Food Biotechnology Institute (NABI)",
            {"nabi": "national agri food biotechnology institute"},
        ),
        (
            "Institut Jean Lamour; Scientific Committee for Consumer Safety (SCCS)",
            {"sccs": "scientific committee for consumer safety"},
        ),
        ("University of Oslo (UiO), Norway", {"uio": "university of oslo"}),
        (
            "Universidade Estadual de Campinas (UNICAMP)",
            {"unicamp": "universidade estadual de campinas"},
        ),
        (
            "Centre National de la Recherche Scientifique (C.N.R.S.)",
            {"cnrs": "centre national de la recherche scientifique"},
        ),
        (
            "Universitat Politècnica de Catalunya - BarcelonaTech (UPC)",
            {"upc": "universitat politecnica de catalunya"},
        ),
        (
            "Deutsches Elektronen-Synchrotron DESY, Hamburg",
            {"desy": "deutsches elektronen synchrotron"},
        ),
        (
            "IPGP - Institut de physique du globe, Paris",
            {"ipgp": "institut de physique du globe"},
        ),
        (
            "INRA (Institut National de la Recherche Agronomique)",
            {"inra": "institut national de la recherche agronomique"},
        ),
        (
            "CIRAD, Centre de coopération internationale en recherche agronomique pour le"
            " développement",
            {
                "cirad": "centre de cooperation internationale en recherche agronomique pour le"
                " developpement"
            },
        ),
        (
            "Center for NeuroImaging Research – CENIR, Paris",
            {"cenir": "center for neuroimaging research"},
        ),
        ("CNRS, Université Paris-Sud, CentraleSupélec", {"cnrs": ""}),
        ("Univ. Paris-Sud, CNRS, INSERM", {"cnrs": "", "inserm": ""}),
        ("KAUST, Thuwal", {"kaust": ""}),
    ],
    ids=ascii,
)
def test_initials(text: str, expected: dict[str, str]) -> None:
    assert read(text) == expected
    assert by_initials(text) == [True] * sum(map(bool, expected.values()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pierre-and-Marie-Curie University (UPMC)", {"upmc": "pierre and marie curie university"}),
        ("Jena, Department of Kelmar Studies (LFE)", {"lfe": "department of kelmar studies"}),
        ("LFE (Kelmar University), Jena", {"lfe": "kelmar university"}),
        ("Jena (UPMC)", {"upmc": ""}),
        ("Kelmar University (UPMC/CNRS)", {"upmc": "", "cnrs": ""}),
        ("CNRS (Laboratoire Kelmar)", {"cnrs": ""}),
    ],
)
def test_brackets(text: str, expected: dict[str, str]) -> None:
    assert read(text) == expected
    assert by_initials(text) == [False] * sum(map(bool, expected.values()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Retired, CNRS", {"retired"}),
        ("Tarbes cedex, CNRS", {"cedex"}),
        ("Kelmar, PA; MCA; inra de Paris", {"pa", "mca", "inra", "de"}),
        ("cern", set()),
    ],
)
def test_words_that_are_none(text: str, expected: set[str]) -> None:
    affiliation = Text(text)
    assert {affiliation.units[position] for position in not_acronyms(affiliation)} == expected


@given(st.text(st.sampled_from("ABCab .,()-éß東ʼ\u0301")))
def test_positions_are_those_of_the_text(text: str) -> None:
    affiliation = Text(text)
    for acronym in acronyms(affiliation):
        assert acronym.position not in acronym.spelled_out
        assert {acronym.position, *acronym.spelled_out} <= set(range(len(affiliation.units)))
