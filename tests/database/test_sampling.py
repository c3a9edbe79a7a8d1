"""Samples of what is stored."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from resolver.database.sampling import sample

TEXTS = [f"University of Place {number}" for number in range(60)]


@pytest.fixture
def stored(engine: Engine) -> Engine:
    """`TEXTS`, each sent twice, and ten that no source has any more."""
    with engine.begin() as connection:
        policy = connection.execute(
            text("INSERT INTO policy (fingerprint, settings) VALUES ('\\x00', '{}') RETURNING id")
        ).scalar_one()
        for number, affiliation in enumerate([*TEXTS, *(f"gone {n}" for n in range(10))]):
            key = connection.execute(
                text(
                    "INSERT INTO affiliation (text_hash, text)"
                    " VALUES (decode(md5(:text), 'hex'), :text) RETURNING id"
                ),
                {"text": affiliation},
            ).scalar_one()
            for source in ("a", "b") if affiliation in TEXTS else ():
                connection.execute(
                    text(
                        "INSERT INTO source_record (source, external_id, position, affiliation_id,"
                        " policy_id, raw_text) VALUES (:source, :id, 0, :key, :policy, :text)"
                    ),
                    {"source": source, "id": str(number), "key": key, "policy": policy,
                     "text": affiliation},
                )  # fmt: skip
    return engine


def test_a_sample_is_of_distinct_texts_that_a_source_has(stored: Engine) -> None:
    assert sorted(sample(stored, 1000)) == sorted(TEXTS)
    found = sample(stored, 20)
    assert len(set(found)) == 20
    assert set(found) <= set(TEXTS)


def test_the_seed_says_which(stored: Engine) -> None:
    by_seed = [sample(stored, 10, seed=seed) for seed in range(8)]
    assert by_seed == [sample(stored, 10, seed=seed) for seed in range(8)]
    assert len({tuple(found) for found in by_seed}) > 4
    # From all of them, not from an end.
    assert len({one for found in by_seed for one in found}) > 30
    assert all(sorted(sample(stored, 60, seed=seed)) == sorted(TEXTS) for seed in range(8))


def test_a_larger_sample_has_the_smaller_one(stored: Engine) -> None:
    assert sample(stored, 30, seed=3)[:10] == sample(stored, 10, seed=3)


def test_nothing_is_sampled_from_nothing(engine: Engine) -> None:
    assert sample(engine, 10) == []
