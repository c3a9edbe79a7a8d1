"""Checks of a loaded reranker: are its scores those of the model that it claims to be?"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from resolver import weights
from resolver.errors import ModelError
from resolver.reranker import Pair, Reranker
from resolver.reranker.cross_encoder import CrossEncoderReranker
from resolver.reranker.onnx import MODEL, OnnxReranker
from resolver.settings import BUILTIN
from resolver.weights import checkpoints, files, gte, soundness

FLOAT_TOLERANCE = 1e-3
"""Logits of one float32 model on two machines differ by the order of their sums alone; a wrong
rotary embedding, tokenizer or weight moves them by far more."""

INT8_TOLERANCE = 0.1
"""Processors round int8 products differently where a sum would overflow."""

BATCH_TOLERANCE = 1e-3
"""Between a pair alone and beside longer ones, which pad it."""


SPEED_ROUNDS = 16
"""How often `PAIRS` are scored for the speed: 128 pairs, seconds for a large model on a CPU."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `passed` None is for information."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Golden:
    """Logits that a load must reproduce within `tolerance`, and where they come from."""

    source: str
    tolerance: float
    logits: Mapping[Pair, float]


_GTE_CARD = Golden(
    source="the example pairs of the model card and one more, in float32, to four decimals",
    tolerance=FLOAT_TOLERANCE,
    logits={
        ("中国的首都在哪儿", "北京"): 1.2315,
        ("what is the capital of China?", "北京"): 0.5923,
        ("how to implement quick sort in python?", "Introduction of quick sort"): 0.3041,
        ("What is Deep Learning?", "Deep Learning is not..."): -0.7417,
    },
)

PUBLISHED: Mapping[str, Golden] = {
    "Alibaba-NLP/gte-multilingual-reranker-base": _GTE_CARD,
    # The same weights, saved in the native form.
    "alibaba-nlp-community/gte-multilingual-reranker-base": _GTE_CARD,
}
"""Golden logits by hub id."""

PAIRS: Sequence[Pair] = (
    *_GTE_CARD.logits,
    ("University of Bonn, Bonn, Germany", "Department of Geophysics, University of Bonn, Germany"),
    ("Université Toulouse", "National Polytechnic Institute of Toulouse"),
    ("東京大学大学院医学系研究科", "東京大学 (The University of Tokyo), Tokyo, Japan"),
    (
        "Division of Pulmonary and Critical Care Medicine, University of North Carolina School of "
        "Medicine, Chapel Hill, North Carolina",
        "University of North Carolina at Chapel Hill, Chapel Hill, United States",
    ),
)
"""Pairs of many lengths and scripts, which every check scores and `write_golden` records."""


def check(reranker: Reranker, name: str, *, golden: str | None = None) -> list[Check]:
    """Check a reranker that was loaded by its name.

    `golden` names a file that `write_golden` wrote, or a hub id of `PUBLISHED`; None takes those
    of the model itself: by its id, or from ``golden.json`` beside its weights.

    Raises:
        ModelError: the golden logits cannot be read.
    """
    expected = _golden(name, golden)
    lines = [*_about(reranker, name), _alone(reranker)]
    if expected is not None:
        lines.append(_reproduces(reranker, expected))
    else:
        lines.append(Check("golden logits", None, "none are known for this model"))
    lines.append(_speed(reranker))
    return lines


def _speed(reranker: Reranker) -> Check:
    """Pairs a second, on this machine as it is now; each pair another one, as in use."""
    pairs = [
        (f"{number} {affiliation}", document)
        for number in range(SPEED_ROUNDS)
        for affiliation, document in PAIRS
    ]
    reranker.score(pairs[: len(PAIRS)])
    started = time.perf_counter()
    reranker.score(pairs)
    seconds = time.perf_counter() - started
    return Check("speed", None, f"{len(pairs) / seconds:,.0f} pairs/s, {len(pairs)} pairs at once")


def write_golden(reranker: Reranker, name: str, path: Path | None) -> Path:
    """Record what this load answers to `PAIRS`, for a check elsewhere; returns the file.

    `path` None writes ``golden.json`` beside the weights.

    Raises:
        ModelError: the file cannot be written, or the weights are no folder of one's own.
    """
    if path is None:
        folder = _folder(name)
        if folder is None:
            raise ModelError(f"{name} is no folder to write to", remedy="name a file: --golden")
        path = folder / files.GOLDEN
    logits = reranker.score(PAIRS)
    int8 = isinstance(reranker, OnnxReranker)
    content = {
        "source": f"{name}, fingerprint {reranker.fingerprint}",
        "tolerance": INT8_TOLERANCE if int8 else FLOAT_TOLERANCE,
        "pairs": [
            {"affiliation": pair[0], "document": pair[1], "logit": round(float(logit), 6)}
            for pair, logit in zip(PAIRS, logits, strict=True)
        ],
    }
    try:
        path.write_bytes(
            orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {error.strerror}", remedy="name another file: --golden"
        ) from error
    return path


