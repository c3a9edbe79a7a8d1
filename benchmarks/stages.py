"""CPU time of each stage of the matcher, beside that of another checkout, and whether links differ.

    python -m benchmarks.stages ../shared/data/gold/dev-read/springer-2023.jsonl
    python -m benchmarks.stages ../shared/data/gold/dev-read/*.jsonl --against ../before
    python -m benchmarks.stages ../shared/data/gold/dev-read/springer-2023.jsonl --every-pair

With the settings and the active index at hand. Each checkout runs in a process of its own, on one
thread, and both answer the same slice in turn, so that whatever else the machine does happens to
both. What is counted is processor time, not the clock. The stages are apart: no time counts twice.
Where the other checkout needs an index of another form, `--against-home` names its installation.
With `--every-pair` the other process has this checkout too, and its reranker reads all of each
shortlist, without forecasts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
"""The checkout that this file is part of."""

SERVE = "--serve"
"""How this file is started as one of the two processes."""
EVERY_PAIR = "--every-pair"

ONE_THREAD = {
    "RESOLVER_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}

WARM = 256
"""Strings that fill the caches before anything is counted."""

Links = list[tuple[str, float]]
"""ROR id and probability of each link of a string."""


class Clock:
    """Processor time by stage. Time within an inner stage is not the outer one's."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running: list[str] = []
        self._since = 0.0

    def _charge(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        self._charge()
        self._running.append(stage)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()


class Timed:
    """A part of the matcher, some of whose methods count as stages: `stages` names the stage of
    each, or gives it by the first argument."""

    def __init__(
        self, part: Any, clock: Clock, stages: Mapping[str, str | Callable[[Any], str]]
    ) -> None:
        self._part, self._clock, self._stages = part, clock, stages

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        stage = self._stages.get(name)
        if stage is None:
            return found

        def timed(*arguments: Any, **named: Any) -> Any:
            with self._clock.during(stage if isinstance(stage, str) else stage(arguments[0])):
                return found(*arguments, **named)

        return timed


def timed(matcher: Any, clock: Clock) -> Any:
    """The matcher with a clock at its parts."""
    from resolver.encoder.lexical import SparseVector

    def search(queries: Sequence[Any]) -> str:
        by_words = any(isinstance(query, SparseVector) for query in queries)
        return "search by words" if by_words else "search by meaning"

    recall = matcher.recall
    recall = replace(
        recall,
        encoder=Timed(recall.encoder, clock, {"encode_queries": "query vectors"}),
        index=Timed(recall.index, clock, {"search": search, "documents": "documents"}),
    )
    trees = {"odds": "sieve: trees"}
    sieve = replace(matcher.sieve, trees=Timed(matcher.sieve.trees, clock, trees))
    trees = {"odds": "judge: trees"}
    judge = replace(matcher.judge, trees=Timed(matcher.judge.trees, clock, trees))
    # Earlier checkouts have none.
    if forecaster := getattr(matcher, "forecaster", None):
        rounds = {
            name: Timed(getattr(forecaster, name), clock, {"forecast": "forecasts"})
            for name in ("first", "second")
        }
        matcher = replace(matcher, forecaster=replace(forecaster, **rounds))
        _time_evidence(clock)
    return replace(
        matcher,
        recall=Timed(recall, clock, {"candidates": "lists of candidates"}),
        reranker=Timed(matcher.reranker, clock, {"score": "reranker"}),
        sieve=Timed(sieve, clock, {"shortlists": "sieve: evidence"}),
        judge=Timed(judge, clock, {"weighed": "judge: weighed"}),
    )


def _time_evidence(clock: Clock) -> None:
    """What belongs to the judge's evidence is worked out in two places."""
    for module, name in (("matcher", "Shortlist"), ("scoring", "evidence")):
        part = import_module(f"resolver.matching.{module}")
        setattr(part, name, getattr(Timed(part, clock, {name: "judge: evidence"}), name))


def serve() -> None:
    """Answer slices of strings, a line of JSON each, with links and processor time by stage."""
    every_pair = EVERY_PAIR in sys.argv
    from resolver.service.installation import Installation
    from resolver.settings import load_settings
    from resolver.text.affiliation import Affiliation

    clock = Clock()
    with Installation(load_settings()) as installation, installation.open_matcher() as opened:
        matcher = timed(replace(opened, forecaster=None) if every_pair else opened, clock)
        # As workers do; earlier checkouts did not.
        if find_spec("resolver.service.garbage"):
            import_module("resolver.service.garbage").spare_opened()
        print("ready", flush=True)
        for line in sys.stdin:
            clock.seconds.clear()
            with clock.during("normalise"):
                affiliations = [Affiliation.of(text) for text in json.loads(line)]
                stated = [s for a in affiliations if not a.refused for _, s in a.statements]
                statements = list({statement.text: statement for statement in stated}.values())
            with clock.during("readings"):
                shortlisted = matcher.shortlist(statements)
            with clock.during("pairs"):
                reranked = matcher.rerank(shortlisted)
            with clock.during("judge: evidence"):
                judged = matcher.judged(reranked, matcher.policy, explained=False)
            by_text = {one.affiliation.text: one for one in judged}
            with clock.during("decide"):
                complete = [
                    (whole, [replace(by_text[s.text], start=at) for at, s in whole.statements])
                    for whole in affiliations
                    if not whole.refused
                ]
                judgements = matcher.decided(complete, matcher.policy)
            answer = {
                "seconds": dict(clock.seconds),
                "pairs": reranked.meters.pairs,
                "links": [
                    [(link.ror_id, link.probability) for link in judgement.outcome.links]
                    for judgement in judgements
                ],
            }
            print(json.dumps(answer), flush=True)


class Checkout:
    """A process that answers with the code of a checkout."""

    def __init__(self, folder: Path, home: Path | None, *flags: str) -> None:
        own = {"RESOLVER_HOME": str(home.resolve())} if home else {}
        self._process = subprocess.Popen(
            [sys.executable, __file__, SERVE, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, **own, "PYTHONPATH": str(folder.resolve())},
        )
        self._line()
        self.seconds: Counter[str] = Counter()
        self.pairs = 0

    def answer(self, texts: Sequence[str], *, counted: bool) -> list[Links]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        if counted:
            self.seconds.update(answer["seconds"])
            self.pairs += answer["pairs"]
        return [[(ror_id, p) for ror_id, p in links] for links in answer["links"]]

    def memory(self) -> dict[str, float]:
        """Megabytes that the process holds (`benchmarks.process_memory`)."""
        from benchmarks import process_memory

        return process_memory.held(self._process.pid)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process ended; its error is above")
        return line

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def main(arguments: Sequence[str] | None = None) -> None:
    from benchmarks import report

    parser = report.arguments(__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="JSON lines with an affiliation each")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", type=Path, help="another checkout")
    other.add_argument(EVERY_PAIR, action="store_true", help="beside it, without forecasts")
    parser.add_argument("--against-home", type=Path, help="its RESOLVER_HOME [that of this one]")
    parser.add_argument("--count", type=int, help="strings of each file [all]")
    parser.add_argument("--slice", type=int, default=64, help="strings at a time")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    processes: dict[str, Callable[[], Checkout]] = {"here": lambda: Checkout(HERE, None)}
    if options.against:
        processes["there"] = lambda: Checkout(options.against, options.against_home)
    if options.every_pair:
        processes["every pair"] = lambda: Checkout(HERE, None, EVERY_PAIR)
    measured = {}
    for file in options.files:
        with ExitStack() as opened:
            checkouts = {name: start() for name, start in processes.items()}
            for checkout in checkouts.values():
                opened.callback(checkout.close)
            measured[file.stem] = compared(checkouts, affiliations(file, options.count), options)
        print(f"{file.stem} …", file=sys.stderr, flush=True)
    report.finish({**figures, "sets": measured}, tables(measured), options.json)


def affiliations(file: Path, count: int | None) -> list[str]:
    """The first texts of a file, each once."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(json.loads(line)["affiliation"] for line in lines))[:count]


def compared(
    checkouts: Mapping[str, Checkout], texts: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Milliseconds of a string by checkout and stage, and how far the answers differ."""
    slices = [texts[i : i + options.slice] for i in range(0, len(texts), options.slice)]
    warm = min(len(slices) // 2, WARM // options.slice)
    differ, farthest, counted = 0, 0.0, 0
    for number, part in enumerate(slices):
        order = list(checkouts) if number % 2 else list(reversed(checkouts))
        found = {name: checkouts[name].answer(part, counted=number >= warm) for name in order}
        counted += len(part) if number >= warm else 0
        # With one process there is nothing to compare with.
        other = found[list(checkouts)[-1]]
        for links, others in zip(found["here"], other, strict=True):
            mine, theirs = dict(links), dict(others)
            differ += mine.keys() != theirs.keys()
            both = mine.keys() & theirs.keys()
            farthest = max(farthest, *(abs(mine[i] - theirs[i]) for i in both), 0.0)
    return {
        "strings": len(texts),
        "counted": counted,
        "milliseconds": {
            name: {stage: 1e3 * s / counted for stage, s in checkout.seconds.items()}
            for name, checkout in checkouts.items()
        },
        "pairs": {name: checkout.pairs / counted for name, checkout in checkouts.items()},
        "memory": {name: checkout.memory() for name, checkout in checkouts.items()},
        "links_differ": differ,
        "largest_difference": farthest,
    }


def tables(measured: Mapping[str, Any]) -> str:
    from benchmarks import report

    parts = []
    for name, found in measured.items():
        by_checkout = found["milliseconds"]
        columns = list(reversed(by_checkout))
        rows = [
            [stage, *(f"{by_checkout[column].get(stage, 0.0):.2f}" for column in columns)]
            for stage in by_checkout["here"]
        ]
        sums = {column: sum(by_checkout[column].values()) for column in columns}
        rows += [
            ["all", *(f"{sums[column]:.2f}" for column in columns)],
            ["strings/s of a core", *(f"{1e3 / sums[column]:.0f}" for column in columns)],
            ["pairs a string", *(f"{found['pairs'][column]:.2f}" for column in columns)],
            *(
                [f"MB, {kind}", *(f"{found['memory'][column][kind]:.0f}" for column in columns)]
                for kind in found["memory"]["here"]
            ),
        ]
        parts.append(report.table([f"{name}, ms a string", *columns], rows))
        if len(columns) > 1:
            parts.append(
                f"{found['links_differ']:,} of {found['strings']:,} strings have other links; "
                f"probabilities differ by {found['largest_difference']:.1g} at most."
            )
    return "\n\n".join(parts)


if __name__ == "__main__":
    if SERVE in sys.argv:
        sys.path.remove(str(Path(__file__).parent))
        serve()
    else:
        main()
