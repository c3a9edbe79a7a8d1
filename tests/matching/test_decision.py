from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.matching.candidate import Candidate
from resolver.matching.decision import Decision, Fate, Scored
from resolver.matching.decision import decide as decide_affiliation
from resolver.matching.decision import decisions as decisions_about
from resolver.matching.outcome import CountryAgreement, Nearest, Outcome, Reason
from resolver.matching.policy import Policy
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus
from resolver.text.affiliation import Affiliation

COUNTRIES = {"AU": "Australia", "CA": "Canada", "DE": "Germany", "FR": "France"} | {
    "GB": "United Kingdom", "PR": "Puerto Rico", "US": "United States",
}  # fmt: skip


def scored(
    name: str,
    probability: float,
    ror_id: str | None = None,
    *,
    city: str | None = None,
    country: str | None = None,
    types: tuple[str, ...] = (),
    status: OrganisationStatus = OrganisationStatus.ACTIVE,
    parents: tuple[str, ...] = (),
    weighed: tuple[tuple[str, float], ...] = (),
    identifiers: tuple[str, ...] = (),
    others: tuple[str, ...] = (),
) -> Scored:
    document = Document(
        ror_id or name, name, name, False, city, None, country, COUNTRIES.get(country or ""),
        types, status, parents=parents, identifiers=identifiers, other_names=others,
    )  # fmt: skip
    return Scored(Candidate(document, None, None, 1.0), 10 * probability - 5, probability, weighed)


def decide(text: str, candidates: Sequence[Scored], policy: Policy) -> Outcome:
    return decide_affiliation(Affiliation.stored(text), candidates, policy)


def decisions(text: str, candidates: Sequence[Scored], policy: Policy) -> list[Decision]:
    return decisions_about(Affiliation.stored(text), candidates, policy)


TWO = "University of Graz, NAWI Graz, Graz University of Technology, 8010 Graz"
YORK_CA = ("domain:yorku.ca", "grid:grid.5685.e")
ONE = "Department of Physics, University of York, York, UK"


