from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Engine

from resolver.database.answers import save
from resolver.database.records import intake
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.database.unmatched import EXAMPLES, Unmatched, unmatched_affiliations
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus

ABSENT, PLACE = Reason.NOT_IN_REGISTRY, Reason.PLACE_ONLY
OXFORD = Link("052gg0110", "University of Oxford", "University of Oxford", 4.0, 0.97, 1)


@pytest.fixture
def version(engine: Engine) -> int:
    oxford = Organisation(
        ror_id="052gg0110",
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
    )
    release = load_release(
        engine,
        ReleaseInfo("v2.9", date(2026, 10, 1), "aa", "v2.9.json"),
        [oxford],
        rejected=lambda: 0,
        schema_version=lambda: None,
    )
    registered = register(
        engine,
        release_id=release.release_id,
        encoder=("builtin", "e"),
        reranker=("builtin", "r"),
        settings={},
    )
    return put_in_use(engine, registered.id).id


def answer(
    engine: Engine,
    version: int,
    records: list[SourceRecord],
    reasons: dict[str, Reason],
    policy: Policy | None = None,
) -> None:
    """Store these records; what has no reason is linked."""
    policy = policy or Policy()
    stored = intake(engine, version, records, policy)
    outcomes = [
        (a.id, Outcome(a.text, reason=reasons[a.text]) if a.text in reasons else Outcome(a.text, (OXFORD,)))
        for a in stored
        if not a.resolved
    ]  # fmt: skip
    save(engine, version, outcomes, policy)


RECORDS = [
    SourceRecord("crossref", "10.1/b", "Kelmar University"),
    SourceRecord("crossref", "10.1/b", "Kelmar University", 1),
    SourceRecord("intranet", "0007", "Kelmar University"),
    SourceRecord("crossref", "10.1/a", "Oslo"),
    SourceRecord("crossref", "10.1/a", "University of Oxford", 1),
]
REASONS = {"Kelmar University": ABSENT, "Oslo": PLACE}


@pytest.mark.parametrize(
    ("reasons", "source", "expected"),
    [
        pytest.param(
            [ABSENT], None,
            [Unmatched("Kelmar University", "not_in_registry", 3, ("crossref", "intranet"), ("10.1/b", "10.1/b", "0007"))],
            id="counted over its sources",
        ),
        pytest.param(
            [ABSENT, PLACE], "crossref",
            [
                Unmatched("Kelmar University", "not_in_registry", 2, ("crossref",), ("10.1/b", "10.1/b")),
                Unmatched("Oslo", "place_only", 1, ("crossref",), ("10.1/a",)),
            ],
            id="of one source",
        ),
        pytest.param([ABSENT], "nobody", [], id="of a source that sent nothing"),
        pytest.param([Reason.EMPTY], None, [], id="a reason that nothing has"),
    ],
)  # fmt: skip
def test_unmatched_affiliations(
    engine: Engine,
    version: int,
    reasons: list[Reason],
    source: str | None,
    expected: list[Unmatched],
) -> None:
    answer(engine, version, RECORDS, REASONS)
    found = unmatched_affiliations(engine, reasons=reasons, source=source)
    assert sorted(found, key=lambda row: row.affiliation) == expected


def test_what_another_policy_links_is_no_gap(engine: Engine, version: int) -> None:
    strict = Policy(accept_probability=0.99)
    record = SourceRecord("crossref", "10.1/c", "Univ. Oxford")
    answer(engine, version, [record], {})
    answer(
        engine, version, [SourceRecord("crossref", "10.1/d", "Univ. Oxford")],
        {"Univ. Oxford": Reason.BELOW_THRESHOLD}, strict,
    )  # fmt: skip
    assert list(unmatched_affiliations(engine, reasons=list(Reason))) == []


def test_many_rows_are_streamed(engine: Engine, version: int) -> None:
    records = [SourceRecord("s", str(i), f"Kelmar {i % 5000}") for i in range(5200)]
    answer(engine, version, records, {f"Kelmar {i}": ABSENT for i in range(5000)})
    found = list(unmatched_affiliations(engine, reasons=[ABSENT]))
    assert len(found) == 5000
    assert sum(row.count for row in found) == 5200
    assert max(len(row.records) for row in found) <= EXAMPLES
