"""The outcomes of a part as a Parquet file, a row for each text.

Numbers are kept as Postgres keeps them: scores and probabilities in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from resolver.errors import BackfillError
from resolver.matching.outcome import (
    CountryAgreement,
    Link,
    LinkEvidence,
    Nearest,
    Outcome,
    OverrideNote,
    Reason,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from resolver.backfill.folder import Folder

FAILED = "failed"
"""The status of a text that has no answer, beside those of `resolver.matching.outcome.Status`."""

PROCESS_DIED = "process_died"
"""The reason of a failed text: the process that worked on it died, twice, while it had no other."""

_METADATA = b"resolver.backfill"


@dataclass(frozen=True, slots=True)
class Written:
    """What the foot of a file says: the fingerprint of its pin, how many texts, how many failed."""

    pin: str
    texts: int
    failed: int


def schema() -> pa.Schema:
    """``key`` is the 16 bytes of `resolver.text.affiliation.text_hash`; ``links`` are in order of
    their ranks; a failed text has neither links nor nearest candidate."""
    import pyarrow as pa

    evidence = pa.struct(
        [
            ("start", pa.int16()),
            ("end", pa.int16()),
            ("country", pa.string()),
            ("city_named", pa.bool_()),
            ("first_stage_rank", pa.int16()),
            ("sparse", pa.float32()),
            ("dense", pa.float32()),
            ("runner_up", pa.string()),
            ("margin", pa.float32()),
            ("override", pa.int64()),
        ]
    )
    link = pa.struct(
        [
            ("ror_id", pa.string()),
            ("name", pa.string()),
            ("matched_name", pa.string()),
            ("rank", pa.int16()),
            ("score", pa.float32()),
            ("probability", pa.float32()),
            ("stands_for", pa.list_(pa.string())),
            ("evidence", evidence),
        ]
    )
    return pa.schema(
        [
            ("key", pa.binary(16)),
            ("text", pa.string()),
            ("status", pa.string()),
            ("reason", pa.string()),
            ("links", pa.list_(link)),
            ("overrides", pa.list_(pa.int64())),
            ("nearest", pa.struct([("ror_id", pa.string()), ("probability", pa.float32())])),
        ]
    )


def to_buffer(
    keys: Sequence[bytes], texts: Sequence[str], outcomes: Sequence[Outcome | None], *, pin: str
) -> pa.Buffer:
    """The file of these texts; an outcome of None is a text that failed."""
    import pyarrow as pa

    rows = [
        {"key": key, "text": text, **_row(outcome)}
        for key, text, outcome in zip(keys, texts, outcomes, strict=True)
    ]
    return buffer_of(pa.Table.from_pylist(rows, schema=schema()), pin=pin)


def buffer_of(table: pa.Table, *, pin: str) -> pa.Buffer:
    """A table of outcomes as a file."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    failed = pc.sum(pc.equal(table["status"], FAILED)).as_py() or 0
    foot = {"pin": pin, "texts": len(table), "failed": failed}
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table.replace_schema_metadata({_METADATA: orjson.dumps(foot)}), sink, compression="zstd"
    )
    return sink.getvalue()


def written(folder: Folder, name: str) -> Written:
    """What the foot of a file says.

    Raises:
        BackfillError: it is no whole file of outcomes.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with folder.reading(name) as file:
            metadata = parquet.read_metadata(file)
        foot = orjson.loads((metadata.metadata or {})[_METADATA])
        found = Written(foot["pin"], foot["texts"], foot["failed"])
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise BackfillError(
            f"{folder.address}/{name} is no whole file of outcomes",
            remedy="remove it: the next run answers its part again",
        ) from error
    if found.texts != metadata.num_rows:
        raise BackfillError(
            f"{folder.address}/{name} has {metadata.num_rows} rows of {found.texts}",
            remedy="remove it: the next run answers its part again",
        )
    return found


def outcomes(table: pa.Table) -> Iterator[tuple[str, Outcome | None]]:
    """The texts of a file with their outcomes; None where it failed."""
    for row in table.to_pylist():
        yield row["text"], None if row["status"] == FAILED else _outcome(row)


def _row(outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"status": FAILED, "reason": PROCESS_DIED, "links": [], "overrides": []}
    nearest = outcome.nearest
    return {
        "status": outcome.status.value,
        "reason": outcome.reason and outcome.reason.value,
        "links": [_link_row(link) for link in outcome.links],
        "overrides": outcome.overrides,
        "nearest": nearest and {"ror_id": nearest.ror_id, "probability": nearest.probability},
    }


def _link_row(link: Link) -> dict[str, Any]:
    return {
        "ror_id": link.ror_id,
        "name": link.name,
        "matched_name": link.matched_name,
        "rank": link.rank,
        "score": link.score,
        "probability": link.probability,
        "stands_for": link.stands_for,
        "evidence": link.evidence and _evidence_row(link.evidence),
    }


def _evidence_row(evidence: LinkEvidence) -> dict[str, Any]:
    return {
        "start": evidence.start,
        "end": evidence.end,
        "country": evidence.country.value,
        "city_named": evidence.city_named,
        "first_stage_rank": evidence.first_stage_rank,
        "sparse": evidence.sparse,
        "dense": evidence.dense,
        "runner_up": evidence.runner_up,
        "margin": evidence.margin,
        "override": evidence.override and evidence.override.id,
    }


def _outcome(row: dict[str, Any]) -> Outcome:
    nearest = row["nearest"]
    return Outcome(
        affiliation=row["text"],
        links=tuple(_link(link, row["text"]) for link in row["links"]),
        reason=Reason(row["reason"]) if row["reason"] else None,
        overrides=tuple(row["overrides"]),
        nearest=nearest and Nearest(nearest["ror_id"], nearest["probability"]),
    )


def _link(row: dict[str, Any], text: str) -> Link:
    values = dict(row)
    evidence = values.pop("evidence")
    stands_for = tuple(values.pop("stands_for"))
    return Link(**values, stands_for=stands_for, evidence=evidence and _evidence(evidence, text))


def _evidence(row: dict[str, Any], text: str) -> LinkEvidence:
    values = dict(row)
    override = values.pop("override")
    return LinkEvidence(
        text=text[values["start"] : values["end"]],
        country=CountryAgreement(values.pop("country")),
        # Who decided, and when, is in the database under the override's key.
        override=None if override is None else OverrideNote(override, "", "", None),
        **values,
    )
