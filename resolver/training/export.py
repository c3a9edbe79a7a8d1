"""From a fine-tuned checkpoint to the ONNX form that `resolver.reranker.onnx` runs.

The graph is written here node by node, for a BERT with one label:

- word embeddings in 4 bits, blocks of 32 along a row, gathered as they are;
- every large matrix product in 8 bits: int8 weights with a scale for each column, uint8
  activations with one *fixed* scale for each product. Dynamic scales would depend on what else
  is in the batch; fixed ones give a pair the same score in any company;
- the last layer computes its first position only, which is all that the classifier reads.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import Pair
from resolver.reranker.onnx import MODEL, padding_id
from resolver.reranker.tokens import PairTokenizer
from resolver.weights import checkpoints

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

BLOCK = 32
"""Values that share a scale in the 4-bit table."""

OPSET = 21
IR_VERSION = 10
"""What the oldest ONNX Runtime that the project accepts can read."""

SAMPLE_ROWS = 2048
"""Activation rows kept for each product when its scale is chosen."""

CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the observed range tried as the range to keep: the one with the least error of the
product wins. Outliers of a few channels would else cost all others their resolution."""


SMOOTHING_GAIN = 2.0
"""Channels are evened out where that divides the squared error by at least this: it costs a
multiplication of every value."""


@dataclass(frozen=True, slots=True)
class Range:
    """uint8 activations: value ≈ scale · (byte − zero), and the squared error of the product."""

    scale: float
    zero: int
    error: float = 0.0


def export_reranker(checkpoint: Path, out: Path, sample: Sequence[Pair]) -> Path:
    """Write `MODEL` and the tokenizer of a checkpoint to `out`.

    `sample` are pairs like those to be scored; some hundred fix the activation scales.
    Returns the path of the model file.

    Raises:
        ModelError: the checkpoint is not a BERT with one label.
    """
    import onnx
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if not sample:
        raise ModelError("no pairs to fix the activation scales with", remedy="give training pairs")
    with checkpoints.opened(checkpoint) as folder:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True
        ).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
    config = model.config
    if config.model_type != "bert" or config.num_labels != 1:
        raise ModelError(
            f"{checkpoint} is a {config.model_type} with {config.num_labels} labels",
            remedy="the ONNX form is for a BERT with one label; serve others as they are",
        )
    if config.hidden_size % BLOCK or config.hidden_act != "gelu":
        raise ModelError(
            f"{checkpoint}: hidden size {config.hidden_size}, activation {config.hidden_act}",
            remedy=f"the ONNX form needs a multiple of {BLOCK}, and gelu",
        )
    out.mkdir(parents=True, exist_ok=True)
    tokenizer_path = out / weights.TOKENIZER
    weights.write_tokenizer(tokenizer.backend_tokenizer.to_str(), tokenizer_path)
    plain = weights.read_tokenizer(tokenizer_path)
    padding_id(plain)  # refuses what the graph could not read
    tokens = PairTokenizer(plain, max_length=max_length(checkpoint))
    inputs = _observe(model, tokens, sample)
    state = {key: value.float().numpy() for key, value in model.state_dict().items()}
    graph = _Graph()
    _build(graph, state, config, inputs, tokens.max_length)
    path = out / MODEL
    proto = graph.model(tokens.max_length)
    onnx.checker.check_model(proto, full_check=False)
    path.write_bytes(proto.SerializeToString())
    log.info("wrote %s, %.1f MB", path, path.stat().st_size / 1e6)
    return path


def max_length(checkpoint: Path) -> int:
    """Tokens of a pair that a checkpoint was trained with."""
    from sentence_transformers.cross_encoder import CrossEncoder

    length = CrossEncoder(str(checkpoint), device="cpu", local_files_only=True).max_seq_length
    return int(length or 128)


