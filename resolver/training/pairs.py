"""(affiliation, document) pairs with labels, from strings whose organisations are known.

Negatives come from the project's own first stage, because its candidates are what the
cross-encoder has to rank in use. The difficulty is to know which of them are *surely* wrong: where
the labels are not complete, a string often names more organisations than its label has. A candidate
that the string may mean is therefore left out, neither 1 nor 0.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from resolver.evaluation.gold import read_gold
from resolver.matching.candidate import Candidate
from resolver.matching.matcher import RERANK_FROM
from resolver.matching.reading import Reading
from resolver.matching.sieve import Sieve
from resolver.registry.document import Document, documents
from resolver.registry.organisation import Organisation, RelationKind
from resolver.reranker import Reranker
from resolver.text.affiliation import Affiliation
from resolver.text.words import words
from resolver.training.mentions import ground, mention, share

log = logging.getLogger(__name__)

HELD_OUT_SHARE = 20
"""One organisation in so many is held out: its strings calibrate and evaluate, never train."""

HARDEST = 2
"""Negatives that are always the hardest ones; the others are drawn from further down."""

OTHER_NAME_SHARE = 0.3
"""Share of the positives that get a second pair, with another name of the organisation."""

OTHER_SCRIPT_SHARE = 0.7
"""The same share where the name is not plain ASCII: the model should learn that names in other
scripts, or with accents, mean the same."""

CITY_LEFT_OUT = {1: 0.2, 0: 0.1}
"""How often a document is shown without its city, by label. Of the training strings' pairs 86% of
the wrong and 97% of the right ones have a city, in release 2.9. These shares make it 78% of both,
lest a missing city be taken for a wrong organisation."""

_HIERARCHY = frozenset(
    {
        RelationKind.PARENT,
        RelationKind.CHILD,
        RelationKind.PREDECESSOR,
        RelationKind.SUCCESSOR,
    }
)
_HIERARCHY_SHARE = 0.5
"""A parent, child, predecessor or successor counts as wrong when the string has at most this share
of its name."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A normalised affiliation and the organisations it names, possibly none.

    `certain` is for strings made from the registry: all that they name is known, so every other
    organisation is wrong, however similar. `complete` says that all organisations of the string are
    labelled: every other one is wrong but for the `maybe` ones, which are neither. Where the labels
    are one of possibly several, an organisation that the string may name is neither. `weight` is
    that of the string when the judge is fitted.
    """

    affiliation: str
    ror_ids: frozenset[str]
    certain: bool = False
    complete: bool = False
    maybe: frozenset[str] = frozenset()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """`label` is 1 when the document's organisation is named in the affiliation, else 0."""

    affiliation: str
    document: str
    label: int


class FirstStage(Protocol):
    """Where candidates come from: `resolver.matching.recall.Recall`."""

    def candidates(
        self, affiliations: Sequence[Affiliation], *, depth: int
    ) -> list[list[Candidate]]: ...


DOUBTFUL_WEIGHT = 0.2
"""Weight of a string whose labels are doubtful."""


def read_labelled(
    path: Path, complete: Collection[str] = (), doubtful: Collection[str] = ()
) -> list[Labelled]:
    """The strings of a gold file, in file order. The labels are complete where the line says so
    (`resolver.evaluation.gold.Gold`), and those of the sources `complete`; those of the sources
    `doubtful` count for little. Strings that are refused unread (empty, too long) teach nothing:
    they are left out, with a warning.

    Raises:
        GoldError: a line is not a labelled affiliation; names the line.
    """
    rows = [(gold, Affiliation.of(gold.affiliation)) for gold in read_gold(path)]
    labelled = [
        Labelled(
            read.text,
            frozenset(gold.ror_ids),
            complete=gold.complete or gold.source in complete,
            maybe=frozenset(gold.maybe),
            weight=DOUBTFUL_WEIGHT if gold.source in doubtful else 1.0,
        )
        for gold, read in rows
        if not read.refused
    ]
    if refused := len(rows) - len(labelled):
        log.warning("%s: %d strings are empty or too long, and left out", path, refused)
    return labelled


