"""Pairs of two affiliations, and the samples that a reranker is evaluated on.

The published fine-tune learns from pairs of affiliations: 1 when both name the same
organisation. The second string stands for an organisation, so only strings that name exactly
one are taken for it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from resolver.matching.candidate import Candidate
from resolver.registry.document import documents
from resolver.registry.organisation import Organisation, RelationKind
from resolver.text.affiliation import Affiliation
from resolver.text.words import words
from resolver.training.pairs import FirstStage, Labelled, LabelledPair, held_out, shown, verdict

DEPTH = 30
"""Candidates of a string whose own strings are the nearest wrong ones; as `pairs.pairs` has it."""

BATCH = 256
"""Strings that the first stage is asked about at once."""

POSITIVES = 3
"""Most strings of an organisation in one evaluation sample."""

LINEAGE = frozenset(
    {
        RelationKind.PARENT,
        RelationKind.CHILD,
        RelationKind.PREDECESSOR,
        RelationKind.SUCCESSOR,
    }
)
"""Relations by which one organisation's string may mean the other too."""


class SampleKind(StrEnum):
    """Whether the documents of a sample are affiliations or organisations."""

    AFFILIATION = "affiliation"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class Sample:
    """A query with documents that name the same organisation and documents that do not."""

    kind: SampleKind
    query: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


def key(text: str) -> str:
    """The same for near-identical strings: the folded words, without case, accents, punctuation."""
    return " ".join(words(text)) or text


def apart(train: Iterable[Labelled], rest: Iterable[Labelled]) -> list[Labelled]:
    """The strings of `train` that do not stand in `rest` too, in another spelling or by another
    label."""
    measured = {key(item.affiliation) for item in rest}
    return [item for item in train if key(item.affiliation) not in measured]


class Pool:
    """Labelled strings by organisation, and the organisations by place.

    Two near-identical strings are one, and name what either of them names. The methods take
    strings of the `gold` that the pool was made of.
    """

    def __init__(self, gold: Sequence[Labelled], organisations: Mapping[str, Organisation]) -> None:
        self.organisations = organisations
        self._keys = {item.affiliation: key(item.affiliation) for item in gold}
        named: dict[str, set[str]] = defaultdict(set)
        for item in gold:
            named[self._key(item)] |= item.ror_ids
        self._named = {of: frozenset(ids) for of, ids in named.items()}
        self._strings: dict[str, list[Labelled]] = defaultdict(list)
        self._by_place: dict[tuple[str | None, ...], list[str]] = defaultdict(list)
        seen: set[str] = set()
        for item in gold:
            ids = self.named(item)
            if self._key(item) in seen or len(ids) != 1:
                continue
            seen.add(self._key(item))
            (ror_id,) = ids
            organisation = organisations.get(ror_id)
            if organisation is None:
                continue
            if ror_id not in self._strings and organisation.place:
                place = organisation.place
                self._by_place[place.country_code,].append(ror_id)
                if place.city:
                    self._by_place[place.country_code, place.city].append(ror_id)
            self._strings[ror_id].append(item)

    def named(self, item: Labelled) -> frozenset[str]:
        """All that any spelling of this string is labelled with."""
        return self._named[self._key(item)]

    def same(self, item: Labelled) -> list[Labelled]:
        """The other strings that name one organisation of `item` and nothing else."""
        own = self._key(item)
        return [
            other
            for ror_id in sorted(self.named(item))
            for other in self._strings.get(ror_id, ())
            if self._key(other) != own
        ]

    def _key(self, item: Labelled) -> str:
        return self._keys[item.affiliation]

    def others(
        self, item: Labelled, candidates: Sequence[Candidate], rng: random.Random
    ) -> Iterator[Labelled]:
        """One string for each near organisation that is surely another, nearest first.

        Near are the first stage's candidates in their order, then those of the same city, then
        those of the same country, each in random order.
        """
        met = set(self.named(item))
        for ror_id in self._near(item, candidates, rng):
            if ror_id in met:
                continue
            met.add(ror_id)
            strings = self._strings.get(ror_id)
            if not strings or not self._apart(item, ror_id):
                continue
            sure = (s for s in rng.sample(strings, len(strings)) if self._names_none_of(s, item))
            if found := next(sure, None):
                yield found

    def _near(
        self, item: Labelled, candidates: Sequence[Candidate], rng: random.Random
    ) -> Iterator[str]:
        yield from (candidate.ror_id for candidate in candidates)
        places = [
            organisation.place
            for ror_id in sorted(self.named(item))
            if (organisation := self.organisations.get(ror_id)) and organisation.place
        ]
        for place in places:
            if place.city:
                yield from _shuffled(self._by_place[place.country_code, place.city], rng)
        for place in places:
            yield from _shuffled(self._by_place[place.country_code,], rng)

    def _apart(self, item: Labelled, ror_id: str) -> bool:
        """Whether an organisation is unrelated to those of a string, and not named in it."""
        own = self.named(item)
        if any(self._of_one_lineage(ror_id, other) for other in own):
            return False
        whole = Labelled(item.affiliation, own, item.certain)
        return all(
            verdict(whole, document, self.organisations) == 0
            for document in documents(self.organisations[ror_id])
        )

    def _names_none_of(self, other: Labelled, item: Labelled) -> bool:
        return all(
            verdict(other, document, self.organisations) == 0
            for ror_id in sorted(self.named(item))
            if ror_id in self.organisations
            for document in documents(self.organisations[ror_id])
        )

    def _of_one_lineage(self, first: str, second: str) -> bool:
        return any(
            relation.kind in LINEAGE and relation.ror_id == target
            for source, target in ((first, second), (second, first))
            if source in self.organisations
            for relation in self.organisations[source].relations
        )


