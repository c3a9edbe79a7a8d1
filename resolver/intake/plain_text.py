"""Plain text of one affiliation a line → records."""

from __future__ import annotations

from resolver.intake.lines import Opened
from resolver.intake.rows import Records, RowConverter


def read(start: Opened, converter: RowConverter) -> Records:
    converter.begin(())
    position = -1
    for number, line in converter.lines(start):
        if not converter.blank and line is not None and not line.strip():
            continue
        position += 1
        try:
            row = {converter.columns.affiliation: converter.text(line)}
        except ValueError as error:
            yield converter.refusal(str(error), position=position, line=number)
            continue
        yield converter.record(row, position=position, line=number)
