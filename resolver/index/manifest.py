"""The manifest as JSON, and checks against it. In both adapters it marks a version as complete."""

from __future__ import annotations

import dataclasses
import re

from pydantic import TypeAdapter, ValidationError

from resolver.encoder.statistics import Statistics
from resolver.errors import IndexProblem
from resolver.index import Manifest
from resolver.validation import first_problem

_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
_MANIFEST = TypeAdapter(Manifest)


def to_json(manifest: Manifest) -> dict[str, str | int]:
    """One key for each field."""
    return dataclasses.asdict(manifest)


def from_json(content: bytes, *, where: str) -> Manifest:
    """The manifest that `to_json` gave, from its JSON; keys that it does not know are ignored.

    Raises:
        IndexProblem: a field is missing or of another type; says where and which.
    """
    try:
        return _MANIFEST.validate_json(content, strict=True)
    except ValidationError as error:
        raise IndexProblem(
            ": ".join(filter(None, (where, *first_problem(error)))),
            remedy="build the index again: resolver index build",
        ) from error


def check_version(version: str) -> str:
    """The name itself, fit for a folder and a collection.

    Raises:
        IndexProblem: it holds other than letters, digits, '.', '-' and '_', begins with
            '.' or '-', or has more than 120 characters.
    """
    if not _VERSION.fullmatch(version):
        raise IndexProblem(
            f"{version!r} cannot name an index version",
            remedy="use letters, digits, '.', '-' and '_', 120 at most",
        )
    return version


def in_order(manifests: list[Manifest]) -> list[Manifest]:
    """Oldest first."""
    return sorted(manifests, key=lambda manifest: (manifest.built_at, manifest.version))


def check_counts(manifest: Manifest, *, organisations: int, points: int) -> None:
    """Compare the counts of what was written with those of the manifest.

    Raises:
        IndexProblem: a count differs.
    """
    for noun, expected, written in (
        ("organisations", manifest.organisations, organisations),
        ("points", manifest.points, points),
    ):
        if written != expected:
            raise IndexProblem(
                f"index version {manifest.version}: {written} {noun} written, {expected} expected",
                remedy="nothing was activated; build it again",
            )


def check_statistics(manifest: Manifest, statistics: Statistics | None) -> None:
    """Refuse statistics other than those that the manifest names.

    Raises:
        ValueError: their fingerprints differ.
    """
    fingerprint = statistics.fingerprint if statistics else ""
    if fingerprint != manifest.statistics:
        raise ValueError(
            f"index version {manifest.version} is to have the statistics "
            f"{manifest.statistics or 'none'}, not {fingerprint or 'none'}"
        )


def check_base(manifest: Manifest, base: Manifest) -> None:
    """Refuse to derive a version from a base whose vectors or documents are made in another way.

    Raises:
        IndexProblem: names the first thing that differs.
    """
    for what in ("encoder_fingerprint", "dimension", "form", "statistics"):
        ours, theirs = getattr(manifest, what), getattr(base, what)
        if ours != theirs:
            raise IndexProblem(
                f"index version {base.version} has {what.replace('_', ' ')} {theirs or 'none'}, "
                f"{manifest.version} is to have {ours or 'none'}",
                remedy="build it in full: resolver index build --full",
            )


def read_statistics(manifest: Manifest, content: bytes | None) -> Statistics:
    """The statistics of a version, from the bytes that were kept beside it.

    Raises:
        IndexProblem: there are none, they are damaged, or they are not those of the manifest.
    """
    remedy = "build the index again: resolver index build --full"
    if not manifest.statistics:
        raise IndexProblem(f"index version {manifest.version} keeps no statistics", remedy=remedy)
    try:
        statistics = Statistics.from_bytes(content or b"")
    except ValueError as error:
        raise IndexProblem(
            f"the statistics of index version {manifest.version} are damaged: {error}",
            remedy=remedy,
        ) from error
    if statistics.fingerprint != manifest.statistics:
        raise IndexProblem(
            f"index version {manifest.version} has the statistics {statistics.fingerprint}, "
            f"{manifest.statistics} were kept",
            remedy=remedy,
        )
    return statistics


def check_whole(manifest: Manifest, *, points: int) -> None:
    """Refuse a version that has lost or gained points since it was built.

    Raises:
        IndexProblem: the count differs.
    """
    if points != manifest.points:
        raise IndexProblem(
            f"index version {manifest.version} has {points} points, {manifest.points} were built",
            remedy="build it again: resolver index build --force",
        )
