from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.database.releases import (
    LoadReport,
    ReleaseInfo,
    changed_organisations,
    current_release,
    diff,
    find,
    find_release,
    load_release,
    names,
    organisations,
    releases,
    require_release,
)
from resolver.errors import RegistryError
from resolver.registry.change import ChangeKind, OrganisationChange
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

ETH = Organisation(
    ror_id="05a28rw58",
    status=OrganisationStatus.ACTIVE,
    names=(
        Name("ETH Zurich", frozenset({NameKind.DISPLAY, NameKind.LABEL}), "en"),
        Name("ETH Zürich", frozenset({NameKind.LABEL}), "de"),
        Name("蘇黎世聯邦理工學院 \U0001f3d4", frozenset({NameKind.ALIAS})),
        Name("ETH", frozenset({NameKind.ACRONYM})),
    ),
    types=("education", "funder"),
    places=(Place("CH", "Switzerland", "Zurich", "Zurich", 47.36667, 8.55, 2657896),),
    relations=(Relation(RelationKind.CHILD, "04dkp9463", 'Paul "Scherrer" Institute'),),
    identifiers=(Identifier("grid", ("grid.5801.c",), "grid.5801.c"),),
    domains=("ethz.ch",),
    websites=("https://ethz.ch",),
    established=1855,
)


def named(ror_id: str, name: str, status: str = "active") -> Organisation:
    return Organisation(
        ror_id=ror_id,
        status=OrganisationStatus(status),
        names=(Name(name, frozenset({NameKind.DISPLAY})),),
    )


OXFORD = named("052gg0110", "University of Oxford")
LEIDEN = named("027bh9e22", "Leiden University")


def load(
    engine: Engine,
    source: Iterable[Organisation],
    version: str = "v2.8",
    sha256: str | None = None,
    *,
    released_on: date | None = date(2026, 9, 1),
    force: bool = False,
) -> LoadReport:
    return load_release(
        engine,
        ReleaseInfo(version, released_on, sha256 or f"sha of {version}", f"{version}.zip"),
        source,
        rejected=lambda: 2,
        schema_version=lambda: "2.1",
        force=force,
    )


def counts(report: LoadReport) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.unchanged, report.removed


def unread() -> Iterator[Organisation]:
    raise AssertionError("the file was read again")
    yield OXFORD


def test_what_goes_in_comes_out(engine: Engine) -> None:
    report = load(engine, [OXFORD, ETH])
    assert counts(report) == (2, 0, 0, 0)
    assert list(organisations(engine, report.release_id)) == [OXFORD, ETH]  # by ROR id
    assert find(engine, "05a28rw58") == ETH
    assert find(engine, "000000000") is None
    stored = current_release(engine)
    assert stored is not None
    assert (stored.id, stored.version, stored.released_on, stored.sha256) == (
        report.release_id,
        "v2.8",
        date(2026, 9, 1),
        "sha of v2.8",
    )
    assert (stored.schema_version, stored.source, stored.organisation_count) == (
        "2.1",
        "v2.8.zip",
        2,
    )
    assert stored.rejected_count == report.rejected == 2


def test_analysts_see_the_release_in_use(engine: Engine) -> None:
    load(engine, [OXFORD, ETH])
    load(engine, [ETH], "v2.9")
    with transaction(engine) as connection:
        rows = connection.execute(text("SELECT * FROM organisations")).mappings().all()
    (row,) = rows
    record = row["record"]
    assert {**row, "record": None} == {
        "ror_id": "05a28rw58",
        "ror_url": "https://ror.org/05a28rw58",
        "name": "ETH Zurich",
        "status": "active",
        "types": ["education", "funder"],
        "country_code": "CH",
        "country": "Switzerland",
        "city": "Zurich",
        "established": 1855,
        "registry_release": "v2.9",
        "record": None,
    }
    assert record["identifiers"][0]["scheme"] == "grid"


