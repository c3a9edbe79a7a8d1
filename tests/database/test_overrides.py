from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.database.overrides import (
    REPLACED,
    add,
    applying,
    current,
    end,
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

OXFORD = Override(None, "Oxford", "052gg0110", Verdict.IS, "ada", "see their website")
ETH = Override(None, "Oxford", "05a28rw58", Verdict.IS_NOT, "ada")
OTHER = Override(None, "ETH \U0001f393", "05a28rw58", Verdict.IS, "grace")


def plain(overrides: list[Override]) -> list[Override]:
    """Without what the database adds."""
    return [replace(one, id=None, created_at=None, ended=None) for one in overrides]


def test_what_is_said_is_kept(engine: Engine) -> None:
    assert add(engine, [OXFORD, ETH, OTHER]) == 3
    assert plain(current(engine)) == [OTHER, OXFORD, ETH]  # by text and ROR id
    stored = history(engine)
    assert [one.id for one in stored] == sorted(one.id or 0 for one in stored)
    assert all(one.created_at and one.created_at.tzinfo and not one.ended for one in stored)
    assert add(engine, []) == 0


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
    assert add(engine, [then]) == new
    assert plain(current(engine)) == plain([then, ETH])
    past = history(engine, "Oxford")
    assert len(past) == 2 + new
    ended = [one.ended for one in past if one.ended]
    assert [(one.author, one.note) for one in ended] == [(then.author, REPLACED)] * new
    assert all(one.at == past[-1].created_at for one in ended)


def test_of_one_said_twice_the_later_counts(engine: Engine) -> None:
    assert add(engine, [OXFORD, replace(OXFORD, note="later")]) == 1
    assert [one.note for one in history(engine)] == ["later"]


def test_ending(engine: Engine) -> None:
    add(engine, [OXFORD, ETH, OTHER])
    assert end(engine, [OXFORD.key, ("Oxford", "000aaaa01")], "grace", "wrong") == 1
    assert end(engine, [OXFORD.key], "grace", "wrong") == 0
    assert end(engine, [], "grace") == 0
    assert plain(current(engine)) == [OTHER, ETH]
    ended = history(engine, "Oxford")[0].ended
    assert ended is not None
    assert (ended.author, ended.note) == ("grace", "wrong")
    assert add(engine, [OXFORD]) == 1  # said again
    assert [bool(one.ended) for one in history(engine, "Oxford")] == [True, False, False]


def test_what_holds_for_some_texts(engine: Engine) -> None:
    add(engine, [OXFORD, ETH, OTHER])
    found = applying(engine, ["Oxford", "Nowhere", OTHER.affiliation])
    assert {name: plain(overrides) for name, overrides in found.items()} == {
        "Oxford": [OXFORD, ETH],
        OTHER.affiliation: [OTHER],
    }
    end(engine, [OTHER.key], "ada")
    assert applying(engine, [OTHER.affiliation]) == {}
    assert applying(engine, []) == {}


def test_many_at_once_say_it_once(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: add(engine, [OXFORD, ETH]), range(8))) == 2


def test_the_table_itself_refuses_two_that_hold(engine: Engine) -> None:
    from sqlalchemy.exc import IntegrityError

    add(engine, [OXFORD])
    again = (
        "INSERT INTO link_override (text_hash, affiliation, ror_id, verdict, author, note)"
        " SELECT text_hash, affiliation, ror_id, 'is not', author, note FROM link_override"
    )
    with pytest.raises(IntegrityError, match="uq_link_override"), transaction(engine) as connection:
        connection.execute(text(again))


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
    overrides = [
        Override(None, "Text", ror_id, Verdict.IS, "ada")
        for ror_id in ("000aaaa01", "000aaaa02", "03gq8fr08", "052gg0110", "05a28rw58")
    ]
    add(engine, [*overrides, replace(overrides[-1], affiliation="Ended")])
    end(engine, [("Ended", "05a28rw58")], "ada")
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
        OverrideProblem(overrides[0], None),
        OverrideProblem(overrides[1], None),
        OverrideProblem(overrides[2], OrganisationStatus.WITHDRAWN, ("052gg0110", "05a28rw58")),
        OverrideProblem(overrides[4], OrganisationStatus.INACTIVE),
    ]
    assert [one.override.name for one in found] == ["Gone", None, "Rutherford Lab", "ETH"]
