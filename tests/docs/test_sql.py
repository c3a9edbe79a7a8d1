"""Every query of docs/sql.md runs on real rows and finds what its heading promises."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from support.overrides import add
from support.paths import ROOT

from resolver.curation import review
from resolver.curation.review import Action, Choice
from resolver.database.answers import save
from resolver.database.connection import transaction
from resolver.database.due_answers import Page, mark_page
from resolver.database.records import intake, refuse, withdraw
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.intake.record import RefusedRecord, SourceRecord
from resolver.matching.outcome import (
    CountryAgreement,
    Link,
    LinkEvidence,
    Nearest,
    Outcome,
    OverrideNote,
    Reason,
)
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Level, Policy, Succession
from resolver.registry.organisation import (
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)

COOKBOOK = ROOT / "docs" / "sql.md"
QUERIES = dict(
    re.findall(r"^## (.+?)\n(?:(?!^## ).)*?```sql\n(.*?)```", COOKBOOK.read_text(), re.M | re.S)
)


def organisation(
    ror_id: str,
    name: str,
    place: Place,
    *relations: Relation,
    status: str = "active",
    identifiers: tuple[Identifier, ...] = (),
) -> Organisation:
    return Organisation(
        ror_id=ror_id,
        status=OrganisationStatus(status),
        names=(Name(name, frozenset({NameKind.DISPLAY})),),
        places=(place,),
        types=("education",),
        relations=relations,
        identifiers=identifiers,
    )


SWITZERLAND = Place("CH", "Switzerland", "Zurich")
BRITAIN = Place("GB", "United Kingdom", "Oxford", None, 51.75222, -1.25596, 2640729)
OXFORD = organisation(
    "052gg0110",
    "University of Oxford",
    BRITAIN,
    identifiers=(
        Identifier("grid", ("grid.4991.5",), "grid.4991.5"),
        Identifier("isni", ("0000 0004 1936 8948",), None),
        Identifier("wikidata", ("Q34433", "Q5260389"), "Q34433"),
    ),
)
ETH = organisation(
    "05a28rw58", "ETH Zurich", SWITZERLAND, Relation(RelationKind.CHILD, "03eh3y714", "PSI")
)
PSI = organisation(
    "03eh3y714",
    "Paul Scherrer Institute",
    SWITZERLAND,
    Relation(RelationKind.PARENT, "05a28rw58", "ETH Zurich"),
)
LEIDEN = organisation("027bh9e22", "Leiden University", Place("NL", "The Netherlands", "Leiden"))
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

NOWHERE = Outcome("", reason=Reason.NOT_IN_REGISTRY, nearest=Nearest(ETH.ror_id, 0.31))

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
    ("datacite", "10.5555/b", "Nowhere", NOWHERE),
    ("datacite", "10.5555/c", "Nowhere", NOWHERE),
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


SAID = Override(None, "Quantum Fish Group", ETH.ror_id, Verdict.IS, "ada", "see their website")
NONE = Override(None, "14 Juniper Close", None, Verdict.NONE, "bo", "an address")

BEFORE = {
    "ETH and PSI": Outcome("", (link(ETH, 0.88),)),
    "Nowhere": Outcome("", reason=Reason.AMBIGUOUS),
    "Rutherford Lab": Outcome("", (link(OXFORD, 0.6),)),
}
"""What was answered with the release before, where it was something else."""


def version(engine: Engine, release_id: int) -> int:
    registered = register(
        engine,
        release_id=release_id,
        encoder=("builtin", "e" * 20),
        reranker=("builtin", "r" * 20),
        settings={"recall_depth": 50},
        index_version="v2.9-1234",
    )
    return put_in_use(engine, registered.id).id


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Answered with v2.8 on 15 September 2026, and with v2.9 today but for one that is carried."""
    resolver = version(engine, load(engine, "v2.8", [OXFORD, ETH, LEIDEN, RUTHERFORD_BEFORE]))
    records = [
        SourceRecord(source, id, text, position)
        for position, (source, id, text, _) in enumerate(SENT)
    ]
    outcomes = {text: outcome for _, _, text, outcome in SENT}
    gone = [SourceRecord("datacite", "10.5555/h", "Oxford, UK")]
    stored = intake(engine, resolver, [*records, *gone])
    then = [(a.id, BEFORE.get(a.text, outcomes[a.text])) for a in stored]
    save(engine, resolver, [(key, outcome) for key, outcome in then if outcome is not None])
    with transaction(engine) as connection:
        for past in (
            "UPDATE source_record SET received_at = '2026-09-15'",
            "UPDATE outcome SET resolved_at = '2026-09-15'",
            "UPDATE link SET since = '2026-09-15'",
        ):
            connection.exec_driver_sql(past)

    resolver = version(engine, load(engine, "v2.9", [OXFORD, ETH, PSI, LEIDEN, RUTHERFORD]))
    withdraw(engine, [("datacite", "10.5555/h", None)])
    oxford = [a.id for a in stored if a.text == "Oxford, UK"]
    mark_page(engine, resolver, Page(0, max(oxford), ()), oxford)
    answers = [
        (a.id, outcome)
        for a in stored
        if a.text != "Oxford, UK" and (outcome := outcomes[a.text]) is not None
    ]
    save(engine, resolver, answers)
    again = [SourceRecord("datacite", "10.5555/g", "Rutherford Lab")]
    (stored_again,) = intake(engine, resolver, again, ROLLED)
    successor = replace(link(OXFORD, 0.8), stands_for=(RUTHERFORD.ror_id,))
    save(engine, resolver, [(stored_again.id, Outcome("", (successor,)))], ROLLED)

    add(engine, [SAID, replace(SAID, affiliation="Rutherford", ror_id=RUTHERFORD.ror_id)])
    add(engine, [replace(SAID, note="they say so"), NONE])
    (fish,) = intake(engine, resolver, [SourceRecord("intranet", "group-7", SAID.affiliation)])
    note = OverrideNote(3, "ada", "they say so", date(2026, 11, 22))
    said = replace(link(ETH, 1.0), score=None, evidence=replace(EVIDENCE, override=note))
    save(engine, resolver, [(fish.id, Outcome("", (said,), overrides=(3,)))])
    review.rebuild(engine)
    nowhere, oxford_uk = (
        next(a.id for a in stored if a.text == t) for t in ("Nowhere", "Oxford, UK")
    )
    review.decide(engine, Choice(UUID(int=1), nowhere, Action.LACKING, "ada", seconds=4.0))
    review.decide(engine, Choice(UUID(int=2), oxford_uk, Action.CONFIRM, "bo", (OXFORD.ror_id,)))
    refuse(engine, [RefusedRecord("affiliation: missing", '{"id": "10.5555/f"}', "datacite")])
    return engine


