from typing import Any

import numpy as np
import pytest
from support.paths import ROOT

from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.evidence import (
    FEATURES,
    NAMES,
    NO_NAMESAKE,
    NO_RELATED,
    Shortlist,
    documented,
    evidence,
)
from resolver.matching.reading import Reading
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus
from resolver.text.affiliation import Affiliation


def candidate(
    name: str,
    *,
    city: str | None = None,
    country: tuple[str, str] | None = None,
    sparse: float | None = None,
    acronym: bool = False,
    ror_id: str | None = None,
    **fields: Any,
) -> Candidate:
    code, label = country or (None, None)
    place = (city, None, code, label)
    document = Document(ror_id or name, name, name, acronym, *place, **fields)
    return Candidate(document, Ranked(1, sparse) if sparse else None, None, 1.0)


def features(text: str, *candidates: Candidate, logits: list[float]) -> dict[str, np.ndarray]:
    reading = Reading(Affiliation.of(text), candidates)
    table = evidence(Shortlist(reading, range(len(candidates))), logits)
    assert table.shape == (len(candidates), len(FEATURES))
    assert np.isfinite(table).all()
    return dict(zip(NAMES, table.T, strict=True))


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
    ("text", "name", "coverage", "missing"),
    [
        ("Univ. of York, York", "University of York", 1.0, 0),
        ("York, UK", "University of York", 1 / 3, 2),
        ("東京大学病院", "東京大学", 1.0, 0),
        ("nothing of it", "University", 0.0, 1),
    ],
)
def test_coverage(text: str, name: str, coverage: float, missing: int) -> None:
    found = features(text, candidate(name), logits=[0.0])
    assert found["coverage"][0] == pytest.approx(coverage)
    assert found["missing"][0] == missing


@pytest.mark.parametrize(
    ("text", "name", "segment_share", "position"),
    [
        ("Physics, University of York", "University of York", 1.0, 0.25),
        ("The University of York, York", "University of York", 0.75, 0.2),
        ("University of York", "Oslo", 0.0, 1.0),
    ],
)
def test_where_a_name_stands(text: str, name: str, segment_share: float, position: float) -> None:
    found = features(text, candidate(name), logits=[0.0])
    assert found["segment_share"][0] == pytest.approx(segment_share)
    assert found["position"][0] == pytest.approx(position)


def test_a_name_within_a_better_ones() -> None:
    hospital, university = (
        candidate("National Taiwan University Hospital"),
        candidate("National Taiwan University"),
    )
    text = "National Taiwan University Hospital, Taipei"
    found = features(text, hospital, university, logits=[4.0, -2.0])
    assert found["within_better"].tolist() == [0.0, 1.0]
    assert found["holds_rival"].tolist() == [1.0, 0.0]
    assert found["better_rivals"].tolist() == [0, 1]


def test_what_stands_elsewhere_is_no_rival() -> None:
    text = "University of York, York, UK; Graz University of Technology"
    found = features(text, YORK, YORK_CA, GRAZ, logits=[3.0, -1.0, 2.5])
    assert found["strong_others"].tolist() == [1, 1, 1]
    assert found["better"].tolist() == [0, 2, 1]
    assert found["better_rivals"].tolist() == [0, 1, 0]


def test_namesakes() -> None:
    here = candidate("St. Mary's Hospital", ror_id="a", city="London", namesakes=7)
    there = candidate("St Marys Hospital", ror_id="b", city="Leeds", namesakes=7)
    other = candidate("Saint Mary's University", ror_id="c")
    found = features("St Mary's Hospital, Leeds", here, there, other, logits=[3.0, 2.0, 0.0])
    assert found["namesakes"].tolist() == pytest.approx([np.log(7), np.log(7), 0])
    assert found["rival_city"].tolist()[:2] == [1, 0]
    assert found["namesake_gap"][2] == NO_NAMESAKE


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        (
            "Université d'Orléans",
            ["Universite d Orleans", "University of New Orleans"],
            {"exact": [2, 0], "rival_exact": [0, 2], "missing_own": [0, 1], "run": [1, 0.25]},
        ),
        (
            "Lund University Hospital, Lund",
            ["Lund University", "Lund University Hospital"],
            {"exact": [1, 2], "missing_sorts": [0, 0], "rival_weight": [0.5, -0.5]},
        ),
        (
            "University of Halle",
            ["University of Halle", "University Hospital in Halle"],
            {"missing_kind": [0, 1], "own_words": [1, 1], "alike_rivals": [0, 0]},
        ),
        (
            "Loyola University",
            ["Loyola University", "Loyola University Chicago", "Loyola University Maryland"],
            {
                "names_around": np.log([3, 1, 1]).tolist(),
                "alike_rivals": [2, 2, 2],
                "part_share": [1, 1, 1],
                "between": [0, 0, 0],
            },
        ),
    ],
)
def test_words_of_names(text: str, names: list[str], expected: dict[str, list[float]]) -> None:
    found = features(text, *map(candidate, names), logits=[0.0] * len(names))
    assert {name: found[name].tolist() for name in expected} == {
        name: pytest.approx(values) for name, values in expected.items()
    }


