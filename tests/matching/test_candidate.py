import random
from collections.abc import Sequence

import numpy as np
import pytest

from resolver.index.results import NOTHING, Results
from resolver.matching.candidate import (
    SURE_BY_MEANING,
    SURE_BY_WORDS,
    Candidate,
    Fused,
    Ranked,
    by_organisation,
    fuse,
    order,
)
from resolver.registry.document import Document

Hit = tuple[int, int, float]
"""Name, organisation, score."""


def results(*hits: Hit) -> Results:
    names, organisations, scores = zip(*hits, strict=True) if hits else ((), (), ())
    return Results(
        np.array(names, np.int32), np.array(organisations, np.int64), np.array(scores, np.float32)
    )


def test_found_by_both_searches_comes_first() -> None:
    fused = fuse(results((1, 1, 9.0), (2, 2, 8.0)), [results((2, 2, 0.75), (3, 3, 0.5))], depth=10)
    assert [found.name for found in fused] == [2, 1, 3]
    assert (fused[0].sparse, fused[0].dense) == (Ranked(2, 8.0), Ranked(1, 0.75))
    assert fused[0].fused == pytest.approx(1 / 62 + 1 / 61)
    assert fused[1].dense is None
    assert fused[2].sparse is None


def test_an_organisation_counts_once_and_shows_its_best_name() -> None:
    found = by_organisation(results((11, 1, 9.0), (12, 1, 8.0), (20, 2, 7.0), (13, 1, 6.0)))
    assert found.names.tolist() == [11, 20]
    assert found.organisations.tolist() == [1, 2]
    assert found.scores.tolist() == [9.0, 7.0]
    first, second = fuse(found, [], depth=10)
    assert (first.name, second.name) == (11, 20)
    assert second.sparse == Ranked(2, 7.0)


def test_the_name_that_words_find_is_shown() -> None:
    (found,) = fuse(results((11, 1, 9.0)), [results((12, 1, 0.5))], depth=10)
    assert found.name == 11


def test_the_best_segment_speaks_for_the_organisation() -> None:
    whole = results((10, 1, 0.5), (20, 2, 0.25))
    first, _ = fuse(NOTHING, [whole, results((21, 2, 0.75))], depth=10)
    assert first.name == 21
    assert first.dense == Ranked(1, 0.75)


def test_of_two_segments_alike_the_first_speaks() -> None:
    (found,) = fuse(NOTHING, [results((10, 1, 0.5)), results((11, 1, 0.5))], depth=10)
    assert found.name == 10


def test_what_one_search_alone_finds_early_stays() -> None:
    """Of a text of many organisations: the acronym that only words find, and the segment's best
    that only meaning finds, are behind what both find at middling ranks."""
    both = [(i, i, 0.5) for i in range(100, 160)]
    sparse = results((1, 1, 9.0), *both)
    dense = [results((2, 2, 0.9), *both), results((3, 3, 0.75))]
    assert {1, 2, 3} <= {found.name for found in fuse(sparse, dense, depth=20)}
    assert found_last(fuse(sparse, dense, depth=20)) == [1, 2, 3]


def found_last(fused: Sequence[Fused]) -> list[int]:
    return sorted(found.name for found in fused[-3:])


def test_depth_bounds_and_nothing_gives_nothing() -> None:
    found = results(*((i, i, 1.0 / (i + 1)) for i in range(9)))
    assert len(fuse(found, [], depth=4)) == 4
    assert fuse(NOTHING, [NOTHING], depth=4) == []
    assert fuse(NOTHING, [], depth=4) == []
    assert len(by_organisation(NOTHING)) == 0


def plainly_fused(
    sparse: Results, dense: Sequence[Results], depth: int
) -> list[tuple[int, Candidate]]:
    """The definition, one organisation at a time: names and candidates in `order`."""

    def places(found: Results) -> dict[int, tuple[Ranked, int]]:
        columns = (found.organisations.tolist(), found.scores.tolist(), found.names.tolist())
        return {
            organisation: (Ranked(rank, score), name)
            for rank, (organisation, score, name) in enumerate(zip(*columns, strict=True), 1)
        }

    by_words = places(sparse)
    by_meaning: dict[int, tuple[Ranked, int]] = {}
    for found in dense:
        for organisation, (place, name) in places(found).items():
            known = by_meaning.get(organisation)
            if not known or (place.rank, -place.score) < (known[0].rank, -known[0].score):
                by_meaning[organisation] = (place, name)
    fused = []
    for organisation in by_words.keys() | by_meaning.keys():
        words, words_name = by_words.get(organisation, (None, None))
        meaning, meaning_name = by_meaning.get(organisation, (None, None))
        name = meaning_name if words_name is None else words_name
        assert name is not None
        ror_id = f"{organisation:09d}"
        document = Document(ror_id, ror_id, ror_id, False, None, None, None, None)
        value = sum(1 / (60 + place.rank) for place in (words, meaning) if place)
        fused.append((name, Candidate(document, words, meaning, value)))
    fused.sort(key=lambda found: order(found[1]))
    sure = [found for found in fused if is_sure(found[1])]
    others = [found for found in fused if not is_sure(found[1])]
    return sorted([*sure, *others][:depth], key=lambda found: order(found[1]))


def is_sure(candidate: Candidate) -> bool:
    by_words = candidate.sparse and candidate.sparse.rank <= SURE_BY_WORDS
    return bool(by_words or (candidate.dense and candidate.dense.rank <= SURE_BY_MEANING))


@pytest.mark.parametrize("seed", range(30))
def test_fusing_arrays_is_fusing_one_by_one(seed: int) -> None:
    rng = random.Random(seed)

    def some() -> Results:
        # Few values, so that ranks and scores tie.
        scores = sorted((rng.randrange(8) / 8 for _ in range(rng.randrange(40))), reverse=True)
        names = [rng.randrange(60) for _ in scores]
        return by_organisation(
            results(*((name, name // 2, score) for name, score in zip(names, scores, strict=True)))
        )

    sparse, dense = some(), [some() for _ in range(rng.randrange(5))]
    for depth in (1, 10, 20, 1000):
        assert [
            (found.name, found.sparse, found.dense, found.fused)
            for found in fuse(sparse, dense, depth=depth)
        ] == [(name, c.sparse, c.dense, c.fused) for name, c in plainly_fused(sparse, dense, depth)]
