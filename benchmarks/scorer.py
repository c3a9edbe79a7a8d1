"""What a scorer costs and how full its batches are, with a GPU's time in place of a GPU.

    python -m benchmarks.scorer
    python -m benchmarks.scorer --tflops 400 --clients 16 32 --cpu-ms 9.5

The scorer is the real one, with its socket, its HTTP and its batches; but what would compute waits
as long as a GPU would take: `--launch-ms` for a batch, and for its tokens what the 306M
architecture needs at `--tflops`. Clients are processes with the real client. Each sends the pairs
of a slice, has them scored, and meanwhile prepares the next slice, which takes `--cpu-ms` a
string. They wait for that time too, so that two cores can stand for sixteen: what is measured are
the transport's CPU time, the batches, and whether the GPU ever waits. Lengths of pairs are those of
real ones (`benchmarks/lengths.json`); tokenising is timed by itself, on the sample's strings.

The last table adds up what a machine of `--cores` and one GPU would do: an estimate, not a
measurement. `benchmarks.throughput --scorer` measures it where there is a GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import report, strings
from benchmarks.ceiling import Shape
from resolver import sample, weights
from resolver.evaluation.gold import read_gold
from resolver.registry.document import documents
from resolver.reranker import Calibration, Pair
from resolver.reranker.connection import ServerClient
from resolver.reranker.packed import GPU_BUDGET
from resolver.reranker.scorer import URL, ScorerReranker, connect
from resolver.reranker.sequences import Sequences, packed, spans
from resolver.reranker.tokens import PairTokenizer
from resolver.scorer import serving
from resolver.settings import Settings

NAME = "a GPU's time"

SHAPE = Shape(12, 768, 3072, gated=True)
"""Of Alibaba-NLP/gte-multilingual-reranker-base: 306 million parameters with its embeddings."""

LENGTHS = Path(__file__).with_name("lengths.json")
SEPARATORS = 4

WAYS = {"every pair at once": (6.2,), "a first pair, then what matters": (1.3, 1.9)}
"""Pairs a string in each request of a slice: without the second round of the reranker, and with
it."""

WARM = 1.0
"""Seconds before the clock counts."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=8.0, help="for each line")
    parser.add_argument("--tflops", type=float, default=150.0, help="of the GPU, sustained")
    parser.add_argument("--launch-ms", type=float, default=3.0, help="of each batch")
    parser.add_argument("--cpu-ms", type=float, default=3.3, help="a string, without the reranker")
    parser.add_argument("--slice", type=int, default=64, help="strings of a slice")
    parser.add_argument("--cores", type=int, default=16, help="of the machine that is estimated")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    figures["tokens_per_second"] = tokens_per_second(options.tflops)
    figures["tokenising_us"] = tokenising()
    figures["lines"] = [
        measured(options, way, clients) for way in WAYS for clients in options.clients
    ]
    figures["estimates"] = [estimate(options, figures, way) for way in WAYS]
    report.finish(figures, tables(options, figures), options.json)


def drawn(count: int, seed: int) -> npt.NDArray[np.int64]:
    """Tokens of so many pairs, as real ones have."""
    rng = np.random.default_rng(seed)
    counted = json.loads(LENGTHS.read_text())

    def part(name: str) -> npt.NDArray[np.int64]:
        values = np.array(list(map(int, counted[name])))
        shares = np.array(list(counted[name].values()), float)
        found: npt.NDArray[np.int64] = rng.choice(values, count, p=shares / shares.sum())
        return found

    lengths: npt.NDArray[np.int64] = part("affiliation") + part("document") + SEPARATORS
    return lengths.clip(max=128)


def tokens_per_second(tflops: float) -> float:
    lengths = drawn(10_000, 0)
    return tflops * 1e12 * float(lengths.sum()) / SHAPE.flop(lengths.tolist())


def tokenising() -> float:
    """Microseconds of CPU for a pair, documents known as in a worker that has run for a while."""
    tokens = _tokens()
    texts = [
        document.text
        for organisation in strings.organisations(sample.REGISTRY)
        for document in documents(organisation)
    ]
    rng = np.random.default_rng(0)
    pairs: list[Pair] = [
        (row.affiliation, texts[place])
        for row in strings.distinct(read_gold(sample.GOLD), 640)
        for place in rng.integers(0, len(texts), 6)
    ]
    tokens.encode(pairs)
    rounds, slice_pairs = 10, 64 * 6
    started = time.process_time()
    for _ in range(rounds):
        for start in range(0, len(pairs), slice_pairs):
            tokens.encode(pairs[start : start + slice_pairs])
    return 1e6 * (time.process_time() - started) / (rounds * len(pairs))


