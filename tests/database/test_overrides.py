from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from support.overrides import add, end

from resolver.database import overrides
from resolver.database.connection import transaction
from resolver.database.overrides import (
    REPLACED,
    Added,
    applying,
    current,
    history,
    problems,
)
from resolver.database.releases import ReleaseInfo, load_release
from resolver.matching.override import Override, OverrideProblem, Verdict
from resolver.registry.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Relation,
    RelationKind,
)
from resolver.text.affiliation import text_hash

OXFORD = Override(None, "Oxford", "052gg0110", Verdict.IS, "ada", "see their website")
ETH = Override(None, "Oxford", "05a28rw58", Verdict.IS_NOT, "ada")
OTHER = Override(None, "ETH \U0001f393", "05a28rw58", Verdict.IS, "grace")
NONE = Override(None, "Oxford", None, Verdict.NONE, "bo", "a street")


def plain(overrides: list[Override]) -> list[Override]:
    """Without what the database adds."""
    return [replace(one, id=None, created_at=None, ended=None) for one in overrides]


def test_what_is_said_is_kept(engine: Engine) -> None:
    assert add(engine, [OXFORD, ETH, OTHER]) == Added((1, 2, 3), (1, 2, 3))
    assert plain(current(engine)) == [OTHER, OXFORD, ETH]  # by text and ROR id
    stored = history(engine)
    assert [one.id for one in stored] == sorted(one.id or 0 for one in stored)
    assert all(one.created_at and one.created_at.tzinfo and not one.ended for one in stored)
    assert add(engine, []) == Added()


@pytest.mark.parametrize(
    ("then", "new"),
    [
        pytest.param(OXFORD, 0, id="the same"),
        pytest.param(replace(OXFORD, id=7, name="X"), 0, id="the same, as it was read"),
        pytest.param(replace(OXFORD, verdict=Verdict.IS_NOT), 1, id="verdict"),
        pytest.param(replace(OXFORD, author="grace"), 1, id="author"),
        pytest.param(replace(OXFORD, note=""), 1, id="note"),
    ],
)
def test_what_is_said_otherwise_ends_what_was_said(
    engine: Engine, then: Override, new: int
) -> None:
    add(engine, [OXFORD, ETH])
    assert len(add(engine, [then]).new) == new
    assert plain(current(engine)) == plain([then, ETH])
    past = history(engine, "Oxford")
    assert len(past) == 2 + new
    ended = [one.ended for one in past if one.ended]
    assert [(one.author, one.note) for one in ended] == [(then.author, REPLACED)] * new
    assert all(one.at == past[-1].created_at for one in ended)


def test_of_one_said_twice_the_later_counts(engine: Engine) -> None:
    assert add(engine, [OXFORD, replace(OXFORD, note="later")]).new == (1,)
    assert [one.note for one in history(engine)] == ["later"]


def test_ending(engine: Engine) -> None:
    oxford, *_ = add(engine, [OXFORD, ETH, OTHER]).holding
    assert end(engine, [oxford, 99], "grace", "wrong") == {oxford: text_hash("Oxford")}
    assert end(engine, [oxford], "grace", "wrong") == {}
    assert end(engine, [], "grace") == {}
    assert plain(current(engine)) == [OTHER, ETH]
    ended = history(engine, "Oxford")[0].ended
    assert ended is not None
    assert (ended.author, ended.note) == ("grace", "wrong")
    assert add(engine, [OXFORD]) == Added((4,), (4,))  # said again
    assert [bool(one.ended) for one in history(engine, "Oxford")] == [True, False, False]


@pytest.mark.parametrize(
    ("before", "then", "ended"),
    [
        pytest.param([OXFORD, OTHER], NONE, (1,), id="what it is"),
        pytest.param([ETH], NONE, (), id="not what it is not"),
        pytest.param([NONE], OXFORD, (1,), id="that it is none"),
        pytest.param([NONE], ETH, (), id="not that it is none"),
        pytest.param([NONE], NONE, (), id="nothing, the same again"),
        pytest.param([NONE], replace(NONE, note=""), (1,), id="with another note"),
    ],
)
def test_what_the_verdict_none_ends(
    engine: Engine, before: list[Override], then: Override, ended: tuple[int, ...]
) -> None:
    made = add(engine, before).holding
    added = add(engine, [then])
    assert added.ended == ended
    assert added.new == (() if then in before else added.holding)
    stored = {override.id: override for override in current(engine)}
    assert plain([stored[id] for id in added.holding]) == [then]
    assert set(stored) == {*made, *added.holding} - set(ended)
    past = [override.ended for override in history(engine) if override.ended]
    assert [(one.author, one.note) for one in past] == [(then.author, REPLACED)] * len(ended)


