"""docs/security.md names tests that are there, and the bounds that hold."""

from __future__ import annotations

import re

import pytest
from support.paths import ROOT

from resolver.intake import lines, message
from resolver.matching.reason import Reason
from resolver.registry import dump, zenodo
from resolver.text.affiliation import MAX_CHARACTERS

DOCUMENT = (ROOT / "docs/security.md").read_text()


def test_every_test_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", DOCUMENT))
    assert len(named) >= 8
    assert not [name for name in named - {"tests/fuzz/cases/TARGET"} if not (ROOT / name).exists()]


@pytest.mark.parametrize(
    ("bound", "written"),
    [
        (dump.MAX_UNPACKED_BYTES, f"{4 * 2**30}"),
        (dump.MAX_RATIO, "100"),
        (dump.MAX_DIRECTORY_BYTES, f"{2**20}"),
        (dump.MAX_RECORD_BYTES, f"{16 * 2**20}"),
        (zenodo.MAX_RELEASE_BYTES, f"{2 * 2**30}"),
        (zenodo.MAX_LISTING_BYTES, f"{16 * 2**20}"),
        (lines.MAX_LINE, f"{16 * 2**20}"),
    ],
)
def test_bounds_in_units(bound: int, written: str) -> None:
    """As they are written there in MiB and GiB."""
    assert bound == int(written)


@pytest.mark.parametrize(
    "bound",
    [
        dump.MAX_RECORD_BRACKETS, dump.MAX_RECORDS, dump.MAX_REFUSED, message.MAX_CHUNK,
        MAX_CHARACTERS,
    ],
)  # fmt: skip
def test_bounds_are_written(bound: int) -> None:
    assert f"{bound:,}" in DOCUMENT


def test_the_reason_is_written() -> None:
    assert f"`{Reason.TOO_LONG}`" in DOCUMENT
