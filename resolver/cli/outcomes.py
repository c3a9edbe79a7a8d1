"""Outcomes for a person at a terminal."""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from resolver.cli.tables import Table
from resolver.matching.explanation import in_words
from resolver.matching.outcome import Outcome


def for_a_person(outcome: Outcome, number: str = "") -> Group:
    """An affiliation and its links, or the reason for none; `number` is the id of its record."""
    heading = Text(outcome.affiliation, style="bold")
    if number:
        heading = Text(f"{number}  ", style="dim").append_text(heading)
    if outcome.reason:
        return Group(
            heading, Text("  no match: ", style="yellow").append(in_words(outcome.reason)), ""
        )
    table = Table(box=None, padding=(0, 2), pad_edge=True, show_header=False)
    for link in outcome.links:
        name = Text(link.name)
        if link.matched_name != link.name:
            name.append(f"  as “{link.matched_name}”", style="dim")
        if link.stands_for:
            name.append(f"  for {', '.join(link.stands_for)}", style="dim")
        table.add_row(Text(link.ror_id, style="green"), f"{link.probability:.3f}", name)
    return Group(heading, table, "")