def test_of_none_and_what_it_is_the_later_counts(engine: Engine) -> None:
    add(engine, [OXFORD, ETH, NONE, OTHER])
    assert plain(current(engine)) == [OTHER, NONE, ETH]
    add(engine, [NONE, OXFORD])
    assert plain(current(engine)) == [OTHER, OXFORD, ETH]


def test_changes_are_of_the_caller_s_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        first = overrides.add(connection, [OXFORD])
        second = overrides.add(connection, [NONE, OTHER])
        assert (first.holding, second.ended) == ((1,), (1,))
        assert set(overrides.end(connection, second.holding, "bo")) == set(second.holding)
        connection.rollback()
    assert history(engine) == []


def test_what_holds_for_some_texts(engine: Engine) -> None:
    *_, other = add(engine, [OXFORD, ETH, OTHER]).holding
    found = applying(engine, ["Oxford", "Nowhere", OTHER.affiliation])
    assert {name: plain(overrides) for name, overrides in found.items()} == {
        "Oxford": [OXFORD, ETH],
        OTHER.affiliation: [OTHER],
    }
    end(engine, [other], "ada")
    assert applying(engine, [OTHER.affiliation]) == {}
    assert applying(engine, []) == {}


def test_many_at_once_say_it_once(engine: Engine) -> None:
    def add_both(_: int) -> Added:
        return add(engine, [OXFORD, ETH])

    with ThreadPoolExecutor(4) as pool:
        assert sum(len(added.new) for added in pool.map(add_both, range(8))) == 2


def test_the_table_itself_refuses_two_that_hold(engine: Engine) -> None:
    add(engine, [OXFORD])
    again = (
        "INSERT INTO link_override (text_hash, affiliation, ror_id, verdict, author, note)"
        " SELECT text_hash, affiliation, ror_id, 'is not', author, note FROM link_override"
    )
    with pytest.raises(IntegrityError, match="uq_link_override"), transaction(engine) as connection:
        connection.execute(text(again))


@pytest.mark.parametrize(
    ("ror_id", "verdict", "constraint"),
    [
        ("NULL", "none", "uq_link_override_text_hash_none"),
        ("NULL", "is", "ck_link_override_ror_id"),
        ("'052gg0110'", "none", "ck_link_override_ror_id"),
    ],
)
def test_the_table_itself_keeps_none_apart(
    engine: Engine, ror_id: str, verdict: str, constraint: str
) -> None:
    add(engine, [NONE])
    another = (
        "INSERT INTO link_override (text_hash, affiliation, ror_id, verdict, author, note)"
        f" SELECT text_hash, affiliation, {ror_id}, '{verdict}', author, note FROM link_override"
    )
    with pytest.raises(IntegrityError, match=constraint), transaction(engine) as connection:
        connection.execute(text(another))


def organisation(ror_id: str, name: str, status: str, *successors: str) -> Organisation:
    return Organisation(
        ror_id=ror_id,
        status=OrganisationStatus(status),
        names=(Name(name, frozenset({NameKind.DISPLAY})),),
        relations=tuple(Relation(RelationKind.SUCCESSOR, one, "a successor") for one in successors),
    )


def test_what_is_said_of_organisations_that_ended_is_reported(engine: Engine) -> None:
    registry = {
        "v2.8": [
            organisation("052gg0110", "Oxford", "active"),
            organisation("05a28rw58", "ETH", "active"),
            organisation("03gq8fr08", "Rutherford", "active"),
            organisation("000aaaa01", "Gone", "active"),
        ],
        "v2.9": [
            organisation("052gg0110", "Oxford", "active"),
            organisation("05a28rw58", "ETH", "inactive"),
            organisation("03gq8fr08", "Rutherford Lab", "withdrawn", "052gg0110", "05a28rw58"),
        ],
    }
    decisions = [
        Override(None, "Text", ror_id, Verdict.IS, "ada")
        for ror_id in ("000aaaa01", "000aaaa02", "03gq8fr08", "052gg0110", "05a28rw58")
    ]
    *_, ended = add(engine, [*decisions, NONE, replace(decisions[-1], affiliation="Ended")]).holding
    end(engine, [ended], "ada")
    for version, organisations in registry.items():
        load_release(
            engine,
            ReleaseInfo(version, date(2026, 10, 1), version, version),
            organisations,
            rejected=lambda: 0,
            schema_version=lambda: None,
        )
    found = problems(engine)
    assert [replace(one, override=plain([one.override])[0]) for one in found] == [
        OverrideProblem(decisions[0], None),
        OverrideProblem(decisions[1], None),
        OverrideProblem(decisions[2], OrganisationStatus.WITHDRAWN, ("052gg0110", "05a28rw58")),
        OverrideProblem(decisions[4], OrganisationStatus.INACTIVE),
    ]
    assert [one.override.name for one in found] == ["Gone", None, "Rutherford Lab", "ETH"]