def _tokens() -> PairTokenizer:
    path = weights.BUILTIN_FOLDER / weights.TOKENIZER
    return PairTokenizer(weights.shared_tokenizer(path), max_length=128)


class Timed:
    """A reranker that takes a GPU's time, one batch after the other, and scores nothing."""

    name, fingerprint, calibration, truncated = NAME, "0" * 32, Calibration(), 0
    batch_tokens = GPU_BUDGET

    def __init__(self, launch: float, rate: float) -> None:
        self.tokens = _tokens()
        self._launch, self._rate = launch, rate
        self._free = 0.0
        self._lock = threading.Lock()

    def logits(self, sequences: Sequences) -> npt.NDArray[np.float32]:
        # As the engine puts batches together, which is work of the scorer's CPU.
        for numbers in packed(sequences.lengths, self.batch_tokens):
            batch = sequences.take(numbers)
            spans(np.zeros_like(batch.lengths), batch.lengths).astype(np.int32)
        with self._lock:
            begins = max(time.monotonic(), self._free)
            self._free = ends = begins + self._launch + len(sequences.ids) / self._rate
        time.sleep(max(0.0, ends - time.monotonic()))
        return np.zeros(len(sequences), np.float32)

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        return self.logits(self.tokens.encode(pairs))

    def close(self) -> None:
        pass


def _serve(path: Path, launch: float, rate: float) -> None:
    settings = Settings(_env_file=None, home=path.parent)  # type: ignore[call-arg]
    reranker = Timed(launch, rate)
    with serving.listening(path) as listener:
        serving.serve(reranker, listener, settings)


@dataclass(frozen=True, slots=True)
class Work:
    """What a client does: requests of so many pairs for each slice, which takes `prepare` seconds
    to make."""

    pairs: Sequence[int]
    prepare: float

    def requests(self, seed: int, vocabulary: int) -> list[Sequences]:
        made = []
        for number, pairs in enumerate(self.pairs):
            lengths = drawn(pairs, 100 * seed + number)
            ids = np.random.default_rng(seed).integers(4, vocabulary, int(lengths.sum()))
            made.append(Sequences(ids.astype(np.int32), np.concatenate([[0], np.cumsum(lengths)])))
        return made


def _ask(reranker: ScorerReranker, work: Work, seed: int, stop: Any, cpu: Any) -> None:
    """A client: a thread makes slices, as the first stage does, while this one has them scored."""
    slices: queue.Queue[list[Sequences]] = queue.Queue(1)
    requests = work.requests(seed, reranker.tokens.vocabulary)

    def prepare() -> None:
        # Processes do not begin together.
        time.sleep(work.prepare * np.random.default_rng(seed).random())
        while not stop.is_set():
            time.sleep(work.prepare)
            slices.put(requests)

    threading.Thread(target=prepare, daemon=True).start()
    # The first opens the connection.
    reranker.logits(requests[0])
    began, pairs = time.process_time(), 0
    while not stop.is_set():
        for sequences in slices.get():
            reranker.logits(sequences)
            pairs += len(sequences)
    cpu.put((time.process_time() - began, pairs))
    reranker.close()


def measured(options: argparse.Namespace, way: str, clients: int) -> dict[str, Any]:
    per_string = WAYS[way]
    work = Work(
        [round(pairs * options.slice) for pairs in per_string],
        options.slice * options.cpu_ms / 1000,
    )
    launch, rate = options.launch_ms / 1000, tokens_per_second(options.tflops)
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="scorer-") as folder:
        path = Path(folder) / "s"
        # Daemons end with this process, whatever it fails by.
        server = context.Process(target=_serve, args=(path, launch, rate), daemon=True)
        server.start()
        while not path.exists():
            time.sleep(0.05)
        stop, cpu = context.Event(), context.Queue()
        reranker = connect(path, NAME)
        reranker.close()
        asking = [
            context.Process(target=_ask, args=(reranker, work, seed, stop, cpu), daemon=True)
            for seed in range(clients)
        ]
        # Else each child's first collection copies the memory that it shares with this process.
        gc.freeze()
        for process in asking:
            process.start()
        time.sleep(WARM + work.prepare)
        before, began = figures_of(path), time.monotonic()
        time.sleep(options.seconds)
        after, seconds = figures_of(path), time.monotonic() - began
        if not all(process.is_alive() for process in asking):
            sys.exit("a client failed")
        stop.set()
        spent = [cpu.get(timeout=60) for _ in asking]
        for process in asking:
            process.join()
        server.terminate()
        server.join()
    done = {name: after[name] - before[name] for name in before}
    pairs, batches = done["resolver_scorer_pairs_total"], done["resolver_scorer_batches_total"]
    tokens = done["resolver_scorer_tokens_total"]
    return {
        "way": way,
        "clients": clients,
        "pairs_a_string": sum(per_string),
        "requests_a_slice": len(per_string),
        "strings_per_second": pairs / sum(per_string) / seconds,
        "tokens_a_pair": tokens / pairs,
        "gpu_busy": (batches * launch + tokens / rate) / seconds,
        "requests_a_batch": done["resolver_scorer_requests_total"] / batches,
        "batch_fill": tokens / batches / GPU_BUDGET,
        "wait_ms": 1000
        * done["resolver_scorer_wait_seconds_sum"]
        / done["resolver_scorer_wait_seconds_count"],
        "client_us": 1e6 * sum(taken for taken, _ in spent) / sum(count for _, count in spent),
        "scorer_us": 1e6 * done["process_cpu_seconds_total"] / pairs,
        "load_average": os.getloadavg()[0],
    }


