"""The resolver version in use → a pin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from resolver.backfill.folder import Folder
from resolver.backfill.pin import (
    FORM,
    NAME,
    OVERRIDES,
    HeldOverrides,
    Pin,
    PinnedFile,
    digest,
    read_if_any,
)
from resolver.database import overrides as stored_overrides
from resolver.errors import BackfillError
from resolver.index.embedded import EmbeddedStore
from resolver.release.progress import StepProgress, no_progress
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.service.version import MODELS
from resolver.settings import BUILTIN


def make(
    installation: Installation, folder: Folder, *, progress: StepProgress = no_progress
) -> Pin:
    """Write the version in use, with the overrides that hold and the policy of the settings.

    `pin.json` is written last; until then the folder is no pin. A pin of the same fingerprint is
    left as it is.

    Raises:
        BackfillError: another pin is in the folder.
        and as `resolver.service.service.open_service`.
    """
    with open_service(installation, writes=False) as service:
        version = service.version
        held = stored_overrides.by_hash(installation.engine)
        listed = _overrides_to_lines(held)
        copied = dict(_files_of_index(installation, version.index_version or ""))
        models, of_models = _models(version.configuration)
        pin = Pin(
            form=FORM,
            version={
                "id": version.id,
                "release": version.release,
                "index_version": version.index_version,
                "configuration": dict(version.configuration),
                "settings": dict(version.settings),
                "encoder": list(version.encoder),
                "reranker": list(version.reranker),
            },
            release_sha256=service.matcher.recall.index.manifest.release_sha256,
            policy=service.matcher.policy.as_object(),
            overrides=digest(listed),
            models=models,
            files=(),
            folders=_empty_folders(installation, version.index_version or ""),
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if (before := read_if_any(folder)) is not None:
            if before.fingerprint == pin.fingerprint:
                return before
            raise BackfillError(
                f"{folder.address} has another pin, {before.describe()}",
                remedy="name another folder: runs that were planned with that one need it",
            )
        folder.write(OVERRIDES, listed)
        files = [PinnedFile(OVERRIDES, len(listed), digest(listed))]
        copied |= of_models
        with progress("bytes") as report:
            size = sum(path.stat().st_size for path in copied.values())
            done = 0
            for name, path in copied.items():
                folder.upload(path, name)
                files.append(PinnedFile(name, path.stat().st_size, _digest_of(path)))
                done += files[-1].size
                report(done, size)
        pin = replace(pin, files=files)
        folder.write(NAME, orjson.dumps(asdict(pin), option=orjson.OPT_INDENT_2))
    return pin


def _overrides_to_lines(held: HeldOverrides) -> bytes:
    lines = [
        orjson.dumps({"text_hash": key.hex(), "override": asdict(replace(override, name=None))})
        for key, of_text in sorted(held.items())
        for override in of_text
    ]
    return b"".join(line + b"\n" for line in lines)


def _index_folder(installation: Installation, version: str) -> Path | None:
    """None where the index is on a server."""
    store = installation.store
    return store.folder(version) if isinstance(store, EmbeddedStore) else None


def _files_of_index(installation: Installation, version: str) -> Iterator[tuple[str, Path]]:
    if folder := _index_folder(installation, version):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield f"index/versions/{version}/{path.relative_to(folder)}", path


def _empty_folders(installation: Installation, version: str) -> list[str]:
    folder = _index_folder(installation, version)
    return [
        f"index/versions/{version}/{path.relative_to(folder)}"
        for path in (sorted(folder.rglob("*")) if folder else ())
        if folder and path.is_dir() and not any(path.iterdir())
    ]


def _models(configuration: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Path]]:
    """The settings that name a path, each with where the model is in the pin; and their files."""
    models, files = {}, {}
    for setting in MODELS:
        value = configuration.get(setting)
        if not value or value == BUILTIN or not (path := Path(value)).exists():
            continue
        models[setting] = f"models/{setting}/{path.name}"
        for file in sorted(path.rglob("*")) if path.is_dir() else (path,):
            if file.is_file():
                below = file.relative_to(path) if path.is_dir() else ""
                files[f"{models[setting]}/{below}".rstrip("/")] = file
    return models, files


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