@pytest.mark.parametrize(
    ("affiliation", "candidates", "expected"),
    [
        pytest.param(ONE, [], Reason.NOT_IN_REGISTRY, id="nothing found"),
        pytest.param(ONE, [scored("University of York", 0.49)], Reason.BELOW_THRESHOLD, id="below"),
        pytest.param(ONE, [scored("University of York", 0.5)], ["University of York"], id="at"),
        pytest.param(
            ONE,
            [scored("York University", 0.7), scored("University of York", 0.9)],
            ["University of York"],
            id="a rival for the same words",
        ),
        pytest.param(
            TWO,
            [scored("Graz University of Technology", 0.8), scored("University of Graz", 0.9)],
            ["University of Graz", "Graz University of Technology"],
            id="two that each have their words",
        ),
        pytest.param(
            "Pierre and Marie Curie University, Paris (UPMC)",
            [
                scored("Pierre and Marie Curie University", 0.9, "fr", others=("UPMC",)),
                scored("UPMC", 0.8, "us"),
            ],
            ["fr"],
            id="its own acronym in brackets, borne by another organisation too",
        ),
        pytest.param(
            "Kelmar Institute of Studies (KIS)",
            [scored("Kelmar Institute of Studies", 0.9, "a"), scored("KIS", 0.8, "b")],
            ["a"],
            id="its initials in brackets, borne by another organisation",
        ),
        pytest.param(
            "Kelmar Institute, CNRS",
            [scored("Kelmar Institute", 0.9, "a"), scored("CNRS", 0.8, "b")],
            ["a", "b"],
            id="an acronym of its own",
        ),
        pytest.param(
            "Institute of Advanced Energy, Kyoto University",
            [
                scored("Institute of Advanced Energy Kyoto University", 0.9, "c", parents=("p",)),
                scored("Kyoto University", 0.8, "p"),
            ],
            ["c", "p"],
            id="a parent that stands within its child's name",
        ),
        pytest.param(
            "Institute of Ethnology, Academia Sinica",
            [
                scored("Academia Sinica", 0.9, "p"),
                scored("Institute of Ethnology, Academia Sinica", 0.8, "c", parents=("p",)),
            ],
            ["p", "c"],
            id="a child whose name holds its parent's",
        ),
        pytest.param(
            "Royal Holloway, University of London",
            [scored("University of London", 0.9), scored("Royal Holloway University of London", 0.8)],
            ["University of London", "Royal Holloway University of London"],
            id="a longer name",
        ),
        pytest.param(
            "Xiangya Hospital, Central South University",
            [scored("Xiangya Hospital Central South University", 0.9), scored("Central South University", 0.8)],
            ["Xiangya Hospital Central South University", "Central South University"],
            id="a name in a part of its own within a longer one",
        ),
        pytest.param(
            "Lund University Hospital",
            [scored("Lund University Hospital", 0.9), scored("Lund University", 0.8)],
            ["Lund University Hospital"],
            id="a name within a longer one",
        ),
        pytest.param(
            "Boston Hospital, Harvard Medical School",
            [scored("Boston Hospital", 0.9), scored("Harvard University", 0.8)],
            ["Boston Hospital", "Harvard University"],
            id="words that nobody claimed, however few",
        ),
        pytest.param(
            "University of Newcastle",
            [scored("University of Newcastle", 0.9, "au"), scored("University of Newcastle", 0.9, "uk")],
            Reason.AMBIGUOUS,
            id="the same name twice, nothing to tell them apart",
        ),
        pytest.param(
            "University of Newcastle",
            [scored("University of Newcastle", 0.9, "au"), scored("University of Newcastle", 0.8, "uk")],
            Reason.AMBIGUOUS,
            id="the same name twice, one more probable",
        ),
        pytest.param(
            "University of Newcastle",
            [scored("University of Newcastle", 0.4, "au"), scored("University of Newcastle", 0.3, "uk")],
            Reason.AMBIGUOUS,
            id="the same name twice, enough for one of them",
        ),
        pytest.param(
            "University of Newcastle; University of Graz",
            [
                scored("University of Newcastle", 0.9, "au"),
                scored("University of Newcastle", 0.9, "uk"),
                scored("University of Graz", 0.8),
            ],
            ["University of Graz"],
            id="the same name twice, and another organisation",
        ),
        pytest.param(
            "University of Newcastle",
            [scored("University of Newcastle", 0.9, "au"), scored("University of Newcastle", 0.05, "uk")],
            ["au"],
            id="the same name twice, one out of the question",
        ),
        pytest.param(
            "University of Newcastle",
            [
                scored("University of Newcastle", 0.9, "now"),
                scored("University of Newcastle", 0.8, "before", status=OrganisationStatus.INACTIVE),
            ],
            ["now"],
            id="the same name twice, one of the past",
        ),
        pytest.param(
            "University of Newcastle, Callaghan",
            [
                scored("University of Newcastle", 0.8, "uk", city="Newcastle upon Tyne", country="GB"),
                scored("University of Newcastle", 0.7, "au", city="Callaghan", country="AU"),
            ],
            ["au"],
            id="the same name twice, the city of one is named",
        ),
        pytest.param(
            "University of Newcastle",
            [
                scored("University of Newcastle", 0.8, "uk", city="Tyne", country="GB"),
                scored("University of Newcastle", 0.7, "au", city="Newcastle", country="AU"),
            ],
            Reason.AMBIGUOUS,
            id="a city's name in the organisation's own is no place",
        ),
        pytest.param(
            "Goethe-Institut, Paris, France",
            [
                scored("Goethe-Institut", 0.9, "de", city="Munich", country="DE"),
                scored("Goethe-Institut", 0.6, "fr", city="Paris", country="FR"),
            ],
            ["fr"],
            id="another country is named, the runner-up is linked",
        ),
        pytest.param(
            "Goethe-Institut, Paris, France",
            [
                scored("Goethe-Institut", 0.9, "de", city="Munich", country="DE"),
                scored("Institut de Paris", 0.01, "fr", city="Paris", country="FR"),
            ],
            ["de"],
            id="another country is named, nobody else is near: a branch",
        ),
        pytest.param(
            "Sheffield, UK",
            [scored("University of Sheffield", 0.9, city="Sheffield", country="GB")],
            Reason.PLACE_ONLY,
            id="a town",
        ),
        pytest.param(
            "Kelmarfield, UK",
            [scored("Kelmarfield University", 0.9, city="Kelmarfield", country="GB")],
            Reason.PLACE_ONLY,
            id="a town that only the registry knows",
        ),
        pytest.param(
            "Nokia, Finland", [scored("Nokia", 0.9)], ["Nokia"], id="the name of a town alone"
        ),
        pytest.param(
            "University of Benin",
            [scored("University of Benin", 0.9, city="Benin City", country="NG")],
            ["University of Benin"],
            id="a country in its own name",
        ),
        pytest.param(
            "Emory University, Atlanta, Georgia",
            [scored("Emory University", 0.9, city="Atlanta", country="US")],
            ["Emory University"],
            id="a state with the name of a country",
        ),
        pytest.param(
            "Centro de Neumologia, San Juan, PR, USA",
            [
                scored("Centro de Neumologia", 0.9, country="PR"),
                scored("Neumology Association", 0.1, country="US"),
            ],
            ["Centro de Neumologia"],
            id="a territory under its country's name",
        ),
        pytest.param(
            "Weizmann Institute, Rehovot, Canada and Stanford University, Stanford",
            [
                scored("Weizmann Institute", 0.9, country="CA"),
                scored("Stanford University", 0.9, city="Stanford", country="US"),
            ],
            ["Stanford University", "Weizmann Institute"],
            id="two countries, one of them named",
        ),
        pytest.param(
            "University of York, York, UK (grid.5685.e; ror.org/052gg0110)",
            [
                scored("University of York", 0.9, city="York", country="GB"),
                scored("York University", 0.8, city="Toronto", country="CA", identifiers=YORK_CA),
            ],
            ["University of York", "York University"],
            id="an identifier, whatever the words and the country say",
        ),
        pytest.param(
            "University of York, York, UK; x@yorku.ca",
            [
                scored("University of York", 0.9, city="York", country="GB"),
                scored("York University", 0.8, city="Toronto", country="CA", identifiers=YORK_CA),
            ],
            ["University of York"],
            id="a domain decides nothing",
        ),
        pytest.param(
            "Henryk Arc Institute of Physics, Polish Academy of Sciences, Cracow",
            [
                scored(
                    "Henryk Arc Institute of Physics", 0.9, parents=("Polish Academy of Sciences",),
                    others=("Henryk Arc Institute of Physics Polish Academy of Sciences",),
                ),
                scored("Polish Academy of Sciences", 0.8),
            ],
            ["Henryk Arc Institute of Physics", "Polish Academy of Sciences"],
            id="a parent in a part of its own, whose name one of the child's names ends with",
        ),
        pytest.param(
            "Second Hospital, Zhejiang University School of Medicine, Hangzhou",
            [
                scored("Second Hospital of Zhejiang University", 0.9),
                scored("Zhejiang University", 0.8),
            ],
            ["Second Hospital of Zhejiang University", "Zhejiang University"],
            id="apart from the rest of a longer name",
        ),
        pytest.param(
            "Second Hospital of Zhejiang University, Hangzhou",
            [
                scored("Second Hospital of Zhejiang University", 0.9),
                scored("Zhejiang University", 0.8),
            ],
            ["Second Hospital of Zhejiang University"],
            id="within a longer name",
        ),
        pytest.param(
            "NYU Long Island School of Medicine, NYU Langone Hospital",
            [scored("NYU", 0.9), scored("NYU Langone Health", 0.8)],
            ["NYU", "NYU Langone Health"],
            id="a link that stands elsewhere too",
        ),
        pytest.param(
            "AP-HP Hôpital Paul Brousse, Villejuif",
            [
                scored("Hôpital Paul-Brousse", 0.9, parents=("AP-HP",), others=("HP",)),
                scored("AP-HP", 0.8),
            ],
            ["Hôpital Paul-Brousse", "AP-HP"],
            id="a piece of it is an acronym of a link",
        ),
        pytest.param(
            "APHP, Bicêtre Hospital, Le Kremlin-Bicêtre",
            [scored("Bicêtre Hospital", 0.9), scored("AP-HP", 0.8)],
            ["Bicêtre Hospital", "AP-HP"],
            id="an acronym without its hyphen",
        ),
        pytest.param(
            "Université Paris-Est, UPEC, Créteil",
            [scored("Université Paris-Est Marne-la-Vallée", 0.9), scored("Université Paris-Est", 0.8)],
            ["Université Paris-Est Marne-la-Vallée", "Université Paris-Est"],
            id="a whole name and the beginning of a longer one",
        ),
        pytest.param(
            "Normandie University, UNIROUEN, France",
            [
                scored("Université de Rouen Normandie", 0.9, parents=("Normandie Université",)),
                scored("Normandie Université", 0.895),
            ],
            ["Université de Rouen Normandie", "Normandie Université"],
            id="a parent's whole name, as probable as its child",
        ),
        pytest.param(
            "Freelance consultant", [scored("Freelancer", 0.6)], Reason.PERSON_OR_NOISE, id="a role"
        ),
        pytest.param(
            "Nurse Scientist", [scored("Nurse Scientist", 0.6)], ["Nurse Scientist"],
            id="a role that is the whole name",
        ),
        pytest.param(
            "Herlev-Gentofte Hospital, Hellerup",
            [scored("Gentofte Hospital", 0.9), scored("Herlev Hospital", 0.8)],
            ["Gentofte Hospital", "Herlev Hospital"],
            id="two names joined by a hyphen",
        ),
        pytest.param(
            "Gentofte Hospital, Herlev",
            [scored("Gentofte Hospital", 0.9), scored("Herlev Hospital", 0.8)],
            ["Gentofte Hospital"],
            id="and its town",
        ),
        pytest.param(
            "東京大学", [scored("The University of Tokyo", 0.9)], ["The University of Tokyo"],
            id="a name in another script",
        ),
    ],
)  # fmt: skip
def test_decide(affiliation: str, candidates: list[Scored], expected: list[str] | Reason) -> None:
    outcome = decide(affiliation, candidates, Policy())
    if isinstance(expected, Reason):
        assert outcome.reason is expected
    else:
        assert [link.ror_id for link in outcome.links] == expected


