"""Strings, candidates and pairs as a worker meets them, from a registry and labelled strings."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from resolver.encoder import Encoder
from resolver.evaluation.gold import Gold
from resolver.index import Manifest
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.matching.recall import Recall
from resolver.registry.dump import open_release
from resolver.registry.organisation import Organisation
from resolver.reranker import Pair
from resolver.text.affiliation import Affiliation, normalise

DEPTH = 20
"""Candidates that are reranked by default."""


def organisations(registry: Path) -> list[Organisation]:
    return [
        record for record in open_release(registry).records() if isinstance(record, Organisation)
    ]


def indexed(
    found: Iterable[Organisation], encoder: Encoder, folder: Path, *, release: str = "benchmark"
) -> Manifest:
    store = EmbeddedStore(folder)
    manifest = build(found, release=release, release_sha256=release, encoder=encoder, store=store)
    store.activate(manifest.version)
    return manifest


def pairs(recall: Recall, texts: Sequence[str], *, depth: int) -> list[Pair]:
    """Each text with its first candidates, each pair once, in the order of the texts."""
    normalised = list(dict.fromkeys(filter(None, map(normalise, texts))))
    affiliations = list(map(Affiliation.stored, normalised))
    found = recall.candidates(affiliations, depth=max(depth, 50))
    return list(
        dict.fromkeys(
            (text, candidate.document.text)
            for text, candidates in zip(normalised, found, strict=True)
            for candidate in candidates[:depth]
        )
    )


def evenly(rows: Sequence[Gold], count: int) -> list[Gold]:
    """So many of the rows, from all parts of the file: files are sorted by source."""
    count = min(count, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def distinct(rows: Sequence[Gold], count: int, *, seed: int = 0) -> list[Gold]:
    """`count` different strings: the rows, and where they are used up, the rows with noise."""
    rng = random.Random(seed)
    taken: dict[str, Gold] = {}
    for row in rows:
        taken.setdefault(normalise(row.affiliation), row)
    clean = list(taken.values())
    if not clean:
        raise SystemExit("no labelled string")
    while len(taken) < count:
        row = clean[rng.randrange(len(clean))]
        text = noisy(row.affiliation, rng)
        taken.setdefault(normalise(text), replace(row, affiliation=text))
    return list(taken.values())[:count]


def noisy(text: str, rng: random.Random) -> str:
    """The same affiliation written otherwise: two letters swapped, and a street number or a
    postcode more."""
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if long:
        place = rng.choice(long)
        word, at = words[place], rng.randrange(1, len(words[place]) - 2)
        words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return f"{' '.join(words)}, {rng.randrange(1, 99_999)}"
