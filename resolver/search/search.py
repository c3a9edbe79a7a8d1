"""Organisations that a query finds, best first, with what they are filtered and counted by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import tantivy
from cachetools import LRUCache

from resolver.errors import QueryError, SearchError
from resolver.search import building
from resolver.search.building import ARRAYS, NAMES, RECORDS
from resolver.search.columns import Column, Numbers, load_arrays, read_columns
from resolver.search.syntax import Clauses, parse
from resolver.search.translation import Engine, fields_query, names_query

_CACHED_BYTES = 32 * 1024 * 1024
"""Of results that are kept: the pages of a result are asked for one after another."""


MOST_WORDS = 20
"""Words of a text that is typed; those after them narrow nothing further."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Organisations in the order of the result."""

    numbers: Numbers
    _search: OrganisationSearch

    def __len__(self) -> int:
        return len(self.numbers)

    def having(self, column: str, values: Collection[str]) -> Matches:
        """Those of them that have one of these values."""
        return Matches(self.numbers[self._search.mask(column, values)[self.numbers]], self._search)

    def counts(self, column: str) -> list[tuple[str, int]]:
        """How many of them have each value, most first, then by value."""
        chosen = np.zeros(len(self._search), dtype=np.bool_)
        chosen[self.numbers] = True
        return self._search.columns[column].counts(chosen)

    def ror_ids(self, start: int, stop: int) -> list[str]:
        """The nine characters of the ROR ids from one place to another, as a slice."""
        return [str(ror_id) for ror_id in self._search.ids[self.numbers[start:stop]]]


class OrganisationSearch:
    """The search over one release; may be used by several threads at a time."""

    def __init__(
        self, ids: np.ndarray, columns: Mapping[str, Column], names: _Names, records: _Records
    ) -> None:
        self.ids = ids
        self.columns = columns
        self._names = names
        self._records = records
        self._cache: LRUCache[tuple[str, str], Numbers] = LRUCache(
            _CACHED_BYTES, getsizeof=lambda numbers: numbers.nbytes + 500
        )
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder that `building.build` wrote.

        Raises:
            SearchError: it is not there, or not whole.
        """
        try:
            arrays = load_arrays(folder / ARRAYS)
            ids = arrays["ror_ids"]
            names = _Names(
                _engine(folder / NAMES, building.names_schema()),
                arrays["owners"].astype(np.int32),
                arrays["lengths"].astype(np.int32),
            )
            records = _Records(_engine(folder / RECORDS, building.records_schema()))
            columns = read_columns(arrays)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise SearchError(
                f"the search in {folder} is missing or damaged", remedy="delete that folder"
            ) from error
        counts = names.engine.searcher.num_docs, records.engine.searcher.num_docs
        if counts != (len(names.owners), len(ids)):
            raise SearchError(f"the search in {folder} is not whole", remedy="delete that folder")
        return cls(ids, columns, names, records)

    def __len__(self) -> int:
        """All organisations of the release, whatever their status."""
        return len(self.ids)

    def query(self, text: str) -> Matches:
        """By names and identifiers of other registries; a name need hold one word of the query.

        An organisation counts by its best name. Words that no name has are taken for misspelt.

        Raises:
            QueryError: the query cannot be read.
        """
        return self._found("names", text, self._names.search)

    def beginning(self, text: str) -> Matches:
        """By names that have, for each word of a text, a word that begins with it.

        Characters that are written without spaces between words are words of their own.
        """
        words = self._names.engine.words(text)[:MOST_WORDS]
        return self.query(" AND ".join(f"{word}*" for word in words)) if words else self._none()

    def _none(self) -> Matches:
        return Matches(np.empty(0, dtype=np.int32), self)

    def advanced(self, text: str) -> Matches:
        """By all fields, or those that the query names; a record must hold all of the query.

        Raises:
            QueryError: the query cannot be read, or a value is not of its field's kind.
        """
        return self._found("records", text, self._records.search)

    def everything(self) -> Matches:
        """All organisations, by ROR id."""
        return Matches(np.arange(len(self), dtype=np.int32), self)

    def by_id(self, ror_id: str) -> Matches:
        """The organisation of a ROR id (nine characters), or none."""
        place = int(np.searchsorted(self.ids, ror_id))
        known = place < len(self) and str(self.ids[place]) == ror_id
        return Matches(np.array([place] if known else [], dtype=np.int32), self)

    def mask(self, column: str, values: Collection[str]) -> np.ndarray:
        """Which organisations have one of these values. Shape (organisations,), bool."""
        mask = np.zeros(len(self), dtype=np.bool_)
        mask[self.columns[column].having(values)] = True
        return mask

    def _found(self, kind: str, text: str, search: Callable[[str], Numbers]) -> Matches:
        with self._lock:
            numbers = self._cache.get((kind, text))
        if numbers is None:
            try:
                numbers = search(text)
            except (ValueError, OverflowError) as error:
                raise QueryError("the query cannot be answered") from error
            with self._lock:
                self._cache[kind, text] = numbers
        return Matches(numbers, self)


@dataclass(frozen=True, slots=True)
class _Names:
    """`owners` and `lengths` have, for each name, its organisation's number, and what makes it
    stand before others of the same score: less is better."""

    engine: Engine
    owners: Numbers
    lengths: Numbers

    def search(self, text: str) -> Numbers:
        clauses = parse(text, every=False, fields=False)
        names, scores = _hits(self.engine, clauses, names_query)
        owners = self.owners[names]
        order = np.lexsort((owners, self.lengths[names], -scores))
        owners = owners[order]
        _, first = np.unique(owners, return_index=True)
        return owners[np.sort(first)]


@dataclass(frozen=True, slots=True)
class _Records:
    engine: Engine

    def search(self, text: str) -> Numbers:
        clauses = parse(text, every=True, fields=True)
        numbers, scores = _hits(self.engine, clauses, fields_query)
        return numbers[np.lexsort((numbers, -scores))]


def _engine(folder: Path, schema: tantivy.Schema) -> Engine:
    index = building.open_index(folder, schema)
    index.reload()
    return Engine(index.schema, index.searcher(), building.analyzer())


def _hits(
    engine: Engine, clauses: Clauses, translate: Callable[[Engine, Clauses], tantivy.Query]
) -> tuple[Numbers, np.ndarray]:
    """Numbers and scores of all documents that the clauses hold for, in no order."""
    query = translate(engine, clauses)
    found = engine.searcher.search(query, limit=max(engine.searcher.num_docs, 1), count=False).hits
    scores = np.fromiter((score for score, _ in found), dtype=np.float32, count=len(found))
    numbers = engine.searcher.fast_field_values("number", [address for _, address in found])
    return np.array(numbers, dtype=np.int32), scores
