"""The encoder that a name stands for (`RESOLVER_ENCODER`).

A name is looked up in this order (`form_of`):

1. ``builtin``: the static encoder of the package;
2. a folder with `static.WEIGHTS`, as ``resolver train --part encoder`` writes it: a static encoder;
3. anything else, a folder or a hub id: a sentence-transformers model, in torch.

To add another form of encoder: write a class that is an `Encoder` in a module of its own, with a
function that loads it; add a member to `EncoderForm` and say in `form_of` which names mean it;
call the function in `load`; say in `runs_in_torch` whether it runs in torch. Then add it to
docs/models.md and to tests/encoder/test_loading.py.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from resolver import weights
from resolver.encoder import Encoder
from resolver.encoder.static import WEIGHTS, load_static
from resolver.settings import BUILTIN


class EncoderForm(StrEnum):
    """What a name stands for."""

    BUILTIN = "builtin"
    STATIC = "static"
    SENTENCE_TRANSFORMERS = "sentence-transformers"


def form_of(name: str) -> EncoderForm:
    """The form of encoder that a name stands for; loads nothing."""
    if name == BUILTIN:
        return EncoderForm.BUILTIN
    if (Path(name) / WEIGHTS).is_file():
        return EncoderForm.STATIC
    return EncoderForm.SENTENCE_TRANSFORMERS


def runs_in_torch(name: str) -> bool:
    """Whether the encoder of this name runs in torch, so that it may use a GPU."""
    return form_of(name) is EncoderForm.SENTENCE_TRANSFORMERS


def load(name: str, device: str | None) -> Encoder:
    """Load the encoder of a name.

    `device` is torch's ("cpu", "cuda", "cuda:1"; None: the best there is); static encoders run on
    the CPU and ignore it.

    Raises:
        ModelError: the model cannot be loaded.
    """
    match form_of(name):
        case EncoderForm.BUILTIN:
            return load_static(weights.BUILTIN_FOLDER / "encoder", name=BUILTIN)
        case EncoderForm.STATIC:
            return load_static(Path(name), name=name)
        case EncoderForm.SENTENCE_TRANSFORMERS:
            # Imports torch, which the static forms do without.
            from resolver.encoder.sentence import load_sentence_encoder

            return load_sentence_encoder(name, device)
