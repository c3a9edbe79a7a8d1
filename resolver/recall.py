"""The first stage: affiliations → candidates, from an index of the registry's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resolver.domain.candidate import Candidate, Results, fuse, segments
from resolver.encoder import Encoder
from resolver.encoder.lexical import query_vector
from resolver.index import Hit, Index, Query

NAMES_AN_ORGANISATION = 3
"""Names fetched for each organisation wanted: the registry has 1.9 names an organisation, and
those of one organisation resemble each other, so they arrive together."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The first stage: words and meaning, whole text and segments, fused."""

    encoder: Encoder
    index: Index

    def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
        """For each normalised text its candidates, best first, at most `depth`.

        One batch for the encoder and one for the index, however many texts.
        """
        groups = [[text, *segments(text)] for text in texts]
        # "China" and "Department of Physics" are parts of many.
        parts = list(dict.fromkeys(part for group in groups for part in group))
        sparse = [query_vector(text) for text in texts]
        queries: list[Query] = [*sparse, *self.encoder.encode_queries(parts)]
        hits = self.index.search(queries, limit=depth * NAMES_AN_ORGANISATION)
        by_words = hits[: len(texts)]
        by_meaning = dict(zip(parts, map(_results, hits[len(texts) :]), strict=True))
        return [
            fuse(_results(words), [by_meaning[part] for part in group], depth=depth)
            for words, group in zip(by_words, groups, strict=True)
        ]


def _results(hits: Sequence[Hit]) -> Results:
    return [(hit.document, hit.score) for hit in hits]
