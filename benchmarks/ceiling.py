"""What the machine can do at most: a large matrix product in the model's own kind of numbers.

A share of what a data sheet promises says little on shared cores; a share of what the same
machine gave in the same minute does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SIZE = 2048
"""Rows, columns and depth of the product: 17 GFLOP, large beside what starting it costs."""

FLOP = 2 * SIZE**3


@dataclass(frozen=True, slots=True)
class Shape:
    """What the arithmetic of a model of the BERT family depends on."""

    layers: int
    hidden: int
    intermediate: int
    gated: bool = False

    def flop(self, lengths: Sequence[int]) -> float:
        """Floating point operations of scoring pairs of so many tokens, as a plain model does it.

        Two for each weight of a layer and each token, and 4 · length² · hidden of a layer for its
        attention. The head and the embeddings are too little to count. What an engine leaves out
        (the last layer but for its first token) is counted: it is work done.
        """
        weights = 4 * self.hidden**2 + (3 if self.gated else 2) * self.hidden * self.intermediate
        tokens, squares = sum(lengths), sum(length**2 for length in lengths)
        return self.layers * (2.0 * weights * tokens + 4.0 * self.hidden * squares)


def shape(checkpoint: Path) -> Shape:
    config = json.loads((checkpoint / "config.json").read_text())
    return Shape(
        config["num_hidden_layers"],
        config["hidden_size"],
        config["intermediate_size"],
        gated=config["model_type"] in {"gte", "new"},
    )


def products(dtypes: Sequence[str]) -> Mapping[str, Callable[[], object]]:
    """A product of `FLOP` operations to run, for each of "float32", "bfloat16", "float16", "int8".

    "int8" stands for whichever of torch's and ONNX Runtime's is there; ONNX Runtime's is what the
    built-in model runs on.
    """
    import torch

    made: dict[str, Callable[[], object]] = {}
    for dtype in dtypes:
        if dtype == "int8":
            made[dtype] = _int8()
            continue
        kind = getattr(torch, dtype)
        left = torch.randn(SIZE, SIZE).to(kind)
        # The weights of a layer lie as their transpose.
        right = torch.randn(SIZE, SIZE).to(kind).t()
        made[dtype] = lambda left=left, right=right: left @ right  # type: ignore[misc]
    return made


def _int8() -> Callable[[], object]:
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError:
        import torch

        left = torch.randint(-127, 127, (SIZE, SIZE), dtype=torch.int8)
        right = torch.randint(-127, 127, (SIZE, SIZE), dtype=torch.int8).t()
        return lambda: torch._int_mm(left, right)
    import numpy as np
    import onnxruntime

    from resolver.hardware import cores

    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 127, (SIZE, SIZE), np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [SIZE, SIZE])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [SIZE, SIZE])],
        [numpy_helper.from_array(weights, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    activations = rng.integers(0, 255, (SIZE, SIZE), np.uint8)
    return lambda: session.run(None, {"a": activations})
