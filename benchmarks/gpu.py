"""Pairs a second on a GPU: the scoring engine, `CrossEncoder.predict` and the ceiling, in turn.

    python -m benchmarks.gpu --json gpu.json

Needs torch, transformers, sentence-transformers and NumPy, and nothing but this checkout: the
306M architecture of the multilingual GTE rerankers gets random weights, and a tokenizer is made on
the spot whose tokens are whole words. Pairs are as long as real ones (`benchmarks/lengths.json`,
made by `benchmarks.lengths`), twenty candidates a string. Everything counts from strings to
scores. Ends within eight minutes: what there is no time for is left out, and named.

Scores are compared before any speed is: a run whose engine disagrees with `CrossEncoder` fails.

With `--save FOLDER` it only saves such a model, with the built-in tokenizer, for
`benchmarks.throughput --scorer`; `benchmarks/gpu.sh` runs one after the other.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ceiling import Shape
from resolver.reranker.attention import Attention, Padded, Varlen, best_attention
from resolver.reranker.packed import CPU_BUDGET, GPU_BUDGET, Engine
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokens import PairTokenizer

Pair = tuple[str, str]

LENGTHS = Path(__file__).with_name("lengths.json")
CANDIDATES = 20
MAX_LENGTH = 128
WORDS = 60_000
"""Words of the tokenizer, a token each; documents are drawn from `DOCUMENTS` texts of them."""

DOCUMENTS = 20_000

# Alibaba-NLP/gte-multilingual-reranker-base, config.json.
FULL = {
    "vocab_size": 250_048,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 8192,
}
TINY = FULL | {
    "vocab_size": WORDS + 100,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 192,
}

EXACT = 1e-4
"""Largest difference allowed from `CrossEncoder.predict` where both compute in float32."""

AGREEMENT = 0.999
"""Share of two candidates of a string that half precision must leave in the order of float32."""

WORSE = 1.5
"""Where `CrossEncoder` itself leaves fewer in order, the engine may lose so many times as many."""

PREDICT_BATCHES = (64, 128, 256, 512, 1024)
BUDGETS = (16_384, 32_768, 49_152, 65_536, 98_304)


def main() -> None:
    options = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING)
    if options.save:
        save_for_workers(options.save, TINY if options.dry_run else FULL)
        return
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU here; --dry-run tries the script on a CPU")
    clock = Clock(options.seconds)
    dtype = getattr(torch, options.dtype)
    pairs = made_pairs(options.pairs)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), TINY if options.dry_run else FULL, pairs)
        bench = Bench(Path(folder), device, dtype, pairs, options.budget, clock)
    verification = bench.verify(options.verify)
    for line in verification:
        print(f"{'ok' if line['passed'] else 'FAILED'}: {line['what']}: {line['found']}")
    if not all(line["passed"] for line in verification):
        sys.exit("the engine's scores are not CrossEncoder's: its speed means nothing")
    figures = {
        "machine": machine(device),
        "versions": versions(),
        "settings": {name: str(value) for name, value in vars(options).items()},
        "pairs": len(pairs),
        "tokens_a_pair": bench.tokens / len(pairs),
        "verification": verification,
        "ceiling_tflops": bench.ceiling(),
    }
    print(
        f"{figures['machine']}; "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
    )
    print(
        f"{len(pairs)} pairs of {figures['tokens_a_pair']:.1f} tokens; "
        f"a large product: {figures['ceiling_tflops']:.2f} TFLOP/s in {options.dtype}\n"
    )
    figures |= bench.measure(options.rounds)
    print(table(figures["variants"], options.dtype))
    for line in figures["left_out"]:
        print(f"left out: {line}")
    figures["seconds"] = clock.passed
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=40_000)
    parser.add_argument("--verify", type=int, default=2000, help="pairs whose scores are compared")
    parser.add_argument("--seconds", type=float, default=420, help="time for everything")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=["float16", "bfloat16"], default="float16")
    parser.add_argument("--budget", type=int, help="tokens of a batch; without it, swept")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="save a random model, and end")
    parser.add_argument(
        "--dry-run", action="store_true", help="a tiny model on the CPU: does the script work?"
    )
    return _DryRun(parser)


class _DryRun:
    """The parser, with a dry run's own defaults."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser

    def parse_args(self) -> argparse.Namespace:
        if "--dry-run" in sys.argv:
            self._parser.set_defaults(
                device="cpu", dtype="bfloat16", pairs=400, verify=200, rounds=2, seconds=60.0
            )
        return self._parser.parse_args()