def test_a_companys_country_in_brackets_is_no_missing_word() -> None:
    company = candidate("Amgen (Germany)", country=("DE", "Germany"))
    found = features("Amgen, Munich", company, logits=[0.0])
    assert (found["exact"][0], found["missing_own"][0]) == (2, 0)


def test_the_displayed_name_may_lack_words() -> None:
    names = "Loyola University", "Universidad Loyola Andalucía"
    document = Document("a", *names, False, None, None, None, None)
    found = features("Loyola University", Candidate(document, None, None, 1.0), logits=[0.0])
    assert (found["missing_own"][0], found["missing_display"][0]) == (0, 1)


def test_relations_to_rivals() -> None:
    parent = candidate("Roche", ror_id="p", relatives=("c", "d"))
    child = candidate("Roche (Germany)", ror_id="c", parents=("p",))
    other = candidate("Bonn", ror_id="o", parents=("p",))
    found = features("Roche, Bonn", parent, child, other, logits=[0, 0, 0])
    assert found["parent_of_rival"].tolist() == [1, 0, 0]
    assert found["child_of_rival"].tolist() == [0, 1, 0]
    assert found["relations"].tolist() == pytest.approx(np.log([3, 2, 2]))


def test_relations_to_better_ones() -> None:
    parent = candidate("University", ror_id="p")
    child = candidate("Institute", ror_id="c", parents=("p",), relatives=("r",))
    relative = candidate("Hospital", ror_id="r", relatives=("c",))
    found = features("Institute, University, Hospital", parent, child, relative, logits=[3, 2, 1])
    assert found["child_of_better"].tolist() == [0, 1, 0]
    assert found["parent_of_better"].tolist() == [0, 0, 0]
    assert found["relative_of_better"].tolist() == [0, 0, 1]
    found = features("Institute, University, Hospital", parent, child, logits=[1, 2])
    assert found["parent_of_better"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CEA, Saclay", {"capitals": 1}),
        ("cea", {"capitals": 1}),
        ("C.E.A., Saclay", {"capitals": 1}),
        ("the cea at Saclay", {"capitals": 0}),
        ("x@cea.fr", {"identifier": 0, "domain": 1, "coverage": 0}),
        ("www.lab.cea.fr, CEA", {"domain": 1, "coverage": 1}),
        ("https://ror.org/00jjx8s55", {"identifier": 1, "domain": 0}),
        ("ROR: 00jjx8s55", {"identifier": 1, "domain": 0}),
        ("cea.fr", {"identifier": 0, "domain": 0}),
    ],
)
def test_what_points_at_one(text: str, expected: dict[str, int]) -> None:
    cea = candidate("CEA", acronym=True, identifiers=("domain:cea.fr", "ror:00jjx8s55"))
    found = features(text, cea, logits=[0.0])
    assert {name: found[name][0] for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("x@inria.fr", [0, 0, 0], id="the domain of two"),
        pytest.param("x@loria.fr", [0, 0, 1], id="of one"),
        pytest.param("x@loria.inria.fr", [0, 0, 0], id="below that of two"),
    ],
)
def test_a_domain_of_several_says_nothing(text: str, expected: list[int]) -> None:
    inria, rennes, loria = (
        candidate(name, identifiers=(f"domain:{domain}",))
        for name, domain in (("Inria", "inria.fr"), ("Inria Rennes", "inria.fr"), ("L", "loria.fr"))
    )
    assert features(text, inria, rennes, loria, logits=[0.0] * 3)["domain"].tolist() == expected


@pytest.mark.parametrize(
    ("text", "name", "coverage"),
    [
        ("https://ror.org/052gg0110", "ORG", 0),
        ("GRID: grid.4991.5, Oxford", "GRID", 0),
        ("ISNI 0000 0004 1936 8948", "ISNI", 0),
        ("x.y@example.org", "X", 0),
        ("GRID, Grenoble", "GRID", 1),
    ],
)
def test_words_of_an_identifier_match_no_name(text: str, name: str, coverage: float) -> None:
    assert features(text, candidate(name), logits=[0.0])["coverage"][0] == coverage