NAMES = (
    "process_cpu_seconds_total",
    "resolver_scorer_pairs_total",
    "resolver_scorer_tokens_total",
    "resolver_scorer_batches_total",
    "resolver_scorer_requests_total",
    "resolver_scorer_wait_seconds_sum",
    "resolver_scorer_wait_seconds_count",
)


def figures_of(path: Path) -> dict[str, float]:
    """Of a scorer's /metrics."""
    client = ServerClient(URL, socket=path)
    client.open()
    text = client.exchange(
        "GET", f"{URL}/metrics", None, threading.Event(), bytes.decode, kind="text/plain"
    )
    client.close()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(values[name]) for name in NAMES}


def estimate(options: argparse.Namespace, figures: dict[str, Any], way: str) -> dict[str, Any]:
    """Strings a second that the cores allow, and that the GPU allows."""
    line = [line for line in figures["lines"] if line["way"] == way][-1]
    pairs = line["pairs_a_string"]
    cpu_us = {
        "stages": 1000 * options.cpu_ms,
        "tokenising": pairs * figures["tokenising_us"],
        "client": pairs * line["client_us"],
        "scorer": pairs * line["scorer_us"],
    }
    tokens = pairs * line["tokens_a_pair"]
    by_cores = options.cores * 1e6 / sum(cpu_us.values())
    by_gpu = figures["tokens_per_second"] / tokens
    return {"way": way, "cpu_us": cpu_us, "tokens_a_string": tokens, "by_cores": by_cores,
            "by_gpu": by_gpu, "strings_per_second": min(by_cores, by_gpu)}  # fmt: skip


def tables(options: argparse.Namespace, figures: dict[str, Any]) -> str:
    measurements = report.table(
        ["pairs", "clients", "strings/s", "GPU busy", "requests a batch", "batch full",
         "wait ms", "client µs a pair", "scorer µs a pair"],
        [
            [
                f"{line['way']} ({line['pairs_a_string']:.1f})",
                line["clients"],
                report.significant(line["strings_per_second"]),
                f"{line['gpu_busy']:.0%}",
                f"{line['requests_a_batch']:.1f}",
                f"{line['batch_fill']:.0%}",
                f"{line['wait_ms']:.1f}",
                f"{line['client_us']:.1f}",
                f"{line['scorer_us']:.1f}",
            ]
            for line in figures["lines"]
        ],
    )  # fmt: skip
    estimates = report.table(
        ["pairs", "stages µs", "tokenising", "client", "scorer", f"{options.cores} cores",
         "GPU", "strings/s"],
        [
            [
                one["way"],
                *(f"{value:,.0f}" for value in one["cpu_us"].values()),
                f"{one['by_cores']:,.0f}",
                f"{one['by_gpu']:,.0f}",
                f"{one['strings_per_second']:,.0f}",
            ]
            for one in figures["estimates"]
        ],
    )  # fmt: skip
    return (
        f"Assumed: {options.tflops:g} TFLOP/s, {figures['tokens_per_second']:,.0f} tokens/s, "
        f"{options.launch_ms:g} ms a batch, {options.cpu_ms:g} ms of CPU a string.\n"
        f"{figures['lines'][0]['tokens_a_pair']:.1f} tokens a pair; tokenising "
        f"{figures['tokenising_us']:.1f} µs of CPU a pair.\n\n{measurements}\n\n"
        "CPU a string, and strings/s that the cores and the GPU allow (an estimate):\n\n"
        f"{estimates}"
    )


if __name__ == "__main__":
    main()
