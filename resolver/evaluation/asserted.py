"""Files of works (Crossref, DataCite, OpenAlex, JATS) → labels: the ROR ids beside affiliations.

Such a label is no complete one. Whoever asserted it may have named one organisation of several, and
may be wrong; OpenAlex's own are what its matcher found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resolver.errors import FileBroken, GoldError, IntakeError, SettingsError
from resolver.evaluation.gold import Gold
from resolver.intake.files import AffiliationFile, read_file
from resolver.intake.format import WORKS, Format, format_or_text
from resolver.intake.lines import opened
from resolver.intake.record import AssertedRecord
from resolver.registry.ror_id import read_ror_id


@dataclass(slots=True)
class AssertedLabels:
    """The labelled affiliations of a file, and what was left out of it.

    `labels` has each text once for each set of ids that is asserted beside it; repeats are counted
    in `affiliations` only. `refused` are the works that could not be read.
    """

    file: AffiliationFile
    labels: list[Gold] = field(default_factory=list)
    refused: list[IntakeError] = field(default_factory=list)
    affiliations: int = 0
    asserted: int = 0
    """Affiliations with an id beside them."""

    invalid: int = 0
    """Ids that are no ROR ids."""

    def remarks(self) -> Iterator[str]:
        yield from self.file.remarks()
        yield (
            f"{self.asserted:,} of {self.affiliations:,} affiliations have a ROR id beside them; "
            f"{len(self.labels):,} different ones are evaluated"
        )
        if self.invalid:
            yield f"{self.invalid:,} ids are no ROR ids, and were left out"
        yield (
            "what is asserted may be one organisation of several: a link that counts as wrong here "
            "may be right"
        )


def has_works(path: Path) -> bool:
    """Whether a file holds works, by its content; not if it cannot be read."""
    try:
        with opened(path) as start:
            return start.is_tar or format_or_text(path, start) in WORKS
    except (SettingsError, FileBroken):
        return False


def read_asserted(path: Path, format: Format = Format.AUTO) -> AssertedLabels:
    """The affiliations of a file of works that have a ROR id beside them.

    Raises:
        SettingsError: it is no file of works.
        FileBroken: the file breaks off.
        GoldError: nothing in it is labelled.
    """
    rows = read_file(path, format=format)
    found = AssertedLabels(rows)
    seen: set[tuple[str, frozenset[str]]] = set()
    for row in rows:
        if isinstance(row, IntakeError):
            found.refused.append(row)
            continue
        found.affiliations += 1
        if not isinstance(row, AssertedRecord) or not row.asserted:
            continue
        ror_ids = []
        for written in row.asserted:
            try:
                ror_ids.append(read_ror_id(written))
            except ValueError:
                found.invalid += 1
        if not ror_ids:
            continue
        found.asserted += 1
        ids = tuple(dict.fromkeys(ror_ids))
        if (key := (row.affiliation, frozenset(ids))) not in seen:
            seen.add(key)
            found.labels.append(Gold(row.affiliation, ids, row.source))
    if not found.labels:
        first = f"; the first bad work is {found.refused[0]}" if found.refused else ""
        raise GoldError(
            f"{path}: no affiliation has a ROR id beside it{first}",
            remedy="evaluate a file whose works have ROR ids, or labels of your own",
        )
    return found
