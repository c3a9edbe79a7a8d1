"""A worker whose process dies of a certain word: what a string does that breaks a native library.

    python -m benchmarks.deadly --word KILLER

The process kills itself in the middle of a chunk in which the word is, as a segmentation fault or
the kernel does when memory is short. Of the word RAISER it raises an error that nobody foresaw. All
else is `resolver worker`. For `benchmarks.chaos` and the tests; nothing of the product knows of it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resolver.index.embedded import EmbeddedIndex
from resolver.index.qdrant import connect
from resolver.index.server import ServerIndex, ServerStore
from resolver.matching.matcher import Matcher
from resolver.settings import load_settings
from resolver.text.affiliation import Affiliation
from resolver.workers import app

WORD = "KILLER"
RAISING = "RAISER"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--word", default=WORD)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--queues", default="bulk")
    parser.add_argument(
        "--visibility", type=int, default=app.VISIBILITY_TIMEOUT,
        help="seconds after which Redis hands out what a vanished worker had",
    )  # fmt: skip
    parser.add_argument(
        "--away", type=Path, help="searches go to --qdrant while there is this file"
    )
    parser.add_argument("--qdrant", help="http://… of a Qdrant server in trouble")
    parser.add_argument("--busy", type=Path, help="a folder: has a file for each process at work")
    options = parser.parse_args(arguments)
    app.VISIBILITY_TIMEOUT = options.visibility
    deadly(options.word, options.busy)
    if options.away:
        searching_elsewhere(options.away, options.qdrant)
    return app.run_worker(
        load_settings(), queues=options.queues.split(","), concurrency=options.concurrency
    )


def deadly(word: str, busy: Path | None = None) -> None:
    """Let the matcher die of `word`, and show in the folder `busy` who is at work."""
    measured = Matcher.measured

    def dying(self: Matcher, texts: Sequence[str | Affiliation], *others: Any, **named: Any) -> Any:
        said = " ".join(text if isinstance(text, str) else text.text for text in texts)
        if word in said:
            os.kill(os.getpid(), signal.SIGKILL)
        if RAISING in said:
            raise ValueError("nobody foresaw this")
        if busy is None:
            return measured(self, texts, *others, **named)
        flag = busy / str(os.getpid())
        flag.touch()
        try:
            return measured(self, texts, *others, **named)
        finally:
            flag.unlink()

    Matcher.measured = dying  # type: ignore[method-assign]


def searching_elsewhere(flag: Path, url: str) -> None:
    """Let searches go through the adapter of Qdrant's server while there is the file `flag`."""
    search = EmbeddedIndex.search

    def elsewhere(self: EmbeddedIndex, *given: Any, **named: Any) -> Any:
        if not flag.exists():
            return search(self, *given, **named)
        with ServerStore(connect(url, timeout=1), retry_delays=(0.1,)) as store:
            index = ServerIndex(store._server, "organisations", self.manifest)
            return index.search(*given, **named)

    EmbeddedIndex.search = elsewhere  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
