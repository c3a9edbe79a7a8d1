"""The first stage: affiliations → candidates, from an index of the registry's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resolver.domain.candidate import Candidate, Results, by_organisation, fuse, segments
from resolver.domain.recent import Recent
from resolver.encoder import Encoder
from resolver.encoder.lexical import query_vector
from resolver.index import Index, Query

NAMES_AN_ORGANISATION = 3
"""Names fetched for each organisation wanted: the registry has 1.9 names an organisation, and
those of one organisation resemble each other, so they arrive together."""

KEPT_SEGMENTS = 16_000
"""Segments whose search by meaning is kept, some 30 MB in a process. "China" and "Department of
Physics" are parts of many affiliations: of 4.1 searches a string 2.5 were left over the 14k
training strings (2.7 with half as many kept, 3.3 with an eighth)."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The first stage: words and meaning, whole text and segments, fused."""

    encoder: Encoder
    index: Index
    _kept: Recent[tuple[str, int], Results] = field(
        default_factory=lambda: Recent(KEPT_SEGMENTS), init=False, repr=False, compare=False
    )

    def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
        """For each normalised text its candidates, best first, at most `depth`.

        One batch for the encoder and one for the index, however many texts.
        """
        limit = depth * NAMES_AN_ORGANISATION
        segmented = [segments(text) for text in texts]
        by_words, by_meaning = self._searched(texts, segmented, limit)
        found = [
            fuse(by_words[text], [by_meaning[part] for part in (text, *own)], depth=depth)
            for text, own in zip(texts, segmented, strict=True)
        ]
        documents = self.index.documents({fused.name for fuseds in found for fused in fuseds})
        return [[fused.candidate(documents[fused.name]) for fused in fuseds] for fuseds in found]

    def _searched(
        self, texts: Sequence[str], segmented: Sequence[Sequence[str]], limit: int
    ) -> tuple[Mapping[str, Results], Mapping[str, Results]]:
        """By words for each text; by meaning for each text and segment."""
        # Each once: segments are shared between texts, and a whole text may be a segment too.
        whole = list(dict.fromkeys(texts))
        split = dict.fromkeys(segment for own in segmented for segment in own)
        parts = [(part, limit) for part in split | dict.fromkeys(whole)]
        by_meaning = self._kept.get(parts)
        asked = [part for part in parts if part not in by_meaning]
        queries: list[Query] = [query_vector(text) for text in whole]
        queries.extend(self.encoder.encode_queries([part for part, _ in asked]))
        results = [by_organisation(hits) for hits in self.index.search(queries, limit=limit)]
        by_words = dict(zip(whole, results[: len(whole)], strict=True))
        by_meaning |= zip(asked, results[len(whole) :], strict=True)
        # Whole texts are seldom met again, and would push out what is.
        self._kept.keep({part: by_meaning[part] for part in asked if part[0] in split})
        return by_words, {part: result for (part, _), result in by_meaning.items()}
