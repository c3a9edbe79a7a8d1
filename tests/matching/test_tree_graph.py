import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from resolver.matching.tree_graph import INPUT, OUTPUT, graph

# first > 0.25 ? (second > 300 ? 3 : 1) : -2, and second > 400 ? 0.5 : 0.
GRAPH = graph(
    columns=200,
    roots=np.array([0, 5]),
    feature=np.array([0, -1, 199, -1, -1, 199, -1, -1]),
    threshold=np.array([0.25, 0.0, 300.0, 0.0, 0.0, 400.0, 0.0, 0.0]),
    left=np.array([1, -1, 3, -1, -1, 6, -1, -1]),
    right=np.array([2, -1, 4, -1, -1, 7, -1, -1]),
    value=np.array([-1.0, -2.0, 1.5, 1.0, 3.0, 0.2, 0.0, 0.5]),
)


def test_it_is_onnx() -> None:
    model = onnx.load_from_string(GRAPH)
    onnx.checker.check_model(model, full_check=True)
    [table], [odds] = model.graph.input, model.graph.output
    assert (table.name, odds.name) == (INPUT, OUTPUT)
    assert [d.dim_value for d in table.type.tensor_type.shape.dim] == [0, 200]


def test_the_reference_implementation_reads_it_alike() -> None:
    table = np.zeros((4, 200))
    table[:, 0], table[:, 199] = [0.25, 0.3, 0.3, 0.3], [401, 300, 301, -1]
    [odds] = ReferenceEvaluator(onnx.load_from_string(GRAPH)).run(None, {INPUT: table})
    assert odds.tolist() == [[-1.5], [1.0], [3.0], [1.0]]
