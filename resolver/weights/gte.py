"""The configuration of older GTE checkpoints, translated to that of transformers.

``Alibaba-NLP/gte-multilingual-reranker-base``, its fine-tunes and its sister encoders were
published with code of their own (`model_type` "new", `auto_map`). transformers 5.23 has the same
network as "gte" and converts the names of the weights; only the configuration has to be translated.
What cannot be translated is refused: with a wrong rotary embedding the model would load without an
error and rank badly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resolver.errors import ModelError

LEGACY = "new"
NATIVE = "gte"

_ARCHITECTURE = "New"
"""Prefix of the older classes: NewForSequenceClassification is GteForSequenceClassification."""

_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30528,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.0,
    "max_position_embeddings": 2048,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-12,
}
"""What the older configuration class takes for a key that is not there (NewConfig of
``Alibaba-NLP/new-impl``), where "gte" takes something else or might one day."""

_STATED = ("hidden_size", "num_attention_heads", "rope_theta", "rope_scaling")
"""Keys that every published configuration has, and whose defaults nobody should rely on: one
without them was edited."""

_ONLY_SPEED = ("unpad_inputs", "use_memory_efficient_attention")
"""How the older code computed, not what."""

_TRANSLATED = (
    "architectures",
    "auto_map",
    "layer_norm_type",
    "logn_attention_clip1",
    "logn_attention_scale",
    "model_type",
    "pack_qkv",
    "position_embedding_type",
    "rope_scaling",
    "rope_theta",
    "transformers_version",
    *_ONLY_SPEED,
)


def is_legacy(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is of the remote-code kind."""
    return config.get("model_type") == LEGACY


def native_config(legacy: Mapping[str, Any]) -> dict[str, Any]:
    """The "gte" configuration of a "new" one; keys that mean the same are kept.

    Raises:
        ModelError: something in it has no counterpart in "gte".
    """
    for key in _STATED:
        if key not in legacy:
            raise _unknown(f"without {key}")
    required: dict[str, object] = {
        "position_embedding_type": "rope",
        "layer_norm_type": "layer_norm",
        "pack_qkv": True,
        "logn_attention_scale": False,
    }
    for key, value in required.items():
        if legacy.get(key, value) != value:
            raise _unknown(f"with {key} {legacy[key]!r}")
    classes = legacy.get("architectures") or [f"{_ARCHITECTURE}ForSequenceClassification"]
    if not all(str(name).startswith(_ARCHITECTURE) for name in classes):
        raise _unknown(f"of the classes {classes!r}")
    return {
        **_DEFAULTS,
        **{key: value for key, value in legacy.items() if key not in _TRANSLATED},
        "model_type": NATIVE,
        "architectures": ["Gte" + str(name).removeprefix(_ARCHITECTURE) for name in classes],
        # The native class would fall back to the hidden dropout, 0.1. It is a matter of training
        # alone, and the checkpoints say null for none.
        "classifier_dropout": legacy.get("classifier_dropout") or 0.0,
        "rope_parameters": rope_parameters(legacy),
    }


def rope_parameters(legacy: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary embedding of a "new" configuration, in transformers' words.

    NTK scaling by f over base θ (https://kexue.fm/archives/9706) divides the frequencies of
    base θ·f by f^(2/d), where d is the width of a head: that is linear scaling by f^(2/d) over
    base θ·f. Without scaling the base is the configuration's own.

    Raises:
        ModelError: scaling of another kind.
    """
    scaling = legacy.get("rope_scaling")
    try:
        theta = float(legacy["rope_theta"])
        if not scaling:
            return {"rope_type": "default", "rope_theta": theta}
        factor = float(scaling["factor"])
        kind = scaling.get("type") or scaling.get("rope_type")
        width, left = divmod(int(legacy["hidden_size"]), int(legacy["num_attention_heads"]))
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise _unknown(
            f"with rope_theta {legacy.get('rope_theta')!r}, rope_scaling {scaling!r}"
        ) from error
    if kind != "ntk" or scaling.get("mixed_b") is not None or not 1 <= factor < math.inf:
        raise _unknown(f"with rope_scaling {scaling!r}")
    if left or width % 2:
        raise _unknown(f"with heads {legacy['hidden_size']}/{legacy['num_attention_heads']} wide")
    return {
        "rope_type": "linear",
        "rope_theta": theta * factor,
        "factor": factor ** (2 / width),
    }


def require_native_rope(config: Mapping[str, Any]) -> None:
    """Refuse a "gte" configuration that does not say its rotary embedding in full.

    transformers would fill in a default for what is missing, and would take the older keys for
    something else than they mean: both load without a word.

    Raises:
        ModelError: says what is wrong, and what the configuration should say.
    """
    rope = config.get("rope_parameters")
    older = {key: config[key] for key in ("rope_theta", "rope_scaling") if key in config}
    complete = isinstance(rope, dict) and "rope_theta" in rope and "rope_type" in rope
    if complete and not older.get("rope_scaling"):
        assert isinstance(rope, dict)
        if older.get("rope_theta") not in (None, rope["rope_theta"]):
            raise ModelError(
                f"config.json has two bases of the rotary embedding: rope_theta "
                f"{older['rope_theta']}, and {rope['rope_theta']} in rope_parameters",
                remedy="delete the wrong one",
            )
        if rope["rope_type"] not in _scalings():
            raise ModelError(
                f"config.json has a rotary embedding of an unknown kind, {rope['rope_type']!r}",
                remedy="use one that transformers has: " + ", ".join(sorted(_scalings())),
            )
        return
    if not older:
        raise ModelError(
            "config.json says model_type gte, but not its rotary embedding in full: a default "
            "would be taken, and the model would load without a word and rank badly",
            remedy='give it "rope_parameters" with "rope_type", "rope_theta" and, unless the type '
            'is default, "factor"; or take the config.json that the weights were published with',
        )
    try:
        meant = f', which would be "rope_parameters": {rope_parameters(config)}'
    except ModelError:
        meant = ""
    raise ModelError(
        f"config.json says model_type gte, but its rotary embedding in the words of the older "
        f"code ({', '.join(f'{key} {value!r}' for key, value in older.items())}): it would load "
        "without a word, turn positions by the wrong angles and rank badly",
        remedy='take the config.json that the weights were published with ("model_type": "new"): '
        f"it is translated{meant}",
    )


def _scalings() -> set[str]:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    return {"default", *ROPE_INIT_FUNCTIONS}


def _unknown(what: str) -> ModelError:
    return ModelError(
        f"a GTE checkpoint {what} is not known",
        remedy="give one as it was published, or one whose config.json says model_type gte",
    )
