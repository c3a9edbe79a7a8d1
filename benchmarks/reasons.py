"""What the reasons for no link are worth, on affiliations whose parts a person has marked.

    python -m benchmarks.reasons ../shared/data/ner/affilgood-ner.jsonl

Two tables. First each marked span by itself: what `resolver.text.parts` takes it for. Then texts
made of an affiliation's spans: its places alone, its units with its places, its organisations with
its places; and the reason that each gets when no candidate is near.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from resolver.matching.outcome import Reason
from resolver.matching.reason import why_none
from resolver.text.affiliation import Affiliation, normalise
from resolver.text.parts import PartKind, parts

PLACES = frozenset({"CITY", "REGION", "COUNTRY", "POSTALCODE", "ADDRESS"})

TEXTS = {
    "places": (frozenset(), Reason.PLACE_ONLY),
    "units, places": (frozenset({"SUB"}), Reason.DEPARTMENT_ONLY),
    "organisations, places": (frozenset({"ORG"}), Reason.NOT_IN_REGISTRY),
    "all": (frozenset({"SUB", "ORG"}), Reason.NOT_IN_REGISTRY),
}
"""Made texts: the labels that they have beside places, one at least of each, and the reason that
is right."""

_FIRST = (
    PartKind.ORGANISATION, PartKind.UNIT, PartKind.ACRONYM, PartKind.NAME, PartKind.PLACE,
    PartKind.PERSON, PartKind.REMARK, PartKind.NUMBER,
)  # fmt: skip
"""What a span of several parts counts as: the first of these."""


class Marked(NamedTuple):
    text: str
    spans: list[tuple[int, int, str]]


def read(file: Path) -> list[Marked]:
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [Marked(row["text"], [tuple(span) for span in row["spans"]]) for row in rows]


def kinds(rows: Iterable[Marked]) -> Counter[tuple[str, PartKind]]:
    """How often a span of each label is taken for each kind."""
    counted: Counter[tuple[str, PartKind]] = Counter()
    for row in rows:
        for start, end, label in row.spans:
            found = {part.kind for part in parts(normalise(row.text[start:end]))}
            kind = next((kind for kind in _FIRST if kind in found), None)
            if kind:
                counted[label, kind] += 1
    return counted


def reasons(rows: Iterable[Marked]) -> Counter[tuple[str, Reason]]:
    """How often each of `TEXTS` gets each reason."""
    return Counter(
        (name, why_none(Affiliation.stored(text), [], 0.5))
        for row in rows
        for name, text in _texts(row)
        if text
    )


def right(counted: Counter[tuple[str, Reason]], name: str) -> float:
    """Share of a kind of texts that gets the right reason."""
    total = sum(count for (text, _), count in counted.items() if text == name)
    return counted[name, TEXTS[name][1]] / total if total else 0.0


def _texts(row: Marked) -> Iterator[tuple[str, str]]:
    labels = {label for *_, label in row.spans}
    for name, (wanted, _) in TEXTS.items():
        if wanted <= labels and (wanted or labels & {"CITY", "COUNTRY"}):
            kept = [row.text[a:b] for a, b, label in sorted(row.spans) if label in wanted | PLACES]
            yield name, normalise(", ".join(kept))


def main() -> None:
    rows = read(Path(sys.argv[1]))
    console = Console()
    spans = kinds(rows)
    table = Table("marked as", *(str(kind) for kind in PartKind), title="Spans")
    for label in ("ORG", "SUB", *sorted(PLACES)):
        table.add_row(label, *(f"{spans[label, kind]:,}" for kind in PartKind))
    console.print(table)
    counted = reasons(rows)
    shown = [reason for reason in Reason if any(counted[name, reason] for name in TEXTS)]
    table = Table("text of", *(str(reason) for reason in shown), "right", title="Texts")
    for name in TEXTS:
        row = (f"{counted[name, reason]:,}" for reason in shown)
        table.add_row(name, *row, f"{100 * right(counted, name):.1f}%")
    console.print(table)


if __name__ == "__main__":
    main()
