"""ONNX graphs of a few nodes, in the bytes that ONNX Runtime reads.

They are written here, field by field as onnx.proto numbers them: the package `onnx`, with which the
tests read them, is needed for nothing else at run time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

_IR_VERSION = 10


class _Kind(IntEnum):
    """Of an attribute (AttributeProto.AttributeType)."""

    INTEGER = 2
    TENSOR = 4
    INTEGERS = 7


_DATA_TYPES = {
    np.dtype(np.uint8): 2,
    np.dtype(np.int8): 3,
    np.dtype(np.int32): 6,
    np.dtype(np.float64): 11,
}
"""TensorProto.DataType"""


def model(
    name: str,
    node: bytes,
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    *,
    domain: str = "",
    operators: int,
) -> bytes:
    """A graph of one node, which is of these operators: their domain and its version. Inputs and
    outputs are `values`."""
    whole = [
        _field(1, node),
        _field(2, name),
        *(_field(11, value) for value in inputs),
        *(_field(12, value) for value in outputs),
    ]
    version = _field(1, domain) + _number(2, operators)
    return _number(1, _IR_VERSION) + _field(7, b"".join(whole)) + _field(8, version)


def node(
    operator: str,
    inputs: Iterable[str],
    outputs: Iterable[str],
    attributes: Iterable[bytes] = (),
    *,
    domain: str = "",
) -> bytes:
    """One node (NodeProto)."""
    parts = [
        *(_field(1, name) for name in inputs),
        *(_field(2, name) for name in outputs),
        _field(4, operator),
        *(_field(5, attribute) for attribute in attributes),
        _field(7, domain),
    ]
    return b"".join(parts)


def values(name: str, kind: npt.DTypeLike, shape: Sequence[int | str]) -> bytes:
    """An input or output (ValueInfoProto); a dimension of any size has a name."""
    dimensions = b"".join(
        _field(1, _field(2, size) if isinstance(size, str) else _number(1, size)) for size in shape
    )
    tensor = _number(1, _DATA_TYPES[np.dtype(kind)]) + _field(2, dimensions)
    return _field(1, name) + _field(2, _field(1, tensor))


def integer(name: str, value: int) -> bytes:
    """An attribute of a node."""
    return _field(1, name) + _number(3, value) + _number(20, _Kind.INTEGER)


def integers(name: str, values: npt.NDArray[np.generic]) -> bytes:
    """An attribute of a node."""
    packed = b"".join(map(_varint, values.tolist()))
    return _field(1, name) + _field(8, packed) + _number(20, _Kind.INTEGERS)


def tensor(name: str, values: npt.NDArray[np.generic]) -> bytes:
    """An attribute of a node: a list of numbers."""
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
