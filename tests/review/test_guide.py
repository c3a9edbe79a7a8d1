"""The guide: Markdown of the site, or ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.errors import SettingsError
from resolver.review.guide import read_guide


def test_our_guide() -> None:
    guide = read_guide(None)
    assert guide.count("<h1>") == 1
    assert "<table>" in guide
    for button in ("Confirm", "Names none", "The registry lacks it", "Unsure", "Skip"):
        assert button in guide


def test_a_guide_of_the_site(tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text("# Ours\n\n<script>alert(1)</script>\n\n[no](javascript:alert(2))\n")
    guide = read_guide(path)
    assert "<h1>Ours</h1>" in guide
    assert "<script>" not in guide
    assert "href" not in guide


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_guide_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "guide.md"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="RESOLVER_REVIEW_GUIDE"):
        read_guide(path)
