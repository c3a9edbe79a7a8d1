from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, text
from support.overrides import add

from resolver.database.answers import SaveReport, save
from resolver.database.connection import transaction
from resolver.database.records import StoredAffiliation, intake, refuse
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.errors import IntakeError, ModelError, ResolverSuperseded
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
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place
from resolver.text.affiliation import MAX_CHARACTERS

OXFORD = Link("052gg0110", "University of Oxford", "Oxford University", 4.25, 0.97, 1)
ETH = Link("05a28rw58", "ETH Zurich", "ETH", 1.5, 0.75, 2)
NONE = Reason.NOT_IN_REGISTRY


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def record(affiliation: str, id: str = "10.1/a", position: int = 0) -> SourceRecord:
    return SourceRecord("crossref", id, affiliation, position)


@pytest.fixture
def resolvers(engine: Engine) -> tuple[int, int]:
    """An older and a newer resolver version, of two models; the newer is in use."""
    oxford = Organisation(
        ror_id="052gg0110",
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
        places=(Place("GB", "United Kingdom", "Oxford"),),
    )
    release = load_release(
        engine,
        ReleaseInfo("v2.9", date(2026, 10, 1), "aa", "v2.9.json"),
        [oxford],
        rejected=lambda: 0,
        schema_version=lambda: None,
    )
    older, newer = (
        register(
            engine,
            release_id=release.release_id,
            encoder=("builtin", "e"),
            reranker=("builtin", fingerprint),
            settings={},
        ).id
        for fingerprint in ("r1", "r2")
    )
    put_in_use(engine, older)
    put_in_use(engine, newer)
    return older, newer


def put(engine: Engine, version: int, answers: Sequence[tuple[int, Outcome]]) -> SaveReport:
    """Save by a version that is put in use for it."""
    put_in_use(engine, version)
    return save(engine, version, answers)


# Intake


