from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from support.backfilling import AFFILIATIONS, write_mentions

from resolver.answering.chunk import resolve_chunk
from resolver.backfill import part as parts
from resolver.backfill import pinning
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.load import Loaded, Records, load
from resolver.curation import overrides
from resolver.database import due_answers
from resolver.errors import BackfillError
from resolver.matching.override import new_override
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings

pytestmark = pytest.mark.slow

DENIED = "Department of Physics, Massachusetts Institute of Technology, Cambridge, MA 02139, USA"
RAWS = [*AFFILIATIONS[:60], "", "12345"]


@pytest.fixture(scope="module")
def pinned(
    prepared: tuple[str, Path],
    copied_database: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Settings, Folder]:
    """An installation with an override in force, and a run of all of `RAWS` by its pin."""
    folder = tmp_path_factory.mktemp("load")
    url, home = prepared
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=home, database_url=SecretStr(copied_database(url)), threads=1
    )
    pin_folder, run = Folder(str(folder / "pin")), Folder(str(folder / "run"))
    with Installation(settings) as installation:
        denied = new_override(DENIED, "042nb2s44", "is not", author="Curator")
        overrides.add(installation.engine, [denied])
        pinning.make(installation, pin_folder)
    plan = plans.make([str(write_mentions(folder / "in", RAWS))], run, pin_folder, parts=2)
    with parts.opened(run, plan, pin_folder, folder / "scratch") as opened:
        for name in plan.parts:
            opened.answer(name)
    return settings, run


@pytest.fixture
def own(
    pinned: tuple[Settings, Folder], copied_database: Callable[..., str]
) -> Iterator[Installation]:
    """A copy of the installation, as it was when it was pinned."""
    settings, _ = pinned
    assert settings.database_url
    copy = copied_database(settings.database_url.get_secret_value())
    with Installation(settings.model_copy(update={"database_url": SecretStr(copy)})) as made:
        yield made


@pytest.fixture
def answered(pinned: tuple[Settings, Folder], tmp_path: Path) -> Folder:
    """A copy of the run."""
    shutil.copytree(pinned[1].address, tmp_path / "run")
    return Folder(str(tmp_path / "run"))


ANSWERS = """
    SELECT a.text, o.status, o.reason, o.overrides, o.nearest, o.nearest_probability,
        (SELECT array_agg((l.ror_id, l.rank, l.score, l.probability, l.name, l.matched_name,
            l.stands_for, l.text_start, l.text_end, l.country_agreement, l.city_named,
            l.first_stage_rank, l.sparse, l.dense, l.runner_up, l.margin, l.override_id)::text
            ORDER BY l.rank)
         FROM link l WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)),
        (SELECT (i.words, i.country, i.cluster)::text FROM review_item i
         WHERE i.affiliation_id = a.id)
    FROM outcome o JOIN affiliation a ON a.id = o.affiliation_id ORDER BY a.text
"""


def answers(installation: Installation) -> list[tuple[object, ...]]:
    with installation.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(ANSWERS))]


def past(installation: Installation) -> list[tuple[object, ...]]:
    query = (
        "SELECT a.text, p.reason, p.end_reason FROM past_outcome p"
        " JOIN affiliation a ON a.id = p.affiliation_id ORDER BY a.text"
    )
    with installation.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def resolve(installation: Installation, raws: list[str]) -> None:
    """As a worker does."""
    with open_service(installation) as service:
        records = [
            {"source": "test", "id": str(n), "affiliation": raw} for n, raw in enumerate(raws)
        ]
        done = resolve_chunk(service.engine, service.matcher, service.version.id, records)
        print(done)


def test_answers_are_stored_as_those_of_workers_and_only_once(
    own: Installation, answered: Folder, tmp_path: Path
) -> None:
    first = load(own.engine, answered)
    assert (first.stored, first.unchanged, first.failed) == (len(RAWS), 0, 0)
    assert first.links > 40
    loaded = answers(own)
    assert load(own.engine, answered) == Loaded(0, len(RAWS), 0, 0, 0, 0)
    assert answers(own) == loaded
    # Records that come find their texts answered.
    resolve(own, RAWS)
    assert answers(own) == loaded
    assert past(own) == []


def test_what_workers_stored_is_the_same(own: Installation, answered: Folder) -> None:
    """To the last digit but those of float32, which a batch's other texts move a little."""
    resolve(own, RAWS)
    stored = answers(own)
    assert load(own.engine, answered) == Loaded(0, len(RAWS), 0, 0, 0, 0)
    assert answers(own) == stored


def test_what_is_replaced_is_kept(own: Installation, answered: Folder) -> None:
    with open_service(own) as service:
        version_id = service.version.id
    load(own.engine, answered)
    with own.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE outcome SET status = 'no_match', reason = 'ambiguous' WHERE reason = 'empty'"
            )
        )
    again = load(own.engine, answered)
    assert (again.stored, again.unchanged) == (1, len(RAWS) - 1)
    assert past(own) == [("", "ambiguous", "resolved again")]
    # Decided since: stored as it was answered, and due where a record asks for it.
    overrides.add(own.engine, [new_override(RAWS[1], "042nb2s44", "is not", author="Curator")])
    load(own.engine, answered, records=Records(source="works", id_column="id"))
    assert due_answers.due_count(own.engine, version_id) == 1


def test_records_are_stored_with_their_answers(
    own: Installation, answered: Folder, tmp_path: Path
) -> None:
    """As `resolver enqueue` sends them; a row without an id is refused."""
    columns = Records(source="works", id_column="id")
    done = load(own.engine, answered, records=columns)
    assert (done.stored, done.records, done.refused) == (len(RAWS), len(RAWS), 0)
    with own.engine.connect() as connection:
        linked = connection.execute(text("SELECT count(DISTINCT external_id) FROM resolved_links"))
        stored = connection.execute(text("SELECT count(*) FROM outcome WHERE status = 'linked'"))
        assert linked.scalar() == stored.scalar()
        assert connection.execute(text("SELECT count(*) FROM pending")).scalar() == 0
    again = load(own.engine, answered, records=columns)
    assert (again.stored, again.unchanged, again.records) == (0, len(RAWS), len(RAWS))
    assert past(own) == []


def test_another_version_in_use_is_refused(own: Installation, answered: Folder) -> None:
    with own.engine.begin() as connection:
        connection.execute(text("UPDATE resolver_version SET settings = '{}'"))
    with pytest.raises(BackfillError, match=r"resolver version 1 is in use here"):
        load(own.engine, answered)
    assert answers(own) == []


def test_a_run_that_is_not_whole_is_refused(own: Installation, answered: Folder) -> None:
    answered.remove(parts.outcome_name("1"))
    with pytest.raises(BackfillError, match=r"1 of 2 parts missing: 1"):
        load(own.engine, answered)
    assert answers(own) == []
