"""The first stage: affiliations → candidates, from the index of the registry's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from resolver.encoder import Encoder
from resolver.encoder.lexical import query_vector
from resolver.index import Index, Query
from resolver.index.recent import Recent
from resolver.index.results import Results
from resolver.matching.candidate import Candidate, by_organisation, fuse
from resolver.text.affiliation import Affiliation

NAMES_BY_WORDS, NAMES_BY_MEANING = 3, 2
"""Names fetched for each organisation wanted: the registry has 1.9 names an organisation, and
those of one organisation resemble each other, so they are found together. With 2 by words, the
first 20 organisations have one label of the logs less. By meaning, a third name costs a twentieth
of the time and would add three labels of the 1,040 of multi-org, one of s2aff-val and none
elsewhere."""

KEPT_SEGMENTS = 16_000
"""Segments whose results by meaning are kept, some 25 MB in a process. "CNRS" and "University of
Oslo" are parts of many affiliations: over the 14k training strings, which have 9.8k such segments,
it saved 0.3 of 2.0 searches a string (0.2 with an eighth as many kept)."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The first stage: words and meaning, whole text and segments, fused."""

    encoder: Encoder
    index: Index
    _kept: Recent[tuple[str, int], Results] = field(
        default_factory=lambda: Recent(KEPT_SEGMENTS), init=False, repr=False, compare=False
    )

    def candidates(
        self, affiliations: Sequence[Affiliation], *, depth: int
    ) -> list[list[Candidate]]:
        """The candidates of each affiliation, best first, at most `depth`.

        One batch for the encoder and two for the index, however many affiliations.
        """
        by_words = self._by_words(affiliations, depth * NAMES_BY_WORDS)
        by_meaning = self._by_meaning(affiliations, depth * NAMES_BY_MEANING)
        lists = [
            fuse(
                by_words[affiliation.text],
                [by_meaning[part] for part in (affiliation.text, *affiliation.searched)],
                depth=depth,
            )
            for affiliation in affiliations
        ]
        documents = self.index.documents({fused.name for fuseds in lists for fused in fuseds})
        return [[fused.candidate(documents[fused.name]) for fused in fuseds] for fuseds in lists]

    def _by_words(self, affiliations: Sequence[Affiliation], limit: int) -> Mapping[str, Results]:
        texts = list(dict.fromkeys(affiliation.text for affiliation in affiliations))
        return dict(zip(texts, self._search(map(query_vector, texts), limit), strict=True))

    def _by_meaning(self, affiliations: Sequence[Affiliation], limit: int) -> Mapping[str, Results]:
        """The results of each text and of each of its segments."""
        # Each once: segments are shared between texts, and a whole text may be a segment too.
        texts = dict.fromkeys(affiliation.text for affiliation in affiliations)
        segments = dict.fromkeys(s for affiliation in affiliations for s in affiliation.searched)
        queries = [(query, limit) for query in segments | texts]
        results = self._kept.get(queries)
        new = [query for query in queries if query not in results]
        vectors = self.encoder.encode_queries([text for text, _ in new])
        results |= zip(new, self._search(vectors, limit), strict=True)
        # Whole texts seldom come again, and would push out segments, which do.
        self._kept.keep({query: results[query] for query in new if query[0] in segments})
        return {text: of_text for (text, _), of_text in results.items()}

    def _search(self, queries: Iterable[Query], limit: int) -> list[Results]:
        return [by_organisation(hits) for hits in self.index.search(list(queries), limit=limit)]
