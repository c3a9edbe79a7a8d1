"""The files of a checkpoint that are read before any model is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from resolver.errors import ModelError

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
MODULES = "modules.json"
GOLDEN = "golden.json"
"""Logits that the loaded model must reproduce (`resolver models check`); not part of the model."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file.

    Raises:
        ModelError: the file is missing, damaged, or holds something else.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(
            f"{path} cannot be read: {error}", remedy="download the model again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object", remedy="download the model again")
    return content


def first_line(error: BaseException) -> str:
    """The first line of an error's message: libraries add advice on further lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
