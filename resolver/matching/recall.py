"""The first stage: affiliations → candidates, from an index of the registry's names."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from resolver.encoder import Encoder
from resolver.encoder.lexical import query_vector
from resolver.index import Index, Query
from resolver.index.results import Results
from resolver.matching.candidate import Candidate, by_organisation, fuse
from resolver.text.segments import naming

NAMES_BY_WORDS, NAMES_BY_MEANING = 3, 2
"""Names fetched for each organisation wanted: the registry has 1.9 names an organisation, and
those of one organisation resemble each other, so they arrive together. With 2 by words, the first
20 hold one label of the logs less. By meaning, a third one costs a twentieth of the time and would
add three labels of the 1,040 of multi-org, one of s2aff-val and none elsewhere."""

KEPT_SEGMENTS = 16_000
"""Segments whose search by meaning is kept, some 25 MB in a process. "CNRS" and "University of
Oslo" are parts of many affiliations: of 2.0 searches a string 1.7 were left over the 14k training
strings, which have 9.8k such segments (1.8 with an eighth as many kept)."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The first stage: words and meaning, whole text and segments, fused."""

    encoder: Encoder
    index: Index
    _kept: LRUCache[tuple[str, int], Results] = field(
        default_factory=lambda: LRUCache(KEPT_SEGMENTS), init=False, repr=False, compare=False
    )
    _keeping: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
        """For each normalised text its candidates, best first, at most `depth`.

        One batch for the encoder and two for the index, however many texts.
        """
        named = [naming(text) for text in texts]
        by_words = self._by_words(texts, depth * NAMES_BY_WORDS)
        by_meaning = self._by_meaning(texts, named, depth * NAMES_BY_MEANING)
        found = [
            fuse(by_words[text], [by_meaning[part] for part in (text, *own)], depth=depth)
            for text, own in zip(texts, named, strict=True)
        ]
        documents = self.index.documents({fused.name for fuseds in found for fused in fuseds})
        return [[fused.candidate(documents[fused.name]) for fused in fuseds] for fuseds in found]

    def _by_words(self, texts: Sequence[str], limit: int) -> Mapping[str, Results]:
        whole = list(dict.fromkeys(texts))
        return dict(zip(whole, self._search(map(query_vector, whole), limit), strict=True))

    def _by_meaning(
        self, texts: Sequence[str], named: Sequence[Sequence[str]], limit: int
    ) -> Mapping[str, Results]:
        """For each text and each of its segments."""
        # Each once: segments are shared between texts, and a whole text may be a segment too.
        segments = dict.fromkeys(segment for own in named for segment in own)
        parts = [(part, limit) for part in segments | dict.fromkeys(texts)]
        with self._keeping:
            found = {part: self._kept[part] for part in parts if part in self._kept}
        asked = [part for part in parts if part not in found]
        vectors = self.encoder.encode_queries([part for part, _ in asked])
        found |= zip(asked, self._search(vectors, limit), strict=True)
        # Whole texts are seldom met again, and would push out what is.
        with self._keeping:
            self._kept.update((part, found[part]) for part in asked if part[0] in segments)
        return {part: results for (part, _), results in found.items()}

    def _search(self, queries: Iterable[Query], limit: int) -> list[Results]:
        return [by_organisation(hits) for hits in self.index.search(list(queries), limit=limit)]