def _observe(model: Any, tokens: PairTokenizer, sample: Sequence[Pair]) -> dict[str, Floats]:
    """Rows that reach each product: name of its weight → (rows, inputs)."""
    import torch

    seen: dict[str, list[Floats]] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and ".encoder." in f".{name}":

            def keep(_: object, args: tuple[torch.Tensor, ...], name: str = name) -> None:
                seen.setdefault(name, []).append(args[0][0].numpy().copy())

            hooks.append(module.register_forward_pre_hook(keep))
    with torch.inference_mode():
        sequences = tokens.encode(sample)
        for ids in np.split(sequences.ids, sequences.bounds[1:-1]):
            one = torch.from_numpy(ids.astype(np.int64))[None]
            model(input_ids=one, attention_mask=torch.ones_like(one))
    for hook in hooks:
        hook.remove()
    rng = np.random.default_rng(0)
    rows = {name: np.concatenate(parts) for name, parts in seen.items()}
    return {name: part[rng.permutation(len(part))[:SAMPLE_ROWS]] for name, part in rows.items()}


def quantised_weight(weight: Floats) -> tuple[npt.NDArray[np.int8], Floats]:
    """(inputs, outputs) → int8 of the same shape and (outputs,) scales."""
    largest = np.abs(weight).max(0)
    scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    return np.clip(np.rint(weight / scales), -127, 127).astype(np.int8), scales


def activation_range(rows: Floats, weight: Floats) -> Range:
    """The range whose 8-bit rows change the product `rows @ weight` least."""
    low, high = min(float(rows.min()), 0.0), max(float(rows.max()), 0.0)
    best, least = Range(1.0, 0), np.inf
    for clip in CLIPS:
        scale = max((high - low) * clip / 255, 1e-8)
        zero = int(np.clip(np.rint(-low * clip / scale), 0, 255))
        kept = (np.clip(np.rint(rows / scale) + zero, 0, 255) - zero) * scale
        error = float(np.square((kept - rows) @ weight).mean())
        if error < least:
            best, least = Range(scale, zero, error), error
    return best


def smoothing(rows: Floats, weight: Floats) -> Floats | None:
    """Factors (inputs,) that make rows kinder to 8 bits, or None where they gain too little.

    A few channels of a layer's output are tens of times as large as the others. Dividing each
    channel by a factor, and multiplying its row of the weight with it, changes nothing but
    shares the range out; the factor is sqrt(largest input / largest weight) of the channel
    (G. Xiao et al., "SmoothQuant", 2023, with α = 0.5).
    """
    largest = np.maximum(np.abs(rows).max(0), 1e-3)
    factors = np.sqrt(largest / np.maximum(np.abs(weight).max(1), 1e-3)).astype(np.float32)
    factors /= np.exp(np.log(factors).mean())
    evened = weight * factors[:, None]
    table, scales = quantised_weight(evened)
    smooth = activation_range(rows / factors, table * scales)
    plain_table, plain_scales = quantised_weight(weight)
    plain = activation_range(rows, plain_table * plain_scales)
    return factors if smooth.error * SMOOTHING_GAIN < plain.error else None


def quantised_words(
    words: Floats,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16], float]:
    """(vocabulary, hidden) → nibbles (vocabulary, hidden / 2), scales (vocabulary, blocks), error.

    A nibble n stands for scale · (n − 8); the lower half of a byte comes first. A block's
    scale is the one, of its largest value over 1 to 8, that fits best: a table that came
    from 4 bits goes back to them. The error is the root mean square over that of the values.
    """
    blocks = words.reshape(len(words), -1, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], -1)[..., 0]
    least = np.full(extreme.shape, np.inf)
    scales = np.ones(extreme.shape, np.float16)
    values = np.zeros(blocks.shape, np.int8)
    for steps in (8, 7, 6, 5, 4, 3, 2, 1):
        # The largest value sits on -8 or on at most 7, so with 8 steps the scale's sign turns.
        scale = (-extreme if steps == 8 else np.abs(extreme)) / steps
        scale = np.where(scale == 0, 1.0, scale).astype(np.float16)
        wide = scale.astype(np.float32)[..., None]
        near = np.clip(np.rint(blocks / wide), -8, 7).astype(np.int8)
        error = np.square(near * wide - blocks).sum(-1)
        better = error < least
        least[better], scales[better] = error[better], scale[better]
        values[better] = near[better]
    nibbles = (values.reshape(len(words), -1) + 8).astype(np.uint8)
    error = float(np.sqrt(least.sum() / max(float(np.square(blocks).sum()), 1e-30)))
    packed = nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)
    return np.asarray(packed, np.uint8), np.asarray(scales, np.float16), error


