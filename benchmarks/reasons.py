"""What the reasons for no link are worth.

    python -m benchmarks.reasons ../shared/data/ner/affilgood-ner.jsonl
    python -m benchmarks.reasons --near ../shared/data/gold/dev-read/*.jsonl

On affiliations whose parts a person has marked, two tables. First each marked span by itself: what
`resolver.text.parts` takes it for. Then texts made of an affiliation's spans: its places alone, its
units with its places, its organisations with its places; and the reason that each gets when no
candidate is near.

With ``--near``, on labelled affiliations: of those that are not linked, how many have a candidate
with at least a probability, where an organisation of the registry is named and where none is. A
candidate should be near in the first case alone (`resolver.matching.reason.NEAR`). And by the
reason given, how many of them do name one: so probable is it that such an answer is wrong
(`resolver.database.review_upkeep.WRONG`). It needs an installation with an index.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from resolver.evaluation.gold import Gold, read_gold
from resolver.matching.matcher import Matcher
from resolver.matching.outcome import Reason
from resolver.matching.reason import why_none
from resolver.service.installation import Installation
from resolver.settings import load_settings
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


LIMITS = (0.05, 0.1, 0.2, 0.3)


class Unlinked(NamedTuple):
    """An affiliation that is not linked: why not, the probability of its most probable candidate,
    and whether it names an organisation."""

    reason: Reason | None
    most: float
    names_one: bool


def unlinked(matcher: Matcher, gold: Sequence[Gold]) -> list[Unlinked]:
    return [
        Unlinked(
            judgement.outcome.reason,
            max((s.probability for s in judgement.scored), default=0.0),
            bool(row.ror_ids),
        )
        for row, judgement in zip(
            gold, matcher.judgements([g.affiliation for g in gold]), strict=True
        )
        if not judgement.outcome.links
    ]


def most_probable(found: Sequence[Unlinked]) -> dict[bool, list[float]]:
    """The probabilities of the most probable candidates: under True where an organisation is named,
    under False where none is."""
    return {named: [u.most for u in found if u.names_one is named] for named in (True, False)}


def share_from(probabilities: Sequence[float], limit: float) -> float:
    """Share of the probabilities that reach a limit; 0 of none."""
    return sum(p >= limit for p in probabilities) / len(probabilities) if probabilities else 0.0


def print_near(files: Sequence[Path], console: Console) -> None:
    gold = [row for file in files for row in read_gold(file)]
    with Installation(load_settings()) as installation, installation.open_matcher() as matcher:
        texts = unlinked(matcher, gold)
    found = most_probable(texts)
    table = Table(
        "from", f"{len(found[True]):,} that name one", f"{len(found[False]):,} that name none",
        title="Not linked, with a candidate of this probability",
    )  # fmt: skip
    for limit in LIMITS:
        shares = (f"{100 * share_from(found[named], limit):.0f}%" for named in (True, False))
        table.add_row(f"{limit:g}", *shares)
    console.print(table)
    counts = Counter((text.reason, text.names_one) for text in texts)
    table = Table("reason", "not linked", "name one", "share", title="Wrong without a link")
    for reason in Reason:
        named, total = counts[reason, True], counts[reason, True] + counts[reason, False]
        if total:
            table.add_row(str(reason), f"{total:,}", f"{named:,}", f"{named / total:.2f}")
    console.print(table)


def main() -> None:
    console = Console()
    if sys.argv[1] == "--near":
        print_near(list(map(Path, sys.argv[2:])), console)
        return
    rows = read(Path(sys.argv[1]))
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
