"""What a search finds, with the documents: for a person, or a test, to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from resolver.index import Index, Query
from resolver.registry.document import Document


class Hit(NamedTuple):
    document: Document
    score: float


def search(index: Index, queries: Sequence[Query], *, limit: int) -> list[list[Hit]]:
    found = index.search(queries, limit=limit)
    documents = index.documents({name for results in found for name in results.names.tolist()})
    return [
        [
            Hit(documents[name], score)
            for name, score in zip(results.names.tolist(), results.scores.tolist(), strict=True)
        ]
        for results in found
    ]
