"""Trees as an ONNX graph, in the bytes that ONNX Runtime reads.

The graph is one node, `TreeEnsemble` of the operators for machine learning
(https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html). It is written here, field by
field as onnx.proto numbers them: the package `onnx`, with which the tests read it, is needed for
nothing else at run time.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

INPUT, OUTPUT = "table", "odds"
"""Shapes (rows, columns) and (rows, 1), both float64."""

_IR_VERSION = 10
_DOMAIN, _OPERATORS = "ai.onnx.ml", 5
"""Of the operators, with the first version that has `TreeEnsemble`."""

_SUM, _NO_TRANSFORM = 1, 0
"""Of `aggregate_function` and `post_transform`."""

_LESS_OR_EQUAL = 0
"""Of `nodes_modes`: to the true branch when the value does not exceed the split."""


class _Kind(IntEnum):
    """Of an attribute (AttributeProto.AttributeType)."""

    INTEGER = 2
    TENSOR = 4
    INTEGERS = 7


_DATA_TYPES = {np.dtype(np.uint8): 2, np.dtype(np.float64): 11}
"""TensorProto.DataType"""


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
        _integers("tree_roots", first),
        _integers("nodes_featureids", np.append(feature[inner], none)),
        _tensor("nodes_splits", np.append(threshold[inner], none.astype(np.float64))),
        _tensor("nodes_modes", np.full(len(below), _LESS_OR_EQUAL, np.uint8)),
        _integers("nodes_truenodeids", number[below]),
        _integers("nodes_falsenodeids", number[above]),
        _integers("nodes_trueleafs", feature[below] < 0),
        _integers("nodes_falseleafs", feature[above] < 0),
        _integers("leaf_targetids", np.zeros(len(leaves), np.int64)),
        _tensor("leaf_weights", value[leaves]),
        _integer("n_targets", 1),
        _integer("aggregate_function", _SUM),
        _integer("post_transform", _NO_TRANSFORM),
    ]
    node = [
        _field(1, INPUT),
        _field(2, OUTPUT),
        _field(4, "TreeEnsemble"),
        *(_field(5, attribute) for attribute in attributes),
        _field(7, _DOMAIN),
    ]
    whole = [
        _field(1, b"".join(node)),
        _field(2, "trees"),
        _field(11, _values(INPUT, columns)),
        _field(12, _values(OUTPUT, 1)),
    ]
    version = _field(1, _DOMAIN) + _number(2, _OPERATORS)
    return _number(1, _IR_VERSION) + _field(7, b"".join(whole)) + _field(8, version)


def _values(name: str, columns: int) -> bytes:
    """ValueInfoProto of a float64 table of any number of rows."""
    dimensions = _field(1, _field(2, "rows")) + _field(1, _number(1, columns))
    table = _number(1, _DATA_TYPES[np.dtype(np.float64)]) + _field(2, dimensions)
    return _field(1, name) + _field(2, _field(1, table))


def _integer(name: str, value: int) -> bytes:
    return _field(1, name) + _number(3, value) + _number(20, _Kind.INTEGER)


def _integers(name: str, values: npt.NDArray[np.generic]) -> bytes:
    packed = b"".join(map(_varint, values.tolist()))
    return _field(1, name) + _field(8, packed) + _number(20, _Kind.INTEGERS)


def _tensor(name: str, values: npt.NDArray[np.generic]) -> bytes:
    raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
    tensor = _number(1, len(values)) + _number(2, _DATA_TYPES[values.dtype]) + _field(9, raw)
    return _field(1, name) + _field(5, tensor) + _number(20, _Kind.TENSOR)


def _field(number: int, content: bytes | str) -> bytes:
    """A text, a message or packed numbers."""
    content = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have the eighth bit set."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
