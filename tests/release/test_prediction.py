"""What makes the change of an answer more or less probable."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from resolver.release.prediction import FEATURES, LEAST, WEIGHTS, Signs, change_probability, table

LINKED = Signs(
    links=np.array([1.0]),
    distance=np.array([4.0]),
    sparse_linked=np.array([4.0]),
    dense_linked=np.array([0.8]),
    sparse=np.array([3.0]),
    dense=np.array([0.6]),
    fit=np.array([4.2]),
    named=np.array([0.1]),
)
NOTHING_NEAR = replace(LINKED, sparse=np.zeros(1), dense=np.zeros(1), fit=np.zeros(1),
                       named=np.zeros(1))  # fmt: skip
UNLINKED = replace(LINKED, links=np.zeros(1), sparse_linked=np.zeros(1), dense_linked=np.zeros(1))


@pytest.mark.parametrize("signs", [LINKED, UNLINKED], ids=["linked", "unlinked"])
@pytest.mark.parametrize(
    ("sign", "values"),
    [
        pytest.param("named", [0.0, 0.01, 0.3, 0.9, 1.0], id="the surer it is that it is named"),
        pytest.param("fit", [3.0, 4.0, 5.0], id="the nearer a name"),
    ],
)
def test_a_change_is_more_probable(signs: Signs, sign: str, values: list[float]) -> None:
    rows = [float(change_probability(replace(signs, **{sign: np.array([v])}))[0]) for v in values]
    assert rows == sorted(rows)
    assert rows[0] < rows[-1]


def test_an_answer_near_its_threshold_changes_though_nothing_is_near() -> None:
    sure, doubtful = (
        float(change_probability(replace(NOTHING_NEAR, distance=np.array([distance])))[0])
        for distance in (5.0, 0.02)
    )
    assert sure < LEAST < doubtful


def test_answers_are_predicted_alike_alone_and_together() -> None:
    every = (LINKED, NOTHING_NEAR, UNLINKED)
    together = Signs(
        **{f.name: np.concatenate([getattr(s, f.name) for s in every]) for f in fields(Signs)}
    )
    assert table(together).shape == (3, len(FEATURES))
    alone = [float(change_probability(signs)[0]) for signs in every]
    assert change_probability(together).tolist() == pytest.approx(alone)


def test_every_feature_has_a_weight() -> None:
    assert [feature.name for feature in FEATURES] == list(WEIGHTS)