class _Graph:
    """Nodes and constants in the making; every method returns the name of a tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.names: set[str] = set()

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        from onnx import numpy_helper

        if name not in self.names:
            self.names.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        domain = attributes.pop("domain", "")
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def fused(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        return self.node(kind, inputs, output, domain="com.microsoft", **attributes)

    def model(self, max_length: int) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        graph = helper.make_graph(
            self.nodes,
            "reranker",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT32, ["pairs", "tokens"]),
                helper.make_tensor_value_info("mask", TensorProto.INT32, ["pairs", "tokens"]),
            ],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["pairs"])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        helper.set_model_props(model, {"max_length": str(max_length)})
        return model


def _build(
    graph: _Graph,
    state: Mapping[str, Floats],
    config: Any,
    inputs: Mapping[str, Floats],
    max_length: int,
) -> None:
    hidden = _embeddings(graph, state, config, max_length)
    for number in range(config.num_hidden_layers):
        last = number == config.num_hidden_layers - 1
        hidden = _layer(graph, state, config, inputs, number, hidden, last=last)
    pooled = graph.node("Squeeze", [hidden, graph.constant("one_axis", np.array([1]))], "first")
    pooled = graph.node(
        "Gemm",
        [
            pooled,
            graph.constant("pooler_w", state["bert.pooler.dense.weight"]),
            graph.constant("pooler_b", state["bert.pooler.dense.bias"]),
        ],
        "pooled",
        transB=1,
    )
    graph.node(
        "Gemm",
        [
            graph.node("Tanh", [pooled], "pooled_tanh"),
            graph.constant("classifier_w", state["classifier.weight"]),
            graph.constant("classifier_b", state["classifier.bias"]),
        ],
        "logits_2d",
        transB=1,
    )
    graph.node("Squeeze", ["logits_2d", "one_axis"], "logits")


def _embeddings(
    graph: _Graph,
    state: Mapping[str, Floats],
    config: Any,
    max_length: int,
) -> str:
    prefix = "bert.embeddings."
    nibbles, scales, error = quantised_words(state[f"{prefix}word_embeddings.weight"])
    log.info("word embeddings in 4 bits: relative error %.5f", error)
    words = graph.fused(
        "GatherBlockQuantized",
        [graph.constant("words", nibbles), "input_ids", graph.constant("word_scales", scales)],
        "words_half",
        bits=4,
        block_size=BLOCK,
        gather_axis=0,
        quantize_axis=1,
    )
    words = graph.node("Cast", [words], "words_full", to=1)
    # Every token is of type 0, so its vector joins the positions.
    positions = (
        state[f"{prefix}position_embeddings.weight"][:max_length]
        + state[f"{prefix}token_type_embeddings.weight"][:1]
    )
    shape = graph.node("Shape", ["input_ids"], "length", start=1, end=2)
    here = graph.node(
        "Slice",
        [
            graph.constant("positions", positions),
            graph.constant("zero", np.array([0])),
            shape,
            graph.constant("zero_axis", np.array([0])),
        ],
        "here",
    )
    summed = graph.node("Add", [words, here], "embedded")
    return graph.node(
        "LayerNormalization",
        [
            summed,
            graph.constant("embedding_g", state[f"{prefix}LayerNorm.weight"]),
            graph.constant("embedding_b", state[f"{prefix}LayerNorm.bias"]),
        ],
        "hidden_0",
        axis=-1,
        epsilon=config.layer_norm_eps,
    )


def _layer(
    graph: _Graph,
    state: Mapping[str, Floats],
    config: Any,
    inputs: Mapping[str, Floats],
    number: int,
    hidden: str,
    *,
    last: bool,
) -> str:
    """One transformer layer; the last one returns (pairs, 1, hidden)."""
    name = f"bert.encoder.layer.{number}"
    own = f"l{number}_"

    def product(source: str, weight: str, output: str, rows: _Rows | None = None) -> str:
        return _product(graph, state, inputs, f"{name}.{weight}", source, own + output, rows)

    def normalised(value: str, residual: str, weight: str, output: str) -> str:
        # Two operators: SkipLayerNormalization, the one for both, is four times as slow.
        summed = graph.node("Add", [value, residual], f"{own}{output}_sum")
        return graph.node(
            "LayerNormalization",
            [
                summed,
                graph.constant(f"{own}{output}_g", state[f"{name}.{weight}.weight"]),
                graph.constant(f"{own}{output}_b", state[f"{name}.{weight}.bias"]),
            ],
            own + output,
            axis=-1,
            epsilon=config.layer_norm_eps,
        )

    # Query, key and value read the same rows, so one quantisation serves all three.
    projections = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    together = np.concatenate([state[f"{part}.weight"].T for part in projections], axis=1)
    shared = _quantised(graph, hidden, inputs[projections[0]], together, f"{own}hidden")
    key = product(hidden, "attention.self.key", "key", shared)
    value = product(hidden, "attention.self.value", "value", shared)
    residual = hidden
    first = shared
    if last:
        ends = [graph.constant("zero", np.array([0])), graph.constant("one", np.array([1]))]
        axis = graph.constant("one_axis", np.array([1]))
        residual = graph.node("Slice", [hidden, *ends, axis], f"{own}first")
        sliced = graph.node("Slice", [shared.name, *ends, axis], f"{own}first_q")
        first = dataclasses.replace(shared, name=sliced)
    query = product(residual, "attention.self.query", "query", first)
    attended = graph.fused(
        "MultiHeadAttention",
        [query, key, value, "", "mask"],
        f"{own}attended",
        num_heads=config.num_attention_heads,
    )
    attended = product(attended, "attention.output.dense", "attention")
    middle = normalised(attended, residual, "attention.output.LayerNorm", "middle")
    wide = product(middle, "intermediate.dense", "wide")
    wide = graph.fused("Gelu", [wide], f"{own}gelu")
    narrow = product(wide, "output.dense", "narrow")
    return normalised(narrow, middle, "output.LayerNorm", "out")


@dataclass(frozen=True, slots=True)
class _Rows:
    """A tensor of uint8 rows, with the names of its scale and zero and its channels' factors."""

    name: str
    scale: str
    zero: str
    factors: Floats | None


