"""Sparse terms that an organisation's name would have in the script of its country.

Two thirds of Israel's organisations and a fifth of South Korea's have no name in their script
in the registry (release 2.9), so an affiliation in that script shares no word with them. How
"University", "National" or "Busan" are written there is learnt from the organisations of the same
country that have names in both scripts, for each index from the release that it is built from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resolver.encoder.lexical import Term, kind, terms
from resolver.registry.document import Document
from resolver.text.words import LATIN, script, words

LEAST_TOGETHER = 3
"""Least number of organisations that have both a word and a term: fewer may be chance."""

LEAST_SHARE = 0.4
"""Least share of the organisations with a word that also have the term."""

LEAST_BACK = 0.05
"""Least share of the organisations with the term that also have the word. It excludes terms that go
with any word, such as 大学 with every city that has a university."""

LEAST_ORGANISATIONS = 30
"""Least number of organisations with names in both scripts for a country's words to be learnt."""

_KINDS = frozenset({Term.WORD, Term.CJK_PAIR})


@dataclass(frozen=True, slots=True)
class Translation:
    """For a country and a script: Latin word → terms, each with its share."""

    lexicons: Mapping[tuple[str, str], Mapping[str, Mapping[int, float]]]

    def terms(self, names: Sequence[Document]) -> dict[int, float]:
        """Terms that the names of one organisation lack, with how likely each is, in (0, 1].

        Empty when it has a name in every script of its country, or none in Latin.
        """
        country = names[0].country_code
        lexicons = {
            written: lexicon
            for (code, written), lexicon in self.lexicons.items()
            if code == country
        }
        found: dict[int, float] = {}
        if not lexicons:  # for most countries
            return found
        present = {script(document.name) for document in names}
        latin = words(names[0].display_name)
        for written in lexicons.keys() - present:
            for word in latin:
                for term, share in lexicons[written].get(word, {}).items():
                    found[term] = max(share, found.get(term, 0.0))
        return found


def learn(organisations: Iterable[Sequence[Document]]) -> Translation:
    """Learn from organisations, each given by all its names (`Document`s of one ROR id)."""
    together: dict[tuple[str, str], Counter[tuple[str, int]]] = defaultdict(Counter)
    words_seen: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    terms_seen: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    pairs: Counter[tuple[str, str]] = Counter()
    for names in organisations:
        country = names[0].country_code
        scripts = [script(document.name) for document in names]
        if not country or not set(scripts) - {LATIN, ""}:  # most organisations
            continue
        latin: set[str] = set()
        native: dict[str, set[int]] = defaultdict(set)
        for document, written in zip(names, scripts, strict=True):
            if written == LATIN and not document.is_acronym:
                latin.update(words(document.name))
            elif written and written != LATIN:
                native[written] |= {t for t in terms(document.name) if kind(t) in _KINDS}
        if not latin:
            continue
        for written, found in native.items():
            key = (country, written)
            pairs[key] += 1
            words_seen[key].update(latin)
            terms_seen[key].update(found)
            together[key].update((word, term) for word in latin for term in found)
    lexicons: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for key, counts in together.items():
        if pairs[key] < LEAST_ORGANISATIONS:
            continue
        lexicon: dict[str, dict[int, float]] = defaultdict(dict)
        for (word, term), count in counts.items():
            share = count / words_seen[key][word]
            back = count / terms_seen[key][term]
            if count >= LEAST_TOGETHER and share >= LEAST_SHARE and back >= LEAST_BACK:
                lexicon[word][term] = share
        lexicons[key] = dict(lexicon)
    return Translation(lexicons)
