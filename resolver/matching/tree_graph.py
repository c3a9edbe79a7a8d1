"""Trees as an ONNX graph of one node, `TreeEnsemble` of the operators for machine learning
(https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from resolver import onnx_graph
from resolver.onnx_graph import integer, integers, tensor

INPUT, OUTPUT = "table", "odds"
"""Shapes (rows, columns) and (rows, 1), both float64."""

_DOMAIN, _OPERATORS = "ai.onnx.ml", 5
"""Of the operators, with the first version that has `TreeEnsemble`."""

_SUM, _NO_TRANSFORM = 1, 0
"""Of `aggregate_function` and `post_transform`."""

_LESS_OR_EQUAL = 0
"""Of `nodes_modes`: to the true branch when the value does not exceed the split."""


def graph(
    columns: int,
    roots: npt.NDArray[np.int64],
    feature: npt.NDArray[np.int64],
    threshold: npt.NDArray[np.float64],
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
) -> bytes:
    """The sum of the leaves that a row of so many columns comes to; the arrays are those of
    `resolver.matching.trees.Trees`."""
    lone = roots[feature[roots] < 0]
    inner = np.flatnonzero(feature >= 0)
    leaves = np.flatnonzero(feature < 0)
    # Nodes and leaves are numbered apart. A tree that is nothing but a leaf needs a node before it.
    number = np.empty(len(feature), np.int64)
    number[inner], number[leaves] = np.arange(len(inner)), np.arange(len(leaves))
    first = number[roots]
    first[feature[roots] < 0] = len(inner) + np.arange(len(lone))
    below, above = np.append(left[inner], lone), np.append(right[inner], lone)
    none = np.zeros(len(lone), np.int64)
    attributes = [
        integers("tree_roots", first),
        integers("nodes_featureids", np.append(feature[inner], none)),
        tensor("nodes_splits", np.append(threshold[inner], none.astype(np.float64))),
        tensor("nodes_modes", np.full(len(below), _LESS_OR_EQUAL, np.uint8)),
        integers("nodes_truenodeids", number[below]),
        integers("nodes_falsenodeids", number[above]),
        integers("nodes_trueleafs", feature[below] < 0),
        integers("nodes_falseleafs", feature[above] < 0),
        integers("leaf_targetids", np.zeros(len(leaves), np.int64)),
        tensor("leaf_weights", value[leaves]),
        integer("n_targets", 1),
        integer("aggregate_function", _SUM),
        integer("post_transform", _NO_TRANSFORM),
    ]
    return onnx_graph.model(
        "trees",
        onnx_graph.node("TreeEnsemble", [INPUT], [OUTPUT], attributes, domain=_DOMAIN),
        [onnx_graph.values(INPUT, np.float64, ["rows", columns])],
        [onnx_graph.values(OUTPUT, np.float64, ["rows", 1])],
        domain=_DOMAIN,
        operators=_OPERATORS,
    )
