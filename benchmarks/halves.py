"""One half of a labelled set to learn from, the other to measure on.

    python -m benchmarks.halves ../shared/data/labels/openalex-cwts-related.jsonl halves

Writes `<name>.learn.jsonl` and `<name>.measure.jsonl` into the folder. A hash of the string decides
which; it is not the hash of a training's folds (`resolver.training.pairs.fold`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

HALVES = ("measure", "learn")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="JSON lines with an affiliation each")
    parser.add_argument("folder", type=Path, help="where the halves go")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for file in options.files:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        for half in HALVES:
            kept = [line for line in lines if half_of(json.loads(line)["affiliation"]) == half]
            out = options.folder / f"{file.stem}.{half}.jsonl"
            out.write_text("".join(kept), encoding="utf-8")
            print(f"{out}: {len(kept):,} strings")
    return 0


def half_of(affiliation: str) -> str:
    """The half that a string belongs to."""
    digest = hashlib.blake2b(affiliation.encode(), digest_size=4).digest()
    return HALVES[digest[-1] % 2]


if __name__ == "__main__":
    raise SystemExit(main())
