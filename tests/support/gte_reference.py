"""The GTE cross-encoder from the definition of its architecture, in float64 and plain NumPy.

It reads a checkpoint of the older, remote-code form as it was published: configuration and
safetensors. It shares nothing with what it judges; no model library is imported.

X. Zhang et al., "mGTE: Generalized Long-Context Text Representation and Reranking Models for
Multilingual Text Retrieval", 2024: BERT with rotary positions (J. Su et al., "RoFormer", 2021;
NTK scaling as in https://kexue.fm/archives/9706) and gated linear units (N. Shazeer, "GLU
Variants Improve Transformer", 2020).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Floats = npt.NDArray[np.float64]

_ROWS = 512
"""Queries whose attention is held in memory at once."""

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Reference:
    """Scores token ids, one sequence at a time: no padding, no packing."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        tensors = load_file(folder / "model.safetensors")
        self.weights = {key: value.astype(np.float64) for key, value in tensors.items()}

    def frequencies(self) -> Floats:
        """Radians a token, shape (width / 2,): θ^(-2i/width), stretched by NTK scaling."""
        width = self.config["hidden_size"] // self.config["num_attention_heads"]
        exponents = np.arange(0, width, 2) / width
        scaling = self.config["rope_scaling"]
        if scaling is None:
            return self.config["rope_theta"] ** -exponents
        factor = scaling["factor"]
        return (self.config["rope_theta"] * factor) ** -exponents / factor ** (2 / width)

    def logit(self, ids: Sequence[int], types: Sequence[int] | None = None) -> float:
        """The score of one sequence of token ids."""
        pooled = np.tanh(self._linear(self.hidden(ids, types)[:1], "new.pooler.dense"))
        return float(self._linear(pooled, "classifier").item())

    def hidden(self, ids: Sequence[int], types: Sequence[int] | None = None) -> Floats:
        """The last layer's states of one sequence, shape (len(ids), hidden size)."""
        hidden = self._embed(np.asarray(ids), np.asarray(types or [0] * len(ids)))
        for layer in range(self.config["num_hidden_layers"]):
            hidden = self._layer(hidden, f"new.encoder.layer.{layer}")
        return hidden

    def _embed(self, ids: npt.NDArray[np.int64], types: npt.NDArray[np.int64]) -> Floats:
        hidden = self.weights["new.embeddings.word_embeddings.weight"][ids]
        if self.config["type_vocab_size"]:
            hidden = hidden + self.weights["new.embeddings.token_type_embeddings.weight"][types]
        return self._norm(hidden, "new.embeddings.LayerNorm")

    def _layer(self, hidden: Floats, name: str) -> Floats:
        attended = self._attention(hidden, f"{name}.attention")
        hidden = self._norm(hidden + attended, f"{name}.attn_ln")
        # The first half of the fused product goes up, the second is the gate.
        up, gate = np.split(hidden @ self.weights[f"{name}.mlp.up_gate_proj.weight"].T, 2, axis=-1)
        down = self._linear(up * _gelu(gate), f"{name}.mlp.down_proj")
        return self._norm(hidden + down, f"{name}.mlp_ln")

    def _attention(self, hidden: Floats, name: str) -> Floats:
        length, size = hidden.shape
        heads = self.config["num_attention_heads"]
        width = size // heads
        angles = np.arange(length)[:, None] * self.frequencies()
        cosine, sine = (np.tile(f(angles), 2) for f in (np.cos, np.sin))
        queries, keys, values = np.split(self._linear(hidden, f"{name}.qkv_proj"), 3, axis=-1)
        out = np.empty_like(hidden)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            q, k = (_rotated(x[:, part], cosine, sine) for x in (queries, keys))
            for start in range(0, length, _ROWS):
                rows = slice(start, start + _ROWS)
                scores = q[rows] @ k.T / math.sqrt(width)
                scores = np.exp(scores - scores.max(-1, keepdims=True))
                out[rows, part] = scores / scores.sum(-1, keepdims=True) @ values[:, part]
        return self._linear(out, f"{name}.o_proj")

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _gelu(x: Floats) -> Floats:
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def _rotated(x: Floats, cosine: Floats, sine: Floats) -> Floats:
    """Each pair (x_i, x_{i + width/2}) turned by its angle."""
    first, second = np.split(x, 2, axis=-1)
    return x * cosine + np.concatenate([-second, first], axis=-1) * sine