def run(engine: Engine, query: str) -> list[dict[str, Any]]:
    with transaction(engine) as connection:
        return [dict(row) for row in connection.exec_driver_sql(query).mappings()]


EXPECTED: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "Every link": lambda r: len(r) == 7 and r[0]["organisation"] == "University of Oxford",
    "Every affiliation without a link": lambda r: (
        [x["reason"] for x in r] == ["empty", "not_in_registry", "not_in_registry"]
    ),
    "Links of one paper": lambda r: (
        [x["organisation"] for x in r]
        == ["University of Oxford", "ETH Zurich", "Paul Scherrer Institute"]
    ),
    "Papers of one organisation": lambda r: (
        [x["external_id"] for x in r] == ["10.1234/physics.7", "10.1234/physics.8", "10.5555/g"]
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
        [(x["country"], x["links"]) for x in r] == [("United Kingdom", 4), ("Switzerland", 3)]
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
                "country_agreement": "named",
                "city_named": True,
                "first_stage_rank": 2,
                "runner_up": "Rutherford Laboratory",
                "margin": Decimal("0.88"),
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
            ("named", Policy().as_object(), 6, 5),
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
    "Affiliations that nearly had a link": lambda r: (
        [(x["affiliation"], x["nearest_name"], float(x["probability"]), x["times_sent"]) for x in r]
        == [("Nowhere", "ETH Zurich", 0.31, 2)]
    ),
    "Share of affiliations without a link, by source": lambda r: (
        [(x["source"], x["answered"], float(x["percent_without"])) for x in r]
        == [("datacite", 5, 60.0), ("crossref", 3, 0.0), ("intranet", 1, 0.0)]
    ),
    "Drift: what changes from week to week": lambda r: (
        [
            (x["source"], str(x["week"]), x["records"], x["percent_without"], x["mean_probability"])
            for x in r
            if str(x["week"]) == "2026-09-14"
        ]
        == [
            ("crossref", "2026-09-14", 3, Decimal("0.0"), Decimal("0.953")),
            ("datacite", "2026-09-14", 4, Decimal("75.0"), Decimal("0.800")),
        ]
        and len(r) == 4
    ),
    "The texts without a link that were sent most often": lambda r: (
        r == [{"affiliation": "Nowhere", "reason": "not_in_registry", "times_sent": 2}]
    ),
    "How the probabilities are spread": lambda r: sum(x["links"] for x in r) == 7,
    "What is waiting": lambda r: [(x["source"], x["waiting"]) for x in r] == [("datacite", 1)],
    "Who answered: release, models and settings": lambda r: (
        [(x["registry_release"], x["reranker"], x["settings"], x["answers"]) for x in r]
        == [
            ("v2.8", "builtin rrrrrrrr", {"recall_depth": 50}, 1),
            ("v2.9", "builtin rrrrrrrr", {"recall_depth": 50}, 6),
        ]
    ),
    "Organisations with the most children": lambda r: (
        [(x["name"], x["children"]) for x in r] == [("ETH Zurich", 1)]
    ),
    "Parents of an organisation": lambda r: (
        [tuple(x.values()) for x in r] == [(1, "ETH Zurich", "https://ror.org/05a28rw58", "active")]
    ),
    "Links of an organisation and its children together": lambda r: (
        [(x["organisation"], x["links"]) for x in r]
        == [("ETH Zurich", 2), ("Paul Scherrer Institute", 1)]
    ),
    "Links by topmost parent": lambda r: (
        [(x["parent"], x["links"], x["organisations"]) for x in r]
        == [
            ("ETH Zurich", 3, 2),
            ("University of Oxford", 3, 1),
            ("Rutherford Laboratory", 1, 1),
        ]
    ),
    "Links with the identifiers of another registry": lambda r: (
        [(x["organisation"], x["wikidata"]) for x in r if x["external_id"] == "10.1234/physics.7"]
        == [
            ("University of Oxford", "Q34433"),
            ("ETH Zurich", None),
            ("Paul Scherrer Institute", None),
        ]
        and len(r) == 7
    ),
    "Which organisation has an identifier": lambda r: (
        [(x["scheme"], x["organisation"], x["preferred"]) for x in r]
        == [
            ("grid", "University of Oxford", True),
            ("isni", "University of Oxford", False),
            ("wikidata", "University of Oxford", True),
        ]
    ),
    "Linked organisations on a map": lambda r: (
        [tuple(x.values())[2:] for x in r]
        == [(51.75222, -1.25596, 2640729, 3), (51.75222, -1.25596, 2640729, 1)]
    ),
    "Organisations that were never linked": lambda r: (
        r == [{"country": "The Netherlands", "organisations": 1, "example": "Leiden University"}]
    ),
    "What a release changed": lambda r: (
        [(x["kind"], x["organisation"], x["fields"], x["successors"]) for x in r]
        == [
            ("added", "Paul Scherrer Institute", [], []),
            ("merged", "Rutherford Laboratory", ["relations", "status"], ["052gg0110"]),
        ]
    ),
    "What changed in this release for my source": lambda r: (
        r
        == [
            {
                "external_id": "10.5555/a",
                "position": 3,
                "affiliation": "Rutherford Lab",
                "before": ["052gg0110"],
                "now": ["03gq8fr08"],
                "in_the_registry": "03gq8fr08 merged",
            }
        ]
    ),
    "What a paper resolved to on a given day": lambda r: (
        [(x["position"], x["organisation"], x["registry_release"]) for x in r]
        == [(0, "University of Oxford", "v2.8"), (1, "ETH Zurich", "v2.8")]
    ),
    "The history of a paper": lambda r: (
        [(x["organisation"], x["beginning"], x["end_reason"], x["continued"]) for x in r]
        == [
            ("University of Oxford", "new", None, False),
            ("ETH Zurich", "new", "registry release", True),
            ("ETH Zurich", "confirmed", None, False),
            ("Paul Scherrer Institute", "new", None, False),
        ]
        and r[1]["valid_from"] == date(2026, 9, 15)
    ),
    "Since when a link holds": lambda r: (
        [
            (x["external_id"], x["organisation"], x["linked_since_release"])
            for x in r
            if x["linked_since"] == date(2026, 9, 15)
        ]
        == [
            ("10.1234/physics.7", "University of Oxford", "v2.8"),
            ("10.1234/physics.7", "ETH Zurich", "v2.8"),
            ("10.1234/physics.8", "University of Oxford", "v2.8"),
        ]
        and [x["linked_since_reason"] for x in r] == [*["source sent"] * 3, "registry release"]
    ),
    "Which links a release brought": lambda r: (
        [(x["external_id"], x["organisation"]) for x in r]
        == [
            ("10.1234/physics.7", "Paul Scherrer Institute"),
            ("10.5555/a", "Rutherford Laboratory"),
        ]
    ),
    "Which links a release removed": lambda r: (
        [(x["external_id"], x["organisation"]) for x in r]
        == [("10.5555/a", "University of Oxford")]
    ),
    "What became of the links when a release came": lambda r: (
        [tuple(x.values()) for x in r]
        == [
            ("new", "registry release", 2),
            ("new", "source sent", 2),
            ("confirmed", "registry release", 1),
        ]
    ),
    "Which model decided, and how sure it was": lambda r: (
        [(x["organisation"], x["decided_by"], x["score"], float(x["probability"])) for x in r]
        == [
            ("University of Oxford", "builtin", Decimal("3.92"), 0.98),
            ("ETH Zurich", "builtin", Decimal("3.60"), 0.9),
            ("Paul Scherrer Institute", "builtin", Decimal("2.40"), 0.6),
            ("ETH Zurich", "override by ada", None, 1.0),
        ]
        and {x["index_version"] for x in r} == {"v2.9-1234"}
    ),
    "Why links went away": lambda r: (
        [(x["end_reason"], x["linked_with"], x["links"], x["example"]) for x in r]
        == [
            ("registry release", "v2.8", 1, "Rutherford Lab"),
            ("source withdrawn", "v2.8", 1, "Oxford, UK"),
        ]
    ),
    "What a source changed or withdrew": lambda r: (
        [(x["external_id"], x["text"], x["received_at"], x["end_reason"]) for x in r]
        == [("10.5555/h", "Oxford, UK", date(2026, 9, 15), "withdrawn")]
    ),
    "Links that a curator made": lambda r: (
        r
        == [
            {
                "affiliation": "Quantum Fish Group",
                "organisation": "ETH Zurich",
                "author": "ada",
                "note": "they say so",
            }
        ]
    ),
    "Curators' decisions, past ones too": lambda r: (
        [(x["affiliation"], x["note"], x["ended_note"]) for x in r]
        == [
            ("14 Juniper Close", "an address", None),
            ("Quantum Fish Group", "see their website", "replaced"),
            ("Quantum Fish Group", "they say so", None),
            ("Rutherford", "see their website", None),
        ]
    ),
    "Texts that name no organisation, as curators decided": lambda r: (
        [(x["affiliation"], x["author"], x["note"]) for x in r]
        == [("14 Juniper Close", "bo", "an address")]
    ),
    "Overrides to look at": lambda r: (
        [(x["organisation"], x["status"], x["successors"]) for x in r]
        == [("Rutherford Laboratory", "inactive", ["052gg0110"])]
    ),
    "Texts to review first": lambda r: (
        [(x["affiliation"], x["records"], float(x["doubt"]), x["why"]) for x in r]
        == [
            ("ETH and PSI", 1, 0.46, "release"),
            ("Rutherford Lab", 2, 0.2, "release"),
            ("Quantum Fish Group", 1, 0.0, "doubt"),
        ]
    ),
    "What reviewers decided": lambda r: (
        [(x["affiliation"], x["action"], x["ror_ids"], x["author"]) for x in r]
        == [("Nowhere", "lacking", [], "ada"), ("Oxford, UK", "confirm", ["052gg0110"], "bo")]
    ),
    "Reviewers' decisions by person and action": lambda r: (
        [tuple(x.values()) for x in r] == [("ada", "lacking", 1, 4.0), ("bo", "confirm", 1, None)]
    ),
    "Organisations that the registry lacks, as reviewers say": lambda r: (
        [(x["name"], x["records"], x["state"]) for x in r] == [("Nowhere", 2, "draft")]
    ),
    "Affiliations to be resolved again": lambda r: (
        r == [{"cause": "organisation added", "affiliations": 2, "example": "Oxford, UK"}]
    ),
    "Records that were refused": lambda r: [x["reason"] for x in r] == ["affiliation: missing"],
}


def test_every_query_is_tested() -> None:
    assert list(QUERIES) == list(EXPECTED)
    assert COOKBOOK.read_text().count("```sql") == len(QUERIES)


@pytest.mark.parametrize("question", list(QUERIES))
def test_a_query_answers_its_question(filled: Engine, question: str) -> None:
    rows = run(filled, QUERIES[question])
    assert EXPECTED[question](rows), "\n".join(map(str, rows))


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