@pytest.mark.parametrize(
    ("affiliations", "texts"),
    [
        pytest.param(["Oxford", "ETH"], ["Oxford", "ETH"], id="distinct, in order"),
        pytest.param(["ETH", "Oxford", "ETH"], ["ETH", "Oxford"], id="the same twice"),
        pytest.param(["R&amp;D <b>Oxford</b>", "R&D Oxford "], ["R&D Oxford"], id="normalised"),
        pytest.param([""], [""], id="empty"),
        pytest.param(["Ox\x00ford\ud800"], ["Ox ford\ufffd"], id="NUL and a lone surrogate"),
        pytest.param(["牛津大学 \U0001f393"], ["牛津大学 \U0001f393"], id="beyond the BMP"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_each_distinct_text_comes_back_once(
    engine: Engine, resolvers: tuple[int, int], affiliations: list[str], texts: list[str]
) -> None:
    records = [record(text, position=place) for place, text in enumerate(affiliations)]
    stored = intake(engine, resolvers[1], records)
    assert [(a.text, a.resolved) for a in stored] == [(text, False) for text in texts]
    assert intake(engine, resolvers[1], records) == stored
    kept = rows(
        engine,
        "SELECT s.position, a.text FROM source_record s"
        " JOIN affiliation a ON a.id = s.affiliation_id ORDER BY position",
    )
    assert len(kept) == len(affiliations)
    assert {text for _, text in kept} == set(texts)


def test_the_raw_text_is_kept_as_it_came_where_it_can_be(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    raw = "R&amp;D\n <b>Ox\x00ford</b> \udc80"
    intake(engine, resolvers[1], [record(raw)])
    assert rows(engine, "SELECT raw_text FROM source_record") == [
        ("R&amp;D\n <b>Ox\ufffdford</b> \ufffd",)
    ]


def test_a_raw_text_that_is_normal_is_not_kept_twice(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    query = "SELECT raw_text, received_at FROM source_record"
    intake(engine, resolvers[1], [record("Oxford")])
    before = rows(engine, query)
    assert before[0][0] is None
    intake(engine, resolvers[1], [record("Oxford")])
    assert rows(engine, query) == before
    intake(engine, resolvers[1], [record("Oxford ")])
    assert rows(engine, query)[0][0] == "Oxford "
    intake(engine, resolvers[1], [record("Oxford")])
    assert rows(engine, query)[0][0] is None
    assert rows(engine, "SELECT raw_text, end_reason FROM past_record ORDER BY id") == [
        (None, "changed"),
        ("Oxford ", "changed"),
    ]


def test_a_text_that_is_too_long_is_bounded_and_still_seen_to_be_too_long(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    start = "x" * MAX_CHARACTERS
    stored = intake(engine, resolvers[1], [record(start + "a" * 500), record(start + "b", "2")])
    assert [len(a.text) for a in stored] == [MAX_CHARACTERS + 1] * 2
    assert stored[0].id != stored[1].id  # told apart by the whole text
    assert rows(engine, "SELECT max(length(raw_text)) FROM source_record") == [(MAX_CHARACTERS,)]


def test_a_record_sent_again_with_another_text_points_to_it(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    query = (
        "SELECT a.text, s.xmin::text, s.received_at"
        " FROM source_record s JOIN affiliation a ON a.id = s.affiliation_id"
    )
    intake(engine, resolvers[1], [record("Oxford")])
    first = rows(engine, query)
    intake(engine, resolvers[1], [record("Oxford")])
    assert rows(engine, query) == first  # not rewritten
    intake(engine, resolvers[1], [record("ETH")])
    ((text_now, _, received_at),) = rows(engine, query)
    assert text_now == "ETH"
    assert received_at > first[0][2]  # type: ignore[operator]
    assert rows(engine, "SELECT text FROM affiliation ORDER BY id") == [("Oxford",), ("ETH",)]


def test_of_a_record_twice_in_a_chunk_the_later_counts(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    stored = intake(engine, resolvers[1], [record("Oxford"), record("ETH")])
    assert [a.text for a in stored] == ["Oxford", "ETH"]
    assert rows(
        engine,
        "SELECT text FROM source_record s JOIN affiliation a ON a.id = s.affiliation_id",
    ) == [("ETH",)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(SourceRecord("", "1", "x"), "source is empty", id="no source"),
        pytest.param(SourceRecord("s", "", "x"), "external_id is empty", id="no id"),
        pytest.param(SourceRecord("s", "i" * 501, "x"), "501 characters", id="long id"),
        pytest.param(SourceRecord("s", "a\x00", "x"), "NUL", id="NUL"),
        pytest.param(SourceRecord("\ud800", "a", "x"), "surrogate", id="lone surrogate"),
        pytest.param(SourceRecord("s", "a", "x", -1), "position -1", id="negative position"),
        pytest.param(SourceRecord("s", "a", "x", 2**31), "position 2147483648", id="position"),
    ],
)
def test_a_key_that_cannot_be_stored_is_named_and_nothing_is_stored(
    engine: Engine, resolvers: tuple[int, int], bad: SourceRecord, reason: str
) -> None:
    with pytest.raises(IntakeError, match=reason) as caught:
        intake(engine, resolvers[1], [record("Oxford"), bad])
    assert caught.value.position == 1
    assert rows(engine, "SELECT count(*) FROM affiliation") == [(0,)]


def test_the_longest_keys_are_stored(engine: Engine, resolvers: tuple[int, int]) -> None:
    widest = "\U0001f393"
    longest = SourceRecord(widest * 100, widest * 500, "Oxford", 2**31 - 1)
    intake(engine, resolvers[1], [longest])
    assert rows(engine, "SELECT length(source), length(external_id) FROM source_record") == [
        (100, 500)
    ]


@pytest.mark.slow
def test_workers_with_common_records_do_not_deadlock(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    records = [record(f"Institute {n % 150}", id=f"10.1/{n}") for n in range(300)]

    def work(turned: bool) -> list[StoredAffiliation]:
        chunk = records[::-1] if turned else records
        for text_of in range(6):
            changed = [
                SourceRecord(r.source, r.external_id, f"{r.affiliation} v{text_of}") for r in chunk
            ]
            stored = intake(engine, resolvers[1], changed)
            save(engine, resolvers[1], [(a.id, Outcome(a.text, reason=NONE)) for a in stored])
        return stored

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(work, [False, True, False, True]))
    assert {frozenset(a.id for a in answer) for answer in answers} == {
        frozenset(a.id for a in answers[0])
    }
    assert rows(engine, "SELECT count(*) FROM affiliation") == [(900,)]
    assert rows(engine, "SELECT count(*) FROM source_record") == [(300,)]


# Answers


def one(engine: Engine, resolver: int, affiliation: str = "Oxford and ETH") -> int:
    return intake(engine, resolver, [record(affiliation)])[0].id


def present(engine: Engine) -> list[tuple[object, ...]]:
    return rows(
        engine,
        "SELECT o.resolver_version_id, o.status, o.reason, l.ror_id, l.rank"
        " FROM outcome o LEFT JOIN link l USING (affiliation_id) ORDER BY rank",
    )


def linked(*links: Link) -> Outcome:
    return Outcome("Oxford and ETH", links=links)


def unlinked(reason: Reason) -> Outcome:
    return Outcome("Oxford and ETH", reason=reason)


def test_links_are_stored_as_they_were_given(engine: Engine, resolvers: tuple[int, int]) -> None:
    report = save(engine, resolvers[1], [(one(engine, resolvers[1]), linked(OXFORD, ETH))])
    assert report == SaveReport(outcomes=1, links=2, unchanged=0)
    assert rows(
        engine,
        "SELECT ror_id, name, matched_name, score, probability, rank FROM link ORDER BY rank",
    ) == [
        ("052gg0110", "University of Oxford", "Oxford University", 4.25, pytest.approx(0.97), 1),
        ("05a28rw58", "ETH Zurich", "ETH", 1.5, 0.75, 2),
    ]


EVIDENCE = LinkEvidence(
    text="ETH",
    start=11,
    end=14,
    country=CountryAgreement.NONE_NAMED,
    city_named=True,
    first_stage_rank=1,
    sparse=0.125,
    dense=None,
    runner_up="052gg0110",
    runner_up_name="University of Oxford",
    margin=0.5,
    weighed=(("logit", 2.5), ("city", -0.125)),
)


def test_evidence_and_what_a_link_stands_for_are_kept(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    successor = replace(ETH, rank=1, evidence=EVIDENCE, stands_for=("03gq8fr08", "00aaaaa00"))
    plain = replace(OXFORD, rank=2)
    save(engine, resolvers[1], [(one(engine, resolvers[1]), linked(successor, plain))])
    columns = (
        "stands_for, text_start, text_end, country_agreement, city_named, first_stage_rank,"
        " sparse, dense, runner_up, margin, override_id"
    )
    kept = ["03gq8fr08", "00aaaaa00"], 11, 14, "none_named", True, 1, 0.125, None, "052gg0110", 0.5
    nothing = ([], *[None] * 9)
    assert rows(engine, f"SELECT {columns} FROM link ORDER BY rank") == [
        (*kept, None),
        (*nothing, None),
    ]
    shown = f"SELECT {columns}, matched_text, runner_up_name FROM {{}} ORDER BY rank"
    for view in ("resolved_links", "resolved_links_at(now())", "link_history"):
        assert rows(engine, shown.format(view)) == [
            (*kept, None, "ETH", "University of Oxford"),
            (*nothing, None, None, None),
        ], view


def test_a_link_names_the_decision_that_made_it(engine: Engine, resolvers: tuple[int, int]) -> None:
    decision = Override(None, "Oxford and ETH", ETH.ror_id, Verdict.IS, "ada", "see their page")
    add(engine, [decision])
    note = OverrideNote(1, "ada", "see their page", date(2026, 11, 22))
    made = replace(ETH, evidence=replace(EVIDENCE, override=note))
    answer = Outcome("Oxford and ETH", (made,), overrides=(1,))
    save(engine, resolvers[1], [(one(engine, resolvers[1]), answer)])
    query = "SELECT author, x.note FROM resolved_links l JOIN link_override x ON x.id = override_id"
    assert rows(engine, query) == [("ada", "see their page")]


@pytest.mark.parametrize(
    ("affiliation", "part"),
    [
        pytest.param("Oxford and ETH", slice(11, 14), id="ASCII"),
        pytest.param("牛津大学, \U0001f393 Oxford", slice(0, 4), id="beyond the BMP behind it"),
        pytest.param("\U0001f393\U0001f393 Université", slice(3, 13), id="and before it"),
    ],
)
def test_the_matched_text_is_a_part_of_the_affiliation(
    engine: Engine, resolvers: tuple[int, int], affiliation: str, part: slice
) -> None:
    evidence = replace(EVIDENCE, text=affiliation[part], start=part.start, end=part.stop)
    answer = linked(replace(ETH, evidence=evidence))
    save(engine, resolvers[1], [(one(engine, resolvers[1], affiliation), answer)])
    assert rows(engine, "SELECT matched_text FROM resolved_links") == [(affiliation[part],)]


def test_a_name_that_is_written_otherwise_has_no_text(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    otherwise = replace(ETH, evidence=replace(EVIDENCE, text="", start=0, end=0))
    save(engine, resolvers[1], [(one(engine, resolvers[1]), linked(otherwise))])
    assert rows(engine, "SELECT matched_text, text_start, text_end FROM resolved_links") == [
        (None, None, None)
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(linked(OXFORD), linked(OXFORD), id="the same"),
        pytest.param(linked(OXFORD, ETH), linked(OXFORD), id="fewer links"),
        pytest.param(linked(OXFORD), linked(OXFORD, ETH), id="more links"),
        pytest.param(linked(OXFORD, ETH), unlinked(Reason.AMBIGUOUS), id="no link any more"),
        pytest.param(unlinked(Reason.AMBIGUOUS), linked(OXFORD), id="a link now"),
        pytest.param(unlinked(Reason.AMBIGUOUS), unlinked(Reason.NOT_IN_REGISTRY), id="a reason"),
    ],
)
@pytest.mark.parametrize("later", [False, True], ids=["same version", "later version"])
def test_the_last_answer_takes_the_place_of_the_one_before(
    engine: Engine, resolvers: tuple[int, int], first: Outcome, second: Outcome, later: bool
) -> None:
    older, newer = resolvers[0], resolvers[1] if later else resolvers[0]
    affiliation = one(engine, older)
    put(engine, older, [(affiliation, first)])
    same = first == second and newer == older
    assert put(engine, newer, [(affiliation, second)]).unchanged == same
    head = (newer, second.status.value, second.reason and second.reason.value)
    assert present(engine) == [(*head, link.ror_id, link.rank) for link in second.links] or present(
        engine
    ) == [(*head, None, None)]
    assert rows(engine, "SELECT count(*) FROM link") == [(len(second.links),)]


@pytest.mark.parametrize("late", [linked(ETH), unlinked(Reason.AMBIGUOUS)], ids=["link", "none"])
def test_a_version_that_is_not_in_use_stores_nothing(
    engine: Engine, resolvers: tuple[int, int], late: Outcome
) -> None:
    older, newer = resolvers
    affiliation = one(engine, newer)
    other = intake(engine, newer, [record("Leiden", "10.1/b")])[0].id
    save(engine, newer, [(affiliation, linked(OXFORD))])
    with pytest.raises(ResolverSuperseded) as caught:
        save(engine, older, [(affiliation, late), (other, unlinked(NONE))])
    assert (caught.value.version_id, caught.value.current_id) == (older, newer)
    assert present(engine) == [(newer, "linked", None, "052gg0110", 1)]
    put_in_use(engine, older)
    save(engine, older, [(affiliation, late), (other, unlinked(NONE))])
    assert {row[0] for row in present(engine)} == {older}


def test_resolved_asks_for_a_valid_answer(engine: Engine, resolvers: tuple[int, int]) -> None:
    older, newer = resolvers
    affiliation = one(engine, older)
    seen = {}
    for answered in (older, newer):
        put(engine, answered, [(affiliation, linked(OXFORD))])
        seen[answered] = [
            intake(engine, asking, [record("Oxford and ETH")])[0].resolved for asking in resolvers
        ]
    # Of another model, so neither carries the other.
    assert seen == {older: [True, False], newer: [False, True]}


@pytest.mark.parametrize(("probability", "stored"), [(1.0000001, 1.0), (-1e-9, 0.0), (1e-300, 0.0)])
def test_rounding_beyond_the_interval_is_clamped(
    engine: Engine, resolvers: tuple[int, int], probability: float, stored: float
) -> None:
    link = Link("052gg0110", "University of Oxford", "Oxford", 1.0, probability, 1)
    save(engine, resolvers[1], [(one(engine, resolvers[1]), linked(link))])
    assert rows(engine, "SELECT probability FROM link") == [(stored,)]


@pytest.mark.parametrize(
    ("score", "probability"),
    [(math.nan, 0.5), (1.0, math.nan), (math.inf, 1.0), (-math.inf, 0.0)],
)
def test_what_is_not_a_number_is_refused_and_nothing_is_stored(
    engine: Engine, resolvers: tuple[int, int], score: float, probability: float
) -> None:
    affiliation = one(engine, resolvers[1])
    other = intake(engine, resolvers[1], [record("Leiden", "10.1/b")])[0].id
    link = Link("052gg0110", "University of Oxford", "Oxford", score, probability, 1)
    with pytest.raises(ModelError, match="052gg0110"):
        save(engine, resolvers[1], [(other, unlinked(NONE)), (affiliation, linked(link))])
    assert rows(engine, "SELECT count(*) FROM outcome") == [(0,)]


def test_one_organisation_twice_is_a_mistake(engine: Engine, resolvers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="twice"):
        save(engine, resolvers[1], [(one(engine, resolvers[1]), linked(OXFORD, OXFORD))])


def test_of_an_affiliation_twice_in_a_chunk_the_later_counts(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    affiliation = one(engine, resolvers[1])
    answers: Sequence[tuple[int, Outcome]] = [
        (affiliation, linked(OXFORD)),
        (affiliation, unlinked(NONE)),
    ]
    assert save(engine, resolvers[1], answers) == SaveReport(1, 0, 0)
    assert present(engine) == [(resolvers[1], "no_match", "not_in_registry", None, None)]


def test_the_table_itself_refuses_an_outcome_that_contradicts_itself(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    from sqlalchemy.exc import IntegrityError

    affiliation = one(engine, resolvers[1])
    for status, reason in (("linked", "'empty'"), ("no_match", "null"), ("perhaps", "null")):
        with pytest.raises(IntegrityError, match="ck_outcome"):
            rows(
                engine,
                "INSERT INTO outcome (affiliation_id, policy_id, resolver_version_id, status, reason,"
                " begin_reason)"
                f" VALUES ({affiliation}, (SELECT min(id) FROM policy), {resolvers[1]},"
                f" '{status}', {reason}, 'source sent') RETURNING 1",
            )


# Policies


STRICT = Policy(accept_probability=0.9, types=frozenset({"education", "facility"}))
LOOSE = Policy(accept_probability=0.2)


def test_an_affiliation_has_an_answer_for_each_policy(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    newer = resolvers[1]
    (strict,) = intake(engine, newer, [record("Oxford and ETH", "10.1/a")], STRICT)
    save(engine, newer, [(strict.id, linked(OXFORD))], STRICT)
    (loose,) = intake(engine, newer, [record("Oxford and ETH", "10.1/b")], LOOSE)
    assert (loose.id, loose.resolved) == (strict.id, False)
    assert rows(engine, "SELECT external_id, policy ->> 'accept_probability' FROM pending") == [
        ("10.1/b", "0.2")
    ]
    save(engine, newer, [(loose.id, linked(OXFORD, ETH))], LOOSE)
    query = (
        "SELECT external_id, ror_id, (policy ->> 'accept_probability')::real"
        " FROM resolved_links ORDER BY external_id, rank"
    )
    answers = [
        ("10.1/a", "052gg0110", pytest.approx(0.9)),
        ("10.1/b", "052gg0110", pytest.approx(0.2)),
        ("10.1/b", "05a28rw58", pytest.approx(0.2)),
    ]
    assert rows(engine, query) == answers
    # An answer that is given again replaces the one of its own policy alone.
    save(engine, newer, [(loose.id, unlinked(NONE))], LOOSE)
    assert rows(engine, query) == answers[:1]
    assert rows(engine, "SELECT external_id, reason FROM unmatched") == [("10.1/b", NONE.value)]
    assert intake(engine, newer, [record("Oxford and ETH", "10.1/a")], STRICT)[0].resolved
    assert not intake(engine, newer, [record("Oxford and ETH", "10.1/c")])[0].resolved


def test_a_record_sent_again_under_another_policy_moves_to_its_answer(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    newer = resolvers[1]
    (stored,) = intake(engine, newer, [record("Oxford and ETH", doi) for doi in "ab"], STRICT)
    save(engine, newer, [(stored.id, linked(OXFORD))], STRICT)
    shown = "SELECT external_id, ror_id FROM resolved_links ORDER BY external_id, rank"
    for _ in range(2):  # a message may come twice
        intake(engine, newer, [record("Oxford and ETH", "b")], LOOSE)
        assert rows(engine, shown) == [("a", "052gg0110")]
        assert rows(engine, "SELECT external_id FROM pending") == [("b",)]
    version = "SELECT xmin::text FROM source_record WHERE external_id = 'b'"
    before = rows(engine, version)
    save(engine, newer, [(stored.id, linked(ETH))], LOOSE)
    intake(engine, newer, [record("Oxford and ETH", "b")], LOOSE)
    assert rows(engine, version) == before  # not rewritten
    assert rows(engine, shown) == [("a", "052gg0110"), ("b", "05a28rw58")]
    intake(engine, newer, [record("Oxford and ETH", "b")], STRICT)
    assert rows(engine, shown) == [("a", "052gg0110"), ("b", "052gg0110")]
    assert rows(engine, "SELECT count(*) FROM outcome") == [(2,)]


# Views


def test_analysts_see_links_no_links_and_what_is_pending(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    affiliations = intake(
        engine,
        resolvers[1],
        [
            record("Oxford and ETH", "10.1/a"),
            record("Oxford and ETH", "10.1/b", 3),
            record("Nowhere", "10.1/c"),
            record("Later", "10.1/d"),
        ],
    )
    save(
        engine,
        resolvers[1],
        [(affiliations[0].id, linked(OXFORD, ETH)), (affiliations[1].id, unlinked(NONE))],
    )
    assert rows(
        engine,
        "SELECT source, external_id, position, affiliation, ror_url, organisation, country_code,"
        " country, city, organisation_status, registry_release, resolver_version, rank"
        " FROM resolved_links ORDER BY external_id, rank",
    ) == [
        ("crossref", doi, position, "Oxford and ETH", *organisation, "v2.9", resolvers[1], rank)
        for doi, position in (("10.1/a", 0), ("10.1/b", 3))
        for rank, organisation in (
            (
                1,
                (
                    "https://ror.org/052gg0110",
                    "University of Oxford",
                    "GB",
                    "United Kingdom",
                    "Oxford",
                    "active",
                ),
            ),
            # not in the release in use: what was known when it was linked
            (2, ("https://ror.org/05a28rw58", "ETH Zurich", None, None, None, None)),
        )
    ]
    assert rows(
        engine, "SELECT external_id, affiliation, reason, registry_release FROM unmatched"
    ) == [("10.1/c", "Nowhere", "not_in_registry", "v2.9")]
    assert rows(engine, "SELECT external_id, affiliation FROM pending") == [("10.1/d", "Later")]


# Refused records


def test_refused_records_are_kept_once(engine: Engine) -> None:
    first = RefusedRecord("no affiliation", '{"id": 1}', "crossref", "1", 0)
    second = RefusedRecord("no affiliation", "x" * 5_000 + "a")
    third = RefusedRecord("no affiliation", "x" * 5_000 + "b")
    bad = RefusedRecord("NUL\x00", "\ud800", "s" * 200, "i" * 900, 2**70)
    assert refuse(engine, [first, second, first]) == 2
    assert refuse(engine, [first, second, third, bad]) == 2
    assert refuse(engine, []) == 0
    assert rows(
        engine,
        "SELECT reason, length(payload), source, external_id, position FROM refused_record"
        " WHERE reason = 'no affiliation' ORDER BY length(payload)",
    ) == [
        ("no affiliation", 9, "crossref", "1", 0),
        ("no affiliation", 2_000, None, None, None),
        ("no affiliation", 2_000, None, None, None),
    ]
    assert rows(
        engine,
        "SELECT reason, payload, length(source), length(external_id), position"
        " FROM refused_record WHERE reason LIKE 'NUL%'",
    ) == [("NUL\ufffd", "\ufffd", 100, 500, None)]


NEAR = Nearest("052gg0110", 0.25)


@pytest.mark.parametrize(
    ("first", "second", "stored"),
    [
        pytest.param(None, NEAR, NEAR, id="known now"),
        pytest.param(NEAR, None, None, id="no candidate any more"),
        pytest.param(NEAR, Nearest("05a28rw58", 0.25), Nearest("05a28rw58", 0.25), id="another"),
        pytest.param(NEAR, replace(NEAR, probability=0.5), Nearest("052gg0110", 0.5), id="nearer"),
        pytest.param(NEAR, replace(NEAR, probability=0.25005), NEAR, id="by rounding"),
        pytest.param(
            NEAR, replace(NEAR, probability=1 + 1e-7), Nearest("052gg0110", 1), id="over 1"
        ),
    ],
)
def test_another_nearest_candidate_is_no_other_answer(
    engine: Engine,
    resolvers: tuple[int, int],
    first: Nearest | None,
    second: Nearest | None,
    stored: Nearest | None,
) -> None:
    version = resolvers[1]
    (sent,) = intake(engine, version, [record("Oxfort")])
    save(engine, version, [(sent.id, Outcome("Oxfort", reason=NONE, nearest=first))])
    answer = "SELECT xmin::text, resolved_at FROM outcome"
    before = rows(engine, answer)
    again = [(sent.id, Outcome("Oxfort", reason=NONE, nearest=second))]
    assert save(engine, version, again) == SaveReport(outcomes=0, links=0, unchanged=1)
    kept = (stored.ror_id, stored.probability) if stored else (None, None)
    assert rows(engine, "SELECT nearest, nearest_probability FROM outcome") == [kept]
    ((row, moment),) = rows(engine, answer)
    assert (moment == before[0][1], row == before[0][0]) == (True, stored == first)
    assert rows(engine, "SELECT count(*) FROM past_outcome") == [(0,)]


def test_the_nearest_candidate_goes_with_the_reason(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    version = resolvers[1]
    (sent,) = intake(engine, version, [record("Oxfort")])
    view = "SELECT nearest, nearest_name, nearest_probability FROM unmatched"
    for other in (NEAR, Nearest("05a28rw58", 0.5)):
        save(engine, version, [(sent.id, Outcome("Oxfort", reason=NONE, nearest=other))])
        name = "University of Oxford" if other is NEAR else None
        assert rows(engine, view) == [(other.ror_id, name, other.probability)]
        save(engine, version, [(sent.id, Outcome("Oxfort", (OXFORD,)))])
        assert rows(engine, "SELECT nearest, nearest_probability FROM outcome") == [(None, None)]


def test_a_probability_that_is_no_number_is_refused_of_the_nearest_too(
    engine: Engine, resolvers: tuple[int, int]
) -> None:
    (sent,) = intake(engine, resolvers[1], [record("Oxfort")])
    bad = Outcome("Oxfort", reason=NONE, nearest=replace(NEAR, probability=math.nan))
    with pytest.raises(ModelError, match=r"Oxfort.*052gg0110.*nan"):
        save(engine, resolvers[1], [(sent.id, bad)])
    assert rows(engine, "SELECT count(*) FROM outcome") == [(0,)]
