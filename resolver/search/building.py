"""The folder that is searched: built once from the organisations of a release, never changed.

It holds two indexes of tantivy. In `NAMES` every name is a document, so that the best single name
of an organisation counts and a long list of others does it no harm. In `RECORDS` every organisation
is one, with all fields of `resolver.search.fields`. `ARRAYS` has what results are grouped, filtered
and counted by.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from resolver import disk
from resolver.registry.organisation import NameKind, Organisation
from resolver.search.columns import ColumnWriter
from resolver.search.fields import FIELDS, Kind, values

FORM = 1
"""Rises with every change of what a folder holds. A folder of another form is built again."""

NAMES, RECORDS, ARRAYS = "names", "records", "arrays.npz"

UNFINISHED = ".building-"
"""What the name of a folder begins with until it is complete."""

ANALYZER = "folded"

_CHARACTERS = r"[\p{Han}\p{Hiragana}]|[[\p{L}\p{N}\p{M}]--[\p{Han}\p{Hiragana}]]+"
"""Words of letters and digits. Characters that are written without spaces are words of their own,
as in the tokenizer of the Unicode standard that ROR's index uses."""

_HEAP = 256 * 1024 * 1024
"""Bytes that tantivy gathers before it writes: a whole release fits, so that it becomes one
segment."""


def analyzer() -> tantivy.TextAnalyzer:
    """Words in lower case, without accents on Latin letters."""
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(_CHARACTERS))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.remove_long(100))
        .build()
    )


def composed(text: str) -> str:
    """The text with each accent and its letter as one character, which folding needs."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def identifier_key(identifier: str) -> str:
    """An identifier of another registry as it is looked up: in lower case, without spaces."""
    return "".join(identifier.split()).lower()


def names_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("name", tokenizer_name=ANALYZER, index_option="position")
    builder.add_text_field("identifier", tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("number", fast=True)
    return builder.build()


_KEYS = {name: name.replace(".", "_") for name in FIELDS}


def field_key(name: str) -> str:
    """The name of a field in the index."""
    return _KEYS[name]


def records_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name, kind in FIELDS.items():
        key = field_key(name)
        if kind is Kind.TEXT:
            builder.add_text_field(key, tokenizer_name=ANALYZER, index_option="position")
        elif kind is Kind.KEYWORD:
            builder.add_text_field(key, tokenizer_name="raw", index_option="basic")
        elif kind is Kind.DEGREES:
            builder.add_float_field(key, indexed=True, fast=True)
        else:
            builder.add_unsigned_field(key, indexed=True, fast=True)
    builder.add_unsigned_field("number", fast=True)
    return builder.build()


def open_index(folder: Path, schema: tantivy.Schema) -> tantivy.Index:
    index = tantivy.Index(schema, path=str(folder))
    index.register_tokenizer(ANALYZER, analyzer())
    return index


def build(organisations: Iterable[Organisation], folder: Path) -> None:
    """Write the folder for these organisations, which come in the order of their ROR ids.

    It appears complete or not at all. Where another process has made it meanwhile, that one stays.

    Raises:
        DiskFull: there is no room; what was begun is gone.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        with disk.writing(unfinished):
            _write(organisations, unfinished)
            try:
                unfinished.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write(organisations: Iterable[Organisation], folder: Path) -> None:
    for part in (NAMES, RECORDS):
        (folder / part).mkdir()
    names_index = open_index(folder / NAMES, names_schema())
    records_index = open_index(folder / RECORDS, records_schema())
    names = names_index.writer(heap_size=_HEAP, num_threads=1)
    records = records_index.writer(heap_size=_HEAP, num_threads=1)
    try:
        arrays = _add(organisations, names, records)
        for writer in (names, records):
            writer.commit()
    except BaseException:
        # Nothing of it may be written any more when the folder is deleted.
        for writer in (names, records):
            writer.rollback()
        raise
    finally:
        for writer in (names, records):
            writer.wait_merging_threads()
    with (folder / ARRAYS).open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())


def _add(
    organisations: Iterable[Organisation], names: tantivy.IndexWriter, records: tantivy.IndexWriter
) -> dict[str, Any]:
    """Add all documents; returns what `ARRAYS` holds."""
    columns = ColumnWriter()
    ror_ids: list[str] = []
    owners: list[int] = []
    lengths: list[int] = []
    for number, organisation in enumerate(organisations):
        ror_ids.append(organisation.ror_id)
        columns.add(number, organisation)
        identifiers = [i for entry in organisation.identifiers for i in entry.values]
        for name in organisation.names:
            document = tantivy.Document()
            document.add_text("name", composed(name.value))
            document.add_unsigned("number", len(owners))
            displayed = NameKind.DISPLAY in name.kinds
            if displayed:
                for identifier in identifiers:
                    document.add_text("identifier", identifier_key(identifier))
            names.add_document(document)
            owners.append(number)
            # Of names that fit a query equally well the one that says least beside it is better.
            lengths.append(2 * len(name.value) + (not displayed))
        records.add_document(_record(number, organisation))
    return {
        "ror_ids": np.array(ror_ids, dtype=np.str_),
        "owners": np.array(owners, dtype=np.int32),
        "lengths": np.array(lengths, dtype=np.int32),
        **columns.arrays(),
    }


def _record(number: int, organisation: Organisation) -> tantivy.Document:
    document = tantivy.Document()
    document.add_unsigned("number", number)
    for name, kind, entries in values(organisation):
        key = field_key(name)
        for value in entries:
            if kind is Kind.TEXT:
                document.add_text(key, composed(str(value)))
            elif kind is Kind.KEYWORD:
                document.add_text(key, str(value))
            elif kind is Kind.DEGREES:
                document.add_float(key, float(value))
            else:
                document.add_unsigned(key, int(value))
    return document
