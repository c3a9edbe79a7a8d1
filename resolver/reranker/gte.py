"""GTE checkpoints of the remote-code kind, read by the architecture that transformers has itself.

``Alibaba-NLP/gte-multilingual-reranker-base`` and its fine-tunes name code of their own
(`model_type` "new", `auto_map`). transformers 5.23 has the same network as "gte" and converts
the weights' names; only the configuration has to be said in its words.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from resolver.errors import ModelError

LEGACY = "new"
NATIVE = "gte"

_CARRIED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "layer_norm_eps",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "id2label",
    "label2id",
)


def native_config(legacy: Mapping[str, Any]) -> dict[str, Any]:
    """The "gte" configuration of a "new" one.

    NTK scaling by f over base θ is linear scaling by f^(2/d) over base θ·f, where d is the
    width of a head. A configuration without scaling keeps its own base. Getting this wrong
    loads without a word and ranks badly.

    Raises:
        ModelError: positions or scaling are of a kind that "gte" does not have.
    """
    if legacy.get("position_embedding_type", "rope") != "rope":
        raise _unknown(f"position_embedding_type {legacy['position_embedding_type']!r}")
    theta = float(legacy.get("rope_theta", 10_000.0))
    scaling = legacy.get("rope_scaling")
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if scaling:
        if scaling.get("type") != "ntk" or scaling.get("mixed_b") is not None:
            raise _unknown(f"rope_scaling {scaling!r}")
        factor = float(scaling["factor"])
        width = legacy["hidden_size"] // legacy["num_attention_heads"]
        rope = {
            "rope_type": "linear",
            "rope_theta": theta * factor,
            "factor": factor ** (2 / width),
        }
    return {
        **{key: legacy[key] for key in _CARRIED if key in legacy},
        "model_type": NATIVE,
        "architectures": ["GteForSequenceClassification"],
        # The native class would fall back to the hidden dropout.
        "classifier_dropout": legacy.get("classifier_dropout") or 0.0,
        "rope_parameters": rope,
    }


def _unknown(what: str) -> ModelError:
    return ModelError(
        f"a GTE checkpoint with {what} is not known",
        remedy="give one whose config.json says model_type gte",
    )


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[Path]:
    """The folder itself, or for a "new" checkpoint one with the same files and a native config.

    Raises:
        ModelError: config.json is missing or damaged, or cannot be said natively.
    """
    path = folder / "config.json"
    try:
        config = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(
            f"{path} cannot be read: {error}", remedy="download the model again"
        ) from error
    if config.get("model_type") != LEGACY:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        native = Path(temporary)
        for file in folder.iterdir():
            if file.name not in {"config.json", "tokenizer_config.json"}:
                (native / file.name).symlink_to(file.resolve())
        (native / "config.json").write_bytes(orjson.dumps(native_config(config)))
        tokenizer = folder / "tokenizer_config.json"
        if tokenizer.is_file():
            settings = orjson.loads(tokenizer.read_bytes())
            # XLMRobertaTokenizer would rebuild the normaliser; this class takes tokenizer.json
            # as it is.
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
            (native / tokenizer.name).write_bytes(orjson.dumps(settings))
        yield native
