"""What is over goes when it is old enough, whole, and nothing else does."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text
from support.overrides import add

from resolver.database import locks
from resolver.database.answers import save
from resolver.database.connection import connect, transaction
from resolver.database.forgetting import Ages, Forgotten, Records, forget, forgettable
from resolver.database.overrides import applying, current
from resolver.database.records import intake, refuse, withdraw
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.errors import UpdateRunning
from resolver.intake.record import RefusedRecord, SourceRecord
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus

OXFORD = Outcome("", (Link("052gg0110", "University of Oxford", "Oxford", 4.25, 0.97, 1),))
NONE = Outcome("", reason=Reason.NOT_IN_REGISTRY)
SAID = Override(None, "Left for good", "052gg0110", Verdict.IS, "ada")

TABLES = (
    "source_record",
    "past_record",
    "affiliation",
    "outcome",
    "link",
    "past_outcome",
    "past_link",
    "stale",
    "refused_record",
    "link_override",
    "review_decision",
    "review_item",
)


@pytest.fixture
def version(engine: Engine) -> int:
    loaded = load_release(
        engine,
        ReleaseInfo("v2.9", None, "v2.9", "v2.9.json"),
        [
            Organisation(
                ror_id="052gg0110",
                status=OrganisationStatus.ACTIVE,
                names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
                places=(),
            )
        ],
        rejected=lambda: 0,
        schema_version=lambda: None,
    )
    return put_in_use(
        engine,
        register(
            engine,
            release_id=loaded.release_id,
            encoder=("builtin", "e"),
            reranker=("builtin", "r"),
            settings={},
        ).id,
    ).id


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def contents(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    return {table: sorted(rows(engine, f"SELECT t::text FROM {table} t")) for table in TABLES}


def sent(engine: Engine, version: int, id: str, affiliation: str) -> int:
    return intake(engine, version, [SourceRecord("crossref", id, affiliation)])[0].id


def made_older(engine: Engine, days: int) -> None:
    """As if all that was stored so far had been stored so many days earlier."""
    with transaction(engine) as connection:
        for table, columns in {
            "source_record": ("received_at",),
            "past_record": ("received_at", "ended_at"),
            "outcome": ("resolved_at",),
            "past_outcome": ("resolved_at", "ended_at"),
            "refused_record": ("received_at",),
        }.items():
            changed = ", ".join(f"{one} = {one} - make_interval(days => {days})" for one in columns)
            connection.exec_driver_sql(f"UPDATE {table} SET {changed}")


@pytest.fixture
def filled(engine: Engine, version: int) -> Engine:
    """60 days ago: "left" was withdrawn after another text, "kept" got another text, "back" was
    withdrawn; 20 days ago "late" was withdrawn and "back" came again. Each text has an answer that
    was replaced, each day a record was refused."""

    def answered(*affiliations: int) -> None:
        for outcome in (NONE, OXFORD):
            save(engine, version, [(one, outcome) for one in affiliations])

    answered(
        sent(engine, version, "left", "Left for another"),
        sent(engine, version, "kept", "Kept before"),
        sent(engine, version, "back", "Back again"),
        sent(engine, version, "late", "Left late"),
    )
    answered(sent(engine, version, "left", "Left for good"), sent(engine, version, "kept", "Kept"))
    withdraw(engine, [("crossref", "left", None), ("crossref", "back", None)])
    refuse(engine, [RefusedRecord("affiliation: missing", "old")])
    made_older(engine, 40)
    answered(sent(engine, version, "back", "Back again"))
    withdraw(engine, [("crossref", "late", None)])
    refuse(engine, [RefusedRecord("affiliation: missing", "new")])
    made_older(engine, 20)
    add(engine, [SAID, Override(None, "Never sent", "052gg0110", Verdict.IS, "ada")])
    return engine


LEFT = {"Left for another", "Left for good"}
ALL = {*LEFT, "Kept before", "Kept", "Back again", "Left late"}


@pytest.mark.parametrize(
    ("ages", "going", "left"),
    [
        pytest.param(Ages(), Forgotten(), ALL, id="nothing"),
        pytest.param(Ages(99, 99, 99), Forgotten(), ALL, id="nothing is so old"),
        pytest.param(
            Ages(withdrawn=30),
            Forgotten(records=2, texts=2, answers=2, past_answers=2, overrides=1),
            ALL - LEFT,
            id="withdrawn",
        ),
        pytest.param(
            Ages(withdrawn=10),
            Forgotten(records=3, texts=3, answers=3, past_answers=3, overrides=1),
            ALL - LEFT - {"Left late"},
            id="all withdrawn",
        ),
        pytest.param(
            Ages(past=30),
            Forgotten(records=4, texts=3, answers=3, past_answers=6, overrides=1),
            {"Kept", "Back again", "Left late"},
            id="past",
        ),
        pytest.param(Ages(refused=30), Forgotten(refused=1), ALL, id="refused"),
        pytest.param(
            Ages(0, 0, 0),
            Forgotten(records=5, texts=4, answers=4, past_answers=8, overrides=1, refused=2),
            {"Kept", "Back again"},
            id="all that is over",
        ),
    ],
)
@pytest.mark.parametrize("batch", [1, 1_000])
def test_what_goes(
    filled: Engine, ages: Ages, going: Forgotten, left: set[str], batch: int
) -> None:
    before = contents(filled)
    assert forgettable(filled, ages) == going
    assert contents(filled) == before
    told: list[int] = []
    assert forget(filled, ages, batch=batch, progress=told.append) == going
    assert told == sorted(told)
    assert (told or [0])[-1] == going.total
    assert {row[0] for row in rows(filled, "SELECT text FROM affiliation")} == left
    # Nothing of it is anywhere any more, and what stays is whole.
    everything = str(contents(filled))
    assert not [one for one in ALL - left if f"{one}'" in everything or f'"{one}"' in everything]
    after = contents(filled)
    assert after["source_record"] == before["source_record"]
    assert len(after["link_override"]) == len(before["link_override"])
    assert forget(filled, ages) == forgettable(filled, ages) == Forgotten()
    assert contents(filled) == after


def test_what_was_said_of_a_forgotten_text_holds_when_it_comes_again(
    filled: Engine, version: int
) -> None:
    assert forget(filled, Ages(withdrawn=30)).overrides == 1
    assert [one.affiliation for one in current(filled)] == ["", "Never sent"]
    ((found,),) = applying(filled, [SAID.affiliation]).values()
    assert (found.affiliation, found.ror_id) == (SAID.affiliation, SAID.ror_id)
    # An answer that does not know of it is stale at once.
    again = sent(filled, version, "again", SAID.affiliation)
    save(filled, version, [(again, NONE)])
    assert rows(filled, "SELECT affiliation, cause FROM outdated") == [
        (SAID.affiliation, "override")
    ]
    # Who says it again says the text again.
    assert add(filled, [SAID]).new == ()
    assert [one.affiliation for one in current(filled)] == [SAID.affiliation, "Never sent"]


@pytest.mark.parametrize(
    ("source", "ids", "going", "left"),
    [
        pytest.param(
            "crossref",
            ("late",),
            Forgotten(records=1, texts=1, answers=1, past_answers=1),
            ALL - {"Left late"},
            id="withdrawn",
        ),
        pytest.param(
            "crossref",
            ("left", "kept"),
            Forgotten(records=3, texts=3, answers=3, past_answers=3, overrides=1),
            {"Kept", "Back again", "Left late"},
            id="what they were",
        ),
        pytest.param("crossref", ("never",), Forgotten(), ALL, id="not there"),
        pytest.param("datacite", ("late",), Forgotten(), ALL, id="of another source"),
    ],
)
def test_a_record_that_is_named_goes_whatever_its_age(
    filled: Engine, source: str, ids: tuple[str, ...], going: Forgotten, left: set[str]
) -> None:
    named = Records(source, ids)
    present = rows(filled, "SELECT * FROM source_record ORDER BY 2")
    assert forgettable(filled, Ages(), named) == going
    assert forget(filled, Ages(), named, batch=1) == going
    assert {row[0] for row in rows(filled, "SELECT text FROM affiliation")} == left
    assert rows(filled, "SELECT * FROM source_record ORDER BY 2") == present


class _Interrupted(Exception):
    pass


@pytest.mark.parametrize("seed", range(4))
def test_broken_off_anywhere_it_is_completed_by_the_next(
    engine: Engine, version: int, seed: int
) -> None:
    """After any events: what is counted goes, in one run or in many, and no text is left that no
    record has."""
    chance = random.Random(seed)
    texts = [f"Text {number}" for number in range(12)]
    for _ in range(60):
        match chance.randrange(5):
            case 0 | 1:
                records = [
                    SourceRecord("s", chance.choice("abcdef"), chance.choice(texts), position)
                    for position in range(chance.randrange(1, 3))
                ]
                intake(engine, version, records, chance.choice([Policy(), Policy(max_links=1)]))
            case 2:
                withdraw(engine, [("s", chance.choice("abcdef"), chance.choice([None, 0, 1]))])
            case 3:
                ids = [row[0] for row in rows(engine, "SELECT id FROM affiliation")]
                some = chance.sample(ids, len(ids) // 2)
                save(engine, version, [(one, chance.choice([OXFORD, NONE])) for one in some])  # type: ignore[misc]
            case 4:
                made_older(engine, 10)
    ages = Ages(withdrawn=chance.choice([None, 20, 40]), past=chance.choice([None, 40, 60]))
    expected = forgettable(engine, ages)
    done, runs = 0, 0

    def progress(total: int) -> None:
        nonlocal done
        done += total - before
        raise _Interrupted

    while forgettable(engine, ages) != Forgotten():
        before, runs = 0, runs + 1
        with pytest.raises(_Interrupted):
            forget(engine, ages, batch=2, progress=progress)
    assert done == expected.total
    assert runs > 1 or expected.records <= 2
    orphans = (
        "SELECT text FROM affiliation a WHERE"
        " NOT EXISTS (SELECT FROM source_record WHERE affiliation_id = a.id)"
        " AND NOT EXISTS (SELECT FROM past_record WHERE affiliation_id = a.id)"
    )
    assert rows(engine, orphans) == []


def test_while_chunks_come_in_none_is_lost(database_url: str, engine: Engine, version: int) -> None:
    """Texts are sent, withdrawn at once, forgotten at once and sent again: each record that was
    sent has its text and an answer."""
    ended = threading.Event()
    texts = [f"Text {number}" for number in range(8)]

    def work(name: str) -> None:
        chance = random.Random(name)
        mine = connect(database_url)
        for turn in range(60):
            records = [SourceRecord(name, str(turn), one) for one in chance.sample(texts, 3)]
            stored = intake(mine, version, records[-1:])
            if turn % 3:
                withdraw(mine, [(name, str(turn), None)])
            # Its record may be gone by now, and its text forgotten.
            save(mine, version, [(one.id, OXFORD) for one in stored])
        mine.dispose()

    def forget_all() -> int:
        mine, done = connect(database_url), 0
        while not ended.is_set():
            done += forget(mine, Ages(0, 0, 0), batch=3).texts
        mine.dispose()
        return done

    with ThreadPoolExecutor(4) as pool:
        forgetting = pool.submit(forget_all)
        workers = [pool.submit(work, name) for name in "abc"]
        try:
            for one in workers:
                one.result(timeout=120)
        finally:
            ended.set()
        assert forgetting.result(timeout=60) > 0
    assert rows(engine, "SELECT source, count(*) FROM source_record GROUP BY 1 ORDER BY 1") == [
        (name, 20) for name in "abc"
    ]
    assert rows(engine, "SELECT count(*) FROM pending") == [(0,)]


def test_an_answer_for_a_forgotten_text_is_left_out(engine: Engine, version: int) -> None:
    gone = sent(engine, version, "gone", "Gone")
    stays = sent(engine, version, "stays", "Stays")
    withdraw(engine, [("crossref", "gone", None)])
    assert forget(engine, Ages(withdrawn=0)).texts == 1
    report = save(engine, version, [(gone, OXFORD), (stays, OXFORD)])
    assert (report.outcomes, report.links, report.unchanged) == (1, 1, 0)
    assert save(engine, version, [(gone, OXFORD), (stays, OXFORD)]).unchanged == 1


@contextmanager
def updating(url: str) -> Iterator[None]:
    engine = connect(url)
    with locks.updating_alone(engine):
        yield
    engine.dispose()


def test_while_an_update_marks_answers_no_text_goes(database_url: str, filled: Engine) -> None:
    with updating(database_url), pytest.raises(UpdateRunning, match="taking in a release"):
        forget(filled, Ages(withdrawn=0))
    assert forget(filled, Ages(withdrawn=0)).texts == 3


def test_a_decision_of_the_review_stays_without_the_text(filled: Engine) -> None:
    with transaction(filled) as connection:
        connection.execute(
            text(
                "INSERT INTO review_decision (request, text_hash, affiliation, policy_id, action,"
                " ror_ids, denied, author, note, shown, blind, override_ids, ended_override_ids)"
                " SELECT gen_random_uuid(), text_hash, text, 1, 'none', '{}', '{}', 'ada', 'why',"
                " '{\"text\": \"Left\"}', false, '{}', '{}' FROM affiliation"
                " WHERE text IN ('Left for good', 'Kept')"
            )
        )
    assert forgettable(filled, Ages(withdrawn=30)).decisions == 1
    assert forget(filled, Ages(withdrawn=30)).decisions == 1
    kept = rows(filled, "SELECT affiliation, note, shown FROM review_decision ORDER BY affiliation")
    assert kept == [("Kept", "why", {"text": "Left"}), (None, "why", {})]
