import json
from dataclasses import replace

import numpy as np
import pytest

from resolver.matching.trees import Trees

# Tree 0: first > 0 ? (second > 0.5 ? 3 : 1) : -2; tree 1: nothing but 0.5.
TREES = Trees(
    columns=("first", "second"),
    roots=np.array([0, 5]),
    feature=np.array([0, -1, 1, -1, -1, -1]),
    threshold=np.array([0.0, 0.0, 0.5, 0.0, 0.0, 0.0]),
    left=np.array([1, -1, 3, -1, -1, -1]),
    right=np.array([2, -1, 4, -1, -1, -1]),
    value=np.array([-1.0, -2.0, 1.5, 1.0, 3.0, 0.5]),
)


@pytest.mark.parametrize(
    ("row", "odds"),
    [((-1.0, 1.0), -1.5), ((0.0, 1.0), -1.5), ((0.1, 0.5), 1.5), ((9.0, 0.6), 3.5)],
)
def test_a_row_goes_down_every_tree(row: tuple[float, float], odds: float) -> None:
    assert TREES.odds(np.array([row]))[0] == pytest.approx(odds)


def test_calibrated_odds_are_on_a_line() -> None:
    table = np.array([[-1.0, 1.0], [0.1, 0.5], [9.0, 0.6]])
    calibrated = TREES.calibrated(1.5, -0.25)
    assert calibrated.odds(table) == pytest.approx(1.5 * TREES.odds(table) - 0.25)
    steps = [added for _, added in TREES.steps(table)]
    for (_, added), before in zip(calibrated.steps(table), steps, strict=True):
        assert added == pytest.approx(1.5 * before)


def test_no_rows() -> None:
    assert TREES.odds(np.empty((0, 2))).shape == (0,)


def test_they_come_back_from_json() -> None:
    again = Trees.of_object(json.loads(json.dumps(TREES.as_object())))
    table = np.random.default_rng(0).normal(size=(50, 2))
    assert again.odds(table).tolist() == TREES.odds(table).tolist()


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("value", [0.0], "1 entries for 6 nodes"),
        ("feature", [-2, -1, -1, -1, -1, -1], "not between -1 and 1"),
        ("feature", [2, -1, -1, -1, -1, -1], "not between -1 and 1"),
        ("roots", [6], "no node"),
        ("left", [0, -1, 3, -1, -1, -1], "does not come after"),
        ("right", [9, -1, 4, -1, -1, -1], "does not come after"),
    ],
)
def test_trees_that_make_no_sense_are_refused(column: str, values: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(TREES, **{column: np.array(values)})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["third", "first", "second"], "without third"),
        (["first", "second", "third"], "without third"),
        (["first"], "with second"),
        (["first", "third"], "without third; with second"),
        (["second", "first"], "in another order"),
    ],
)
def test_a_table_of_other_columns_is_refused(columns: list[str], said: str) -> None:
    TREES.require_columns(["first", "second"])
    with pytest.raises(ValueError, match=f"fitted to other columns: {said}$"):
        TREES.require_columns(columns)


@pytest.mark.parametrize(
    "stored", [{}, {**TREES.as_object(), "value": "x"}, {**TREES.as_object(), "left": [[1]]}]
)
def test_another_form_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Trees.of_object(stored)
