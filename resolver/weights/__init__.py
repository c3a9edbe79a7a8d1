"""Model files: where they are, how they are read, and their fingerprints.

The built-in models lie in `BUILTIN_FOLDER`: ``tokenizer.json`` serves both, ``encoder/`` and
``reranker/`` hold the weights, README.md is the model card.

Hugging Face checkpoints, local or from a hub, are opened in one place:
`resolver.weights.checkpoints.opened`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from resolver.errors import ModelError

BUILTIN_FOLDER = Path(__file__).parents[1] / "builtin"
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


def shared_tokenizer(path: Path) -> Tokenizer:
    """The same for all who load the same file, one after the other; nobody may change it.

    The built-in encoder and reranker do, and the tokenizer takes 75 MB.

    Raises:
        ModelError: as `read_tokenizer`.
    """
    try:
        state = path.stat()
    except OSError:
        return read_tokenizer(path)
    return _last_tokenizer(path.resolve(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _last_tokenizer(path: Path, _changed: int, _size: int) -> Tokenizer:
    return read_tokenizer(path)


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
