"""A pin: all that answers depend on, in one folder, so that every node answers alike.

::

    pin/
    ├── pin.json            the resolver version, the policy, a digest of each file; written last
    ├── overrides.jsonl     curators' decisions that held when it was made
    ├── index/versions/…    the index version; none where it is on a Qdrant server
    └── models/<setting>/…  models that a setting names by a path

A node copies the folder to its own disk once, checks each digest, and refuses to answer with models
other than those of the pin.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from resolver import disk
from resolver.backfill.folder import Folder
from resolver.errors import BackfillError
from resolver.matching.override import Override

FORM = 1
"""Of the files of a pin; rises when they change."""

NAME = "pin.json"
OVERRIDES = "overrides.jsonl"

HeldOverrides = Mapping[bytes, Sequence[Override]]
"""Hash of a text → the overrides that hold for it."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """`digest` is BLAKE2b of 32 bytes, in hexadecimal; `size` in bytes."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Pin:
    """What answers. `version` is the resolver version's row, without what changes while it is in
    use; `policy` has all choices; `models` says which settings name a model of the pin, and where
    it is; `folders` are those of the index that are empty.
    """

    form: int
    version: Mapping[str, Any]
    release_sha256: str
    policy: Mapping[str, Any]
    overrides: str
    """Digest of the overrides."""
    models: Mapping[str, str]
    files: Sequence[PinnedFile]
    folders: Sequence[str]
    made_at: str

    @cached_property
    def answering(self) -> str:
        """Digest of all that a text's answer depends on beside its overrides."""
        version = self.version
        parts = {
            "release": [version["release"], self.release_sha256],
            "index": version["index_version"],
            "encoder": version["encoder"][1],
            "reranker": version["reranker"][1],
            "settings": version["settings"],
            "policy": self.policy,
        }
        return digest(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all: two pins of one fingerprint give the same answers."""
        return digest(f"{self.answering} {self.overrides}".encode())

    @property
    def has_index(self) -> bool:
        """Whether the index is in it, and not on a server."""
        return any(file.name.startswith("index/") for file in self.files)

    def describe(self) -> str:
        """For a person: short fingerprint, release and models."""
        version = self.version
        models = f"{version['encoder'][0]}, {version['reranker'][0]}"
        return f"{self.fingerprint[:12]} (release {version['release']}, {models})"


_PIN = TypeAdapter(Pin)
_OVERRIDE = TypeAdapter(Override)


def read(folder: Folder) -> Pin:
    """
    Raises:
        BackfillError: there is no pin, it is unfinished, or of another form.
    """
    pin = read_if_any(folder)
    if pin is None:
        raise BackfillError(
            f"{folder.address} has no {NAME}, so there is no finished pin",
            remedy=f"run: resolver backfill pin {folder.address}",
        )
    return pin


def read_if_any(folder: Folder) -> Pin | None:
    """As `read`; None where there is no finished pin."""
    pin = folder.read_object(NAME, _PIN, remedy="make the pin again")
    if pin is not None and pin.form != FORM:
        raise BackfillError(
            f"{folder.address} is a pin of form {pin.form}, this program reads form {FORM}",
            remedy="make it again, with this program",
        )
    return pin


def require_same(pin: Pin, fingerprint: str, *, what: str) -> None:
    """Refuse a pin other than the one that `what` was made with.

    Raises:
        BackfillError: the fingerprints differ.
    """
    if pin.fingerprint != fingerprint:
        raise BackfillError(
            f"{what} is of the pin {fingerprint[:12]}, not of {pin.describe()}",
            remedy="two pins never answer in one run: use the pin that it was planned with, or "
            "plan another run with this one (--previous takes over what stays the same)",
        )


def fetch(folder: Folder, pin: Pin, scratch: Path) -> Path:
    """The pin's files on this machine, copied once and checked; returns their folder.

    Any number of processes may ask at a time: one copies, the others wait for it.

    Raises:
        BackfillError: a file differs from its digest.
        DiskFull: there is no room.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    whole = scratch / pin.fingerprint
    with (scratch / f"{pin.fingerprint}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if whole.is_dir():
            if whole.stat().st_uid != os.getuid():
                raise BackfillError(
                    f"{whole} is another user's", remedy="name a folder of your own: --scratch"
                )
            return whole
        fragment = scratch / f".{pin.fingerprint}"
        shutil.rmtree(fragment, ignore_errors=True)
        fragment.mkdir()
        disk.require(fragment, sum(file.size for file in pin.files), "a copy of the pin")
        for name in pin.folders:
            (fragment / name).mkdir(parents=True, exist_ok=True)
        for file in pin.files:
            _fetch_file(folder, file, fragment / file.name)
        fragment.rename(whole)
    return whole


def _fetch_file(folder: Folder, file: PinnedFile, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(digest_size=32)
    with disk.writing(target), target.open("wb") as written:
        try:
            for block in folder.blocks(file.name):
                digest.update(block)
                written.write(block)
        except FileNotFoundError as error:
            raise _damaged(folder, file.name, "is missing") from error
    if digest.hexdigest() != file.digest:
        raise _damaged(folder, file.name, "is not what was pinned")


def _damaged(folder: Folder, name: str, problem: str) -> BackfillError:
    return BackfillError(
        f"{folder.address}/{name} {problem}",
        remedy="make the pin again in a new folder, and name it with --pin",
    )


def overrides(copy: Path) -> HeldOverrides:
    """The overrides of a pin whose files are at `copy`."""
    return overrides_of_lines((copy / OVERRIDES).read_bytes())


def overrides_of_lines(lines: bytes) -> dict[bytes, list[Override]]:
    held: dict[bytes, list[Override]] = {}
    for line in lines.splitlines():
        row = orjson.loads(line)
        override = _OVERRIDE.validate_python(row["override"])
        held.setdefault(bytes.fromhex(row["text_hash"]), []).append(override)
    return held


def changed_overrides(folder: Folder, other: Folder) -> set[bytes]:
    """Hashes of the texts about which curators had decided otherwise at the time of `other`."""
    here, there = (overrides_of_lines(each.read(OVERRIDES) or b"") for each in (folder, other))
    return {key for key in here.keys() | there.keys() if here.get(key) != there.get(key)}


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=32).hexdigest()
