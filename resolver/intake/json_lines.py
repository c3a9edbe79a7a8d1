"""JSON lines → records."""

from __future__ import annotations

import json
from collections import Counter

from resolver.intake.columns import Columns
from resolver.intake.lines import Opened
from resolver.intake.rows import Records, RowConverter
from resolver.validation import json_kind


def read(start: Opened, converter: RowConverter) -> Records:
    position = -1
    begun = False
    for number, line in converter.lines(start):
        if line is not None and not line.strip():
            continue
        position += 1
        try:
            row = json_object(converter.text(line), converter.columns)
        except ValueError as error:
            yield converter.refusal(str(error), position=position, line=number)
            continue
        if not begun:
            converter.begin(list(row))
            begun = True
        yield converter.record(row, position=position, line=number)


def json_object(text: str, columns: Columns) -> dict[str, object]:
    """The object on a line.

    Raises:
        ValueError: it is none, or has two values for one of the columns that are read.
    """

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = Counter(name for name, _ in pairs)
            if twice := [name for name in columns.all() if names[name] > 1]:
                raise ValueError(f"{twice[0]}: there are {names[twice[0]]} of that name")
        return row

    try:
        row = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON of a sane depth") from None
    if not isinstance(row, dict):
        raise ValueError(f"not an object but {json_kind(row)}")
    return row
