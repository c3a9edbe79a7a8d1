import pytest

from resolver.matching.acronym import Acronyms, Standing
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation


def document(name: str, *others: str) -> Document:
    return Document(name, name, name, False, None, None, None, None, other_names=others)


CNRS = document(
    "Centre National de la Recherche Scientifique",
    "CNRS",
    "French National Centre for Scientific Research",
)
CNRS_LB = document("CNRS", "National Council for Scientific Research", "CNRS-L")
UPMC = document("UPMC", "University of Pittsburgh Medical Center")
SORBONNE = document("Pierre and Marie Curie University", "UPMC", "Université Paris VI")
CAS = document("CAS", "Chinese Academy of Sciences")
CAS_CZ = document("CAS", "Czech Academy of Sciences")


def matched(text: str, document: Document) -> tuple[Acronyms, frozenset[int]]:
    affiliation = Affiliation.of(text)
    name = Affiliation.of(document.name)
    return Acronyms(affiliation), affiliation.matched(name)


@pytest.mark.parametrize(
    ("text", "candidate", "initials", "brackets"),
    [
        ("Centre National de la Recherche Scientifique (CNRS)", CNRS, 0, 0),
        ("Centre National de la Recherche Scientifique (CNRS)", CNRS_LB, 0.5, 0),
        ("CNRS, Beirut", CNRS_LB, 0, 0),
        ("National Council for Scientific Research (CNRS)", CNRS_LB, 0, 0),
        ("Chinese Academy of Sciences (CAS)", CAS, 0, 0),
        ("Chinese Academy of Sciences (CAS)", CAS_CZ, 1 / 3, 0),
        ("Pierre-and-Marie-Curie University (UPMC)", UPMC, 0, 0.75),
        ("UPMC, Pittsburgh", UPMC, 0, 0),
    ],
)
def test_spelled_out_otherwise(
    text: str, candidate: Document, initials: float, brackets: float
) -> None:
    acronyms, positions = matched(text, candidate)
    assert acronyms.otherwise(candidate, positions, by_initials=True) == pytest.approx(initials)
    assert acronyms.otherwise(candidate, positions, by_initials=False) == pytest.approx(brackets)


@pytest.mark.parametrize(
    ("text", "candidate", "expected"),
    [
        ("Centre National de la Recherche Scientifique (CNRS)", CNRS, True),
        ("Centre National de la Recherche Scientifique (CNRS)", CNRS_LB, False),
        ("National Council for Scientific Research, Beirut, CNRS", CNRS_LB, True),
        ("Centre National de la Recherche Scientifique", CNRS, False),
        ("Université Paris VI (UPMC)", SORBONNE, True),
        ("Kelmar Institute of Studies (KIS)", document("Kelmar Institute of Studies"), True),
        ("Kelmar Institute of Law Studies (KILS)", document("Kelmar Institute of Law"), False),
        ("Kelmar Institute of Studies", document("Kelmar Institute of Studies"), False),
    ],
)
def test_confirmed(text: str, candidate: Document, expected: bool) -> None:
    acronyms, positions = matched(text, candidate)
    assert acronyms.confirmed(candidate, positions) is expected


@pytest.mark.parametrize(
    ("text", "linked", "expected"),
    [
        ("Jena, Centre National de la Recherche Scientifique (CNRS)", CNRS, range(1, 8)),
        (
            "Centre National de la Recherche Scientifique (CNRS) (French National Centre for"
            " Scientific Research)",
            CNRS,
            range(13),
        ),
        ("Pierre and Marie Curie University, Paris (UPMC)", SORBONNE, [0, 1, 2, 3, 4, 6]),
        (
            "Kelmar Institute of Studies (KIS), Jena",
            document("Kelmar Institute of Studies"),
            range(5),
        ),
        ("Kelmar Institute (CNRS), Jena", document("Kelmar Institute"), [0, 1]),
        ("CAS, Prague; CNRS, Paris", CAS_CZ, [0]),
    ],
)
def test_a_link_claims_all_its_names(
    text: str, linked: Document, expected: range | list[int]
) -> None:
    acronyms, positions = matched(text, linked)
    assert acronyms.claimed(linked, positions) == frozenset(expected)


INSERM = document("Institut National de la Santé et de la Recherche Médicale", "Inserm")


@pytest.mark.parametrize(
    ("text", "candidate", "expected"),
    [
        ("UMR 5558, CNRS, Lyon", CNRS, [2]),
        ("CNRS-Université, CNRS", CNRS, [0, 2]),
        ("Inserm U1073, Rouen", INSERM, [0]),
        ("Centre National de la Recherche Scientifique", CNRS, []),
        ("Centre National de la Recherche Scientifique (CNRS)", CNRS, [6]),
        ("Chinese Academy of Sciences (CAS)", document("Center for Active Study", "CAS"), []),
        ("Kelmar, PA, USA", document("Kelmar Parents", "PA"), []),
        ("Kelmar Institute", document("Institute"), []),
    ],
)
def test_short_names(text: str, candidate: Document, expected: list[int]) -> None:
    assert Acronyms(Affiliation.of(text)).short_names(candidate) == frozenset(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UMR 5558, CNRS, Lyon", Standing.ALONE),
        ("Laboratory (CNRS) Lyon", Standing.ALONE),
        ("CNRS", Standing.ALONE),
        ("Université de Lyon/CNRS", Standing.ALONE),
        ("Université de Lyon - CNRS", Standing.ALONE),
        ("UMR CNRS 5558, Lyon", Standing.LISTED),
        ("LBBE-INRA-CNRS, Lyon", Standing.LISTED),
        ("University of Lyon and CNRS, Lyon", Standing.LISTED),
        ("CNRS-Pierre Fabre", Standing.JOINED),
        ("CNRS Institute of Kelmar", Standing.AMONG_WORDS),
        ("Kelmar Institute CNRS", Standing.AMONG_WORDS),
    ],
)
def test_standing(text: str, expected: Standing) -> None:
    affiliation = Affiliation.of(text)
    assert Acronyms(affiliation).standing(affiliation.units.index("cnrs")) is expected
