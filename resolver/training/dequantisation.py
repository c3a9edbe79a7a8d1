"""From the ONNX form that `resolver.training.export` writes back to a checkpoint.

The checkpoint of an exported model is often not kept: the small form is all that there is of the
built-in reranker. Its weights are read back as 32-bit floats, each within half a step of its 8 bits
of the one that was exported, so that a training goes on from them. The word embeddings are exactly
those of the 4-bit table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import orjson

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker.loading import RerankerForm, form_of
from resolver.reranker.onnx import MODEL, padding_id
from resolver.training.export import BLOCK
from resolver.weights import checkpoints
from resolver.weights.files import CONFIG

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]

PRODUCTS = {
    "query": ("attention.self.query", "hidden"),
    "key": ("attention.self.key", "hidden"),
    "value": ("attention.self.value", "hidden"),
    "attention": ("attention.output.dense", "attention"),
    "wide": ("intermediate.dense", "wide"),
    "narrow": ("output.dense", "narrow"),
}
"""The products of a layer in the graph: the name of the weight in a checkpoint, and of the rows
that are multiplied, whose channels may have been evened out (`export.smoothing`)."""

NORMS = {"middle": "attention.output.LayerNorm", "out": "output.LayerNorm"}
"""The normalisations of a layer in the graph, and their names in a checkpoint."""


@contextlib.contextmanager
def opened(base: str) -> Iterator[Path]:
    """Like `resolver.weights.checkpoints.opened`, also for ``builtin`` and for the folder of an
    ONNX form: those are read back into a checkpoint first.

    Raises:
        ModelError: as `checkpoints.opened` and `write_checkpoint`.
    """
    form = form_of(base)
    if form is RerankerForm.BUILTIN:
        folder = weights.BUILTIN_FOLDER / "reranker"
    elif form is RerankerForm.ONNX:
        folder = Path(base)
    else:
        with checkpoints.opened(base) as checkpoint:
            yield checkpoint
        return
    with TemporaryDirectory(prefix="checkpoint-") as temporary:
        write_checkpoint(folder, Path(temporary))
        yield Path(temporary)


def write_checkpoint(folder: Path, out: Path) -> Path:
    """Write the model of the ONNX form in `folder` to `out`, as a checkpoint of transformers: a
    BERT with one label, in float32, with its configuration and tokenizer. Returns `out`.

    Raises:
        ModelError: a file is missing, or the model was not written by `export.export_reranker`.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper
    from safetensors.numpy import save_file
    from transformers import PreTrainedTokenizerFast

    path = folder / MODEL
    try:
        model = onnx.load_from_string(weights.read(path))
        constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
        tensors = _tensors(constants)
        config = _config(model, constants)
    except (DecodeError, KeyError, ValueError, StopIteration) as error:
        raise ModelError(
            f"{path} is not of the form that this project exports: {error!r}",
            remedy="give a checkpoint, or a folder that resolver train has written",
        ) from error
    tokenizer = weights.read_tokenizer(weights.tokenizer_path(folder))
    config["pad_token_id"] = padding_id(tokenizer)
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    (out / CONFIG).write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=config["max_position_embeddings"],
        # Every token is of type 0.
        model_input_names=["input_ids", "attention_mask"],
        **checkpoints.XLMR_TOKENS,
    ).save_pretrained(out)
    return out


def words(nibbles: npt.NDArray[np.uint8], scales: npt.NDArray[np.float16]) -> Floats:
    """(vocabulary, hidden / 2) and (vocabulary, blocks) → (vocabulary, hidden): the values of
    `export.quantised_words`."""
    values = np.stack([nibbles & 15, nibbles >> 4], axis=-1).astype(np.float32) - 8
    blocks = values.reshape(len(nibbles), -1, BLOCK) * scales.astype(np.float32)[..., None]
    return np.asarray(blocks.reshape(len(nibbles), -1), np.float32)


def _tensors(constants: Mapping[str, npt.NDArray[Any]]) -> dict[str, Floats]:
    """The constants of the graph under the names of a checkpoint.

    Raises:
        KeyError: one is missing.
    """
    hidden = constants["embedding_g"]
    tensors = {
        "bert.embeddings.word_embeddings.weight": words(
            constants["words"], constants["word_scales"]
        ),
        "bert.embeddings.position_embeddings.weight": constants["positions"],
        # It was added to the positions.
        "bert.embeddings.token_type_embeddings.weight": np.zeros((1, len(hidden)), np.float32),
        "bert.embeddings.LayerNorm.weight": hidden,
        "bert.embeddings.LayerNorm.bias": constants["embedding_b"],
        "bert.pooler.dense.weight": constants["pooler_w"],
        "bert.pooler.dense.bias": constants["pooler_b"],
        "classifier.weight": constants["classifier_w"],
        "classifier.bias": constants["classifier_b"],
    }
    for number in range(_layers(constants)):
        own, layer = f"l{number}_", f"bert.encoder.layer.{number}."
        for product, (name, rows) in PRODUCTS.items():
            matrix = constants[f"{own}{product}_w"] * constants[f"{own}{product}_s"]
            evened = constants.get(f"{own}{rows}_even")
            if evened is not None:
                matrix = matrix * evened[:, None]
            tensors[f"{layer}{name}.weight"] = matrix.T
            tensors[f"{layer}{name}.bias"] = constants[f"{own}{product}_b"]
        for norm, name in NORMS.items():
            tensors[f"{layer}{name}.weight"] = constants[f"{own}{norm}_g"]
            tensors[f"{layer}{name}.bias"] = constants[f"{own}{norm}_b"]
    return {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}


def _layers(constants: Mapping[str, object]) -> int:
    return sum(name.endswith("_query_w") for name in constants)


def _config(model: onnx.ModelProto, constants: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    attention = next(node for node in model.graph.node if node.op_type == "MultiHeadAttention")
    norm = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
    (heads,) = (a.i for a in attention.attribute if a.name == "num_heads")
    (epsilon,) = (a.f for a in norm.attribute if a.name == "epsilon")
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": len(constants["words"]),
        "hidden_size": len(constants["embedding_g"]),
        "hidden_act": "gelu",
        "intermediate_size": len(constants["l0_wide_b"]),
        "num_hidden_layers": _layers(constants),
        "num_attention_heads": heads,
        "layer_norm_eps": epsilon,
        "max_position_embeddings": len(constants["positions"]),
        "type_vocab_size": 1,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "dtype": "float32",
    }