def _shuffled(ids: Sequence[str], rng: random.Random) -> list[str]:
    return rng.sample(ids, len(ids))


def affiliation_pairs(
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    first_stage: FirstStage,
    *,
    positives: int,
    negatives: int,
    seed: int,
) -> Iterator[LabelledPair]:
    """Pairs of two strings of `gold`: at most `positives` right and `negatives` wrong ones a query.

    A string whose organisations have no other string gives none. The same arguments give the
    same pairs in the same order.
    """
    rng = random.Random(f"{seed}-affiliations")  # noqa: S311
    pool = Pool(gold, organisations)
    queries = [item for item in gold if pool.same(item)]
    for item, candidates in _searched(queries, first_stage):
        same = pool.same(item)
        for other in rng.sample(same, min(positives, len(same))):
            yield LabelledPair(item.affiliation, other.affiliation, 1)
        for other in islice(pool.others(item, candidates, rng), negatives):
            yield LabelledPair(item.affiliation, other.affiliation, 0)


def samples(
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    first_stage: FirstStage,
    *,
    negatives: int,
    limit: int | None,
    seed: int,
) -> list[Sample]:
    """Evaluation samples of held-out strings, of both kinds, at most `limit` (None: all).

    `gold` are strings of held-out organisations. Positives are strings or documents of held-out
    organisations only. Negative strings are of held-out organisations too; negative documents are
    the first stage's best candidates that are surely wrong, whichever organisation they are of.
    """
    rng = random.Random(f"{seed}-samples")  # noqa: S311
    pool = Pool(gold, organisations)
    queries = [item for item in gold if any(held_out(ror_id) for ror_id in pool.named(item))]
    found: dict[SampleKind, list[Sample]] = {kind: [] for kind in SampleKind}
    for item, candidates in _searched(queries, first_stage):
        same = pool.same(item)
        made = {
            SampleKind.AFFILIATION: (
                [other.affiliation for other in rng.sample(same, min(POSITIVES, len(same)))],
                [o.affiliation for o in islice(pool.others(item, candidates, rng), negatives)],
            ),
            SampleKind.ORGANISATION: (
                [
                    shown(item, ror_id, candidates, organisations[ror_id]).text
                    for ror_id in sorted(pool.named(item))
                    if held_out(ror_id) and ror_id in organisations
                ],
                [
                    candidate.document.text
                    for candidate in candidates
                    if verdict(item, candidate.document, organisations) == 0
                    and candidate.ror_id not in pool.named(item)
                ][:negatives],
            ),
        }
        for kind, (positive, negative) in made.items():
            # Two organisations may be shown by the same text: then nothing tells them apart.
            negative = [text for text in negative if text not in positive]
            if positive and negative:
                found[kind].append(
                    Sample(kind, item.affiliation, tuple(positive), tuple(dict.fromkeys(negative)))
                )
    return _limited(found, limit, rng)


def _limited(
    found: Mapping[SampleKind, Sequence[Sample]], limit: int | None, rng: random.Random
) -> list[Sample]:
    """Half of each kind, or more of the other where there are too few of one."""
    if limit is None:
        return [sample for of in found.values() for sample in of]
    kept: list[Sample] = []
    kinds = sorted(found.values(), key=len)
    for left, of in zip(range(len(kinds), 0, -1), kinds, strict=True):
        count = min(len(of), (limit - len(kept)) // left)
        chosen = sorted(rng.sample(range(len(of)), count))
        kept += [of[i] for i in chosen]
    return sorted(kept, key=lambda sample: sample.kind)


def _searched(
    items: Sequence[Labelled], first_stage: FirstStage
) -> Iterator[tuple[Labelled, list[Candidate]]]:
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        texts = [Affiliation.stored(item.affiliation) for item in batch]
        found = first_stage.candidates(texts, depth=DEPTH)
        yield from zip(batch, found, strict=True)


def mixed(
    organisations: Sequence[LabelledPair],
    affiliations: Sequence[LabelledPair],
    *,
    share: float | None,
    most: int | None,
    seed: int,
) -> list[LabelledPair]:
    """Both kinds of pairs in one list, those of one query always together.

    `share` of the result are pairs of two affiliations: the kind of which there is too much is
    thinned out (None: all of both). `most` thins both alike (None: no limit). Counts are met to
    within the pairs of one query.
    """
    wanted = [float(len(organisations)), float(len(affiliations))]
    if share is not None:
        parts = (1 - share, share)
        total = min(of / part for of, part in zip(wanted, parts, strict=True) if part > 0)
        wanted = [total * part for part in parts]
    if most is not None and sum(wanted) > most:
        wanted = [of * most / sum(wanted) for of in wanted]
    rng = random.Random(f"{seed}-mixed")  # noqa: S311
    return [
        pair
        for kind, count in zip((organisations, affiliations), wanted, strict=True)
        for pair in _thinned(kind, round(count), rng)
    ]


def _thinned(pairs: Sequence[LabelledPair], count: int, rng: random.Random) -> list[LabelledPair]:
    if count >= len(pairs):
        return list(pairs)
    by_query: dict[str, list[int]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        by_query[pair.affiliation].append(i)
    kept: list[int] = []
    for query in rng.sample(list(by_query), len(by_query)):
        if len(kept) + len(by_query[query]) <= count:
            kept += by_query[query]
    return [pairs[i] for i in sorted(kept)]
