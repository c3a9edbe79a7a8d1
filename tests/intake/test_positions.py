from __future__ import annotations

import random
from collections import defaultdict

import pytest

from resolver.errors import SettingsError
from resolver.intake.positions import Positions


def test_positions_follow_in_order_whatever_comes_between() -> None:
    chance = random.Random(3)
    given: dict[tuple[str, str], int] = defaultdict(int)
    with Positions() as positions:
        for _ in range(3_000):
            key = (chance.choice("st"), str(chance.randrange(500)))
            assert positions.next(*key) == (given[key], False)
            given[key] += 1


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("a", 0), ("a", 1), ("b", 0)], [False, False, False]),
        ([("a", 0), ("a", 0)], [False, True]),
        ([("a", None), ("a", None)], [0, 1]),
        ([("a", None), ("a", 0)], [0, True]),
        ([("a", None), ("a", 1)], [0, False]),
        ([("a", 0), ("a", None)], [False, (0, True)]),
    ],
    ids=str,
)
def test_what_comes_twice_is_noticed(
    steps: list[tuple[str, int | None]], expected: list[object]
) -> None:
    with Positions() as positions:
        for (record, position), found in zip(steps, expected, strict=True):
            if position is not None:
                assert positions.came("s", record, position) is found
            else:
                assert positions.next("s", record) == (
                    found if isinstance(found, tuple) else (found, False)
                )


def test_record_that_came_as_a_whole() -> None:
    with Positions() as positions:
        assert [positions.came("s", one) for one in "aba"] == [False, False, True]
        assert not positions.came("s:a", "")
        assert not positions.came("s", "a", 0)


def test_full_disk_is_told() -> None:
    with Positions() as positions:
        positions._known.execute("PRAGMA max_page_count = 20")
        with pytest.raises(SettingsError, match="the temporary file of ids") as full:
            _fill(positions)
    assert "TMPDIR" in str(full.value)


def _fill(positions: Positions) -> None:
    for number in range(100_000):
        positions.next("s", str(number))


def test_a_record_takes_few_bytes() -> None:
    """As docs/tasks.md says: some 17."""
    with Positions() as positions:
        for number in range(100_000):
            positions.next("crossref", f"10.5555/{number}")
        ((pages,),) = positions._known.execute("PRAGMA page_count").fetchall()
        ((size,),) = positions._known.execute("PRAGMA page_size").fetchall()
    assert 8 < pages * size / 100_000 < 20
