"""Which reranker a setting means."""

from __future__ import annotations

from pathlib import Path

from resolver import weights
from resolver.reranker import Reranker
from resolver.reranker.onnx import MODEL, load_onnx
from resolver.settings import BUILTIN


def load(name: str, device: str | None, *, threads: int | None = None) -> Reranker:
    """The built-in reranker, a folder that `resolver train` exported, or any cross-encoder.

    `device` is torch's ("cpu", "cuda", "cuda:1"); the ONNX forms run on the
    CPU, on `threads` threads (None: one for each core), and leave it.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if name == BUILTIN:
        return load_onnx(weights.BUILTIN_FOLDER / "reranker", name=BUILTIN, threads=threads)
    if (Path(name) / MODEL).is_file():
        return load_onnx(Path(name), name=name, threads=threads)
    from resolver.reranker.cross_encoder import load_cross_encoder

    return load_cross_encoder(name, device)
