"""Why there is no link: as a table, and on affiliations whose parts a person has marked."""

import sys

import pytest
from support.paths import ROOT

from resolver.matching.outcome import Reason
from resolver.matching.reason import why_none
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation

MARKED = ROOT / "../shared/data/ner/affilgood-ner.jsonl"


def near(
    name: str, probability: float, city: str | None = None, country: str | None = None
) -> tuple[Document, float]:
    code = {"Germany": "DE", "Italy": "IT"}.get(country or "")
    return Document(name, name, name, False, city, None, code, country), probability


@pytest.mark.parametrize(
    ("text", "candidates", "expected"),
    [
        pytest.param("Jena", [near("Universität Jena", 0.3, "Jena")], "place_only", id="a city"),
        pytest.param("07743 Jena, Germany", [near("Optik", 0.01, "Jena")], "place_only", id="more"),
        pytest.param("Coppell, TX 75019", [], "place_only", id="a state and a postcode"),
        pytest.param("Kelmar, Coppell, TX", [], "not_in_registry", id="a name before them"),
        pytest.param("7, rue Kelmar, Italy", [], "place_only", id="a street after its number"),
        pytest.param("12 Juniper Road", [], "place_only", id="a street"),
        pytest.param("14 Juniper Close, Flat 3, Kelmarton, UK", [], "place_only", id="a flat"),
        pytest.param("Sans Souci, Italy", [], "not_in_registry", id="no denial"),
        pytest.param("Department of Physics", [near("Optik", 0.3)], "department_only", id="unit"),
        pytest.param("Institut für Chemie, Jena", [], "department_only", id="unit and place"),
        pytest.param("Department of Physics (DOP)", [], "department_only", id="unit and its acronym"),
        pytest.param("Dr. Ada Kelmar", [], "person_or_noise", id="a person"),
        pytest.param("Ada Kelmar, et al.", [], "person_or_noise", id="authors"),
        pytest.param("PhD student, Germany", [], "person_or_noise", id="a role"),
        pytest.param("независимый исследователь", [], "person_or_noise", id="a role in Russian"),
        pytest.param("Независимая исследовательница, Москва", [], "person_or_noise", id="a woman's"),
        pytest.param("Investigadora independiente", [], "person_or_noise", id="a role in Spanish"),
        pytest.param("Chercheur indépendant, France", [], "person_or_noise", id="in French"),
        pytest.param("独立研究者", [], "person_or_noise", id="in Japanese"),
        pytest.param("Private practice, Germany", [], "person_or_noise", id="private practice"),
        pytest.param("orcid.org/0000-0002-2821-4831", [], "person_or_noise", id="an identifier"),
        pytest.param("Both authors contributed equally.", [], "person_or_noise", id="a remark"),
        pytest.param("not applicable (n/a)", [], "person_or_noise", id="not applicable"),
        pytest.param("keine Angabe", [], "person_or_noise", id="nothing said, in German"),
        pytest.param("no aplica", [], "person_or_noise", id="not applicable, in Spanish"),
        pytest.param("个体研究者,无单位", [], "person_or_noise", id="in Chinese, with no organisation"),
        pytest.param("?!", [], "person_or_noise", id="no words"),
        pytest.param("20.11", [near("11", 0.2)], "person_or_noise", id="a number"),
        pytest.param("Kelmar University, Jena", [], "not_in_registry", id="no candidate"),
        pytest.param("Kelmar Inc.", [near("Inc", 0.01)], "not_in_registry", id="none near"),
        pytest.param("KELMAX, Jena", [near("Optik", 0.01)], "not_in_registry", id="an acronym"),
        pytest.param("Kelmar University", [near("Kelmara", 0.2)], "below_threshold", id="one near"),
        pytest.param("Kelmar", [near("Kelmar", 0.2)], "below_threshold", id="a bare name"),
        pytest.param("Kelmar", [near("Ada Kelmar Bank", 0.2)], "below_threshold", id="part of one"),
        pytest.param("Kelmar", [near("Kelmar", 0.1)], "not_in_registry", id="a bare name, none near"),
        pytest.param("Kelmar, Italy", [near("Optik", 0.2)], "not_in_registry", id="and a place"),
        pytest.param(
            "Kelmar, (Jena), Germany", [near("Optik", 0.3, "Jena")], "not_in_registry", id="and two"
        ),
        pytest.param("12 Juniper Road, Kelmar, Italy", [], "place_only", id="a town behind a street"),
        pytest.param("Rome, Italy", [near("Optik", 0.3, "Rome")], "place_only", id="two places"),
        pytest.param(
            "K.L.N. College of Engineering", [], "not_in_registry", id="initials name a college"
        ),
        pytest.param("College of Engineering", [], "department_only", id="nothing names it"),
        pytest.param(
            "Kelmar Hospital", [near("Kelmar Hospital", 0.4, "Jena"), near("Kelmar hospital", 0.3, "Rome")],
            "ambiguous", id="two of one name",
        ),
        pytest.param(
            "Kelmar Hospital, Rome", [near("Kelmar Hospital", 0.4, "Jena"), near("Kelmar hospital", 0.3, "Rome")],
            "below_threshold", id="two of one name, a place is named",
        ),
        pytest.param(
            "Kelmar Hospital", [near("Kelmar Hospital", 0.2, "Jena"), near("Kelmar hospital", 0.1, "Rome")],
            "below_threshold", id="two of one name, neither likely",
        ),
    ],
)  # fmt: skip
def test_why_none(text: str, candidates: list[tuple[Document, float]], expected: str) -> None:
    assert why_none(Affiliation.of(text), candidates, 0.5) == Reason(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Kelmar University, Italy", "below_threshold", id="an organisation"),
        pytest.param("Kelmar, Italy", "below_threshold", id="a bare name"),
        pytest.param("Jena, Germany", "place_only", id="a place"),
        pytest.param("Department of Physics, Italy", "department_only", id="a unit"),
        pytest.param("Freelance, Italy", "person_or_noise", id="a person"),
    ],
)
def test_what_is_elsewhere_is_not_missing(text: str, expected: str) -> None:
    document, _ = near("Kelmar", 0.9, "Jena", "Germany")
    assert why_none(Affiliation.of(text), [], 0.5, [document]) == Reason(expected)


@pytest.mark.slow
@pytest.mark.skipif(not MARKED.exists(), reason="../shared has no marked affiliations")
def test_marked_affiliations_get_the_right_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floors below what `python -m benchmarks.reasons` prints (docs/explain.md)."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from benchmarks.reasons import read, reasons, right

    counted = reasons(read(MARKED))
    assert right(counted, "places") > 0.83
    assert right(counted, "units, places") > 0.70
    assert right(counted, "organisations, places") > 0.96
    assert right(counted, "all") > 0.95
