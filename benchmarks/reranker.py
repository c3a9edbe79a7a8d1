"""Reranking on this machine: pairs a second of every scorer, on the same pairs in the same run.

    python -m benchmarks.reranker
    python -m benchmarks.reranker --registry ../shared/data/registry/ror-v2.9.json.gz \\
        --gold ../shared/data/gold/train.jsonl --checkpoint FOLDER

The pairs are labelled strings with the candidates that the first stage brings for them, so their
lengths are those of the real work. Scorers run in turn, round by round, with large matrix products
between them: "of the ceiling" is the share of what such a product reaches in the scorer's own kind
of numbers. "× predict" is the ratio to the better `CrossEncoder.predict`. Without a checkpoint the
torch models have the built-in one's architecture and random weights. Last comes the whole job, from
strings to outcomes, with the built-in reranker, with the torch engine and with
`CrossEncoder.predict`: "engine ×" is how many times as fast the job is with the engine in the same
kind of numbers.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks import ceiling, report, scorers, strings
from benchmarks.scorers import Scorer
from benchmarks.turns import in_turn, ratio
from resolver import sample
from resolver.evaluation.gold import read_gold
from resolver.matching.matcher import Matcher
from resolver.reranker import Pair
from resolver.service import parts
from resolver.service.installation import Installation, index_directory
from resolver.settings import Settings, load_settings


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to score")
    parser.add_argument("--home", type=Path, help="use the index of this installation")
    parser.add_argument("--checkpoint", type=Path, help="a torch cross-encoder's folder")
    parser.add_argument("--strings", type=int, default=100)
    parser.add_argument("--depth", type=int, default=strings.DEPTH, help="candidates of each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=scorers.BATCHES,
                        help="batch sizes to try others with")  # fmt: skip
    parser.add_argument("--job-strings", type=int, default=64, help="of the whole job; 0: none")
    options = parser.parse_args(arguments)
    scorers.quiet()
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        figures |= measured(options, Path(folder))
    report.finish(figures, tables(figures), options.json)


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    settings = prepared(options, folder)
    texts = [row.affiliation for row in strings.evenly(read_gold(options.gold), options.strings)]
    checkpoint = options.checkpoint or scorers.random_checkpoint(folder / "checkpoint")
    with ExitStack() as opened:
        matcher = opened.enter_context(opened.enter_context(Installation(settings)).open_matcher())
        pairs = strings.pairs(matcher.recall, texts, depth=options.depth)
        lengths = tokens(checkpoint, pairs)
        say(f"{len(pairs):,} pairs of {np.mean(lengths):.0f} tokens; settings are tried …")
        dtypes = ["float32", *scorers.half()]
        builtin = scorers.builtin(settings.threads)
        engines = [scorers.engine(checkpoint, dtype) for dtype in dtypes]
        predicts = [
            scorers.predict(checkpoint, pairs, dtype=dtype, batches=options.batches)
            for dtype in dtypes
        ]
        theirs, absent = opened.enter_context(scorers.others(checkpoint, folder, pairs))
        every = [builtin, *engines, *predicts, *theirs]
        shape = ceiling.shape(checkpoint)
        say(f"{', '.join(one.name for one in every)}: {options.rounds} rounds …")
        figures = {
            "pairs": {
                "count": len(pairs),
                "tokens_mean": float(np.mean(lengths)),
                "tokens_p50_p95_most": [float(q) for q in np.quantile(lengths, [0.5, 0.95, 1])],
                "gflop_a_pair": shape.flop(lengths) / len(pairs) / 1e9,
            },
            **compared(
                every,
                pairs,
                flop=shape.flop(lengths),
                tokens=sum(lengths),
                rounds=options.rounds,
                predicts=[one.name for one in predicts],
            ),
            "absent": absent,
            "largest_difference_in_float32": difference(engines[0], predicts[0], pairs),
        }
        if options.job_strings:
            say("the whole job …")
            figures["job"] = job(
                matcher, engines, predicts, texts[: options.job_strings], options.rounds
            )
    return figures


def job(
    matcher: Matcher,
    engines: Sequence[Scorer],
    predicts: Sequence[Scorer],
    texts: Sequence[str],
    rounds: int,
) -> dict[str, Any]:
    """From strings to outcomes, with the built-in reranker and with others in its place.

    `engines` and `predicts` are of the same dtypes, in the same order.
    """
    matchers = {"built-in": matcher} | {
        scorer.name: replace(matcher, reranker=scorers.Predicting(scorer))
        for scorer in (*engines, *predicts)
    }
    seconds = in_turn({name: partial(variant.resolve, texts) for name, variant in matchers.items()},
                      rounds=rounds)  # fmt: skip
    engine_of = {
        scorer.name: engine.name
        for scorers_of_dtypes in (engines, predicts)
        for engine, scorer in zip(engines, scorers_of_dtypes, strict=True)
    }
    return {
        "strings": len(texts),
        "matchers": {
            name: {
                "strings_per_second": len(texts) / statistics.median(taken),
                "built_in_to_it": asdict(ratio(taken, seconds["built-in"])),
                "engine_to_it": asdict(ratio(taken, seconds[engine_of[name]]))
                if name in engine_of
                else None,
            }
            for name, taken in seconds.items()
        },
    }


def prepared(options: argparse.Namespace, folder: Path) -> Settings:
    """Embedded settings with an index of the registry."""
    settings = load_settings().model_copy(
        update={"qdrant_url": None, "home": options.home or folder}
    )
    if options.home is None:
        say(f"the index of {options.registry.name} is built …")
        found = strings.organisations(options.registry)
        strings.indexed(found, parts.load_encoder(settings), index_directory(settings))
    return settings


def tokens(checkpoint: Path, pairs: Sequence[Pair]) -> list[int]:
    """Tokens of each pair, with the special ones, as the models read it."""
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(scorers.MAX_LENGTH)
    return [len(one.ids) for one in tokenizer.encode_batch_fast(list(pairs))]


def compared(
    every: Sequence[Scorer],
    pairs: Sequence[Pair],
    *,
    flop: float,
    tokens: int,
    rounds: int,
    predicts: Sequence[str],
) -> dict[str, Any]:
    """Every scorer in turn, and between them the products that are their ceilings."""
    dtypes = sorted({one.dtype for one in every})
    products = {f"product in {d}": run for d, run in ceiling.products(dtypes).items()}
    seconds = in_turn(
        {**{one.name: partial(one.score, pairs) for one in every}, **products},
        rounds=rounds,
    )
    reached = {dtype: ceiling.FLOP / min(seconds[f"product in {dtype}"]) / 1e9 for dtype in dtypes}
    compare = min(predicts, key=lambda name: statistics.median(seconds[name]))
    rows = {}
    for one in every:
        found = seconds[one.name]
        rows[one.name] = {
            "dtype": one.dtype,
            "settings": dict(one.settings),
            "seconds": found,
            "pairs_per_second": len(pairs) / statistics.median(found),
            "pairs_per_second_best": len(pairs) / min(found),
            "tokens_per_second": tokens / statistics.median(found),
            "gflop_per_second": flop / min(found) / 1e9,
            "share_of_ceiling": flop / min(found) / 1e9 / reached[one.dtype],
            "to_predict": asdict(ratio(seconds[compare], found)),
        }
    return {"scorers": rows, "ceiling_gflop_per_second": reached}


def difference(one: Scorer, other: Scorer, pairs: Sequence[Pair]) -> float:
    """The largest one of their logits."""
    return float(np.abs(one.score(pairs) - other.score(pairs)).max())


def tables(figures: Mapping[str, Any]) -> str:
    pairs, rows = figures["pairs"], figures["scorers"]
    p50, p95, most = pairs["tokens_p50_p95_most"]
    lines = [
        f"{pairs['count']:,} pairs, tokens: mean {pairs['tokens_mean']:.1f}, median {p50:.0f}, "
        f"95% {p95:.0f}, longest {most:.0f}; {pairs['gflop_a_pair']:.2f} GFLOP a pair.",
        "",
        report.table(
            ["scorer", "pairs/s", "best", "tokens/s", "of the ceiling", "× predict"],
            [
                [
                    f"{name}{_batch(row['settings'])}",
                    report.significant(row["pairs_per_second"]),
                    report.significant(row["pairs_per_second_best"]),
                    report.significant(row["tokens_per_second"]),
                    report.percent(row["share_of_ceiling"]) + "%",
                    _ratio(row["to_predict"]),
                ]
                for name, row in rows.items()
            ],
        ),
        "",
        "Ceiling: "
        + ", ".join(
            f"{dtype} {report.significant(reached)} GFLOP/s"
            for dtype, reached in figures["ceiling_gflop_per_second"].items()
        )
        + f" (a product of {ceiling.SIZE:,}³).",
    ]
    lines += [f"{name}: {reason}." for name, reason in figures["absent"].items()]
    lines += [
        "Largest difference of logits in float32, engine and predict: "
        f"{figures['largest_difference_in_float32']:.1e}."
    ]
    if job := figures.get("job"):
        lines += [
            "",
            report.table(
                [
                    f"the whole job, {job['strings']} strings a round",
                    "strings/s",
                    "built-in ×",
                    "engine ×",
                ],
                [
                    [
                        name,
                        report.significant(row["strings_per_second"]),
                        _ratio(row["built_in_to_it"]),
                        _ratio(row["engine_to_it"]) if row["engine_to_it"] else "",
                    ]
                    for name, row in job["matchers"].items()
                ],
            ),
        ]
    return "\n".join(lines)


def _batch(settings: Mapping[str, object]) -> str:
    size = settings.get("batch_size")
    return f", batch {size}" if size else ""


def _ratio(found: Mapping[str, float]) -> str:
    return f"{found['median']:.2f} ({found['least']:.2f}–{found['most']:.2f})"


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