def read_golden(path: Path) -> Golden:
    """What `write_golden` wrote.

    Raises:
        ModelError: the file is missing, damaged or empty.
    """
    stored = files.read_json(path)
    try:
        golden = Golden(
            source=str(stored["source"]),
            tolerance=float(stored["tolerance"]),
            logits={
                (str(pair["affiliation"]), str(pair["document"])): float(pair["logit"])
                for pair in stored["pairs"]
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} holds no golden logits: {error!r}",
            remedy="write it anew: resolver models check MODEL --write-golden",
        ) from error
    numbers = (golden.tolerance, *golden.logits.values())
    if not golden.logits or not all(map(math.isfinite, numbers)) or golden.tolerance < 0:
        raise ModelError(
            f"{path} holds no golden logits that could be compared",
            remedy="write it anew: resolver models check MODEL --write-golden",
        )
    return golden


def _golden(name: str, asked: str | None) -> Golden | None:
    if asked is not None:
        return PUBLISHED[asked] if asked in PUBLISHED else read_golden(Path(asked))
    if name in PUBLISHED:
        return PUBLISHED[name]
    folder = _folder(name)
    path = folder / files.GOLDEN if folder else None
    return read_golden(path) if path and path.is_file() else None


def _folder(name: str) -> Path | None:
    if name == BUILTIN:
        return weights.BUILTIN_FOLDER / "reranker"
    return Path(name) if Path(name).is_dir() else None


def _about(reranker: Reranker, name: str) -> list[Check]:
    """What the files are. They were loaded, so the checks of loading have passed."""
    if isinstance(reranker, CrossEncoderReranker):
        return _about_checkpoint(name)
    folder = _folder(name)
    if isinstance(reranker, OnnxReranker) and folder is not None:
        size = (folder / MODEL).stat().st_size
        return [
            Check("architecture", True, "an ONNX graph with int8 products"),
            Check("weights", True, f"{MODEL}, {size / 1e6:.1f} MB"),
        ]
    return []


def _about_checkpoint(name: str) -> list[Check]:
    source = checkpoints.located(name)
    legacy = gte.is_legacy(files.read_json(source / files.CONFIG))
    with checkpoints.opened(name, source=source) as folder:
        config = files.read_json(folder / files.CONFIG)
        stored = sorted(folder.glob("*.safetensors"))
        tensors = [tensor for file in stored for tensor in checkpoints.tensors(file).items()]
        size = sum(file.stat().st_size for file in stored)
    kept = {key: value for key, value in tensors if not soundness.HARMLESS.search(key)}
    parameters = sum(math.prod(shape) for _, shape in kept.values())
    types = ", ".join(sorted({dtype for dtype, _ in kept.values()}))
    sizes = ", ".join(
        f"{config[key]} {what}"
        for key, what in (("num_hidden_layers", "layers"), ("hidden_size", "wide"))
        if key in config
    )
    kind = next(iter(config.get("architectures") or [config["model_type"]]))
    lines = [
        Check("architecture", True, f"{kind}, {sizes}" if sizes else str(kind)),
        Check("parameters", True, f"{parameters / 1e6:,.2f} million, every one found"),
        Check(
            "form",
            True,
            "translated from the remote-code form" if legacy else "native to transformers",
        ),
        Check("weights", True, f"safetensors, {types}, {size / 1e6:,.1f} MB"),
    ]
    if rope := config.get("rope_parameters"):
        settings = ", ".join(f"{key} {value}" for key, value in sorted(rope.items()))
        lines.insert(3, Check("rotary embedding", True, settings))
    has_file = (source / weights.TOKENIZER).is_file()
    lines.append(
        Check(
            "tokenizer",
            True,
            "the ids of tokenizer.json" if has_file else "made from a vocabulary file",
        )
    )
    return lines


def _alone(reranker: Reranker) -> Check:
    together = reranker.score(PAIRS)
    alone = np.concatenate([reranker.score([pair]) for pair in PAIRS])
    difference = float(np.abs(together - alone).max())
    return Check(
        "alone as in a batch",
        bool(np.isfinite(together).all() and difference <= BATCH_TOLERANCE),
        f"largest difference {difference:.1e}, allowed {BATCH_TOLERANCE:.0e}",
    )


def _reproduces(reranker: Reranker, golden: Golden) -> Check:
    pairs = list(golden.logits)
    expected = np.array(list(golden.logits.values()))
    difference = np.abs(reranker.score(pairs) - expected)
    worst = int(np.argmax(np.where(np.isfinite(difference), difference, np.inf)))
    detail = (
        f"largest difference {difference[worst]:.1e} over {len(pairs)} pairs, allowed "
        f"{golden.tolerance:.0e}; from {golden.source}"
    )
    return Check("golden logits", bool((difference <= golden.tolerance).all()), detail)
