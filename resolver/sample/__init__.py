"""A small registry and affiliations to try it on: what the demo loads and the tests read.

`REGISTRY` holds some 300 well-known organisations as ROR records (schema 2.1), chosen
for what is hard about them: namesakes, acronyms that several share, parents and children,
organisations that have ended, names in a dozen scripts. Relations point inside the file only.
It is a selection and no substitute for a release: names, places and relations were
chosen by hand, identifiers of other registries are left out. The ids are ROR's own.

`AFFILIATIONS` are invented strings about them, as ``resolver enqueue`` takes them. `GOLD` has
one line for each distinct string of those, ``{"affiliation", "ror_ids"}``, and an empty list
where none of these organisations is named. An organisation that has ended is itself the
answer; for a withdrawn record the answer is its successor. A parent counts only if it is
written beside its child, not as a part of the child's own name.

`CROSSREF`, `DATACITE`, `OPENALEX` and `JATS` are invented works in the forms of these, with ROR ids
beside some affiliations. One work of `CROSSREF` is broken, and one of `JATS` has no id.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

# A file of its own is what the readers open, so an installation in a zip file is not served.
_FOLDER = Path(str(resources.files(__name__)))

REGISTRY = _FOLDER / "registry.json"
AFFILIATIONS = _FOLDER / "affiliations.jsonl"
GOLD = _FOLDER / "gold.jsonl"
CROSSREF = _FOLDER / "crossref.json"
DATACITE = _FOLDER / "datacite.jsonl"
OPENALEX = _FOLDER / "openalex.json"
JATS = _FOLDER / "jats.xml"
QUERIES = (_FOLDER / "links.sql", _FOLDER / "unmatched.sql")
"""What the demo shows: both stand in docs/sql.md too."""