RESTRICTED = [
    scored("University of York", 0.9, country="GB", types=("education",)),
    scored("York University", 0.6, country="CA", types=("education",)),
]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(Policy(), ["University of York"], id="anything"),
        pytest.param(Policy(countries=frozenset({"CA"})), ["York University"], id="the runner-up"),
        pytest.param(Policy(types=frozenset({"company"})), Reason.NOT_ADMITTED, id="none admitted"),
        pytest.param(
            Policy(types=frozenset({"company"}), accept_probability=0.95),
            Reason.NOT_IN_REGISTRY,
            id="none admitted, nor probable",
        ),
    ],
)
def test_what_the_policy_excludes_is_not_linked(
    policy: Policy, expected: list[str] | Reason
) -> None:
    outcome = decide("University of York", RESTRICTED, policy)
    if isinstance(expected, Reason):
        assert outcome.reason is expected
    else:
        assert [link.ror_id for link in outcome.links] == expected


def test_a_link_says_why() -> None:
    outcome = decide(
        "Dépt. de Physique, Univ. of York, York, UK",
        [
            scored("University of York", 0.9, city="York", country="GB",
                   weighed=(("city", 0.5), ("logit", 3.0), ("inactive", 0.0), ("country", -0.7))),
            scored("York University", 0.3, city="Toronto", country="CA"),
            scored("Institut de Physique", 0.4),
        ],
        Policy(),
    )  # fmt: skip
    (link,) = outcome.links
    evidence = link.evidence
    assert evidence is not None
    assert (evidence.text, evidence.start, evidence.end) == ("Univ. of York", 19, 32)
    assert outcome.affiliation[evidence.start : evidence.end] == evidence.text
    assert (evidence.country, evidence.city_named) == (CountryAgreement.NAMED, True)
    assert (evidence.runner_up, evidence.margin) == ("York University", pytest.approx(0.6))
    assert evidence.weighed == (("logit", 3.0), ("country", -0.7), ("city", 0.5))


