"""A release taken in, on a real database and a real index, without anybody killing it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.next_release import (
    ICELAND,
    MERGED,
    RENAMED,
    SUCCESSOR,
    next_release,
    write_next_release,
)
from support.overrides import add

from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.answering.refresh import refresh_chunk, refresh_due
from resolver.database import (
    due_answers,
    history,
    releases,
    resolver_versions,
    update_runs,
)
from resolver.database.locks import updating_alone
from resolver.errors import RegistryError, UpdateRunning
from resolver.matching.override import Override, Verdict
from resolver.release import selection, switch
from resolver.release.reach import Search
from resolver.release.update import DueMessages, update
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings

pytestmark = pytest.mark.slow

ICELANDIC = "Dept. of Mathematics, University of Iceland, Reykjavík"
RECORDS = [
    {"source": "test", "id": str(number), "affiliation": affiliation}
    for number, affiliation in enumerate(
        (
            ICELANDIC,
            "Karolinska Institutet, Stockholm, Sweden",
            "ETH Zurich, Switzerland",
            "China Medical University, Shenyang, China",
            "Independent researcher, no institution",
        )
    )
]


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(  # type: ignore[call-arg]
        _env_file=None, home=tmp_path, database_url=SecretStr(database_url), threads=1, chunk_size=2
    )


@pytest.fixture
def answered(settings: Settings, engine: Engine) -> Installation:
    """The sample in use, and `RECORDS` resolved."""
    installation = Installation(settings, engine=engine)
    report = update(installation, sample.REGISTRY)
    assert report.switched
    assert report.indexed
    assert (report.before, report.changes, report.left) == (None, (), 0)
    with open_service(installation) as opened:
        resolve_chunk(engine, opened.matcher, opened.version.id, RECORDS)
    return installation


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_next_release(tmp_path)


def rows(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def links(engine: Engine) -> list[tuple[object, ...]]:
    return rows(engine, "SELECT external_id, ror_id FROM resolved_links ORDER BY 1, 2")


def test_what_the_release_bears_on_is_resolved_again_and_the_rest_is_carried_over(
    answered: Installation, engine: Engine, release: Path
) -> None:
    before = links(engine)
    report = update(answered, release)
    assert report.switched
    assert report.index.derived_from
    assert report.version.carries_id == (report.before and report.before.id)
    assert report.kinds == {
        "added": 3, "changed": 3, "merged": 1, "withdrawn": 1, "inactive": 1, "reactivated": 1,
    }  # fmt: skip
    assert set(report.selected) >= {"organisation changed", "no answer before"}
    assert report.refreshed is not None
    assert (
        report.refreshed.resolved
        == sum(report.replacements.values())
        == sum(report.selected.values())
    )
    assert report.left == 0
    after = links(engine)
    assert ("0", ICELAND) in after
    assert ("2", "05a28rw58") in before
    assert ("2", "05a28rw58") in after
    # Only what could be other was touched.
    untouched = "SELECT count(*) FROM outcome WHERE resolver_version_id = 1"
    assert rows(engine, untouched)[0][0] == len(RECORDS) - report.refreshed.resolved
    assert rows(engine, "SELECT DISTINCT end_reason FROM past_outcome") == [("registry release",)]
    ended = rows(engine, "SELECT ror_id FROM link_history WHERE valid_to IS NOT NULL")
    assert (MERGED,) in ended or (RENAMED,) in ended
    assert any("given again" in line for line in report.lines())


def test_a_second_update_changes_nothing(
    answered: Installation, engine: Engine, release: Path
) -> None:
    update(answered, release)
    before = rows(engine, "SELECT * FROM outcome ORDER BY 1, 2"), links(engine)
    report = update(answered, release)
    assert report.idle
    assert list(report.lines()) == ["release v3.0 is taken in already: nothing to do"]
    assert (rows(engine, "SELECT * FROM outcome ORDER BY 1, 2"), links(engine)) == before


def test_what_is_selected_is_due_until_somebody_resolves_it(
    answered: Installation, engine: Engine, release: Path
) -> None:
    report = update(answered, release, refresh=False)
    assert report.left == sum(report.selected.values()) > 0
    assert report.refreshed is None
    marked = "SELECT affiliation_id, policy_id, cause FROM stale ORDER BY 1, 2"
    before = rows(engine, marked)
    selection.select(answered, report.version, again=True)
    assert rows(engine, marked) == before
    sent: list[tuple[int, int]] = []

    def enqueue(due: DueMessages) -> int:
        sent.extend((policy, len(affiliations)) for policy, affiliations in due)
        return sum(count for _, count in sent)

    again = update(answered, release, enqueue=enqueue)
    assert again.enqueued == again.left == report.left
    assert all(count <= answered.settings.chunk_size for _, count in sent)
    with open_service(answered) as opened:
        told: list[tuple[int, int]] = []
        done = refresh_due(opened, batch=2, progress=lambda *seen: told.append(seen))
        assert (done.resolved, done.left) == (report.left, 0)
        assert told[-1] == (report.left, report.left)
        assert sum(done.replacements.values()) == report.left
        assert done.replacements[history.Replacement.GAINED] >= 1
        assert refresh_due(opened).resolved == 0
        # A message that comes late.
        late = refresh_chunk(opened, sent[0][0], [1, 2, 3])
        assert (late.received, late.resolved) == (3, 0)


def test_processes_select_what_one_would(
    answered: Installation, engine: Engine, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = update(answered, release, refresh=False)
    marked = "SELECT affiliation_id, policy_id, cause, ror_id FROM stale ORDER BY 1, 2"
    before = rows(engine, marked)
    assert "no answer before" in {cause for _, _, cause, _ in before}
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM stale"))
    monkeypatch.setattr(selection, "MANY", 1)
    monkeypatch.setattr(selection, "PAGE", 2)
    told: list[tuple[int, int]] = []
    threads = answered.settings.model_copy(update={"threads": 2})
    selection.select(
        Installation(threads, engine=engine),
        report.version,
        again=True,
        progress=lambda *seen: told.append(seen),
    )
    assert rows(engine, marked) == before
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_what_was_selected_stays_selected_after_a_rollback_and_back(
    answered: Installation, engine: Engine, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = update(answered, release, refresh=False)
    assert report.left
    older = switch.switch_to(answered, switch.version_before(engine))
    # They are its own, and nobody has given another one.
    assert due_answers.due_count(engine, older.id) == 0
    late = [{"source": "test", "id": "late", "affiliation": "University of Iceland"}]
    with open_service(answered) as opened:
        resolve_chunk(engine, opened.matcher, opened.version.id, late)
    newer = switch.switch_to(answered, switch.version_before(engine))
    assert newer.id == report.version.id
    assert due_answers.due_count(engine, newer.id) == report.left
    monkeypatch.setattr(selection, "PAGE", 2)
    looked: list[str] = []

    def may_change(search: Search, answers: Sequence[due_answers.CarriedAffiliation]) -> list[bool]:
        looked.extend(answer.text for answer in answers)
        return real(search, answers)

    real = Search.may_change
    monkeypatch.setattr(Search, "may_change", may_change)
    selection.select(answered, newer)
    # But that is what was answered meanwhile, and marked where it had no answer.
    assert set(looked) <= {"University of Iceland"}
    assert due_answers.due_count(engine, newer.id) == report.left + 1


@pytest.mark.slowest
def test_all_of_it_is_resolved_again_where_that_is_asked_for(
    answered: Installation, engine: Engine, release: Path
) -> None:
    report = update(answered, release)
    assert report.refreshed is not None
    resolver_versions.carry_nothing(engine, report.version.id)
    with open_service(answered) as opened:
        done = refresh_due(opened)
    assert done.resolved == len(RECORDS) - report.refreshed.resolved
    assert rows(engine, "SELECT DISTINCT resolver_version_id FROM outcome") == [(2,)]
    assert update(answered, release).idle


def test_rolling_back_brings_back_what_was(
    answered: Installation, engine: Engine, release: Path
) -> None:
    before = links(engine)
    update(answered, release)
    assert links(engine) != before
    version = switch.switch_to(answered, switch.version_before(engine))
    assert version.release == "registry"
    active = answered.store.active()
    assert active is not None
    assert active.version == version.index_version
    assert due_answers.due_count(engine, version.id)
    with open_service(answered) as opened:
        assert refresh_due(opened).left == 0
    assert links(engine) == before
    assert update(answered, release).switched


def test_an_update_that_broke_off_before_selecting_is_not_lost_on_the_next_release(
    answered: Installation,
    engine: Engine,
    release: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(due_answers, "selection_done", _break_off)
        with pytest.raises(KeyboardInterrupt):
            update(answered, release)
    later = tmp_path / "v3.1-2030-02-15-ror-data.json"
    records = json.loads(release.read_bytes())
    records[0]["names"].append({"value": "One More Name", "types": ["alias"], "lang": "en"})
    later.write_text(json.dumps(records))
    report = update(answered, later)
    assert report.version.release == "v3.1"
    # What 3.0 brought is answered, though nothing was selected for it at that time.
    assert ("0", ICELAND) in links(engine)
    in_between = resolver_versions.find_resolver(engine, report.version.carries_id or 0)
    assert in_between.release == "v3.0"
    assert in_between.carries_id == 1


def _break_off(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_full_build_has_statistics_of_its_own_and_carries_nothing(
    answered: Installation, engine: Engine, release: Path
) -> None:
    report = update(answered, release, full=True)
    assert report.index.derived_from == ""
    assert report.version.carries_id is None
    assert report.before is not None
    assert report.version.settings["statistics"] != report.before.settings["statistics"]
    assert report.refreshed is not None
    assert report.refreshed.resolved == len(RECORDS)
    assert rows(engine, "SELECT DISTINCT end_reason FROM past_outcome") == [("registry release",)]
    assert update(answered, release, full=True).idle


@pytest.mark.slowest
def test_too_many_changes_make_a_full_build(
    answered: Installation, engine: Engine, tmp_path: Path
) -> None:
    records = next_release(json.loads(sample.REGISTRY.read_bytes()))
    for record in records[:60]:
        record["names"].append({"value": "One More Name", "types": ["alias"], "lang": "en"})
    path = tmp_path / "v3.0-2030-01-15-ror-data.json"
    path.write_text(json.dumps(records))
    report = update(answered, path)
    assert report.index.derived_from == ""
    assert report.left == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-200]), id="cut off"),
        pytest.param(lambda path: path.rename(path.with_name("v0.1-2020-01-01.json")), id="gone"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    answered: Installation, engine: Engine, release: Path, damage: Callable[[Path], object]
) -> None:
    before = resolver_versions.current_resolver(engine)
    damage(release)
    with pytest.raises(RegistryError):
        update(answered, release)
    assert resolver_versions.current_resolver(engine) == before
    assert len(answered.store.versions()) == 1
    assert releases.require_release(engine).version == "registry"
    run = update_runs.last(engine)
    assert run is not None
    assert (run.scheduled, run.step, run.ended_at is None) == (False, "load", False)
    assert str(release) in (run.problem or "")


@pytest.mark.slowest
def test_an_older_release_wants_to_be_forced(
    answered: Installation, engine: Engine, release: Path, tmp_path: Path
) -> None:
    update(answered, release)
    older = tmp_path / "v2.0-2025-01-15-ror-data.json"
    older.write_bytes(sample.REGISTRY.read_bytes())
    with pytest.raises(RegistryError, match="older"):
        update(answered, older)
    report = update(answered, older, force=True)
    assert report.version.release == "v2.0"
    assert report.kinds["removed"] == 3
    assert ("0", ICELAND) not in links(engine)


@pytest.mark.slowest
def test_one_update_at_a_time(answered: Installation, engine: Engine, release: Path) -> None:
    with (
        updating_alone(engine),
        pytest.raises(UpdateRunning),
        updating_alone(engine, wait=0.2),
    ):
        pass
    with updating_alone(engine), pytest.raises(UpdateRunning):
        update(answered, release)
    assert len(answered.store.versions()) == 1


def test_overrides_of_organisations_that_ended_are_reported(
    answered: Installation, engine: Engine, release: Path
) -> None:
    said = Override(None, ICELANDIC, MERGED, Verdict.IS, "ada")
    add(engine, [said])
    report = update(answered, release)
    assert [problem.override.ror_id for problem in report.problems] == [MERGED]
    line = f"override: '{ICELANDIC}' is {MERGED}: withdrawn, see {SUCCESSOR}"
    assert line in list(report.lines())
    # It wins all the same.
    assert ("0", MERGED) in links(engine)
