"""``resolver update``, and SIGKILL at a point that is named: ``python killed_update.py POINT PATH``.

A point is a function of the product, when it is reached (before it is called, or after it has
returned), and how many times it may pass.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal


@dataclass(frozen=True)
class Point:
    module: str
    function: str
    when: Literal["before", "after"] = "before"
    passes: int = 0


POINTS = {
    "in the copy": Point("resolver.database.releases", "dump_record", passes=100),
    "before the load commits": Point("resolver.database.releases", "_put_in_use", "after"),
    "after the load": Point("resolver.release.load", "load", "after"),
    "after the base is copied": Point("resolver.index.embedded", "EmbeddedStore.create", "after"),
    "in mid-embedding": Point("resolver.index.embedded", "EmbeddedWriter.add", "after"),
    "before the manifest": Point("resolver.index.embedded", "_write_manifest"),
    "after the manifest": Point("resolver.index.embedded", "_write_manifest", "after"),
    "before the alias": Point("resolver.index.embedded", "EmbeddedStore.activate"),
    "after the alias": Point("resolver.index.embedded", "EmbeddedStore.activate", "after"),
    "after the row": Point("resolver.database.resolver_versions", "put_in_use", "after"),
    "in mid-selection": Point("resolver.database.due_answers", "_mark", "after"),
    "in mid-selection, after a page": Point("resolver.database.due_answers", "mark_page", "after"),
    "in mid-selection, after pages that processes share": Point(
        "resolver.database.due_answers", "mark_page", "after", passes=2
    ),
    "before the selection ends": Point("resolver.database.due_answers", "selection_done"),
    "after the selection": Point("resolver.database.due_answers", "selection_done", "after"),
    "in the refresh, before an answer is stored": Point("resolver.database.answers", "save"),
    "in the refresh, after some": Point("resolver.database.answers", "save", "after", passes=1),
    "before the pruning": Point("resolver.index.build", "prune"),
    "in the pruning": Point("shutil", "rmtree"),
}


def _deadly(point: Point) -> None:
    module = importlib.import_module(point.module)
    *owners, name = point.function.split(".")
    owner: Any = module
    for part in owners:
        owner = getattr(owner, part)
    real = getattr(owner, name)
    left = point.passes

    @wraps(real)
    def watched(*args: Any, **options: Any) -> Any:
        nonlocal left
        if point.when == "before" and not left:
            _die()
        result = real(*args, **options)
        if point.when == "after" and not left:
            _die()
        left -= 1
        return result

    setattr(owner, name, watched)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


PAGE = 20
"""Affiliations of a page of a selection: so few that it is killed between two."""


if __name__ == "__main__":
    from resolver.cli import main
    from resolver.release import selection

    selection.PAGE = PAGE
    if "processes" in sys.argv[1]:
        selection.MANY = 1
    _deadly(POINTS[sys.argv[1]])
    sys.argv = ["resolver", "update", sys.argv[2], "--keep", "2"]
    main()