def fold(affiliation: str, folds: int) -> int:
    """The fold of a string, from 0 to `folds` - 1, by a hash of the string; 256 folds at most."""
    return hashlib.blake2b(affiliation.encode(), digest_size=4).digest()[0] % folds


def held_out(ror_id: str) -> bool:
    """Whether an organisation is never trained on; the same in every release."""
    digest = hashlib.blake2b(ror_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0


def split(gold: Iterable[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """Strings to train on, and strings of held-out organisations.

    A string without an organisation goes by its own hash.
    """
    train: list[Labelled] = []
    rest: list[Labelled] = []
    for item in gold:
        keys = item.ror_ids or {item.affiliation}
        (rest if any(held_out(key) for key in keys) else train).append(item)
    return train, rest


def verdict(
    item: Labelled, candidate: Document, organisations: Mapping[str, Organisation]
) -> int | None:
    """1: named in the string. 0: surely not. None: unknown, so it is not trained on."""
    if candidate.ror_id in item.ror_ids:
        return 1
    if candidate.ror_id in item.maybe:
        return None
    if item.complete:
        return 0
    gold = [organisations[ror_id] for ror_id in sorted(item.ror_ids) if ror_id in organisations]
    text = words(item.affiliation)
    claimed = ground(text, (name.value for organisation in gold for name in organisation.names))
    stands_on = mention(text, candidate.name)
    if item.certain:
        return None if _rival(text, candidate, stands_on, claimed, gold) else 0
    relations = {
        relation.kind
        for organisation in gold
        for relation in organisation.relations
        if relation.ror_id == candidate.ror_id
    }
    if relations & _HIERARCHY and share(text, candidate.name) > _HIERARCHY_SHARE:
        return None
    if relations and stands_on:
        return None
    if stands_on and not stands_on <= claimed and _may_be_here(candidate, gold):
        return None
    return 0


def _may_be_here(candidate: Document, gold: Sequence[Organisation]) -> bool:
    """Whether a candidate, named beside the gold organisation, can be meant by its country.

    "Institute of Physics, University of Rome" has the words of the Institute of Physics in
    London, whose country is another. The city tells nothing: CNRS is in Paris, and named in all of
    France.
    """
    places = [organisation.place for organisation in gold if organisation.place]
    if not places or not candidate.country_code:
        return True
    return candidate.country_code in {place.country_code for place in places}


def _rival(
    text: list[str],
    candidate: Document,
    stands_on: frozenset[int],
    claimed: frozenset[int],
    gold: Sequence[Organisation],
) -> bool:
    """Whether a candidate has the very words of the true one and no place tells them apart."""
    if not stands_on or not stands_on >= claimed:
        return False
    for place in (organisation.place for organisation in gold):
        if place is None:
            continue
        for ours, theirs in ((place.city, candidate.city), (place.country, candidate.country)):
            if ours and theirs and ours != theirs and mention(text, ours):
                return False
    return True


def shown(
    item: Labelled, ror_id: str, candidates: Sequence[Candidate], organisation: Organisation
) -> Document:
    """The document of an organisation among the candidates, else that of its most similar name."""
    for candidate in candidates:
        if candidate.ror_id == ror_id:
            return candidate.document
    text = words(item.affiliation)
    return max(documents(organisation), key=lambda document: share(text, document.name))


def pairs(
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    first_stage: FirstStage,
    *,
    negatives: int,
    hardest: int = HARDEST,
    depth: int = 30,
    seed: int,
    reranker: Reranker | None = None,
    sieve: Sieve | None = None,
    batch: int = 256,
    progress: Callable[[int], None] | None = None,
) -> Iterator[LabelledPair]:
    """For each string its organisations and at most `negatives` sure wrong candidates.

    Those are the `hardest` ones and others drawn from the first stage's best `depth`; the hardest
    are those that `reranker` scores highest, without one those that the first stage ranks highest.
    With a `sieve` the reranker scores only what it passes, as in use, and the others come after
    those: a sixth of the time. Held-out organisations never appear, on either side. The same
    arguments give the same pairs in the same order. `progress` is called with how many strings are
    done.
    """
    rng = random.Random(seed)  # noqa: S311
    for start in range(0, len(gold), batch):
        items = gold[start : start + batch]
        texts = [Affiliation.stored(item.affiliation) for item in items]
        found = first_stage.candidates(texts, depth=depth)
        wrong = [
            [
                candidate.document
                for candidate in candidates
                if not held_out(candidate.ror_id)
                and verdict(item, candidate.document, organisations) == 0
            ]
            for item, candidates in zip(items, found, strict=True)
        ]
        if reranker is not None:
            passed = _passed(texts, found, sieve)
            wrong = _hardest_first(items, wrong, passed, reranker)
        for item, candidates, rejected in zip(items, found, wrong, strict=True):
            yield from _right_pairs(item, candidates, organisations, rng)
            for document in _chosen(rejected, negatives, hardest, rng):
                yield _pair(item, document, 0, rng)
        if progress:
            progress(start + len(items))


def _pair(item: Labelled, document: Document, label: int, rng: random.Random) -> LabelledPair:
    if document.city and rng.random() < CITY_LEFT_OUT[label]:
        document = replace(document, city=None)
    return LabelledPair(item.affiliation, document.text, label)


def _passed(
    texts: Sequence[Affiliation], found: Sequence[Sequence[Candidate]], sieve: Sieve | None
) -> list[frozenset[str]]:
    """The organisations among the candidates of each text that the sieve passes; without a sieve
    all of them."""
    if sieve is None:
        return [frozenset(candidate.ror_id for candidate in row) for row in found]
    shortlists = sieve.shortlists(
        list(map(Reading, texts, found)), least=RERANK_FROM, most=max(map(len, found), default=0)
    )
    return [
        frozenset(row[position].ror_id for position in shortlist)
        for row, shortlist in zip(found, shortlists, strict=True)
    ]


def _hardest_first(
    items: Sequence[Labelled],
    wrong: Sequence[Sequence[Document]],
    passed: Sequence[frozenset[str]],
    reranker: Reranker,
) -> list[list[Document]]:
    """The wrong documents of each string: those of organisations in `passed` by the reranker's
    score, the highest first, then the others in first-stage order."""
    read = [
        [document for document in row if document.ror_id in own]
        for row, own in zip(wrong, passed, strict=True)
    ]
    pairs = [(i.affiliation, d.text) for i, row in zip(items, read, strict=True) for d in row]
    scores = iter(reranker.score(pairs).tolist() if pairs else [])
    return [
        [
            # The score alone orders; equal ones stay in first-stage order.
            *(d for _, d in sorted(((next(scores), d) for d in row), key=lambda pair: -pair[0])),
            *(document for document in everything if document.ror_id not in own),
        ]
        for everything, row, own in zip(wrong, read, passed, strict=True)
    ]


def _chosen(
    wrong: Sequence[Document], negatives: int, hardest: int, rng: random.Random
) -> list[Document]:
    heads, tail = wrong[:hardest], wrong[hardest:]
    drawn = rng.sample(tail, min(len(tail), max(0, negatives - len(heads))))
    return [*heads, *drawn][:negatives]


def _right_pairs(
    item: Labelled,
    candidates: Sequence[Candidate],
    organisations: Mapping[str, Organisation],
    rng: random.Random,
) -> Iterator[LabelledPair]:
    for ror_id in sorted(item.ror_ids):
        organisation = organisations.get(ror_id)
        if organisation is None or held_out(ror_id):
            continue
        document = shown(item, ror_id, candidates, organisation)
        yield _pair(item, document, 1, rng)
        others = [d for d in documents(organisation) if d.name != document.name]
        often = OTHER_NAME_SHARE if document.name.isascii() else OTHER_SCRIPT_SHARE
        if others and rng.random() < often:
            yield _pair(item, rng.choice(others), 1, rng)
