"""A training run in its folder: its options, its mined data, and whether it is finished.

::

    run.json        the options and data it was started with; written first
    data/           mined pairs, evaluation samples, shortlists: mined once, read by every process
    start/          the base model as the training begins with it
    checkpoints/    what an interrupted run continues from
    training.json   settings, data, figures, log; there when the run is finished
    README.md       the model card
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import orjson

from resolver.errors import ModelError
from resolver.registry.organisation import Organisation
from resolver.training.affiliations import Sample, SampleKind
from resolver.training.pairs import LabelledPair
from resolver.training.ranking import LabelledShortlist
from resolver.training.reranker import CHECKPOINTS, START

RUN = "run.json"
RESULT = "training.json"
REPORT = "report.json"
CARD = "README.md"
DATA = "data"

WRITTEN = ("config.json", "model.safetensors", CARD, REPORT, RESULT)
"""Files of a finished run, beside the tokenizer and the ONNX form."""

Identity = dict[str, Any]
"""The options and data of a run, as JSON: two runs of the same identity give the same model."""

Row = TypeVar("Row", LabelledPair, Sample, LabelledShortlist)


class Stage(StrEnum):
    """How far a run has come: nothing mined yet, or its pairs are mined."""

    NEW = "new"
    MINED = "mined"


@dataclass(frozen=True, slots=True)
class MinedData:
    """The data that a run is trained and measured on.

    `pairs` are for training, `samples` for evaluation; `shortlists` are the first stage's
    candidates for held-out strings. `counts` has the sizes of all of it, for the card.
    """

    pairs: tuple[LabelledPair, ...]
    samples: tuple[Sample, ...]
    shortlists: tuple[LabelledShortlist, ...]
    counts: dict[str, int]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def registry_digest(organisations: Iterable[Organisation]) -> str:
    """32 hexadecimal digits that change with any record of the registry."""
    digest = hashlib.blake2b(digest_size=16)
    for organisation in organisations:
        digest.update(orjson.dumps(organisation, default=sorted))
    return digest.hexdigest()


def begin(out: Path, identity: Identity, *, overwrite: bool) -> Stage:
    """Begin a run in its folder, or continue an interrupted one; returns how far it has come.

    Raises:
        ModelError: the folder holds a finished run, one with other options or data, or other files.
    """
    begun = _read(out / RUN)
    if begun is None:
        if taken := [name for name in WRITTEN if (out / name).exists()]:
            raise ModelError(
                f"{out} holds {taken[0]} of something else, which training would overwrite",
                remedy="choose another folder",
            )
        stage = Stage.NEW
    elif not any((out / name).exists() for name in (DATA, RESULT)):
        # Nothing was mined or trained yet, so other options are no contradiction.
        stage = Stage.NEW
    elif overwrite:
        for path in out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        stage = Stage.NEW
    elif changed := differences(begun, identity):
        raise ModelError(
            f"{out} holds a training that was started otherwise: {'; '.join(changed)}",
            remedy="give the same options and data, another folder, or --overwrite",
        )
    elif (out / RESULT).is_file():
        raise ModelError(
            f"{out} holds a finished model",
            remedy="choose another folder, or give --overwrite to train it anew",
        )
    else:
        stage = Stage.MINED
    if stage is Stage.NEW:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / RUN, identity)
    return stage


def differences(begun: Identity, now: Identity, path: str = "") -> list[str]:
    """ "training.epochs was 2.0, is 3.0", for each leaf that differs."""
    changed = []
    for name in sorted({*begun, *now}):
        was, new = begun.get(name), now.get(name)
        if isinstance(was, dict) and isinstance(new, dict):
            changed += differences(was, new, f"{path}{name}.")
        elif was != new:
            changed.append(f"{path}{name} was {was}, is {new}")
    return changed


def identity(**parts: Any) -> Identity:
    """The parts as plain JSON, so that they can be compared with what was read from a file."""
    plain: Identity = orjson.loads(orjson.dumps(parts, default=_plain))
    return plain


def save(out: Path, data: MinedData) -> None:
    """Write the mined data of a run: all of it or nothing."""
    draft = out / f"{DATA}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in ("pairs", "samples", "shortlists"):
        rows = getattr(data, name)
        (draft / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    _write(draft / "counts.json", data.counts)
    draft.rename(out / DATA)


def load(out: Path) -> MinedData:
    """Read what `save` wrote.

    Raises:
        ModelError: it is missing or damaged.
    """
    try:
        return MinedData(
            pairs=tuple(LabelledPair(**row) for row in _lines(out / DATA / "pairs.jsonl")),
            samples=tuple(
                Sample(
                    SampleKind(row["kind"]),
                    row["query"],
                    tuple(row["positive"]),
                    tuple(row["negative"]),
                )
                for row in _lines(out / DATA / "samples.jsonl")
            ),
            shortlists=tuple(
                LabelledShortlist(
                    **row
                    | {
                        "pairs": tuple(
                            (affiliation, document) for affiliation, document in row["pairs"]
                        ),
                        "verdicts": tuple(row["verdicts"]),
                    }
                )
                for row in _lines(out / DATA / "shortlists.jsonl")
            ),
            counts=orjson.loads((out / DATA / "counts.json").read_bytes()),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the mined data in {out / DATA} cannot be read: {error}",
            remedy="train anew with --overwrite",
        ) from error


def finish(out: Path, result: Identity) -> None:
    """Write the result of the run and remove what only the training needed."""
    for name in (START, CHECKPOINTS, DATA):
        shutil.rmtree(out / name, ignore_errors=True)
    _write(out / RESULT, result)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple | frozenset):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _lines(path: Path) -> Sequence[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def _read(path: Path) -> Identity | None:
    try:
        content: Identity = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelError(
            f"{path} cannot be read: {error}", remedy="choose another folder"
        ) from error
    return content


def _write(path: Path, content: Any) -> None:
    """Write a file completely or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    draft.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    draft.replace(path)
