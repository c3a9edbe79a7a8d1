import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.matching.judge_file import BUILTIN_JUDGE
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


VALUES = st.sampled_from([-1.0, 0.0, 1e-9, 0.5, 7.0]) | st.floats(-9, 9)


@st.composite
def some_trees(draw: st.DrawFn) -> Trees:
    """Up to three trees of up to seven nodes over two columns; some are nothing but a leaf."""
    nodes: list[tuple[int, float, int, int, float]] = []
    roots = []

    def add(depth: int) -> int:
        number = len(nodes)
        nodes.append((-1, 0.0, -1, -1, draw(VALUES)))
        if depth and draw(st.booleans()):
            feature, threshold = draw(st.integers(0, 1)), draw(VALUES)
            left, right = add(depth - 1), add(depth - 1)
            nodes[number] = (feature, threshold, left, right, draw(VALUES))
        return number

    for _ in range(draw(st.integers(1, 3))):
        roots.append(add(3))
    kinds = (np.int64, np.float64, np.int64, np.int64, np.float64)
    columns = [np.array(of, kind) for of, kind in zip(zip(*nodes, strict=True), kinds, strict=True)]
    return Trees(("first", "second"), np.array(roots), *columns)


def walked(trees: Trees, row: tuple[float, float]) -> list[list[int]]:
    """The nodes that a row comes by in each tree, one after the other."""
    paths = []
    for root in trees.roots.tolist():
        path = [root]
        while (feature := int(trees.feature[path[-1]])) >= 0:
            exceeds = row[feature] > trees.threshold[path[-1]]
            path.append(int((trees.right if exceeds else trees.left)[path[-1]]))
        paths.append(path)
    return paths


@given(some_trees(), st.lists(st.tuples(VALUES, VALUES), max_size=4))
@settings(deadline=None)
def test_odds_and_steps_are_those_of_a_walk(trees: Trees, rows: list[tuple[float, float]]) -> None:
    table = np.array(rows, np.float64).reshape(-1, 2)
    odds, steps = trees.odds(table), trees.steps(table)
    for number, row in enumerate(rows):
        paths = walked(trees, row)
        assert odds[number] == pytest.approx(
            sum(trees.value[path[-1]] for path in paths), rel=1e-12, abs=1e-12
        )
        expected = [
            (trees.feature[node], trees.value[following] - trees.value[node])
            for path in paths
            for node, following in pairwise(path)
        ]
        its = steps.row == number
        found = zip(steps.column[its].tolist(), steps.added[its].tolist(), strict=True)
        assert sorted(found) == sorted(expected)


def test_the_built_in_trees_give_the_odds_of_a_walk() -> None:
    trees = Trees.of_object(orjson.loads(BUILTIN_JUDGE.read_bytes())["judge"])
    random = np.random.default_rng(0)
    table = random.normal(size=(20, len(trees.columns)))
    for column in np.unique(trees.feature[trees.feature >= 0]).tolist():
        # Most of the values are thresholds, or next to one.
        near = random.choice(trees.threshold[trees.feature == column], len(table))
        table[:, column] = near + random.choice([0.0, 0.0, 1e-9, -1e-9, 1.0], len(table))
    expected = [sum(trees.value[path[-1]] for path in walked(trees, row)) for row in table]
    assert trees.odds(table) == pytest.approx(expected, rel=0, abs=1e-12)


def test_calibrated_odds_are_on_a_line() -> None:
    table = np.array([[-1.0, 1.0], [0.1, 0.5], [9.0, 0.6]])
    calibrated = TREES.calibrated(1.5, -0.25)
    assert calibrated.odds(table) == pytest.approx(1.5 * TREES.odds(table) - 0.25)
    assert calibrated.steps(table).added == pytest.approx(1.5 * TREES.steps(table).added)


def test_no_rows() -> None:
    assert TREES.odds(np.empty((0, 2))).shape == (0,)
    assert [array.shape for array in TREES.steps(np.empty((0, 2)))] == [(0,), (0,), (0,)]


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
        ("roots", [], "no trees"),
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
