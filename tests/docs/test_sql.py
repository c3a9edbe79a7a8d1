"""Every query of docs/sql.md runs on real rows and finds what its heading promises."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from resolver.database.connection import transaction
from resolver.database.links import RefusedRecord, intake, refuse, save
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolvers import register
from resolver.domain.affiliation import SourceRecord
from resolver.domain.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.domain.outcome import CountryAgreement, Link, LinkEvidence, Outcome, Reason
from resolver.domain.policy import Level, Policy, Succession

COOKBOOK = Path(__file__).parents[2] / "docs" / "sql.md"
QUERIES = dict(
    re.findall(r"^## (.+?)\n(?:(?!^## ).)*?```sql\n(.*?)```", COOKBOOK.read_text(), re.M | re.S)
)


def organisation(
    ror_id: str, name: str, place: Place, *relations: Relation, status: str = "active"
) -> Organisation:
    return Organisation(
        ror_id=ror_id,
        status=OrganisationStatus(status),
        names=(Name(name, frozenset({NameKind.DISPLAY})),),
        places=(place,),
        relations=relations,
    )


SWITZERLAND = Place("CH", "Switzerland", "Zurich")
BRITAIN = Place("GB", "United Kingdom", "Oxford")
OXFORD = organisation("052gg0110", "University of Oxford", BRITAIN)
ETH = organisation(
    "05a28rw58", "ETH Zurich", SWITZERLAND, Relation(RelationKind.CHILD, "03eh3y714", "PSI")
)
PSI = organisation("03eh3y714", "Paul Scherrer Institute", SWITZERLAND)
RUTHERFORD = organisation(
    "03gq8fr08",
    "Rutherford Laboratory",
    BRITAIN,
    Relation(RelationKind.SUCCESSOR, "052gg0110", "University of Oxford"),
    status="inactive",
)
RUTHERFORD_BEFORE = organisation("03gq8fr08", "Rutherford Laboratory", BRITAIN)


def link(named: Organisation, probability: float, rank: int = 1) -> Link:
    return Link(
        named.ror_id, named.display_name, named.display_name, probability * 4, probability, rank
    )


EVIDENCE = LinkEvidence(
    text="Oxford",
    start=0,
    end=6,
    country=CountryAgreement.NAMED,
    city_named=True,
    first_stage_rank=2,
    sparse=0.5,
    dense=None,
    runner_up="03gq8fr08",
    runner_up_name="Rutherford Laboratory",
    margin=0.876,
    weighed=(("logit", 3.0), ("city", -0.5)),
)

ROLLED = Policy(level=Level.MOST_SPECIFIC, succession=Succession.ROLL_FORWARD)
"""What "Rutherford Lab" was sent with another time."""

SENT: list[tuple[str, str, str, Outcome | None]] = [
    (
        "crossref",
        "10.1234/physics.7",
        "Oxford, UK",
        Outcome("", (replace(link(OXFORD, 0.98), evidence=EVIDENCE),)),
    ),
    (
        "crossref",
        "10.1234/physics.7",
        "ETH and PSI",
        Outcome("", (link(ETH, 0.9), link(PSI, 0.6, 2))),
    ),
    (
        "crossref",
        "10.1234/physics.8",
        "Oxford, UK",
        Outcome("", (replace(link(OXFORD, 0.98), evidence=EVIDENCE),)),
    ),
    ("datacite", "10.5555/a", "Rutherford Lab", Outcome("", (link(RUTHERFORD, 0.8),))),
    ("datacite", "10.5555/b", "Nowhere", Outcome("", reason=Reason.NOT_IN_REGISTRY)),
    ("datacite", "10.5555/c", "Nowhere", Outcome("", reason=Reason.NOT_IN_REGISTRY)),
    ("datacite", "10.5555/d", "", Outcome("", reason=Reason.EMPTY)),
    ("datacite", "10.5555/e", "Not yet", None),
]


def load(engine: Engine, version: str, organisations: list[Organisation]) -> int:
    return load_release(
        engine,
        ReleaseInfo(version, date(2026, 10, 1), version, f"{version}.json"),
        organisations,
        rejected=lambda: 0,
        schema_version=lambda: "2.1",
    ).release_id


@pytest.fixture
def filled(engine: Engine) -> Engine:
    load(engine, "v2.8", [OXFORD, ETH, RUTHERFORD_BEFORE])
    release = load(engine, "v2.9", [OXFORD, ETH, PSI, RUTHERFORD])
    resolver = register(
        engine,
        release_id=release,
        encoder=("builtin", "e" * 20),
        reranker=("builtin", "r" * 20),
        settings={"recall_depth": 50},
    ).id
    records = [
        SourceRecord(source, id, text, position)
        for position, (source, id, text, _) in enumerate(SENT)
    ]
    outcomes = {text: outcome for _, _, text, outcome in SENT}
    answers = [
        (stored.id, outcome)
        for stored in intake(engine, resolver, records)
        if (outcome := outcomes[stored.text]) is not None
    ]
    save(engine, resolver, answers)
    again = [SourceRecord("datacite", "10.5555/g", "Rutherford Lab")]
    (stored,) = intake(engine, resolver, again, ROLLED)
    successor = replace(link(OXFORD, 0.8), stands_for=(RUTHERFORD.ror_id,))
    save(engine, resolver, [(stored.id, Outcome("", (successor,)))], ROLLED)
    refuse(engine, [RefusedRecord("affiliation: missing", '{"id": "10.5555/f"}', "datacite")])
    return engine


def run(engine: Engine, query: str) -> list[dict[str, Any]]:
    with transaction(engine) as connection:
        return [dict(row) for row in connection.exec_driver_sql(query).mappings()]


EXPECTED: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "Every link": lambda r: len(r) == 6 and r[0]["organisation"] == "University of Oxford",
    "Every affiliation without a link": lambda r: (
        [x["reason"] for x in r] == ["empty", "not_in_registry", "not_in_registry"]
    ),
    "Links of one paper": lambda r: (
        [x["organisation"] for x in r]
        == ["University of Oxford", "ETH Zurich", "Paul Scherrer Institute"]
    ),
    "Papers of one organisation": lambda r: (
        [x["source_id"] for x in r] == ["10.1234/physics.7", "10.1234/physics.8", "10.5555/g"]
    ),
    "Organisations with the most affiliations": lambda r: (
        (
            r[0]["organisation"],
            r[0]["affiliations"],
            r[0]["spellings"],
        )
        == ("University of Oxford", 3, 2)
    ),
    "Links by country": lambda r: (
        [(x["country"], x["links"]) for x in r] == [("United Kingdom", 4), ("Switzerland", 2)]
    ),
    "Pairs of countries that write papers together": lambda r: (
        r == [{"one": "CH", "other": "GB", "papers": 1}]
    ),
    "Affiliations that name several organisations": lambda r: (
        r
        == [
            {
                "affiliation": "ETH and PSI",
                "organisations": ["ETH Zurich", "Paul Scherrer Institute"],
            }
        ]
    ),
    "Links to review: the least certain first": lambda r: (
        [x["matched_name"] for x in r] == ["Paul Scherrer Institute"]
    ),
    "Why a link was made": lambda r: (
        r
        == 2
        * [
            {
                "affiliation": "Oxford, UK",
                "matched_text": "Oxford",
                "matched_name": "University of Oxford",
                "country": "named",
                "first_stage_rank": 2,
                "runner_up": "Rutherford Laboratory",
                "margin": Decimal("0.88"),
                "weighed_most": "logit",
            }
        ]
    ),
    "Links that stand for what the affiliation names": lambda r: (
        r
        == [
            {
                "affiliation": "Rutherford Lab",
                "named": "Rutherford Laboratory",
                "status": "inactive",
                "linked": "University of Oxford",
                "ror_url": "https://ror.org/052gg0110",
            }
        ]
    ),
    "Links by policy": lambda r: (
        [(x["level"], x["settings"], x["affiliations"], x["links"]) for x in r]
        == [
            ("named", Policy().as_object(), 5, 4),
            ("most-specific", ROLLED.as_object(), 1, 1),
        ]
    ),
    "Links to organisations that are no longer active": lambda r: (
        r
        == [
            {
                "organisation": "Rutherford Laboratory",
                "status": "inactive",
                "successors": "https://ror.org/052gg0110",
                "links": 1,
            }
        ]
    ),
    "Why affiliations have no link": lambda r: (
        [(x["reason"], x["affiliations"]) for x in r] == [("not_in_registry", 2), ("empty", 1)]
    ),
    "Share of affiliations without a link, by source": lambda r: (
        [(x["source"], x["answered"], float(x["percent_without"])) for x in r]
        == [("datacite", 5, 60.0), ("crossref", 3, 0.0)]
    ),
    "The texts without a link that were sent most often": lambda r: (
        r == [{"affiliation": "Nowhere", "reason": "not_in_registry", "times_sent": 2}]
    ),
    "How the probabilities are spread": lambda r: sum(x["links"] for x in r) == 6,
    "What is waiting": lambda r: [(x["source"], x["waiting"]) for x in r] == [("datacite", 1)],
    "Who said so: release, models and settings of the answers": lambda r: (
        [(x["registry_release"], x["reranker"], x["settings"], x["answers"]) for x in r]
        == [("v2.9", "builtin rrrrrrrr", {"recall_depth": 50}, 6)]
    ),
    "Organisations with the most children": lambda r: (
        [(x["name"], x["children"]) for x in r] == [("ETH Zurich", 1)]
    ),
    "Links of an organisation and its children together": lambda r: (
        [x["organisation"] for x in r] == ["ETH Zurich", "Paul Scherrer Institute"]
    ),
    "What changed between two releases": lambda r: (
        [(x["ror_id"], x["status_before"], x["status_now"]) for x in r]
        == [("03eh3y714", None, "active"), ("03gq8fr08", "active", "inactive")]
    ),
    "Records that were refused": lambda r: [x["reason"] for x in r] == ["affiliation: missing"],
}


def test_every_query_is_tested() -> None:
    assert list(QUERIES) == list(EXPECTED)
    assert COOKBOOK.read_text().count("```sql") == len(QUERIES)


@pytest.mark.parametrize("question", list(QUERIES))
def test_a_query_answers_its_question(filled: Engine, question: str) -> None:
    rows = run(filled, QUERIES[question])
    assert EXPECTED[question](rows), rows


def test_the_columns_in_the_docs_are_those_of_the_views(engine: Engine) -> None:
    documented = {
        view: re.findall(r"`(\w+)`", columns)
        for view, columns in re.findall(r"^\| `(\w+)` \|.*?\| (.*) \|$", COOKBOOK.read_text(), re.M)
    }
    with transaction(engine) as connection:
        found = {
            view: list(connection.exec_driver_sql(f"SELECT * FROM {view} LIMIT 0").keys())
            for view in documented
        }
    assert documented == found