class Clock:
    """How long this has taken, and how much time there is."""

    def __init__(self, seconds: float) -> None:
        self._started, self.whole = time.perf_counter(), seconds

    @property
    def passed(self) -> float:
        return time.perf_counter() - self._started

    @property
    def left(self) -> float:
        return self.whole - self.passed


class Bench:
    """The models and the pairs, and what is measured with them."""

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        dtype: torch.dtype,
        pairs: list[Pair],
        budget: int | None,
        clock: Clock,
    ) -> None:
        self.device, self.dtype, self.pairs, self.clock = device, dtype, pairs, clock
        self.budget = budget
        self.exact = cross_encoder(folder, device, torch.float32)
        self.half = cross_encoder(folder, device, dtype)
        self.tokenizer = PairTokenizer(
            tokenizer_of(folder), max_length=MAX_LENGTH, typed=False, remembered=10 * DOCUMENTS
        )
        self.lengths = self.tokenizer.encode(pairs).lengths
        self.tokens = int(self.lengths.sum())
        config = self.exact.model.config
        self.shape = Shape(
            config.num_hidden_layers, config.hidden_size, config.intermediate_size, gated=True
        )
        self.left_out: list[str] = []
        # On a CPU a loop takes the place of the kernel, so that a dry run goes the same ways.
        heads = config.num_attention_heads
        self.packed: Attention = (
            best_attention(device, dtype, heads, config.hidden_size // heads)
            if device.type == "cuda"
            else Varlen(by_sequence)
        )
        if self.packed.pads:
            self.left_out.append("packed: this GPU or this torch has no kernel for it")

    def engine(self, attention: Attention) -> Engine:
        return Engine(
            self.exact.model,
            self.device,
            self.dtype,
            attention,
            self.budget or (GPU_BUDGET if self.device.type == "cuda" else CPU_BUDGET),
        )

    def encoded(self, pairs: Sequence[Pair]) -> Iterator[Sequences]:
        """As `CrossEncoderReranker` hands pairs over: in chunks, tokenised while others run."""
        for start in range(0, len(pairs), 32_768):
            yield self.tokenizer.encode(pairs[start : start + 32_768])

    def verify(self, count: int) -> list[dict[str, Any]]:
        """Scores of the first pairs, every way that is measured, against `CrossEncoder`."""
        some = self.pairs[: count - count % CANDIDATES]
        expected = predict(self.exact, some, 64)
        if not np.isfinite(expected).all() or expected.std() < 0.05:
            sys.exit("the random model's scores say nothing; its weights want another scale")
        lines = []

        def say(what: str, found: str, *, passed: bool) -> None:
            lines.append({"what": what, "found": found, "passed": bool(passed)})

        exact = Engine(self.exact.model, self.device, torch.float32, Padded())
        difference = float(np.abs(exact.score(self.encoded(some)) - expected).max())
        say(
            "engine in float32, padded",
            f"largest difference {difference:.1e}, allowed {EXACT:.0e}",
            passed=difference <= EXACT,
        )
        if self.device.type == "cpu":
            exact = Engine(self.exact.model, self.device, torch.float32, Varlen(by_sequence))
            difference = float(np.abs(exact.score(self.encoded(some)) - expected).max())
            say(
                "engine in float32, packed",
                f"largest difference {difference:.1e}, allowed {EXACT:.0e}",
                passed=difference <= EXACT,
            )
        theirs = agreement(expected, predict(self.half, some, 64))
        say("CrossEncoder in half precision", f"{theirs:.3%} in the order of float32", passed=True)
        ways = {"padded": Padded()} | ({} if self.packed.pads else {"packed": self.packed})
        for name, attention in ways.items():
            ours = agreement(expected, self.engine(attention).score(self.encoded(some)))
            say(
                f"engine in half precision, {name}",
                f"{ours:.3%} in the order of float32",
                # Random weights may be worse to round than trained ones: for everybody.
                passed=ours >= AGREEMENT or 1 - ours <= WORSE * (1 - theirs),
            )
        return lines

    def ceiling(self) -> float:
        """TFLOP/s of a large product of this dtype: the best of five takes."""
        size = 8192 if self.device.type == "cuda" else 1024
        left = torch.randn(size, size, device=self.device).to(self.dtype)
        right = torch.randn(size, size, device=self.device).to(self.dtype).t()

        def run() -> None:
            for _ in range(10):
                left @ right

        self.seconds(run)
        return max(10 * 2 * size**3 / self.seconds(run) / 1e12 for _ in range(5))

    def seconds(self, run: Callable[[], object]) -> float:
        self._wait()
        started = time.perf_counter()
        run()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def measure(self, rounds: int) -> dict[str, Any]:
        some = self.pairs[: max(CANDIDATES, len(self.pairs) // 5)]
        sizes = PREDICT_BATCHES if self.device.type == "cuda" else PREDICT_BATCHES[:2]
        batches: dict[int, float] = {}
        for size in sizes:
            if not batches or self.clock.left > self.clock.whole / 2:
                predict(self.half, some, size)
                batches[size] = self.seconds(lambda size=size: predict(self.half, some, size))
        best = min(batches, key=batches.__getitem__)
        budgets: dict[int, float] = {}
        if self.budget is None and self.device.type == "cuda":
            engine = self.engine(self.packed)
            for budget in BUDGETS:
                engine.budget = budget
                if not budgets or self.clock.left > self.clock.whole / 3:
                    engine.score(self.encoded(self.pairs))
                    budgets[budget] = self.seconds(lambda: engine.score(self.encoded(self.pairs)))
            self.budget = min(budgets, key=budgets.__getitem__, default=None)
            del engine
        runs: dict[str, Callable[[], object]] = {
            f"CrossEncoder.predict, batches of {best}": lambda: predict(
                self.half, self.pairs, best
            ),
        }

        def add(name: str, engine: Engine) -> None:
            runs[name] = lambda: engine.score(self.encoded(self.pairs))

        add("engine, padded", self.engine(Padded()))
        if not self.packed.pads:
            add("engine, packed", self.engine(self.packed))
        peak = None
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            self.seconds(run)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        for number in range(rounds):
            # A round takes about as long as the first, which came after the warm-up.
            if number and self.clock.left < 1.5 * sum(taken[-1] for taken in seconds.values()):
                self.left_out.append(f"rounds {number + 1} to {rounds}: no time")
                break
            for name in list(runs) if number % 2 == 0 else reversed(list(runs)):
                seconds[name].append(self.seconds(runs[name]))
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device) / 1e9
        flop, ceiling = self.shape.flop(self.lengths.tolist()), self.ceiling()
        base = next(iter(seconds.values()))
        variants = [
            {
                "variant": name,
                "seconds": taken,
                "pairs_per_second": len(self.pairs) / statistics.median(taken),
                "tokens_per_second": self.tokens / statistics.median(taken),
                "share_of_ceiling": flop / statistics.median(taken) / 1e12 / ceiling,
                "times_predict": statistics.median(a / b for a, b in zip(base, taken, strict=True)),
            }
            for name, taken in seconds.items()
        ]
        return {
            "variants": variants,
            "predict_batches": {str(size): len(some) / took for size, took in batches.items()},
            "budgets": {str(size): len(self.pairs) / took for size, took in budgets.items()},
            "budget": self.budget,
            "peak_gb": peak,
            "ceiling_afterwards_tflops": ceiling,
            "left_out": self.left_out,
        }


def by_sequence(
    query: Tensor, key: Tensor, value: Tensor, q_bounds: Tensor, k_bounds: Tensor, *_: int
) -> Tensor:
    """What a `Kernel` computes, one sequence after the other, on any device: the reference."""
    parts = [
        F.scaled_dot_product_attention(
            query[q0:q1].transpose(0, 1), key[k0:k1].transpose(0, 1), value[k0:k1].transpose(0, 1)
        ).transpose(0, 1)
        for (q0, q1), (k0, k1) in zip(
            itertools.pairwise(q_bounds.tolist()),
            itertools.pairwise(k_bounds.tolist()),
            strict=True,
        )
    ]
    return torch.cat(parts)


def table(variants: Sequence[dict[str, Any]], dtype: str) -> str:
    lines = [
        f"| {dtype} | pairs/s | tokens/s | share of the ceiling | × predict |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one['variant']} | {one['pairs_per_second']:,.0f} | {one['tokens_per_second']:,.0f} "
        f"| {one['share_of_ceiling']:.1%} | {one['times_predict']:.2f} |"
        for one in variants
    ]
    return "\n".join(lines)


def predict(model: Any, pairs: Sequence[Pair], batch: int) -> np.ndarray:
    found = model.predict(
        list(pairs),
        batch_size=batch,
        activation_fn=torch.nn.Identity(),
        show_progress_bar=False,
    )
    return np.asarray(found, np.float32)


def agreement(expected: np.ndarray, found: np.ndarray) -> float:
    """Share of two candidates of one string that both put in the same order."""
    rows, other = (x.reshape(-1, CANDIDATES) for x in (expected, found))
    a, b = np.triu_indices(CANDIDATES, 1)
    before, after = rows[:, a] - rows[:, b], other[:, a] - other[:, b]
    # Candidates with the same text have the same score, and no order.
    return float((np.sign(before) == np.sign(after))[before != 0].mean())


def made_pairs(count: int) -> list[Pair]:
    """Strings of made-up words with `CANDIDATES` documents each, as long as real ones."""
    rng = np.random.default_rng(0)
    lengths = json.loads(LENGTHS.read_text())
    words = np.array(vocabulary())

    def texts(part: str, number: int) -> list[str]:
        counts = lengths[part]
        weights = np.array(list(counts.values()), float)
        sizes = rng.choice([int(n) for n in counts], number, p=weights / weights.sum())
        return [" ".join(rng.choice(words, size)) for size in sizes]

    documents = texts("document", DOCUMENTS)
    return [
        (affiliation, documents[place])
        for affiliation in texts("affiliation", -(-count // CANDIDATES))
        for place in rng.integers(0, DOCUMENTS, CANDIDATES)
    ]


@cache
def vocabulary() -> list[str]:
    """Different words of three to six letters: real tokens have about as many."""
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    found = dict.fromkeys(
        "".join(rng.choice(letters, size)) for size in rng.integers(3, 7, WORDS * 2)
    )
    return list(found)[:WORDS]


def save_model(folder: Path, config: dict[str, int], pairs: Sequence[Pair]) -> None:
    """A checkpoint of random weights, and a tokenizer whose tokens are whole words."""
    tokenizer = made_tokenizer()
    found = [len(tokenizer.encode(*pair).ids) for pair in pairs[:100]]
    expected = [len(one.split()) + len(other.split()) + 4 for one, other in pairs[:100]]
    if found != expected:
        sys.exit("the tokenizer takes words apart: pairs are longer than they should be")
    save_checkpoint(folder, config, tokenizer)


def save_for_workers(folder: Path, config: dict[str, int]) -> None:
    """A checkpoint of random weights that reads real strings, by the built-in tokenizer."""
    from tokenizers import Tokenizer

    from resolver import weights

    path = weights.BUILTIN_FOLDER / weights.TOKENIZER
    tokenizer = Tokenizer.from_file(str(path))
    save_checkpoint(folder, config | {"vocab_size": tokenizer.get_vocab_size()}, tokenizer)
    print(f"saved {folder}")


def save_checkpoint(folder: Path, config: dict[str, int], tokenizer: Any) -> None:
    """Random weights, wide enough for scores to differ, and an XLM-R-like tokenizer."""
    from transformers import GteConfig, GteForSequenceClassification, PreTrainedTokenizerFast

    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)
    torch.manual_seed(0)
    model = GteForSequenceClassification(
        GteConfig(
            **config,
            num_labels=1,
            pad_token_id=1,
            type_vocab_size=1,
            classifier_dropout=0.0,
            layer_norm_eps=1e-12,
            rope_parameters={
                "rope_type": "linear",
                "rope_theta": 160_000,
                "factor": 8 ** (2 / 64),
            },
        )
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "embeddings" not in name:
                weight.normal_(0, weight.shape[1] ** -0.5)
        model.classifier.weight.mul_(2)
    model.save_pretrained(folder)


def made_tokenizer() -> Any:
    """An XLM-R-like tokenizer whose tokens are whole words, and letters for the rest."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(token, 0.0) for token in special]
    pieces += [("▁" + word, -10.0) for word in vocabulary()]
    pieces += [(letter, -20.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def tokenizer_of(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def cross_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(
        str(folder), device=str(device), local_files_only=True, model_kwargs={"dtype": dtype}
    )


def machine(device: torch.device) -> str:
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return f"{found.name}, {found.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
