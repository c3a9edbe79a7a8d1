"""Names in many scripts as points of an index."""

from __future__ import annotations

from collections.abc import Sequence

from resolver.encoder.lexical import in_order, terms
from resolver.encoder.statistics import Statistics, counted
from resolver.index import Manifest, Point
from resolver.registry.document import FORM, Document
from support.hashing_encoder import HashingEncoder

NAMES = (
    "University of Oslo",
    "Oslo University Hospital",
    "University of Bergen",
    "ETH Zürich",
    "Universität Zürich",
    "北京大学",
    "国立がん研究センター",
    "Московский государственный университет",
    "جامعة القاهرة",
    "한국과학기술원",
    "Instituto Tecnológico de Costa Rica",
    "Ελληνικό Μεσογειακό Πανεπιστήμιο",
    "AT&T 🧬 Labs <Research>",
    "Nantes Université\u200d",
)


def documents_of(names: Sequence[str]) -> list[Document]:
    return [
        Document(
            ror_id=f"0{i:08d}",
            name=name,
            display_name=name,
            is_acronym=False,
            city=None,
            region=None,
            country_code=None,
            country=None,
        )
        for i, name in enumerate(names)
    ]


def points_of(documents: Sequence[Document]) -> list[Point]:
    dense = HashingEncoder().encode_documents([document.name for document in documents])
    sparse = statistics_of(documents).vectors(documents)
    return [Point(*point) for point in zip(documents, dense, sparse, strict=True)]


def statistics_of(documents: Sequence[Document]) -> Statistics:
    return counted([in_order(terms(document.name)) for document in documents])


def manifest_of(version: str, made_of: Sequence[Point], /, **changes: object) -> Manifest:
    fields: dict[str, object] = {
        "version": version,
        "release": "v2.9",
        "release_sha256": "0" * 64,
        "encoder": "character-hashing",
        "encoder_fingerprint": "character-hashing-64",
        "dimension": 64,
        "form": FORM,
        "organisations": len({point.document.ror_id for point in made_of}),
        "points": len({(point.document.ror_id, point.document.name) for point in made_of}),
        "built_at": "2026-01-01T00:00:00+00:00",
    }
    return Manifest(**{**fields, **changes})  # type: ignore[arg-type]