def test_before_the_first_load_there_is_no_release(engine: Engine) -> None:
    assert current_release(engine) is None
    assert find(engine, "05a28rw58") is None


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param([OXFORD, ETH], (0, 0, 2, 0), id="nothing"),
        pytest.param([OXFORD, ETH, LEIDEN], (1, 0, 2, 0), id="one more"),
        pytest.param([ETH], (0, 0, 1, 1), id="one fewer"),
        pytest.param(
            [named("052gg0110", "Oxford University"), ETH], (0, 1, 1, 0), id="another name"
        ),
        pytest.param(
            [named("052gg0110", "University of Oxford", "inactive"), LEIDEN],
            (1, 1, 0, 1),
            id="all of these",
        ),
    ],
)
def test_a_new_release_reports_what_it_changes(
    engine: Engine, after: list[Organisation], expected: tuple[int, int, int, int]
) -> None:
    first = load(engine, [OXFORD, ETH])
    second = load(engine, after, "v2.9")
    assert counts(second) == expected
    assert second.total == len(after)
    assert {o.ror_id: o for o in organisations(engine, second.release_id)} == {
        o.ror_id: o for o in after
    }
    assert list(organisations(engine, first.release_id)) == [OXFORD, ETH]  # kept beside it
    with transaction(engine) as connection:
        versions = connection.execute(text("SELECT count(*) FROM organisation_version")).scalar()
    assert versions == 2 + expected[0] + expected[1]  # what did not change is shared


def test_the_same_file_again_changes_nothing_and_is_not_read(engine: Engine) -> None:
    first = load(engine, [OXFORD, ETH])
    stored = current_release(engine)
    again = load(engine, unread())
    assert again.already_loaded
    assert not first.already_loaded
    assert (again.release_id, again.rejected) == (first.release_id, 2)
    assert counts(again) == (0, 0, 2, 0)
    assert current_release(engine) == stored


def test_an_earlier_release_again_is_put_back_in_use(engine: Engine) -> None:
    first = load(engine, [OXFORD, ETH])
    load(engine, [ETH], "v2.9")
    back = load(engine, unread(), force=True)
    assert counts(back) == (1, 0, 1, 0)
    stored = current_release(engine)
    assert stored is not None
    assert stored.id == first.release_id


@pytest.mark.parametrize(
    ("version", "day", "older"),
    [
        pytest.param("v2.8", date(2026, 8, 1), True, id="day before"),
        pytest.param("v2.10", date(2026, 8, 1), True, id="the day counts before the number"),
        pytest.param("v2.8", date(2026, 10, 1), False, id="day after"),
        pytest.param("v2.8.9", date(2026, 9, 1), True, id="same day, smaller number"),
        pytest.param("v2.10", date(2026, 9, 1), False, id="same day, greater number"),
        pytest.param("v2.8", None, True, id="no day, smaller number"),
        pytest.param("v2.10", None, False, id="no day, greater number"),
        pytest.param("v2.9", None, False, id="another content"),
        pytest.param("nightly", None, False, id="no number"),
    ],
)
def test_an_older_release_needs_force(
    engine: Engine, version: str, day: date | None, older: bool
) -> None:
    load(engine, [OXFORD], "v2.9", sha256="in use")
    before = current_release(engine)
    if older:
        with pytest.raises(RegistryError, match=r"older than v2\.9 of 2026-09-01.*--force"):
            load(engine, unread(), version, released_on=day)
        assert current_release(engine) == before
    report = load(engine, [OXFORD, ETH], version, released_on=day, force=older)
    assert counts(report) == (1, 0, 1, 0)
    now = current_release(engine)
    assert now is not None
    assert before is not None
    assert (now.version, now.previous_id) == (version, before.id)


def test_the_same_version_with_another_content_is_kept_beside_it(engine: Engine) -> None:
    first = load(engine, [OXFORD, ETH])
    second = load(engine, [ETH, LEIDEN], sha256="corrected")
    assert second.release_id != first.release_id
    assert counts(second) == (1, 0, 1, 1)
    assert list(organisations(engine, second.release_id)) == [LEIDEN, ETH]
    assert list(organisations(engine, first.release_id)) == [OXFORD, ETH]
    assert [release.id for release in releases(engine)] == [second.release_id, first.release_id]
    assert find_release(engine, "v2.8").id == second.release_id
    assert find_release(engine, "v2.8", "sha of v2.8").id == first.release_id
    assert load(engine, [OXFORD, ETH]).release_id == first.release_id
    assert find_release(engine, "v2.8").id == first.release_id


def test_a_release_that_was_not_loaded_is_named_with_those_that_were(engine: Engine) -> None:
    load(engine, [OXFORD])
    load(engine, [ETH], "v2.9")
    with pytest.raises(RegistryError, match=r"v3\.0 is not loaded; loaded: v2\.9, v2\.8 — run"):
        find_release(engine, "v3.0")
    with pytest.raises(RegistryError, match="with the SHA-256 ffff"):
        find_release(engine, "v2.9", "f" * 64)


# Changes

