from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.database.policies import register
from resolver.matching.policy import Level, Policy

POLICIES = [
    pytest.param(Policy(), id="default"),
    pytest.param(Policy(level=Level.BOTH, countries=frozenset({"CH", "AT", "DE"})), id="both"),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_is_kept_once_and_whole(engine: Engine, policy: Policy) -> None:
    key = register(engine, policy)
    assert register(engine, Policy.from_object(policy.as_object())) == key
    assert register(engine, Policy(max_links=3)) != key
    with transaction(engine) as connection:
        stored = connection.execute(
            text("SELECT settings FROM policy WHERE id = :id"), {"id": key}
        ).scalar_one()
    assert Policy.from_object(stored) == policy


def test_workers_that_meet_a_policy_at_once_get_one_key(engine: Engine) -> None:
    with ThreadPoolExecutor(5) as pool:
        assert len(set(pool.map(lambda _: register(engine, Policy()), range(10)))) == 1
