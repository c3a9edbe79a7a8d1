import numpy as np
import pytest

from resolver.reranker.odds import probability
from resolver.training.trees import TREES, fit_trees, trees_of

NAMES = ("a", "b", "c")


def table(rows: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, len(NAMES)))


X = table(800)
SUM = X[:, 0] + 0.5 * X[:, 1] * X[:, 2]


@pytest.mark.parametrize(
    ("objective", "y", "of_odds"),
    [
        ("binary", SUM > 0, probability),
        ("cross_entropy", probability(SUM), probability),
        ("regression", SUM, lambda logit: logit),
    ],
)
def test_the_trees_are_those_of_the_library(objective, y, of_odds) -> None:
    import lightgbm

    parameters = {**TREES, "objective": objective, "verbosity": -1, "num_threads": 1}
    trained = lightgbm.train(parameters, lightgbm.Dataset(X, y), 20)
    found = of_odds(trees_of(trained.dump_model(), NAMES).odds(X))
    assert found == pytest.approx(trained.predict(X))


@pytest.mark.parametrize(("rate", "least", "most"), [(0.2, 0.5, 2.0), (1e-6, 0.0, 0.01)])
def test_parameters_take_the_place_of_the_usual_ones(
    rate: float, least: float, most: float
) -> None:
    trees = fit_trees(NAMES, X, SUM, rounds=60, objective="regression", learning_rate=rate)
    assert least < trees.odds(X).std() < most
