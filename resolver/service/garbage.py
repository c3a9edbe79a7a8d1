"""Python's collector of garbage, in a process that does nothing but resolve.

What is opened stays: models, gazetteer, the index. Without this the collector walks it all again
and again, because every slice of strings makes new objects.
"""

from __future__ import annotations

import gc

COLLECT_FROM = 200_000
"""Objects made, less those gone, from which the youngest are looked at. The three slices of strings
that are in work have some 100,000, and nearly all of these go by themselves; to look at them takes
0.4 ms a string."""


def spare_opened() -> None:
    """Leave all objects that are there now out of collections; call it when all is opened.

    For a process of the resolver's own: of a program that it is a guest in, objects that are
    garbage later would be spared, too.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_FROM)
