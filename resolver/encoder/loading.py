"""Which encoder a setting means."""

from __future__ import annotations

from pathlib import Path

from resolver import weights
from resolver.encoder import Encoder
from resolver.encoder.static import WEIGHTS, load_static
from resolver.settings import BUILTIN


def load(name: str, device: str | None) -> Encoder:
    """The built-in encoder, a folder that `resolver train` wrote, or a sentence-transformers model.

    `device` is torch's ("cpu", "cuda", "cuda:1"); the static forms run on the CPU and leave it.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if name == BUILTIN:
        return load_static(weights.BUILTIN_FOLDER / "encoder", name=BUILTIN)
    if (Path(name) / WEIGHTS).is_file():
        return load_static(Path(name), name=name)
    from resolver.encoder.sentence import load_sentence_encoder

    return load_sentence_encoder(name, device)


def runs_in_torch(name: str) -> bool:
    """Whether `load` of this name computes in torch, so that it may use a GPU."""
    return name != BUILTIN and not (Path(name) / WEIGHTS).is_file()