def _quantised(graph: _Graph, source: str, rows: Floats, weight: Floats, name: str) -> _Rows:
    factors = smoothing(rows, weight)
    if factors is not None:
        rows, weight = rows / factors, weight * factors[:, None]
        even = graph.constant(f"{name}_even", 1 / factors)
        source = graph.node("Mul", [source, even], f"{name}_evened")
    kept = activation_range(rows, weight)
    scale = graph.constant(f"{name}_q_scale", np.array(kept.scale, np.float32))
    zero = graph.constant(f"{name}_q_zero", np.array(kept.zero, np.uint8))
    quantised = graph.node("QuantizeLinear", [source, scale, zero], f"{name}_q")
    return _Rows(quantised, scale, zero, factors)


def _product(
    graph: _Graph,
    state: Mapping[str, Floats],
    inputs: Mapping[str, Floats],
    weight: str,
    source: str,
    output: str,
    rows: _Rows | None,
) -> str:
    matrix = state[f"{weight}.weight"].T
    if rows is None:
        rows = _quantised(graph, source, inputs[weight], matrix, output)
    if rows.factors is not None:
        matrix = matrix * rows.factors[:, None]
    table, scales = quantised_weight(matrix)
    return graph.fused(
        "MatMulIntegerToFloat",
        [
            rows.name,
            graph.constant(f"{output}_w", table),
            rows.scale,
            graph.constant(f"{output}_s", scales),
            rows.zero,
            graph.constant(f"{output}_z", np.zeros(len(scales), np.int8)),
            graph.constant(f"{output}_b", state[f"{weight}.bias"]),
        ],
        output,
    )