BEFORE = [
    OXFORD,
    ETH,
    LEIDEN,
    named("000aaaa01", "Merged Institute"),
    named("000aaaa02", "Withdrawn Institute"),
    named("000aaaa03", "Closed Institute"),
    named("000aaaa04", "Reopened Institute", "inactive"),
    named("000aaaa05", "Lost Institute"),
    named("000aaaa06", "Closed Before", "inactive"),
    named("000aaaa07", "Inactive Merged", "inactive"),
]
SUCCESSION = (
    Relation(RelationKind.RELATED, "027bh9e22", "Leiden University"),
    Relation(RelationKind.SUCCESSOR, "05a28rw58", "ETH Zurich"),
    Relation(RelationKind.SUCCESSOR, "052gg0110", "University of Oxford"),
)
AFTER = [
    OXFORD,
    replace(ETH, names=(*ETH.names, Name("ETHZ", frozenset({NameKind.ACRONYM}))), places=()),
    replace(LEIDEN, established=1575),
    replace(named("000aaaa01", "Merged Institute", "withdrawn"), relations=SUCCESSION),
    named("000aaaa02", "Withdrawn Institute", "withdrawn"),
    named("000aaaa03", "Closed Institute", "inactive"),
    named("000aaaa04", "Reopened Institute"),
    replace(named("000aaaa06", "Closed Before", "inactive"), relations=SUCCESSION[1:2]),
    replace(named("000aaaa07", "Inactive Merged", "withdrawn"), relations=SUCCESSION[1:2]),
    named("000aaaa08", "New Institute"),
]
MERGED = ("05a28rw58", "052gg0110")
CHANGES = [
    OrganisationChange(*row)
    for row in (
        ("000aaaa01", "Merged Institute", ChangeKind.MERGED, ("relations", "status"), MERGED),
        ("000aaaa02", "Withdrawn Institute", ChangeKind.WITHDRAWN, ("status",)),
        ("000aaaa03", "Closed Institute", ChangeKind.INACTIVE, ("status",)),
        ("000aaaa04", "Reopened Institute", ChangeKind.REACTIVATED, ("status",)),
        ("000aaaa05", "Lost Institute", ChangeKind.REMOVED),
        ("000aaaa06", "Closed Before", ChangeKind.CHANGED, ("relations",), MERGED[:1]),
        ("000aaaa07", "Inactive Merged", ChangeKind.MERGED, ("relations", "status"), MERGED[:1]),
        ("000aaaa08", "New Institute", ChangeKind.ADDED),
        ("027bh9e22", "Leiden University", ChangeKind.CHANGED, ("established",)),
        ("05a28rw58", "ETH Zurich", ChangeKind.CHANGED, ("names", "places")),
    )
]


def stored_changes(engine: Engine, release_id: int) -> list[OrganisationChange]:
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                "SELECT c.ror_id, coalesce(a.name, b.name), c.kind, c.fields, c.successors"
                " FROM release_change c LEFT JOIN organisation_version b ON b.id = c.before_id"
                " LEFT JOIN organisation_version a ON a.id = c.after_id"
                " WHERE c.release_id = :release ORDER BY ror_id"
            ),
            {"release": release_id},
        ).all()
    return [
        OrganisationChange(ror_id, name, ChangeKind(kind), tuple(fields), tuple(successors))
        for ror_id, name, kind, fields, successors in rows
    ]


def test_a_release_says_what_it_changes(engine: Engine) -> None:
    first = load(engine, BEFORE)
    assert stored_changes(engine, first.release_id) == []
    second = load(engine, AFTER, "v2.9")
    assert stored_changes(engine, second.release_id) == CHANGES
    assert diff(engine, first.release_id, second.release_id) == CHANGES
    assert str(second) == (
        "release v2.9: 10 organisations, 1 new, 8 changed (2 merged, 1 withdrawn, 1 inactive,"
        " 1 reactivated), 1 unchanged, 1 removed, 2 records refused"
    )
    assert (second.previous, second.merged, second.removed) == ("v2.8", 2, 1)


def test_the_same_file_again_changes_no_change(engine: Engine) -> None:
    load(engine, BEFORE)
    second = load(engine, AFTER, "v2.9")
    query = text("SELECT xmin::text, c::text FROM release_change c ORDER BY ror_id")
    with transaction(engine) as connection:
        before = connection.execute(query).fetchall()
    again = load(engine, unread(), "v2.9")
    assert str(again) == (
        "release v2.9: 10 organisations, 2 records refused; loaded before, nothing changes"
    )
    back = load(engine, unread(), force=True)
    assert str(back).endswith("this file was loaded before")
    with transaction(engine) as connection:
        assert connection.execute(query).fetchall() == before
    assert stored_changes(engine, second.release_id) == CHANGES