def test_the_whole_name_of_a_candidate_is_not_left_beside_another() -> None:
    text = "Charité and Harnack House"
    charite, harnack = candidate("Charité"), candidate("Harnack Foundation")
    assert features(text, harnack, logits=[0.0])["part_share"].tolist() == pytest.approx([1 / 3])
    found = features(text, charite, harnack, logits=[0.0, 0.0])
    assert found["part_share"].tolist() == pytest.approx([1 / 3, 1 / 2])
    assert found["left_rare"].tolist() == pytest.approx([1 / 2 + 1, 1])


def test_acronyms_and_ended_organisations_are_told() -> None:
    ended = candidate("CNRS", acronym=True, status=OrganisationStatus.INACTIVE)
    found = features("CNRS", ended, logits=[0.0])
    assert (found["acronym"][0], found["inactive"][0]) == (1, 1)


def test_no_candidates_no_rows() -> None:
    nothing = Shortlist(Reading(Affiliation.of("x"), []), [])
    assert evidence(nothing, []).shape == (0, len(FEATURES))


def test_names_are_distinct_and_say_something() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(feature.says and "|" not in feature.says for feature in FEATURES)


def test_the_docs_list_all_evidence() -> None:
    page = (ROOT / "docs/explain.md").read_text()
    assert documented() in page, f"put this into docs/explain.md:\n{documented()}"


CNRS = candidate(
    "CNRS",
    ror_id="national",
    acronym=True,
    city="Paris",
    country=("FR", "France"),
    relatives=("laboratory", "a", "b", "c", "d", "e", "f"),
)
CNRS_LB = candidate(
    "National Council for Scientific Research",
    ror_id="lebanese",
    city="Beirut",
    country=("LB", "Lebanon"),
    other_names=("CNRS",),
)
LABORATORY = candidate("Kelmar Laboratory", ror_id="laboratory", parents=("national",))


@pytest.mark.parametrize(
    ("text", "share", "standing", "others"),
    [
        ("Kelmar Laboratory, CNRS", [8 / 9, 1 / 9, 0], [4, 4, 0], [0, 0, 1]),
        ("Kelmar Laboratory, CNRS, France", [1, -1 / 9, 0], [4, 4, 0], [0, 0, 1]),
        ("Kelmar Laboratory, UMR CNRS 5558, Lyon", [1, -1 / 9, 0], [3, 3, 0], [0, 0, 1]),
        ("CNRS Kelmar Laboratory, Beirut", [-8 / 9, 1, 0], [1, 1, 0], [0, 0, 1]),
        ("Kelmar Laboratory, Lyon", [0, 0, 0], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_short_names(text: str, share: list[float], standing: list[int], others: list[int]) -> None:
    values = features(text, CNRS, CNRS_LB, LABORATORY, logits=[0.0, 0.0, 2.0])
    assert values["short_name_share"] == pytest.approx(share)
    assert values["short_name_standing"].tolist() == standing
    assert values["other_short_names"] == pytest.approx(np.log1p(others))


def test_an_organisation_that_has_ended_takes_no_share_of_a_short_name() -> None:
    ended = candidate("Old", other_names=("CNRS",), status=OrganisationStatus.WITHDRAWN)
    values = features("CNRS", CNRS, ended, logits=[0.0, 0.0])
    assert values["short_name_share"] == pytest.approx([1, 1 / 9])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kelmar Laboratory, CNRS", [2.0, NO_RELATED, 0.5]),
        ("Laboratory of CNRS", [2.0, NO_RELATED, 0.5]),
    ],
)
def test_related_logit(text: str, expected: list[float]) -> None:
    values = features(text, CNRS, CNRS_LB, LABORATORY, logits=[0.5, 1.0, 2.0])
    assert values["related_logit"].tolist() == expected


def test_a_laboratory_supports_what_came_before_its_parent() -> None:
    ended = candidate("Old University", ror_id="old", successors=("new",))
    laboratory = candidate("Kelmar Laboratory", parents=("new",))
    text = "Kelmar Laboratory, Old University"
    values = features(text, ended, laboratory, logits=[1.0, 2.0])
    assert values["related_logit"].tolist() == [2.0, 1.0]


def test_rivals_for_the_same_words_do_not_support_each_other() -> None:
    parent = candidate("Kelmar", ror_id="parent", relatives=("child",))
    child = candidate("Kelmar Hospital", ror_id="child", parents=("parent",))
    values = features("Kelmar Hospital", parent, child, logits=[1.0, 2.0])
    assert values["related_logit"].tolist() == [NO_RELATED, NO_RELATED]
