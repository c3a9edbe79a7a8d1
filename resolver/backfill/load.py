"""Outcomes of a run → Postgres, as answers of the version in use; what they replace is kept.

With columns of ids the mentions are stored too, as records; else texts are stored without any, and
records that come later (`resolver enqueue`) find them answered.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.backfill import outcome_file, pin
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.pin import Pin
from resolver.backfill.plan import Plan, outcome_files
from resolver.backfill.state import require_whole, state
from resolver.curation.review import text_keys
from resolver.database import answers, resolver_versions
from resolver.database import records as stored_records
from resolver.errors import BackfillError
from resolver.intake.message import parse_chunk
from resolver.matching.outcome import Outcome
from resolver.matching.policy import Policy
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    from sqlalchemy import Engine

BATCH = 1_000
"""Answers that are stored in one transaction."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """`stored` counts answers that are new or other than before, `unchanged` the others; `failed`
    texts have no answer, and are not stored. `records` counts mentions that were stored, `refused`
    those that could not be."""

    stored: int
    unchanged: int
    links: int
    failed: int
    records: int
    refused: int


@dataclass(frozen=True, slots=True)
class Records:
    """How mentions are records: their source, and the columns of id and position."""

    source: str
    id_column: str
    position_column: str | None = None


def load(
    engine: Engine,
    run: Folder,
    pin_folder: Folder | None = None,
    *,
    records: Records | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Loaded:
    """Store all answers of a run. A second time nothing changes; if it is interrupted, another call
    completes it.

    Answers of texts about which curators decided otherwise since are stored, and are due.
    `progress` is called with (texts and records done, in all).

    Raises:
        BackfillError: parts are missing, or the version in use is not the pin's.
        ResolverSuperseded: another version came in use meanwhile; what was stored before stays.
        DatabaseProblem: Postgres does not answer, or takes no writes.
    """
    reached = state(run)
    require_whole(run, reached)
    pin_folder = pin_folder or Folder(reached.plan.pin_address)
    pinned = pin.read(pin_folder)
    pin.require_same(pinned, reached.plan.pin, what=f"the run {run.address}")
    version_id = _version_in_use(engine, pinned)
    policy = Policy.from_object(dict(pinned.policy))
    total = reached.plan.texts + (reached.plan.mentions if records else 0)
    stored = unchanged = links = failed = done = taken = refused = 0
    for name in outcome_files(run, reached.plan):
        for batch in _batches(run, name):
            answered = [(text, outcome) for text, outcome in batch if outcome is not None]
            saved = _save(engine, version_id, answered, policy)
            stored += saved.outcomes
            unchanged += saved.unchanged
            links += saved.links
            failed += len(batch) - len(answered)
            done += len(batch)
            progress(done, total)
    if records:
        for rows in _records(reached.plan, records):
            good, bad = parse_chunk(rows)
            stored_records.refuse(engine, bad)
            stored_records.intake(engine, version_id, good, policy)
            taken += len(good)
            refused += len(bad)
            progress(done + taken + refused, total)
    return Loaded(stored, unchanged, links, failed, taken, refused)


def _records(plan: Plan, records: Records) -> Iterator[list[dict[str, object]]]:
    """The mentions in the form of messages.

    Raises:
        BackfillError: a column is missing.
    """
    names = {"id": records.id_column, "affiliation": plan.column}
    if records.position_column:
        names["position"] = records.position_column
    for dataset in plans.mentions(plan):
        if missing := sorted(set(names.values()) - set(dataset.schema.names)):
            raise BackfillError(
                f"the input has no column {missing[0]!r}",
                remedy="it has: " + ", ".join(dataset.schema.names[:20]),
            )
        for batch in dataset.to_batches(columns=[*set(names.values())], batch_size=BATCH):
            yield [
                {"source": records.source, **{key: row[name] for key, name in names.items()}}
                for row in batch.to_pylist()
            ]


def _batches(run: Folder, name: str) -> list[list[tuple[str, Outcome | None]]]:
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(run.read(name) or b""))
    return [
        list(outcome_file.outcomes(table.slice(start, BATCH)))
        for start in range(0, len(table), BATCH)
    ]


def _save(
    engine: Engine, version_id: int, answered: Sequence[tuple[str, Outcome]], policy: Policy
) -> answers.SaveReport:
    texts = [text for text, _ in answered]
    ids = stored_records.store_texts(engine, texts)
    numbered = list(zip(ids, (outcome for _, outcome in answered), strict=True))
    keys = {
        affiliation_id: text_keys(Affiliation.stored(text), linked=bool(outcome.links))
        for text, (affiliation_id, outcome) in zip(texts, numbered, strict=True)
    }
    return answers.save(engine, version_id, numbered, policy, keys=keys)


def _version_in_use(engine: Engine, pinned: Pin) -> int:
    """The number that the pin's version has in this database.

    Raises:
        BackfillError: another one is in use.
    """
    current = resolver_versions.current_resolver(engine)
    recorded = pinned.version
    if current is None or (
        current.release,
        current.index_version,
        dict(current.settings),
        current.encoder[1],
        current.reranker[1],
    ) != (
        recorded["release"],
        recorded["index_version"],
        dict(recorded["settings"]),
        recorded["encoder"][1],
        recorded["reranker"][1],
    ):
        in_use = f"resolver version {current.id}" if current else "none"
        raise BackfillError(
            f"the run was answered by {pinned.describe()}, and {in_use} is in use here",
            remedy="put the version in use that was pinned (resolver version list), or answer by "
            "the one in use: resolver backfill pin, then plan",
        )
    return current.id
