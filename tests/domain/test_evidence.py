import numpy as np
import pytest

from resolver.domain.candidate import Candidate, Ranked
from resolver.domain.document import Document
from resolver.domain.evidence import FEATURES, Judge, evidence
from resolver.domain.organisation import OrganisationStatus


def candidate(
    name: str,
    *,
    city: str | None = None,
    country: tuple[str, str] | None = None,
    sparse: float | None = None,
    acronym: bool = False,
    status: OrganisationStatus = OrganisationStatus.ACTIVE,
) -> Candidate:
    code, label = country or (None, None)
    document = Document(name, name, name, acronym, city, None, code, label, (), status)
    return Candidate(document, Ranked(document, 1, sparse) if sparse else None, None, 1.0)


def features(text: str, *candidates: Candidate, logits: list[float]) -> dict[str, np.ndarray]:
    table = evidence(text, candidates, logits)
    assert table.shape == (len(candidates), len(FEATURES))
    assert np.isfinite(table).all()
    return dict(zip(FEATURES, table.T, strict=True))


YORK = candidate("University of York", city="York", country=("GB", "United Kingdom"), sparse=4.0)
YORK_CA = candidate("York University", city="Toronto", country=("CA", "Canada"), sparse=3.0)
GRAZ = candidate("Graz University of Technology", city="Graz", country=("AT", "Austria"))


def test_rivals_are_those_on_the_same_words() -> None:
    text = "University of York, York, UK; Graz University of Technology"
    found = features(text, YORK, YORK_CA, GRAZ, logits=[3.0, 1.0, 2.5])
    assert found["rival_gap"].tolist() == [2.0, -2.0, 2.5]
    assert found["sparse_gap"].tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "city", "country", "other_country"),
    [
        ("University of York, York, UK", [1, 0], [1, 0], [0, 1]),
        ("York University, Toronto, Canada", [1, 1], [0, 1], [1, 0]),
        ("University of York, England", [1, 0], [1, 0], [0, 1]),
        ("University of York", [1, 0], [0, 0], [0, 0]),
        ("Yorkshire, Canadian", [0, 0], [0, 0], [0, 0]),
    ],
)
def test_places(text: str, city: list[int], country: list[int], other_country: list[int]) -> None:
    found = features(text, YORK, YORK_CA, logits=[0.0, 0.0])
    assert found["city"].tolist() == city
    assert found["country"].tolist() == country
    assert found["other_country"].tolist() == other_country


@pytest.mark.parametrize(
    ("text", "name", "coverage", "whole"),
    [
        ("Univ. of York, York", "University of York", 1.0, 1),
        ("York, UK", "University of York", 1 / 3, 0),
        ("東京大学病院", "東京大学", 1.0, 1),
        ("nothing of it", "University", 0.0, 0),
    ],
)
def test_coverage(text: str, name: str, coverage: float, whole: int) -> None:
    found = features(text, candidate(name), logits=[0.0])
    assert found["coverage"][0] == pytest.approx(coverage)
    assert found["whole_name"][0] == whole


def test_acronyms_and_ended_organisations_are_told() -> None:
    ended = candidate("CNRS", acronym=True, status=OrganisationStatus.INACTIVE)
    found = features("CNRS", ended, logits=[0.0])
    assert (found["acronym"][0], found["inactive"][0]) == (1, 1)


def test_no_candidates_no_rows() -> None:
    assert evidence("x", [], []).shape == (0, len(FEATURES))


def test_a_judge_of_the_logit_is_platt_scaling() -> None:
    table = evidence("x", [YORK, GRAZ], [2.0, -1.0])
    judge = Judge.of_logit(1.5, -0.5)
    expected = 1 / (1 + np.exp(-(1.5 * np.array([2.0, -1.0]) - 0.5)))
    assert judge.probability(table) == pytest.approx(expected)


def test_a_judge_survives_extreme_evidence() -> None:
    judge = Judge.of_logit(1e6, 0.0)
    table = evidence("x", [YORK, GRAZ], [1e3, -1e3])
    assert judge.probability(table).tolist() == [1.0, 0.0]


def test_a_judge_of_other_features_is_refused() -> None:
    with pytest.raises(ValueError, match="weights for"):
        Judge((1.0,), 0.0)
