"""Model files: where they are, how they are read, and what identifies them.

The built-in models lie in `BUILTIN_FOLDER`: ``tokenizer.json`` serves both, ``encoder/`` and
``reranker/`` hold the weights, README.md is the model card.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from resolver.errors import ModelError

BUILTIN_FOLDER = Path(__file__).parent / "builtin"
TOKENIZER = "tokenizer.json"
REMEDY = "install the package again, or name another model"


def read(path: Path) -> bytes:
    """The bytes of a weight file.

    Raises:
        ModelError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model file {path} cannot be read: {error.strerror}", remedy=REMEDY
        ) from error


def tokenizer_path(folder: Path) -> Path:
    """The tokenizer of a model folder: its own, else the one that its parent shares."""
    own = folder / TOKENIZER
    return own if own.is_file() else folder.parent / TOKENIZER


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer without padding and truncation, whatever the file says.

    Raises:
        ModelError: the file is missing or is no tokenizer.
    """
    content = read(path)
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    # tokenizers raises bare Exception for any malformed file.
    except Exception as error:
        raise ModelError(f"{path} is not a tokenizer: {error}", remedy=REMEDY) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def write_tokenizer(content: str, path: Path) -> None:
    """Write a tokenizer.json compactly, without padding and truncation."""
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    path.write_text(tokenizer.to_str(), encoding="utf-8")


def fingerprint(paths: Iterable[Path]) -> str:
    """32 hexadecimal digits of BLAKE2b over the content of files, in the order given.

    Raises:
        ModelError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(hashlib.blake2b(read(path)).digest())
    return digest.hexdigest()


def encodable(text: str) -> str:
    """A text with a UTF-8 form, which tokenizers need: lone surrogates become "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib")
"""Weight files that can run code when they are loaded."""

UNUSED = (*PICKLES, "*.py", "*.h5", "*.msgpack", "onnx/*", "openvino/*", "*.onnx", "*.gguf")
"""Files of a hub repository that are not downloaded: pickles, code, other frameworks' forms."""


def checkpoint(name: str) -> Path:
    """The folder of a Hugging Face model: the local path itself, or its download by hub id.

    Raises:
        ModelError: there is no such folder or repository, it cannot be reached, or it has no
            safetensors weights. Pickled weights and code are neither downloaded nor loaded.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _downloaded(name)
    if not any(folder.rglob("*.safetensors")):
        pickled = any(path for pattern in PICKLES for path in folder.rglob(pattern))
        raise ModelError(
            f"{name} has no safetensors weights" + (", only pickled ones" if pickled else ""),
            remedy="convert it to safetensors: pickled weights are never loaded",
        )
    return folder


def _downloaded(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise _needs_models(name) from error
    try:
        return Path(snapshot_download(name, ignore_patterns=list(UNUSED)))
    # huggingface_hub's HTTP and cache errors are OSErrors, its refusal of a name a ValueError.
    except (OSError, HFValidationError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{name} is no folder, and no model of that name could be had: {first}",
            remedy="check the name and the network, or give the path of a downloaded model",
        ) from error


def _needs_models(name: str) -> ModelError:
    return ModelError(
        f"{name} needs sentence-transformers",
        remedy="install it: pip install 'affiliation-resolver[models]'",
    )


def require_models(name: str) -> None:
    """Raise `ModelError` unless sentence-transformers is installed; imports nothing."""
    if importlib.util.find_spec("sentence_transformers") is None:
        raise _needs_models(name)


def checkpoint_fingerprint(folder: Path) -> str:
    """Fingerprint of a checkpoint: its weights, configurations and tokenizer, by sorted path."""
    kept = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in {".safetensors", ".json", ".txt", ".model"} and path.is_file()
    ]
    return fingerprint(kept)
