"""Organisations that the registry lacks, as CSV for ROR's curators."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from resolver.curation.review import LACKING_FIELDS
from resolver.database.review_decisions import Lacking

COLUMNS = (*LACKING_FIELDS, "records", "state", "ror_issue", "author")
"""The fields of ROR's form; those in lower case are for whoever sends them."""


def write_csv(file: TextIO, requests: Iterable[Lacking]) -> int:
    """Write a line a request, with a header; returns how many there are."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for request in requests:
        writer.writerow(
            [
                *(_cell(request.fields.get(name, "")) for name in LACKING_FIELDS),
                request.records,
                request.state.value,
                _cell(request.ror_issue or ""),
                _cell(request.author),
            ]
        )
        count += 1
    return count


def _cell(text: str) -> str:
    """The text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
