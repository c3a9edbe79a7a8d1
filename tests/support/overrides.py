"""Overrides are stored and ended, each call in a transaction of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import Engine

from resolver.database import due_answers, overrides
from resolver.database.connection import transaction
from resolver.database.overrides import Added
from resolver.matching.override import Override


def add(engine: Engine, added: Iterable[Override]) -> Added:
    with transaction(engine) as connection:
        return overrides.add(connection, added)


def end(engine: Engine, ids: Collection[int], author: str, note: str = "") -> dict[int, bytes]:
    with transaction(engine) as connection:
        return overrides.end(connection, ids, author, note)


def mark_texts(engine: Engine, hashes: Collection[bytes]) -> int:
    with transaction(engine) as connection:
        return due_answers.mark_texts(connection, hashes)
