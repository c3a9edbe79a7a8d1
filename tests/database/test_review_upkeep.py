from __future__ import annotations

from sqlalchemy import Engine, text
from support.reviewing import (
    ETH,
    GRAZ,
    OXFORD,
    answer,
    item,
    new_version,
    queued,
    send,
)

from resolver.curation.review import rebuild
from resolver.database.connection import transaction
from resolver.database.records import intake, withdraw
from resolver.database.review_filters import Filters
from resolver.database.tables import Why
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Reason
from resolver.matching.policy import Policy


def test_records_that_come_and_go_are_counted(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    of = texts["Sorbonne, Paris, France"]
    send(engine, version, "Sorbonne, Paris, France", records=2, source="job:77")
    send(engine, version, "Sorbonne, Paris, France", records=2, source="job:77")
    assert (item(engine, of).records, item(engine, of).sources) == (3, ("crossref", "job"))
    # One of them gets another text.
    key = "10.1/Sorbonne, Paris, France/crossref/0"
    intake(engine, version, [SourceRecord("crossref", key, "14 Juniper Close", 0)])
    assert (item(engine, of).records, item(engine, of).sources) == (2, ("job",))
    assert item(engine, texts["14 Juniper Close"]).records == 2
    withdraw(engine, [("job:77", f"10.1/Sorbonne, Paris, France/job:77/{n}", None) for n in (0, 1)])
    assert item(engine, of).records == 0
    assert "Sorbonne, Paris, France" not in queued(engine)
    send(engine, version, "Sorbonne, Paris, France")
    assert item(engine, of).records == 1


def test_the_answer_for_most_records_is_shown(engine: Engine, version: int) -> None:
    strict = Policy(accept_probability=0.9)
    send(engine, version, "Oxford", records=2, policy=strict)
    send(engine, version, "Oxford", source="other")
    (of,) = answer(engine, version, {"Oxford": {OXFORD: 0.7}}).values()
    answer(engine, version, {"Oxford": Reason.BELOW_THRESHOLD}, policy=strict)
    shown = item(engine, of)
    assert (shown.records, shown.reason) == (3, Reason.BELOW_THRESHOLD)


def test_a_release_that_changes_the_answer_brings_the_item_up(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    later = new_version(engine, "v2.10")
    answer(
        engine,
        later,
        {
            "Univ. Oxford, UK": {OXFORD: 0.9},
            "ETH and Oxford": {ETH: 0.8},
            "Kelmar Technical University, Oslo, Norway": {GRAZ: 0.9},
        },
    )
    changed = {"ETH and Oxford", "Kelmar Technical University, Oslo, Norway"}
    # By the release that is in use: load_release does not put it there.
    with transaction(engine) as connection:
        connection.execute(text("UPDATE registry_release SET is_current = (version = 'v2.10')"))
    rebuild(engine)
    assert set(queued(engine, Filters(why=Why.RELEASE))) == changed
