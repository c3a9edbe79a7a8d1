"""Which answers are to be given anew, and which are not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, text
from support.overrides import add, end, mark_texts

from resolver.database import policies
from resolver.database.answers import save
from resolver.database.connection import transaction
from resolver.database.due_answers import (
    CarriedLink,
    CarriedNearest,
    Cause,
    Due,
    Page,
    about_due,
    causes,
    due,
    due_among,
    due_count,
    last_affiliation,
    mark_page,
    page,
    prune,
    selection_begun,
    selection_done,
)
from resolver.database.records import intake, withdraw
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.errors import ResolverSuperseded
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import (
    CountryAgreement,
    Link,
    LinkEvidence,
    Nearest,
    Outcome,
    Reason,
)
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.text.affiliation import text_hash

OXFORD = Link("052gg0110", "University of Oxford", "Oxford University", 4.25, 0.97, 1)
ETH = Link("05a28rw58", "ETH Zurich", "ETH", 1.5, 0.75, 2)
RIVAL = LinkEvidence(
    "Oxford", 0, 6, CountryAgreement.NAMED, True, 1, 0.5, None, runner_up="04v2twj65"
)
STRICT = Policy(accept_probability=0.9)

OUTCOMES: dict[str, Reason | tuple[Link, ...]] = {
    "Oxford": (OXFORD,),
    "Oxford and ETH": (OXFORD, ETH),
    "Oxford or Brookes": (replace(OXFORD, evidence=RIVAL),),
    "Rutherford": (replace(OXFORD, stands_for=("03gq8fr08", "000aaaa01")),),
    "Nowhere": Reason.NOT_IN_REGISTRY,
    "Either": Reason.AMBIGUOUS,
    "": Reason.EMPTY,
}


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def outcome(affiliation: str, overrides: tuple[int, ...] = ()) -> Outcome:
    given = OUTCOMES[affiliation]
    if isinstance(given, Reason):
        return Outcome(affiliation, reason=given, overrides=overrides)
    return Outcome(affiliation, given, overrides=overrides)


def marked(engine: Engine) -> list[tuple[object, ...]]:
    return rows(
        engine,
        "SELECT a.text, t.cause, t.ror_id FROM stale t JOIN affiliation a ON a.id = affiliation_id"
        " ORDER BY a.text, policy_id",
    )


@pytest.fixture
def versions(engine: Engine) -> tuple[int, int]:
    """Two releases with the same models. The first has answered all, the second is in use."""
    ids = []
    for release in ("v2.8", "v2.9"):
        oxford = Organisation(
            ror_id="052gg0110",
            status=OrganisationStatus.ACTIVE,
            names=(Name(f"University of Oxford {release}", frozenset({NameKind.DISPLAY})),),
        )
        loaded = load_release(
            engine,
            ReleaseInfo(release, date(2026, 10, 1), release, f"{release}.json"),
            [oxford],
            rejected=lambda: 0,
            schema_version=lambda: None,
        )
        parts = {"encoder": ("builtin", "e"), "reranker": ("builtin", "r"), "settings": {}}
        ids.append(register(engine, release_id=loaded.release_id, **parts).id)  # type: ignore[arg-type]
    before, now = ids
    put_in_use(engine, before)
    records = [SourceRecord("s", str(i), affiliation) for i, affiliation in enumerate(OUTCOMES)]
    # One at a time, for the keys to be in this order.
    stored = [affiliation for one in records for affiliation in intake(engine, before, [one])]
    assert [affiliation.id for affiliation in stored] == list(range(1, 8))
    save(engine, before, [(a.id, outcome(a.text)) for a in stored])
    assert all(a.resolved for a in intake(engine, before, records))
    put_in_use(engine, now)
    return before, now


# Marking

CHANGED = Cause.ORGANISATION_CHANGED.value
ALL = Page(0, 99, ())


def mark(engine: Engine, version_id: int, affiliation_ids: list[int]) -> int:
    return mark_page(engine, version_id, ALL, affiliation_ids)


def mark_linked(engine: Engine, version_id: int, ror_ids: Collection[str]) -> int:
    return mark_page(engine, version_id, ALL, [], changed=ror_ids)


Marking = Callable[[Engine, int], int]


@pytest.mark.parametrize(
    ("marking", "expected"),
    [
        pytest.param(
            lambda e, v: mark_linked(e, v, ["05a28rw58"]),
            [("Oxford and ETH", CHANGED, "05a28rw58")],
            id="linked",
        ),
        pytest.param(
            lambda e, v: mark_linked(e, v, {"052gg0110", "05a28rw58"}),
            [
                (affiliation, CHANGED, "052gg0110")
                for affiliation in ("Oxford", "Oxford and ETH", "Oxford or Brookes", "Rutherford")
            ],
            id="once, however many links",
        ),
        pytest.param(
            lambda e, v: mark_linked(e, v, ["000aaaa01", "000aaaa02"]),
            [("Rutherford", CHANGED, "000aaaa01")],
            id="stood for",
        ),
        pytest.param(
            lambda e, v: mark_linked(e, v, ["04v2twj65"]),
            [("Oxford or Brookes", CHANGED, "04v2twj65")],
            id="runner-up",
        ),
        pytest.param(lambda e, v: mark_linked(e, v, ["000aaaa02"]), [], id="nobody"),
        pytest.param(
            lambda e, v: mark_page(e, v, Page(1, 3, ()), [], changed=["052gg0110"]),
            [
                (affiliation, CHANGED, "052gg0110")
                for affiliation in ("Oxford and ETH", "Oxford or Brookes")
            ],
            id="linked, on a page",
        ),
        pytest.param(lambda e, v: mark_linked(e, v, []), [], id="none at all"),
        pytest.param(
            lambda e, v: mark(e, v, [1, 5, 99]),
            [("Nowhere", "no answer before", None), ("Oxford", "organisation added", None)],
            id="by affiliation",
        ),
    ],
)
def test_marks(
    engine: Engine,
    versions: tuple[int, int],
    marking: Marking,
    expected: list[tuple[object, ...]],
) -> None:
    now = versions[1]
    assert marking(engine, now) == len(expected)
    assert marked(engine) == expected
    assert marking(engine, now) == 0  # again
    assert marked(engine) == expected
    asked = intake(engine, now, [SourceRecord("t", t, t) for t in OUTCOMES if t])
    assert {a.text for a in asked if not a.resolved} == {
        affiliation for affiliation, *_ in expected
    }
    assert [one.text for one in due(engine, now, limit=10)] == sorted(
        (str(affiliation) for affiliation, *_ in expected), key=list(OUTCOMES).index
    )
    # What is given anew is the version's own, and never marked by its selection again.
    again = due(engine, now, limit=10)
    save(engine, now, [(one.affiliation_id, outcome(one.text)) for one in again])
    assert marking(engine, now) == 0
    assert due_count(engine, now) == 0


def test_the_first_cause_stays(engine: Engine, versions: tuple[int, int]) -> None:
    now = versions[1]
    mark_linked(engine, now, ["05a28rw58"])
    assert mark(engine, now, [2]) == 0
    assert marked(engine) == [("Oxford and ETH", CHANGED, "05a28rw58")]


def test_marks_are_of_every_policy(engine: Engine, versions: tuple[int, int]) -> None:
    before, now = versions
    put_in_use(engine, before)
    (stored,) = intake(engine, before, [SourceRecord("s", "strict", "Oxford")], STRICT)
    save(engine, before, [(stored.id, outcome("Oxford"))], STRICT)
    put_in_use(engine, now)
    assert mark(engine, now, [stored.id]) == 2
    strict = policies.register(engine, STRICT)
    assert policies.find(engine, strict) == STRICT
    assert due(engine, now, limit=10) == [
        Due(stored.id, policies.register(engine, Policy()), "Oxford"),
        Due(stored.id, strict, "Oxford"),
    ]
    save(engine, now, [(stored.id, outcome("Oxford"))], STRICT)
    assert due_count(engine, now) == 1


# What is due


def test_what_is_due_comes_in_pages(engine: Engine, versions: tuple[int, int]) -> None:
    now = versions[1]
    with transaction(engine) as connection:
        connection.execute(text("UPDATE resolver_version SET carries_id = NULL"))
    assert due_count(engine, now) == len(OUTCOMES)
    assert causes(engine, now) == {"resolver change": len(OUTCOMES)}
    pages, after = [], (0, 0)
    while page := due(engine, now, after=after, limit=3):
        pages.append([one.text for one in page])
        after = (page[-1].affiliation_id, page[-1].policy_id)
    assert pages == [list(OUTCOMES)[start : start + 3] for start in (0, 3, 6)]
    shown = rows(engine, "SELECT affiliation, cause FROM outdated ORDER BY affiliation")
    assert shown == [(affiliation, "resolver change") for affiliation in sorted(OUTCOMES)]


def test_what_no_source_asks_for_is_not_due(engine: Engine, versions: tuple[int, int]) -> None:
    now = versions[1]
    mark(engine, now, [1, 2])
    withdraw(engine, [("s", "0", None)])
    assert [one.text for one in due(engine, now, limit=5)] == ["Oxford and ETH"]
    assert due_count(engine, now) == 1
    assert causes(engine, now) == {"organisation added": 1}
    default = policies.register(engine, Policy())
    among = due_among(engine, now, default, [1, 2, 3, 99])
    assert among == [Due(2, default, "Oxford and ETH")]
    assert due_among(engine, now, policies.register(engine, STRICT), [2]) == []
    assert rows(engine, "SELECT affiliation, cause FROM outdated") == [
        ("Oxford and ETH", "organisation added")
    ]
    assert [about_due(engine, now), about_due(engine, now, few=1)] == [1, 2]
    # When it is asked for again, the mark is still there.
    assert not intake(engine, now, [SourceRecord("t", "0", "Oxford")])[0].resolved
    assert due_count(engine, now) == 2


def test_going_back_finds_the_answers_since_due(engine: Engine, versions: tuple[int, int]) -> None:
    before, now = versions
    selection_done(engine, now)
    save(engine, now, [(1, outcome("Oxford")), (2, outcome("Oxford and ETH"))])
    assert due_count(engine, now) == 0
    put_in_use(engine, before)
    assert [one.affiliation_id for one in due(engine, before, limit=9)] == [1, 2]
    save(engine, before, [(1, outcome("Oxford"))])
    put_in_use(engine, now)
    assert due_count(engine, now) == 0  # 1 is carried again, and to be selected anew
    assert mark_linked(engine, now, ["052gg0110"]) == 3  # 2 is its own


# Marks and versions


def due_ids(engine: Engine, version_id: int) -> list[int]:
    return [one.affiliation_id for one in due(engine, version_id, limit=99)]


def looked_at(engine: Engine, version_id: int, *, size: int = 99) -> list[int]:
    """Ids of what a selection that begins now looks at."""
    after, ids = selection_begun(engine, version_id), []
    while found := page(engine, version_id, after=after, size=size):
        ids += sorted(one.id for one in found.carried)
        mark_page(engine, version_id, found, [])
        after = found.to
    return ids


def test_marks_belong_to_the_version_that_made_them(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    mark(engine, now, [1, 2, 3])
    selection_done(engine, now)
    save(engine, now, [(3, outcome("Oxford or Brookes"))])
    put_in_use(engine, before)
    # What it answered itself is as it was, whatever the later version makes of it.
    assert due_ids(engine, before) == [3]
    assert causes(engine, before) == {"resolver change": 1}
    assert rows(engine, "SELECT affiliation FROM outdated") == [("Oxford or Brookes",)]
    default = policies.register(engine, Policy())
    assert [one.affiliation_id for one in due_among(engine, before, default, [1, 2, 3])] == [3]
    assert intake(engine, before, [SourceRecord("t", "1", "Oxford")])[0].resolved
    # An answer that is given anew is not what the later version would say.
    save(engine, before, [(1, Outcome("Oxford", reason=Reason.AMBIGUOUS))])
    assert due_count(engine, before) == 1
    put_in_use(engine, now)
    assert due_ids(engine, now) == [1, 2]
    assert not intake(engine, now, [SourceRecord("t", "1", "Oxford")])[0].resolved
    assert rows(engine, "SELECT DISTINCT affiliation FROM outdated ORDER BY 1") == [
        ("Oxford",), ("Oxford and ETH",),
    ]  # fmt: skip


def test_what_was_looked_at_is_not_looked_at_again(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    assert looked_at(engine, now) == [1, 2, 3, 4, 5, 6, 7]
    selection_done(engine, now)
    put_in_use(engine, before)
    [late] = intake(engine, before, [SourceRecord("s", "late", "Late")])
    save(
        engine, before, [(1, Outcome("", reason=Reason.AMBIGUOUS)), (2, outcome("Oxford and ETH"))]
    )
    save(engine, before, [(late.id, Outcome("Late", reason=Reason.AMBIGUOUS))])
    put_in_use(engine, now)
    assert looked_at(engine, now) == [1, late.id]  # 2 is the same answer
    selection_done(engine, now)
    assert looked_at(engine, now) == []
    assert selection_begun(engine, now, again=True) == 0
    assert looked_at(engine, now) == [1, 2, 3, 4, 5, 6, 7, late.id]


def test_what_another_version_carries_is_looked_at_in_full(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    looked_at(engine, now)
    selection_done(engine, now)
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO registry_release"
                " (version, sha256, source, organisation_count, rejected_count)"
                " VALUES ('v3.0', 'v3.0', 'v3.0.json', 0, 0)"
            )
        )
        release_id = connection.execute(text("SELECT max(id) FROM registry_release")).scalar_one()
    parts = {"encoder": ("builtin", "e"), "reranker": ("builtin", "r"), "settings": {}}
    later = register(engine, release_id=release_id, **parts).id  # type: ignore[arg-type]
    put_in_use(engine, before)
    put_in_use(engine, later)
    assert looked_at(engine, later) == [1, 2, 3, 4, 5, 6, 7]
    selection_done(engine, later)
    put_in_use(engine, now)
    assert looked_at(engine, now) == [1, 2, 3, 4, 5, 6, 7]


def test_an_answer_that_two_versions_marked_is_due_once(
    engine: Engine, versions: tuple[int, int]
) -> None:
    now = versions[1]
    mark(engine, now, [1])
    add(engine, [Override(None, "Oxford", "052gg0110", Verdict.IS_NOT, "ada")])
    assert mark_texts(engine, [text_hash("Oxford")]) == 1
    assert due_ids(engine, now) == [1]
    assert causes(engine, now) == {"organisation added": 1}
    assert rows(engine, "SELECT affiliation FROM outdated") == [("Oxford",)]
    save(engine, now, [(1, outcome("Oxford", (1,)))])
    assert marked(engine) == []


def test_what_a_person_says_holds_after_going_back(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    selection_done(engine, now)
    add(engine, [Override(None, "Oxford", "052gg0110", Verdict.IS_NOT, "ada")])
    mark_texts(engine, [text_hash("Oxford")])
    assert due_ids(engine, now) == [1]
    put_in_use(engine, before)
    assert due_ids(engine, before) == [1]


def test_marks_of_versions_that_do_not_come_back_are_dropped(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    mark(engine, now, [1, 2, 3])
    selection_done(engine, now)
    assert prune(engine, [now]) == 0
    put_in_use(engine, before)
    assert prune(engine, [before], batch=2) == 3
    assert marked(engine) == []
    put_in_use(engine, now)
    assert looked_at(engine, now) == [1, 2, 3, 4, 5, 6, 7]


# Selecting


def test_a_page_has_what_is_carried(engine: Engine, versions: tuple[int, int]) -> None:
    before, now = versions
    put_in_use(engine, before)
    intake(engine, before, [SourceRecord("s", "strict", "Oxford")], STRICT)
    near = Outcome("", reason=Reason.BELOW_THRESHOLD, nearest=Nearest("052gg0110", 0.75))
    save(engine, before, [(1, near)], STRICT)
    put_in_use(engine, now)
    mark(engine, now, [2])
    withdraw(engine, [("s", "5", None)])  # nobody asks for it, and it may be asked for again
    save(engine, now, [(3, outcome("Oxford or Brookes"))])
    pages, after = [], 0
    while one := page(engine, now, after=after, size=3):
        pages.append(one)
        after = one.to
    assert [(one.after, one.to) for one in pages] == [(0, 3), (3, 6), (6, 7)]
    found = sorted((one for each in pages for one in each.carried), key=lambda one: one.id)
    assert [(one.id, one.text) for one in found] == [
        (1, "Oxford"), (4, "Rutherford"), (5, "Nowhere"), (6, "Either"), (7, "")
    ]  # fmt: skip
    strict = CarriedNearest(0.75, pytest.approx(STRICT.accept_probability))  # type: ignore[arg-type]
    assert [one.nearest for one in found] == [(strict,), (), (), (), ()]
    link = CarriedLink("052gg0110", "Oxford University", pytest.approx(0.97), 0.5, None, None)  # type: ignore[arg-type]
    assert [one.links for one in found] == [(link,), (link,), (), (), ()]
    assert last_affiliation(engine) == 7
    first = page(engine, before, after=0, size=3)
    assert first is not None
    assert first.carried == ()  # it carries nothing


def test_a_selection_goes_on_where_it_was(engine: Engine, versions: tuple[int, int]) -> None:
    now = versions[1]
    assert selection_begun(engine, now) == 0
    first = page(engine, now, after=0, size=3)
    assert first is not None
    assert mark_page(engine, now, first, [2]) == 1
    assert selection_begun(engine, now) == 3
    assert put_in_use(engine, now).selected_to == 3
    assert selection_begun(engine, now, again=True) == 0


def test_a_selection_that_was_rolled_back_in_its_midst_begins_anew(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    mark_page(engine, now, Page(0, 3, ()), [2])
    put_in_use(engine, before)
    put_in_use(engine, now)
    assert selection_begun(engine, now) == 0
    assert due_ids(engine, now) == [2]


def test_nothing_is_marked_for_a_version_that_is_not_in_use(
    engine: Engine, versions: tuple[int, int]
) -> None:
    before, now = versions
    put_in_use(engine, before)
    for step in (
        lambda: selection_begun(engine, now),
        lambda: mark_page(engine, now, ALL, [1]),
        lambda: selection_done(engine, now),
    ):
        with pytest.raises(ResolverSuperseded):
            step()
    assert marked(engine) == []


# Overrides


def test_texts_are_marked_where_other_overrides_hold(
    engine: Engine, versions: tuple[int, int]
) -> None:
    now = versions[1]
    hashes = [text_hash(affiliation) for affiliation in ("Oxford", "Nowhere", "Never sent")]
    assert mark_texts(engine, hashes) == 0
    (_, either) = add(
        engine,
        [Override(None, t, "052gg0110", Verdict.IS_NOT, "ada") for t in ("Oxford", "Either")],
    ).holding
    assert mark_texts(engine, hashes) == 1
    assert marked(engine) == [("Oxford", "override", None)]
    save(engine, now, [(1, outcome("Oxford", (1,))), (6, outcome("Either", (2,)))])
    assert mark_texts(engine, [*hashes, text_hash("Either")]) == 0
    end(engine, [either], "ada")
    assert mark_texts(engine, [text_hash("Either")]) == 1
    assert due_count(engine, now) == 1
