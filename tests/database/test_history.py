"""What is replaced is kept: of every moment it can be said what was linked to what, and why not
any more."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Engine, Row, text
from support.overrides import add
from support.paths import ROOT

from resolver.database.answers import SaveReport, save
from resolver.database.connection import connect, transaction
from resolver.database.due_answers import Page, mark_page
from resolver.database.records import WithdrawReport, intake, take, withdraw
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.errors import DatabaseUnavailable, ResolverSuperseded
from resolver.intake.record import SourceRecord, WholeRecord
from resolver.matching.outcome import CountryAgreement, Link, LinkEvidence, Outcome, Reason
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place

OXFORD = Link("052gg0110", "University of Oxford", "Oxford University", 4.25, 0.97, 1)
ETH = Link("05a28rw58", "ETH Zurich", "ETH", 1.5, 0.75, 2)
LEIDEN = Link("027bh9e22", "Leiden University", "Leiden", None, 1.0, 1)
NONE, AMBIGUOUS = Reason.NOT_IN_REGISTRY, Reason.AMBIGUOUS
EVIDENCE = LinkEvidence("Oxford", 0, 6, CountryAgreement.NAMED, True, 1, 0.5, None)

Versions = dict[str, int]


def rows(engine: Engine, query: str, **values: object) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


@pytest.fixture
def versions(engine: Engine) -> Versions:
    """A is of release v2.8, B of v2.9 with the same models, M of v2.9 with another; B in use."""
    ids: Versions = {}
    for letter, release, reranker in (
        ("A", "v2.8", "r1"),
        ("B", "v2.9", "r1"),
        ("M", "v2.9", "r2"),
    ):
        oxford = Organisation(
            ror_id="052gg0110",
            status=OrganisationStatus.ACTIVE,
            names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
            places=(
                Place("GB", "United Kingdom", "Oxford" if release == "v2.8" else "Headington"),
            ),
        )
        loaded = load_release(
            engine,
            ReleaseInfo(release, date(2026, 10, 1), release, f"{release}.json"),
            [oxford],
            rejected=lambda: 0,
            schema_version=lambda: None,
        )
        ids[letter] = register(
            engine,
            release_id=loaded.release_id,
            encoder=("builtin", "e"),
            reranker=("builtin", reranker),
            settings={},
        ).id
    put_in_use(engine, ids["A"])
    put_in_use(engine, ids["B"])
    return ids


def sent(engine: Engine, version: int, affiliation: str = "Oxford and ETH", id: str = "a") -> int:
    return intake(engine, version, [SourceRecord("crossref", id, affiliation)])[0].id


def put(
    engine: Engine, version: int, affiliation: int, outcome: Outcome, policy: Policy | None = None
) -> SaveReport:
    """Save by a version that is put in use for it."""
    put_in_use(engine, version)
    return save(engine, version, [(affiliation, outcome)], policy or Policy())


def linked(*links: Link, overrides: tuple[int, ...] = ()) -> Outcome:
    return Outcome("", links=links, overrides=overrides)


def unlinked(reason: Reason) -> Outcome:
    return Outcome("", reason=reason)


# Why an answer ended


@pytest.mark.parametrize(
    ("first", "then", "reason"),
    [
        pytest.param(("A", linked(OXFORD)), ("B", linked(ETH)), "registry release", id="release"),
        pytest.param(("A", linked(OXFORD)), ("M", linked(ETH)), "registry release", id="both"),
        pytest.param(("B", linked(OXFORD)), ("M", linked(ETH)), "resolver change", id="model"),
        pytest.param(("B", linked(OXFORD)), ("B", linked(ETH)), "resolved again", id="again"),
        pytest.param(("B", linked(OXFORD)), ("A", linked(OXFORD)), "registry release", id="same"),
        pytest.param(
            ("A", linked(OXFORD)), ("M", linked(ETH, overrides=(1,))), "override", id="override"
        ),
        pytest.param(
            ("A", linked(OXFORD, overrides=(1,))), ("A", linked(OXFORD)), "override", id="its end"
        ),
        pytest.param(("B", unlinked(NONE)), ("M", linked(ETH)), "resolver change", id="first link"),
    ],
)
def test_what_is_replaced_says_why_it_ended(
    engine: Engine,
    versions: Versions,
    first: tuple[str, Outcome],
    then: tuple[str, Outcome],
    reason: str,
) -> None:
    affiliation = sent(engine, versions["B"])
    for letter, outcome in (first, then):
        assert put(engine, versions[letter], affiliation, outcome).outcomes == 1
    assert rows(
        engine,
        "SELECT p.resolver_version_id, p.status, p.reason, p.overrides, p.ended_by, p.end_reason,"
        " p.ended_at = o.resolved_at FROM past_outcome p JOIN outcome o USING (affiliation_id)",
    ) == [
        (
            versions[first[0]],
            first[1].status.value,
            first[1].reason and first[1].reason.value,
            list(first[1].overrides),
            versions[then[0]],
            reason,
            True,
        )
    ]
    now = {link.ror_id for link in then[1].links}
    assert rows(
        engine, "SELECT ror_id, end_reason, continued FROM link_history ORDER BY valid_to"
    ) == [
        *((link.ror_id, reason, link.ror_id in now) for link in first[1].links),
        *((link.ror_id, None, False) for link in then[1].links),
    ]


def test_the_past_keeps_all_of_a_link(engine: Engine, versions: Versions) -> None:
    affiliation = sent(engine, versions["A"])
    evidence = replace(EVIDENCE, dense=0.25, runner_up=LEIDEN.ror_id, margin=0.125)
    whole = replace(OXFORD, evidence=evidence, stands_for=("03gq8fr08",))
    put(engine, versions["A"], affiliation, linked(whole))
    columns = (
        "ror_id, rank, score, probability, name, matched_name, stands_for, text_start, text_end,"
        " country_agreement, city_named, first_stage_rank, sparse, dense, runner_up, margin,"
        " override_id, beginning, since, since_version_id, since_reason"
    )
    before = rows(engine, f"SELECT {columns} FROM link")
    put(engine, versions["B"], affiliation, linked(LEIDEN))
    assert rows(engine, f"SELECT {columns} FROM past_link") == before
    assert rows(engine, "SELECT score, probability FROM link") == [(None, 1.0)]


# The same answer again

SLIGHTLY = replace(OXFORD, score=4.250003, probability=0.9700004)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        pytest.param(linked(OXFORD, ETH), linked(OXFORD, ETH), True, id="the same"),
        pytest.param(linked(OXFORD), linked(SLIGHTLY), True, id="a rounding"),
        pytest.param(linked(LEIDEN), linked(LEIDEN), True, id="no score"),
        pytest.param(unlinked(NONE), unlinked(NONE), True, id="none"),
        pytest.param(unlinked(NONE), unlinked(AMBIGUOUS), False, id="another reason"),
        pytest.param(linked(OXFORD), linked(replace(OXFORD, score=4.3)), False, id="score"),
        pytest.param(
            linked(OXFORD), linked(replace(OXFORD, probability=0.96)), False, id="probability"
        ),
        pytest.param(linked(LEIDEN), linked(replace(LEIDEN, score=0.0)), False, id="a score now"),
        pytest.param(linked(OXFORD), linked(OXFORD, ETH), False, id="a link more"),
        pytest.param(linked(OXFORD, ETH), linked(OXFORD), False, id="a link less"),
        pytest.param(linked(OXFORD), linked(replace(OXFORD, rank=2)), False, id="rank"),
        pytest.param(linked(OXFORD), linked(replace(OXFORD, matched_name="X")), False, id="name"),
        pytest.param(
            linked(OXFORD), linked(replace(OXFORD, stands_for=("x",))), False, id="stands for"
        ),
        pytest.param(linked(OXFORD), linked(OXFORD, overrides=(1,)), False, id="overrides"),
    ],
)
def test_the_same_answer_by_the_same_version_changes_nothing(
    engine: Engine, versions: Versions, first: Outcome, second: Outcome, same: bool
) -> None:
    state = (
        "SELECT 'o', xmin::text, o::text FROM outcome o UNION ALL"
        " SELECT 'l', xmin::text, l::text FROM link l ORDER BY 1, 3"
    )
    affiliation = sent(engine, versions["B"])
    put(engine, versions["B"], affiliation, first)
    before = rows(engine, state)
    report = put(engine, versions["B"], affiliation, second)
    assert (report.outcomes, report.unchanged) == (int(not same), int(same))
    assert (rows(engine, state) == before) == same
    assert rows(engine, "SELECT count(*) FROM past_outcome") == [(int(not same),)]
    # By another version it is another answer, even if it says the same.
    assert put(engine, versions["A"], affiliation, second).unchanged == 0


# Records


def test_what_a_source_changes_and_withdraws_is_kept(engine: Engine, versions: Versions) -> None:
    version = versions["B"]
    first = sent(engine, version, "Oxford")
    save(engine, version, [(first, linked(OXFORD))])
    second = sent(engine, version, "ETH Zurich")  # the same record
    save(engine, version, [(second, linked(ETH))])
    assert withdraw(engine, [("crossref", "a", None), ("crossref", "b", 0)]) == WithdrawReport(
        2, 1, 0, 1, 1, (("crossref", "b", 0),)
    )
    assert withdraw(engine, [("crossref", "a", None)]) == WithdrawReport(1, 0, 1, 0, 0)
    assert sent(engine, version, "Oxford") == first
    assert rows(
        engine,
        "SELECT affiliation, ror_id, end_reason, continued FROM link_history ORDER BY valid_from",
    ) == [
        ("Oxford", "052gg0110", "source changed", False),
        ("ETH Zurich", "05a28rw58", "source withdrawn", False),
        ("Oxford", "052gg0110", None, False),
    ]
    assert rows(engine, "SELECT raw_text, end_reason FROM past_record ORDER BY id") == [
        (None, "changed"),
        (None, "withdrawn"),
    ]
    assert rows(engine, "SELECT affiliation FROM resolved_links") == [("Oxford",)]


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        pytest.param([("s", "a", 1)], {("a", 0), ("a", 2), ("b", 0)}, id="a position"),
        pytest.param([("s", "a", None)], {("b", 0)}, id="a record"),
        pytest.param([("s", "a", None), ("s", "a", 1)], {("b", 0)}, id="twice"),
        pytest.param([("t", "a", None), ("s", "c", 0)], {("a", 0), ("a", 1), ("a", 2), ("b", 0)}, id="others"),
        pytest.param([], {("a", 0), ("a", 1), ("a", 2), ("b", 0)}, id="nothing"),
        pytest.param([("s", "a", i) for i in range(3)] + [("s", "b", 0)], set(), id="batches"),
    ],
)  # fmt: skip
def test_withdrawing(
    engine: Engine,
    versions: Versions,
    keys: list[tuple[str, str, int | None]],
    left: set[tuple[str, int]],
) -> None:
    records = [SourceRecord("s", "a", f"Text {i}", i) for i in range(3)]
    intake(engine, versions["B"], [*records, SourceRecord("s", "b", "Text 0")])
    assert withdraw(engine, iter(keys), batch=2).records == 4 - len(left)
    assert set(rows(engine, "SELECT external_id, position FROM source_record")) == left
    assert rows(engine, "SELECT count(*) FROM past_record") == [(4 - len(left),)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param([("s", "a", None)], WithdrawReport(1, 1, 0, 0, 2), id="all of it"),
        pytest.param([("s", "a", 1)], WithdrawReport(1, 1, 0, 0, 1), id="a position"),
        pytest.param([("s", "gone", None)], WithdrawReport(1, 0, 1, 0, 0), id="before"),
        pytest.param(
            [("s", "x", None), ("t", "a", None), ("s", "a", 7)],
            WithdrawReport(3, 0, 0, 3, 0, (("s", "x", None), ("t", "a", None), ("s", "a", 7))),
            id="unknown",
        ),
        pytest.param(
            [("s", str(i), None) for i in range(25)],
            WithdrawReport(25, 0, 0, 25, 0, tuple(("s", str(i), None) for i in range(10))),
            id="many unknown",
        ),
        pytest.param(
            [("s", "a", None), ("s", "a", None), ("s", "a", None)],
            WithdrawReport(3, 2, 1, 0, 2),  # two in a batch, one in the next
            id="twice",
        ),
    ],
)
def test_withdrawing_says_what_was_found(
    engine: Engine,
    versions: Versions,
    keys: list[tuple[str, str, int | None]],
    expected: WithdrawReport,
) -> None:
    records = [SourceRecord("s", "a", f"Text {i}", i) for i in range(2)]
    intake(engine, versions["B"], [*records, SourceRecord("s", "gone", "Text 0")])
    withdraw(engine, [("s", "gone", 0)])
    done: list[int] = []
    assert withdraw(engine, keys, batch=2, progress=done.append) == expected
    assert done[-1] == len(keys)


@pytest.mark.parametrize(
    ("sent", "whole", "left", "withdrawn"),
    [
        pytest.param(["T0"], {"a": [0]}, {("a", 0), ("b", 0)}, 2, id="fewer"),
        pytest.param(["T0", "T1", "T2"], {"a": [0, 1, 2]}, {("a", 0), ("a", 1), ("a", 2), ("b", 0)}, 0, id="the same"),
        pytest.param(["new"], {"a": [0, 2]}, {("a", 0), ("a", 2), ("b", 0)}, 1, id="others in another message"),
        pytest.param([], {"a": []}, {("b", 0)}, 3, id="nothing"),
        pytest.param(["T0"], {"a": []}, {("a", 0), ("b", 0)}, 2, id="what is sent stays"),
        pytest.param(["T0"], {"a": [0], "x": [0]}, {("a", 0), ("b", 0)}, 2, id="unknown"),
        pytest.param(["T0"], {}, {("a", 0), ("a", 1), ("a", 2), ("b", 0)}, 0, id="not whole"),
    ],
)  # fmt: skip
def test_replacing_a_whole_record(
    engine: Engine,
    versions: Versions,
    sent: list[str],
    whole: dict[str, list[int]],
    left: set[tuple[str, int]],
    withdrawn: int,
) -> None:
    version = versions["B"]
    records = [SourceRecord("s", "a", f"T{i}", i) for i in range(3)]
    intake(engine, version, [*records, SourceRecord("s", "b", "T0")])
    again = [SourceRecord("s", "a", affiliation, i) for i, affiliation in enumerate(sent)]
    replaced = [WholeRecord("s", name, tuple(places)) for name, places in whole.items()]
    for expected in (withdrawn, 0):  # a message may come twice
        stored, count = take(engine, version, again, replaced)
        assert count == expected
        assert [affiliation.text for affiliation in stored] == sent
        assert set(rows(engine, "SELECT external_id, position FROM source_record")) == left
    assert rows(engine, "SELECT count(*) FROM past_record WHERE end_reason = 'withdrawn'") == [
        (withdrawn,)
    ]
    check_spells(engine)


def test_failed_replacement_changes_nothing(
    engine: Engine, versions: Versions, database_url: str
) -> None:
    intake(engine, versions["B"], [SourceRecord("s", "a", f"T{i}", i) for i in range(3)])
    before = rows(engine, "SELECT * FROM source_record ORDER BY position")
    mark = "&" if "?" in database_url else "?"
    impatient = connect(f"{database_url}{mark}options=-c%20lock_timeout%3D300")
    with engine.begin() as other:
        other.execute(text("LOCK TABLE past_record IN EXCLUSIVE MODE"))
        new = [SourceRecord("s", "a", "new", 3)]
        with pytest.raises(DatabaseUnavailable):
            take(impatient, versions["B"], new, [WholeRecord("s", "a", (3,))])
    assert rows(engine, "SELECT * FROM source_record ORDER BY position") == before
    take(impatient, versions["B"], new, [WholeRecord("s", "a", (3,))])
    assert rows(engine, "SELECT position FROM source_record") == [(3,)]
    impatient.dispose()


def test_replacements_at_once_leave_one_whole_record(engine: Engine, versions: Versions) -> None:
    """Each has other positions; whichever is last, none of another one stays."""

    def send(number: int) -> None:
        records = [SourceRecord("s", "a", f"T{number}", place) for place in range(number)]
        for _ in range(5):
            take(engine, versions["B"], records, [WholeRecord("s", "a", tuple(range(number)))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, [1, 2, 3, 5]))
    found = rows(
        engine,
        "SELECT position, text FROM source_record JOIN affiliation a ON a.id = affiliation_id"
        " ORDER BY position",
    )
    assert found == [(place, f"T{len(found)}") for place in range(len(found))]
    check_spells(engine)


# How a link began


def cookbook(title: str) -> str:
    """The query of docs/sql.md below this heading."""
    section = (ROOT / "docs/sql.md").read_text().split(f"## {title}\n")[1]
    return section.split("```sql\n")[1].split("```")[0]


OTHER_NAME = replace(OXFORD, matched_name="Oxford Univ.")
STANDS_FOR = replace(OXFORD, stands_for=("03gq8fr08",))


@pytest.mark.parametrize(
    ("first", "then", "beginnings"),
    [
        pytest.param(linked(OXFORD), linked(OXFORD), {OXFORD: "confirmed"}, id="the same"),
        pytest.param(
            linked(OXFORD), linked(replace(OXFORD, score=1.0, probability=0.6)),
            {OXFORD: "confirmed"}, id="numbers",
        ),
        pytest.param(linked(OXFORD), linked(OTHER_NAME), {OXFORD: "changed"}, id="name"),
        pytest.param(linked(OXFORD), linked(STANDS_FOR), {OXFORD: "changed"}, id="stands for"),
        pytest.param(
            linked(OXFORD), linked(LEIDEN, replace(OXFORD, rank=2)),
            {OXFORD: "changed", LEIDEN: "new"}, id="rank",
        ),
        pytest.param(
            linked(OXFORD), linked(OXFORD, ETH), {OXFORD: "confirmed", ETH: "new"}, id="one more"
        ),
        pytest.param(linked(OXFORD, ETH), linked(OXFORD), {OXFORD: "confirmed"}, id="one less"),
        pytest.param(unlinked(NONE), linked(OXFORD), {OXFORD: "new"}, id="first link"),
        pytest.param(
            linked(OXFORD), linked(OXFORD, overrides=(1,)), {OXFORD: "confirmed"}, id="a person"
        ),
    ],
)  # fmt: skip
def test_a_link_says_what_it_is_beside_the_answer_before(
    engine: Engine,
    versions: Versions,
    first: Outcome,
    then: Outcome,
    beginnings: dict[Link, str],
) -> None:
    affiliation = sent(engine, versions["A"])
    put(engine, versions["A"], affiliation, first)
    assert rows(engine, "SELECT DISTINCT beginning, begin_reason FROM link_history") == [
        ("new", "source sent") for _ in first.links[:1]
    ]
    put(engine, versions["B"], affiliation, then)
    reason = "override" if then.overrides else "registry release"
    found = rows(
        engine,
        "SELECT ror_id, beginning, begin_reason, linked_since = resolved_at, linked_since_release,"
        " linked_since_reason FROM link_history WHERE valid_to IS NULL",
    )
    assert {row[0]: row[1:] for row in found} == {
        link.ror_id: (
            beginning,
            reason,
            beginning == "new",
            "v2.9" if beginning == "new" else "v2.8",
            reason if beginning == "new" else "source sent",
        )
        for link, beginning in beginnings.items()
    }
    # What went to the past says still how it began.
    assert rows(
        engine,
        "SELECT DISTINCT beginning, begin_reason, linked_since_release, end_release"
        " FROM link_history WHERE valid_to IS NOT NULL",
    ) == [("new", "source sent", "v2.8", "v2.9") for _ in first.links[:1]]


def test_what_a_release_brought_is_told_after_a_rollback_too(
    engine: Engine, versions: Versions
) -> None:
    """v2.9 brought 5 of 60 links and took 3; none of that changes by going back and forth, by
    another model, or by what sources send meanwhile."""
    texts = [f"Oxford {number}" for number in range(60)]
    ids = [sent(engine, versions["A"], one, one) for one in texts]

    def answered(letter: str) -> None:
        before = letter == "A"
        put_in_use(engine, versions[letter])
        save(
            engine,
            versions[letter],
            [
                (
                    one,
                    linked(OXFORD) if (number >= 5 if before else number < 57) else unlinked(NONE),
                )
                for number, one in enumerate(ids)
            ],
        )

    new, gone = cookbook("Which links a release brought"), cookbook("Which links a release removed")

    def told(query: str) -> set[object]:
        return {row._mapping["external_id"] for row in _all(engine, query)}

    for turn, letter in enumerate("ABABBM"):
        answered(letter)
        sent(engine, versions[letter], texts[20], f"later {turn}")
        shown = letter != "A"
        assert told(new) == (set(texts[:5]) if shown else set()), letter
        assert told(gone) == (set(texts[57:]) if shown else set()), letter
    # A new paper with a text that the release made linkable.
    sent(engine, versions["M"], texts[0], "new paper")
    assert told(new) == {*texts[:5], "new paper"}
    assert rows(
        engine,
        "SELECT beginning, begin_reason, linked_since_reason FROM link_history"
        " WHERE external_id = 'new paper'",
    ) == [("new", "source sent", "registry release")]


def test_another_writing_of_a_text_ends_and_begins_no_link(
    engine: Engine, versions: Versions
) -> None:
    """Raw texts may differ where the normalised one is the same."""
    version = versions["A"]
    affiliation = sent(engine, version, "Oxford,  UK")
    put(engine, version, affiliation, linked(OXFORD))
    assert sent(engine, version, "Oxford, UK") == affiliation
    put(engine, versions["B"], affiliation, linked(OXFORD))
    assert sent(engine, versions["B"], "Oxford, UK ") == affiliation
    assert rows(
        engine,
        "SELECT beginning, begin_reason, end_reason, continued FROM link_history"
        " ORDER BY valid_from",
    ) == [
        ("new", "source sent", "source changed", True),
        ("confirmed", "source sent", "registry release", True),
        ("confirmed", "registry release", "source changed", True),
        ("confirmed", "source sent", None, False),
    ]
    assert withdraw(engine, [("crossref", "a", None)]).records == 1
    assert rows(engine, "SELECT count(*) FROM link_history WHERE NOT continued") == [(1,)]


def _all(engine: Engine, query: str) -> Sequence[Row[Any]]:
    with transaction(engine) as connection:
        return connection.exec_driver_sql(query).all()


# Any sequence of events

COMPARED = (
    "source, external_id, position, affiliation, ror_id, ror_url, matched_name, matched_text,"
    " text_start, text_end, probability, score, rank, stands_for, country_agreement, city_named,"
    " first_stage_rank, sparse, dense, runner_up, runner_up_name, margin, override_id,"
    " registry_release, resolver_version, policy, resolved_at"
)
TEXTS = ["Oxford", "ETH Zurich", "Oxford and ETH"]
POLICIES = [Policy(), Policy(max_links=1)]
OUTCOMES = [
    linked(OXFORD),
    linked(replace(OXFORD, evidence=EVIDENCE), ETH),
    linked(LEIDEN),
    linked(LEIDEN, overrides=(7,)),
    linked(replace(ETH, rank=1), overrides=(7, 8)),
    unlinked(NONE),
    unlinked(AMBIGUOUS),
]


def check_spells(engine: Engine) -> None:
    """Of each answer and record the spells follow each other; answers without a gap."""
    answers: dict[object, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    for key, start, end in rows(
        engine,
        "SELECT (affiliation_id, policy_id)::text, resolved_at, ended_at FROM ("
        " SELECT affiliation_id, policy_id, resolved_at, ended_at, id FROM past_outcome UNION ALL"
        " SELECT affiliation_id, policy_id, resolved_at, NULL, NULL FROM outcome) a"
        " ORDER BY 1, id NULLS LAST",
    ):
        answers[key].append((start, end))  # type: ignore[arg-type]
    for spells in answers.values():
        assert all(end == start for (_, end), (start, _) in pairwise(spells))
        assert spells[-1][1] is None
    overlaps = rows(
        engine,
        "WITH spell AS (SELECT row_number() OVER () AS n, * FROM ("
        " SELECT source, external_id, position, tstzrange(received_at, ended_at) AS held"
        " FROM past_record UNION ALL SELECT source, external_id, position,"
        " tstzrange(received_at, NULL) FROM source_record) s)"
        " SELECT a.n FROM spell a JOIN spell b USING (source, external_id, position)"
        " WHERE a.n < b.n AND a.held && b.held",
    )
    assert overlaps == []


@pytest.mark.parametrize("seed", range(6))
def test_every_moment_is_shown_as_it_was(engine: Engine, versions: Versions, seed: int) -> None:
    chance = random.Random(seed)
    shown: list[tuple[datetime, list[tuple[object, ...]]]] = []

    def send() -> None:
        records = [
            SourceRecord("s", chance.choice("abc"), chance.choice(TEXTS), chance.randrange(2))
            for _ in range(chance.randrange(1, 4))
        ]
        intake(engine, versions["B"], records, chance.choice(POLICIES))

    def take_back() -> None:
        withdraw(engine, [("s", chance.choice("abc"), chance.choice([None, 0, 1]))])

    def replace_whole() -> None:
        name = chance.choice("abc")
        records = [
            SourceRecord("s", name, chance.choice(TEXTS), place)
            for place in range(chance.randrange(4))
        ]
        whole = [WholeRecord("s", name, tuple(range(len(records))))]
        take(engine, versions["B"], records, whole, chance.choice(POLICIES))

    def answer() -> None:
        ids = [one for (one,) in rows(engine, "SELECT id FROM affiliation ORDER BY id")]
        version = put_in_use(engine, chance.choice(list(versions.values()))).id
        some = chance.sample(ids, chance.randrange(len(ids) + 1))
        answers = [(one, chance.choice(OUTCOMES)) for one in some]
        assert all(isinstance(one, int) for one in ids)
        for _ in range(chance.choice([1, 1, 2])):
            save(engine, version, answers, chance.choice(POLICIES))  # type: ignore[arg-type]

    events: Sequence[Callable[[], None]] = [send, take_back, replace_whole, answer, answer, answer]
    for step in range(40):
        (chance.choice(events) if step else send)()
        ((moment,),) = rows(engine, "SELECT clock_timestamp()")
        assert isinstance(moment, datetime)
        shown.append((moment, rows(engine, f"SELECT {COMPARED} FROM resolved_links")))
    check_spells(engine)
    assert len({len(links) for _, links in shown}) > 3  # there was something to see
    for moment, links in shown:
        then = rows(engine, f"SELECT {COMPARED} FROM resolved_links_at(:moment)", moment=moment)
        assert sorted(then, key=str) == sorted(links, key=str)
    assert rows(engine, "SELECT count(*) FROM resolved_links_at('2020-01-01')") == [(0,)]
    # One row a spell: those that show at a moment are those of `resolved_links_at`.
    assert rows(
        engine,
        "SELECT count(*) FROM link_history WHERE valid_to <= valid_from OR"
        " (valid_to IS NULL) <> (end_reason IS NULL)",
    ) == [(0,)]


def test_places_and_status_of_a_moment_are_those_of_its_release(
    engine: Engine, versions: Versions
) -> None:
    affiliation = sent(engine, versions["A"])
    put(engine, versions["A"], affiliation, linked(OXFORD))
    ((moment,),) = rows(engine, "SELECT clock_timestamp()")
    put(engine, versions["B"], affiliation, linked(OXFORD))
    query = "SELECT city, organisation_status, registry_release FROM "
    assert rows(engine, query + "resolved_links") == [("Headington", "active", "v2.9")]
    assert rows(engine, query + "resolved_links_at(:moment)", moment=moment) == [
        ("Oxford", "active", "v2.8")
    ]


# Many workers


def test_workers_killed_at_any_time_leave_one_history(engine: Engine, versions: Versions) -> None:
    """Each version has one answer for each text. Workers store them, whichever is in use, over and
    over, while their connections are cut."""
    records = [SourceRecord("s", str(i), f"Institute {i}") for i in range(40)]
    ids = [stored.id for stored in intake(engine, versions["B"], records)]
    switches = 12

    def given(affiliation: int, version: int) -> Outcome:
        return OUTCOMES[(affiliation * 7 + version * 3) % len(OUTCOMES)]

    def stop() -> bool:
        return len(done) == switches

    done: list[int] = []
    stored = cut = 0

    def work(seed: int) -> tuple[int, int]:
        chance = random.Random(seed)
        stored = cut = 0
        while not stop():
            try:
                ((version,),) = rows(engine, "SELECT id FROM resolver_version WHERE is_current")
                assert isinstance(version, int)
                some = chance.sample(ids, chance.randrange(1, len(ids)))
                save(engine, version, [(one, given(one, version)) for one in some])
                stored += 1
            except ResolverSuperseded:
                continue
            except DatabaseUnavailable:
                cut += 1
        return stored, cut

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, seed) for seed in range(3)]
        chance = random.Random(9)
        try:
            while not stop():
                try:
                    rows(
                        engine,
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        " AND random() < 0.5",
                    )
                    put_in_use(engine, chance.choice(list(versions.values())))
                    done.append(1)
                    rows(engine, "SELECT pg_sleep(0.05)")
                except DatabaseUnavailable:  # cut by another one's death
                    continue
        finally:
            done.extend([1] * (switches - len(done)))
        for worker in workers:
            of_one = worker.result()
            stored, cut = stored + of_one[0], cut + of_one[1]
    assert stored > switches
    assert cut > 0
    check_spells(engine)
    version = put_in_use(engine, versions["M"]).id
    save(engine, version, [(one, given(one, version)) for one in ids])
    assert save(engine, version, [(one, given(one, version)) for one in ids]).unchanged == len(ids)
    # Every answer of the past is one that its version gave, whole, and differs from the next.
    for affiliation, by, links in rows(
        engine,
        "SELECT affiliation_id, resolver_version_id, array(SELECT ror_id FROM past_link"
        " WHERE past_outcome_id = id ORDER BY rank) FROM past_outcome UNION ALL"
        " SELECT affiliation_id, resolver_version_id, array(SELECT ror_id FROM link l"
        " WHERE l.affiliation_id = o.affiliation_id ORDER BY rank) FROM outcome o",
    ):
        assert isinstance(affiliation, int)
        assert isinstance(by, int)
        assert links == [link.ror_id for link in given(affiliation, by).links]
    check_spells(engine)
    assert rows(
        engine, "SELECT count(*) FROM past_outcome WHERE resolver_version_id = ended_by"
    ) == [(0,)]


# What is said meanwhile


def test_an_answer_that_did_not_know_of_an_override_is_given_anew(
    engine: Engine, versions: Versions
) -> None:
    version = versions["B"]
    affiliation = sent(engine, version, "Oxford")
    add(engine, [Override(None, "Oxford", "052gg0110", Verdict.IS_NOT, "ada")])
    save(engine, version, [(affiliation, linked(OXFORD))])  # looked before it was said
    assert rows(engine, "SELECT affiliation, cause FROM outdated") == [("Oxford", "override")]
    assert not intake(engine, version, [SourceRecord("s", "b", "Oxford")])[0].resolved
    save(engine, version, [(affiliation, Outcome("", reason=Reason.OVERRIDDEN, overrides=(1,)))])
    assert rows(engine, "SELECT * FROM outdated") == []
    assert intake(engine, version, [SourceRecord("s", "b", "Oxford")])[0].resolved


def test_what_is_stored_is_not_stale_any_more(engine: Engine, versions: Versions) -> None:
    affiliation = sent(engine, versions["A"])
    put(engine, versions["A"], affiliation, linked(OXFORD))
    put_in_use(engine, versions["B"])
    assert mark_page(engine, versions["B"], Page(0, affiliation, ()), [affiliation]) == 1
    save(engine, versions["B"], [(affiliation, linked(OXFORD))])
    assert rows(engine, "SELECT * FROM stale") == []