def test_a_name_in_another_script_has_no_part_of_the_text() -> None:
    (link,) = decide("東京大学", [scored("The University of Tokyo", 0.9)], Policy()).links
    assert link.evidence is not None
    assert (link.evidence.text, link.evidence.start, link.evidence.end) == ("", 0, 0)
    assert link.evidence.runner_up is None


def test_decisions_name_who_stood_in_the_way() -> None:
    made = decisions(
        "University of York, Leeds, UK",
        [
            scored("University of York", 0.9, country="GB"),
            scored("York University", 0.7, country="GB"),
            scored("York Institute", 0.6, country="CA"),
            scored("York Hospital", 0.2),
        ],
        Policy(),
    )
    assert [(decision.ror_id, decision.fate, decision.rival) for decision in made] == [
        ("University of York", Fate.LINKED, None),
        ("York University", Fate.WORDS_CLAIMED, "University of York"),
        ("York Institute", Fate.OTHER_COUNTRY, "University of York"),
        ("York Hospital", Fate.BELOW_THRESHOLD, None),
    ]


@pytest.mark.parametrize(
    ("candidates", "policy", "expected"),
    [
        pytest.param([], Policy(), None, id="no candidate"),
        pytest.param(RESTRICTED, Policy(), None, id="linked"),
        pytest.param(
            RESTRICTED[::-1],
            Policy(accept_probability=0.95),
            Nearest("University of York", 0.9),
            id="below the threshold",
        ),
        pytest.param(
            RESTRICTED,
            Policy(types=frozenset({"company"})),
            Nearest("University of York", 0.9),
            id="excluded by the policy",
        ),
        pytest.param(
            [scored("York", 0.4, "b"), scored("York", 0.4, "a")],
            Policy(),
            Nearest("a", 0.4),
            id="equals by ROR id",
        ),
    ],
)
def test_what_came_nearest_where_there_is_no_link(
    candidates: list[Scored], policy: Policy, expected: Nearest | None
) -> None:
    assert decide("University of York", candidates, policy).nearest == expected


