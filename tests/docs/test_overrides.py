"""What docs/overrides.md shows of the evidence and of files is what there is."""

from __future__ import annotations

import io
import json
import re
from dataclasses import fields
from datetime import date

import pytest
from support.paths import ROOT

from resolver.curation.overrides import read_csv
from resolver.matching.outcome import LinkEvidence, OverrideNote
from resolver.matching.override import Override

DOCUMENT = (ROOT / "docs/overrides.md").read_text()


def test_the_evidence_has_these_fields() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```", DOCUMENT, re.M | re.S)
    shown = json.loads(block)
    assert list(shown) == [field.name for field in fields(LinkEvidence)]
    assert list(shown["override"]) == [field.name for field in fields(OverrideNote)]
    assert date.fromisoformat(shown["override"]["date"])


@pytest.mark.parametrize("block", re.findall(r"<<'CSV'\n(.*?)^CSV$", DOCUMENT, re.M | re.S))
def test_the_files_have_no_bad_line(block: str) -> None:
    found = list(read_csv(enumerate(io.StringIO(block, newline=""), 1), author="x"))
    assert len(found) == block.count("\n") - 1 > 0
    assert all(isinstance(one, Override) for one in found)
