"""Whether a change of code changed an answer: many affiliations, answered before and after.

    python -m benchmarks.answers before.jsonl --registry ../shared/data/registry/ror-v2.9.json.gz \\
        ../shared/data/gold/dev/*.jsonl ../shared/cases/affiliations.jsonl
    python -m benchmarks.answers after.jsonl --against before.jsonl --registry … (as above)

Writes a line an affiliation: the status, the reason, and of each link the organisation, the name
that was met, score, probability and rank. With `--against` it prints how many lines differ from
those of an earlier run, and the first of them; the exit code is 1 then. It goes by the command line
alone, so that the same file can be run by an older checkout: copy it there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

FIELDS = ("ror_id", "name", "matched_name", "probability", "score", "rank", "stands_for")
"""What of a link must not change."""

SHOWN = 10
"""Differences that are printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="where the answers go")
    parser.add_argument("files", type=Path, nargs="+", help="JSON lines with an affiliation each")
    parser.add_argument("--registry", type=Path, required=True, help="the release to link to")
    parser.add_argument("--against", type=Path, help="answers of an earlier run")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="answers-") as home:
        run(home, "migrate")
        run(home, "registry", "load", str(options.registry))
        run(home, "index", "build", "--full")
        texts = list(affiliations(options.files))
        found = answers(home, texts)
    options.out.write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    print(f"{len(found):,} affiliations answered")
    if options.against is None:
        return 0
    before = options.against.read_text(encoding="utf-8").splitlines()
    return 1 if differing(before, found) else 0


def affiliations(files: Iterable[Path]) -> Iterable[str]:
    """The texts of all files, each once, in order."""
    texts = (
        json.loads(line)["affiliation"]
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
    )
    return dict.fromkeys(texts)


def run(home: str, *arguments: str) -> str:
    """What a command of the resolver prints; this checkout's, whichever is installed."""
    command = [sys.executable, "-m", "resolver.cli", "--home", home, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"resolver {' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def answers(home: str, texts: Sequence[str]) -> list[str]:
    """A line for each text."""
    file = Path(home, "texts.jsonl")
    file.write_text("".join(json.dumps({"affiliation": t}) + "\n" for t in texts), "utf-8")
    printed = run(home, "resolve", "--json", "--file", str(file))
    return [
        json.dumps(
            {
                "affiliation": answer["affiliation"],
                "status": answer["status"],
                "reason": answer["reason"],
                "links": [{name: link[name] for name in FIELDS} for link in answer["links"]],
            },
            ensure_ascii=False,
        )
        for answer in map(json.loads, printed.splitlines())
    ]


def differing(before: Sequence[str], after: Sequence[str]) -> int:
    """How many lines differ; prints the number and the first of them."""
    pairs = [(a, b) for a, b in zip_longest(before, after, fillvalue="(none)") if a != b]
    print(f"{len(pairs):,} of {len(before):,} answers differ")
    for a, b in pairs[:SHOWN]:
        print(f"- {a}\n+ {b}")
    return len(pairs)


if __name__ == "__main__":
    sys.exit(main())