def test_releases_are_compared_either_way(engine: Engine) -> None:
    first, second = load(engine, BEFORE).release_id, load(engine, AFTER, "v2.9").release_id
    kinds = {change.ror_id: change.kind for change in diff(engine, second, first)}
    assert kinds["000aaaa08"] is ChangeKind.REMOVED
    assert kinds["000aaaa05"] is ChangeKind.ADDED
    assert kinds["000aaaa01"] is ChangeKind.REACTIVATED
    assert diff(engine, first, first) == []
    pairs = changed_organisations(engine, first, second)
    assert [(one and one.ror_id, other and other.ror_id) for one, other in pairs] == [
        (
            None if change.kind is ChangeKind.ADDED else change.ror_id,
            None if change.kind is ChangeKind.REMOVED else change.ror_id,
        )
        for change in CHANGES
    ]
    old, new = ({o.ror_id: o for o in release} for release in (BEFORE, AFTER))
    assert all(one is None or one == old[one.ror_id] for one, _ in pairs)
    assert all(other is None or other == new[other.ror_id] for _, other in pairs)


def test_names_come_without_the_rest(engine: Engine) -> None:
    release_id = load(engine, AFTER).release_id
    assert sorted(names(engine, release_id, batch=3)) == sorted(
        (o.ror_id, o.status, [name.value for name in o.names]) for o in AFTER
    )


class _Broken(Exception):
    pass


def _breaks() -> Iterator[Organisation]:
    yield LEIDEN
    raise _Broken


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param(_breaks, _Broken, id="the file breaks off"),
        pytest.param(lambda: iter(()), RegistryError, id="no organisation"),
        pytest.param(lambda: iter([LEIDEN, OXFORD, LEIDEN]), RegistryError, id="one twice"),
        pytest.param(
            lambda: iter([OXFORD, named("027bh9e22", "Lei\x00den")]), RegistryError, id="NUL"
        ),
    ],
)
@pytest.mark.parametrize("version", ["v2.8", "v2.9"])
def test_a_failed_load_leaves_the_registry_as_it_was(
    engine: Engine, source: object, error: type[Exception], version: str
) -> None:
    report = load(engine, [OXFORD, ETH])
    before = current_release(engine)
    with pytest.raises(error):
        load(engine, source(), version, sha256="another")  # type: ignore[operator]
    assert current_release(engine) == before
    assert list(organisations(engine, report.release_id)) == [OXFORD, ETH]
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM registry_release")).scalar() == 1
        assert connection.execute(text("SELECT count(*) FROM organisation_version")).scalar() == 2


def test_two_loads_at_once_come_one_after_the_other(engine: Engine) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[Organisation]:
        yield OXFORD
        started.set()
        assert go_on.wait(20)
        yield ETH

    reports: dict[str, LoadReport] = {}
    first = threading.Thread(target=lambda: reports.update(a=load(engine, slow(), "v2.8")))
    second = threading.Thread(target=lambda: reports.update(b=load(engine, [ETH], "v2.9")))
    first.start()
    assert started.wait(20)
    second.start()
    second.join(0.5)
    assert second.is_alive()  # waits
    go_on.set()
    first.join(20)
    second.join(20)
    assert counts(reports["a"]) == (2, 0, 0, 0)
    assert counts(reports["b"]) == (0, 0, 1, 1)


def test_readers_keep_their_release_while_another_is_loaded(engine: Engine) -> None:
    report = load(engine, [OXFORD, ETH])
    reader = organisations(engine, report.release_id, batch=1)
    seen = [next(reader)]
    load(engine, [ETH], sha256="corrected")
    seen.extend(reader)
    assert seen == [OXFORD, ETH]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_release(engine: Engine) -> None:
    def many() -> Iterator[Organisation]:
        for number in range(20_000):
            yield named(f"0{number:08d}", f"University number {number} of a long name" * 5)

    tracemalloc.start()
    report = load(engine, many())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    read = sum(1 for _ in organisations(engine, report.release_id))
    _, read_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read == report.total == 20_000
    assert peak < 8 * 2**20  # the records together have over 20 MB as objects
    assert read_peak < 16 * 2**20


def test_a_release_that_is_needed_and_missing_says_what_to_run(engine: Engine) -> None:
    with pytest.raises(RegistryError, match="resolver registry load"):
        require_release(engine)
