"""On PYTHONPATH, the processes of a backfill die of a word (`benchmarks.deadly`)."""

import sys

if "resolver.backfill.process" in sys.orig_argv:
    from benchmarks.deadly import deadly

    deadly("KILLER")
