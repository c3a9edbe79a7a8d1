"""Organisations that the registry lacks, as CSV for ROR's curators."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from resolver.curation.review import LACKING_FIELDS
from resolver.curation.spreadsheet import cell
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
                *(cell(request.fields.get(name, "")) for name in LACKING_FIELDS),
                request.records,
                request.state.value,
                cell(request.ror_issue or ""),
                cell(request.author),
            ]
        )
        count += 1
    return count