def test_max_links() -> None:
    outcome = decide(
        TWO,
        [scored("University of Graz", 0.9), scored("Graz University of Technology", 0.8)],
        Policy(max_links=1),
    )
    assert [link.ror_id for link in outcome.links] == ["University of Graz"]


@given(
    st.text(max_size=40),
    st.lists(
        st.tuples(st.text(max_size=20), st.floats(0, 1)), max_size=8, unique_by=lambda x: x[0]
    ),
)
def test_links_are_probable_ordered_distinct_and_independent_of_input_order(
    text: str, names: list[tuple[str, float]]
) -> None:
    candidates = [scored(name, probability) for name, probability in names]
    outcome = decide(text, candidates, Policy())
    assert outcome == decide(text, candidates[::-1], Policy())
    probabilities = [link.probability for link in outcome.links]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(probability >= 0.5 for probability in probabilities)
    assert len({link.ror_id for link in outcome.links}) == len(outcome.links)
    assert [link.rank for link in outcome.links] == list(range(1, len(outcome.links) + 1))
    for link in outcome.links:
        assert link.evidence is not None
        assert text[link.evidence.start : link.evidence.end] == link.evidence.text
    assert [decision.ror_id for decision in decisions(text, candidates, Policy())] == [
        s.ror_id for s in sorted(candidates, key=lambda s: (-s.probability, -s.score, s.ror_id))
    ]


@pytest.mark.parametrize(
    ("score", "forecast", "logit"), [(2.0, None, 2.0), (2.0, -1.0, -1.0), (None, -1.0, -1.0)]
)
def test_the_judge_went_by_the_forecast_where_there_is_one(
    score: float | None, forecast: float | None, logit: float
) -> None:
    candidate = scored("York", 0.5).candidate
    assert Scored(candidate, score, 0.5, forecast=forecast).logit == logit


def test_a_candidate_has_a_score_or_a_forecast() -> None:
    with pytest.raises(ValueError, match="York: neither a score nor a forecast"):
        Scored(scored("York", 0.5).candidate, None, 0.5)
