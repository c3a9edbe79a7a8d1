"""Stored answers for the review: texts with records, and the links or the reason they have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from sqlalchemy import Engine, text

from resolver.curation.review import text_keys
from resolver.database import answers, overrides, review_items
from resolver.database.connection import transaction
from resolver.database.records import intake
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.database.review_filters import Filters
from resolver.database.review_items import Item
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.override import ids
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place

OXFORD, ETH, PARIS, GRAZ = "052gg0110", "05a28rw58", "02en5vm52", "01faaaf77"
NAMES = {
    OXFORD: ("University of Oxford", Place("GB", "United Kingdom", "Oxford")),
    ETH: ("ETH Zurich", Place("CH", "Switzerland", "Zurich")),
    PARIS: ("Sorbonne University", Place("FR", "France", "Paris")),
    GRAZ: ("University of Graz", Place("AT", "Austria", "Graz")),
}

NOT_THERE = Reason.NOT_IN_REGISTRY

Answer = Mapping[str, float] | Reason
"""Probabilities by ROR id, best first, or why there is no link."""

QUEUED: dict[str, Answer] = {
    "Univ. Oxford, UK": {OXFORD: 0.9},
    "ETH and Oxford": {ETH: 0.8, OXFORD: 0.5},
    "Sorbonne, Paris, France": {PARIS: 1.0},
    "Kelmar Technical University, Oslo, Norway": NOT_THERE,
    "14 Juniper Close": Reason.PLACE_ONLY,
}
"""Texts of `fill_queue`, with their answers."""


def new_version(engine: Engine, release: str = "v2.9", *, model: str = "r") -> int:
    """A resolver version on a release of the four organisations, in use from now on."""
    loaded = load_release(
        engine,
        ReleaseInfo(release, date(2026, 10, 1), release, f"{release}.json"),
        [
            Organisation(
                ror_id=ror_id,
                status=OrganisationStatus.ACTIVE,
                names=(Name(name, frozenset({NameKind.DISPLAY})),),
                places=(place,),
            )
            for ror_id, (name, place) in NAMES.items()
        ],
        rejected=lambda: 0,
        schema_version=lambda: None,
    )
    version = register(
        engine,
        release_id=loaded.release_id,
        encoder=("builtin", "e"),
        reranker=("builtin", model),
        settings={},
    ).id
    put_in_use(engine, version)
    return version


def send(
    engine: Engine,
    version: int,
    affiliation: str,
    *,
    records: int = 1,
    source: str = "crossref",
    policy: Policy = Policy(),
) -> int:
    """Take in records with this text; returns its affiliation id."""
    sent = [
        SourceRecord(source, f"10.1/{affiliation[:40]}/{source}/{number}", affiliation, 0)
        for number in range(records)
    ]
    return intake(engine, version, sent, policy)[0].id


def outcome(affiliation: str, answer: Answer, overriding: tuple[int, ...] = ()) -> Outcome:
    if isinstance(answer, Reason):
        return Outcome(affiliation, reason=answer, overrides=overriding)
    links = tuple(
        Link(ror_id, NAMES[ror_id][0], NAMES[ror_id][0], 1.0, probability, rank)
        for rank, (ror_id, probability) in enumerate(answer.items(), start=1)
    )
    return Outcome(affiliation, links, overrides=overriding)


def answer(
    engine: Engine, version: int, given: Mapping[str, Answer], *, policy: Policy = Policy()
) -> dict[str, int]:
    """Store answers as a worker does, with the overrides that hold; returns affiliation ids by text.

    Texts that were not sent yet are sent in one record.
    """
    stored: dict[str, int] = {}
    with transaction(engine) as connection:
        stored = {
            row.text: row.id
            for row in connection.execute(
                text("SELECT id, text FROM affiliation WHERE text = ANY(:texts)"),
                {"texts": list(given)},
            )
        }
    for affiliation in given:
        if affiliation not in stored:
            stored[affiliation] = send(engine, version, affiliation, policy=policy)
    applying = overrides.applying(engine, list(given))
    answers.save(
        engine,
        version,
        [
            (stored[affiliation], outcome(affiliation, one, ids(applying.get(affiliation, ()))))
            for affiliation, one in given.items()
        ],
        policy,
        keys={
            stored[affiliation]: text_keys(affiliation, linked=not isinstance(one, Reason))
            for affiliation, one in given.items()
        },
    )
    return stored


def fill_queue(engine: Engine, version: int) -> dict[str, int]:
    """Store `QUEUED`, the first text in four records; returns affiliation ids by text."""
    send(engine, version, "Univ. Oxford, UK", records=3)
    send(engine, version, "Univ. Oxford, UK", source="datacite")
    return answer(engine, version, QUEUED)


def item(engine: Engine, affiliation_id: int) -> Item:
    with transaction(engine) as connection:
        (stored,) = review_items.find(connection, [affiliation_id])
    return stored


def queued(engine: Engine, filters: Filters = Filters(), **options: object) -> list[str]:
    """The texts of the queue, in its order."""
    return [i.text for i in review_items.queue(engine, filters, "ada", **options)]  # type: ignore[arg-type]
