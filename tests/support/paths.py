"""Where things are beside the tests."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The checkout."""

SHARED = ROOT / "../shared"
"""Whole releases and labelled affiliations, which are no part of the project."""

RELEASE = SHARED / "data/registry/ror-v2.9.json.gz"
"""Release 2.9, as whole as it is there."""
