"""Ways to score pairs, each at its best settings: ours, and what others have for the same model."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from resolver import weights
from resolver.errors import ModelError
from resolver.hardware import hardware
from resolver.reranker import Calibration, Pair
from resolver.reranker.loading import load
from resolver.settings import BUILTIN

MAX_LENGTH = 128
"""Tokens of a pair, for all: the longest that the built-in model reads."""

BATCHES = (8, 16, 32, 64, 128, 256)
"""Batch sizes that others are tried with."""

SWEPT = 400
"""Pairs that a setting is tried on."""

LAYERS, HIDDEN, INTERMEDIATE, HEADS = 6, 384, 1536, 12
"""The architecture of the built-in reranker (resolver/builtin/README.md)."""

Score = Callable[[Sequence[Pair]], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Scorer:
    """`dtype` says which product is its ceiling; `settings` what it runs with."""

    name: str
    score: Score
    dtype: str
    settings: Mapping[str, object]


def random_checkpoint(folder: Path) -> Path:
    """The built-in reranker's architecture with random weights and its own tokenizer.

    The built-in model ships in its ONNX form only. What a forward costs does not depend on the
    values of the weights.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    path = weights.BUILTIN_FOLDER / "tokenizer.json"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(path),
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=512,
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        type_vocab_size=2,
        pad_token_id=1,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def quiet() -> None:
    """No bars of transformers between the figures."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def builtin(threads: int | None) -> Scorer:
    reranker = load(BUILTIN, None, threads=threads)
    return Scorer("built-in, ONNX Runtime", reranker.score, "int8", {"form": "int8"})


def engine(checkpoint: Path, dtype: str) -> Scorer:
    """The project's own forward of a torch checkpoint."""
    from resolver.reranker.cross_encoder import load_cross_encoder

    reranker = load_cross_encoder(str(checkpoint), "cpu", dtype=dtype)
    return Scorer(f"torch engine, {dtype}", reranker.score, dtype, {"dtype": dtype})


def predict(
    checkpoint: Path, pairs: Sequence[Pair], *, dtype: str, batches: Sequence[int] = BATCHES
) -> Scorer:
    """`CrossEncoder.predict` of sentence-transformers, with the batch that suits it best.

    It sorts by length itself.
    """
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(
        str(checkpoint), device="cpu", local_files_only=True, model_kwargs={"dtype": dtype}
    )
    model.max_seq_length = min(model.max_seq_length or MAX_LENGTH, MAX_LENGTH)
    scores = {batch: _predicting(model, batch) for batch in batches}
    seconds = {batch: _tried(score, pairs) for batch, score in scores.items()}
    best = min(seconds, key=seconds.__getitem__)
    tried = {str(b): round(len(pairs[:SWEPT]) / found, 1) for b, found in seconds.items()}
    settings = {"dtype": dtype, "batch_size": best, "pairs_per_second_by_batch_size": tried}
    return Scorer(f"CrossEncoder.predict, {dtype}", scores[best], dtype, settings)


def _predicting(model: Any, batch: int) -> Score:
    import torch

    # Logits: of one label predict would make probabilities.
    bare = torch.nn.Identity()

    def score(pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        found = model.predict(
            list(pairs), batch_size=batch, show_progress_bar=False, activation_fn=bare
        )
        return np.asarray(found, np.float32)

    return score


def _tried(score: Score, pairs: Sequence[Pair]) -> float:
    """Seconds, at the second time and the third, whichever is shorter."""
    pairs = pairs[:SWEPT]
    score(pairs)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        score(pairs)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def half() -> list[str]:
    """What this processor multiplies in half precision by instructions of its own."""
    has = getattr(hardware(None), "instructions", ())
    return ["bfloat16"] if any("bf16" in name for name in has) else []


@dataclass(frozen=True, slots=True)
class Predicting:
    """A scorer in the place of the matcher's reranker."""

    scorer: Scorer

    @property
    def name(self) -> str:
        return self.scorer.name

    @property
    def fingerprint(self) -> str:
        return self.scorer.name

    @property
    def calibration(self) -> Calibration:
        return Calibration()

    @property
    def truncated(self) -> int:
        return 0

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        distinct = list(dict.fromkeys(pairs))
        score = dict(zip(distinct, self.scorer.score(distinct).tolist(), strict=True))
        return np.array([score[pair] for pair in pairs], np.float32)


# Others


@contextmanager
def others(
    checkpoint: Path, folder: Path, pairs: Sequence[Pair]
) -> Iterator[tuple[list[Scorer], dict[str, str]]]:
    """Scorers of other projects that are installed; and why the rest are not there."""
    found: list[Scorer] = []
    absent: dict[str, str] = {}
    with ExitStack() as opened:
        for name, scorer in (("infinity-emb", infinity), ("flashrank", flashrank)):
            try:
                found.append(opened.enter_context(scorer(checkpoint, folder, pairs)))
            except ImportError as error:
                absent[name] = f"not installed ({error.name or error})"
            except ModelError as error:
                absent[name] = error.problem
        yield found, absent


INFINITY_MODEL = "benchmark"
"""The name that the model is asked for by."""


@contextmanager
def infinity(checkpoint: Path, _: Path, pairs: Sequence[Pair]) -> Iterator[Scorer]:
    """infinity-emb in this process: it queues, sorts by length and batches by itself."""
    # Read when it is imported: it would report its use to its makers.
    os.environ["DO_NOT_TRACK"] = "1"
    from infinity_emb import EngineArgs, SyncEngineArray

    # It lets all loggers speak.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("infinity_emb").setLevel(logging.ERROR)
    with ExitStack() as started:
        found: dict[int, tuple[float, Score]] = {}
        for batch in (16, 64):
            array = SyncEngineArray.from_args(
                [
                    EngineArgs(
                        model_name_or_path=str(checkpoint),
                        served_model_name=INFINITY_MODEL,
                        engine="torch",
                        device="cpu",
                        batch_size=batch,
                        model_warmup=False,
                    )
                ]
            )
            # Whatever happens: its threads would keep this process alive.
            started.callback(array.stop)
            score = _asking(array)
            found[batch] = (_tried(score, pairs), score)
        best = min(found, key=lambda batch: found[batch][0])
        settings = {"dtype": "float32", "batch_size": best}
        yield Scorer("infinity-emb", found[best][1], "float32", settings)


def _asking(array: Any) -> Score:
    def score(pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        answers = [
            array.rerank(
                model=INFINITY_MODEL,
                query=text,
                docs=[document for _, document in group],
                raw_scores=True,
            )
            for text, group in groupby(pairs, key=lambda pair: pair[0])
        ]
        scores: list[float] = []
        for answer in answers:
            results, _ = answer.result()
            ordered = sorted(results, key=lambda result: int(result.index))
            scores += [float(result.relevance_score) for result in ordered]
        return np.array(scores, np.float32)

    return score


FLASHRANK_MODEL = "ms-marco-MiniLM-L-12-v2"
"""One of the names that flashrank knows: it says which file is looked for."""


@contextmanager
def flashrank(checkpoint: Path, folder: Path, _: Sequence[Pair]) -> Iterator[Scorer]:
    """flashrank on the same model, exported by torch and quantised to int8, as its own are."""
    from flashrank import Ranker, RerankRequest
    from flashrank.Config import model_file_map

    home = folder / FLASHRANK_MODEL
    home.mkdir()
    _exported(checkpoint, home / model_file_map[FLASHRANK_MODEL])
    config = json.loads((checkpoint / "config.json").read_text())
    (home / "config.json").write_text(json.dumps({"pad_token_id": config["pad_token_id"]}))
    (home / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": MAX_LENGTH, "pad_token": "<pad>"})
    )
    (home / "special_tokens_map.json").write_text("{}")
    shutil.copy(checkpoint / "tokenizer.json", home)
    ranker = Ranker(FLASHRANK_MODEL, str(folder), max_length=MAX_LENGTH, log_level="WARNING")

    def score(pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        scores: list[float] = []
        for text, group in groupby(pairs, key=lambda pair: pair[0]):
            passages = [{"id": n, "text": document} for n, (_, document) in enumerate(group)]
            # In the order of their scores, which are probabilities.
            ranked = ranker.rerank(RerankRequest(text, passages))
            scores += [one["score"] for one in sorted(ranked, key=lambda one: one["id"])]
        return np.array(scores, np.float32)

    yield Scorer("flashrank", score, "int8", {"dtype": "int8", "batch": "an affiliation's pairs"})


def _exported(checkpoint: Path, path: Path) -> None:
    """The checkpoint as flashrank wants it: int64 ids and mask in, logits out, int8 products.

    Raises:
        ModelError: torch cannot export it here.
    """
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, local_files_only=True)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    ids = torch.ones(2, 16, dtype=torch.int64)
    plain = path.with_suffix(".float.onnx")
    dynamic = {0: torch.export.Dim("pairs"), 1: torch.export.Dim("tokens", max=MAX_LENGTH)}
    try:
        torch.onnx.export(
            Logits().eval(),
            (ids, ids),
            plain,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(dynamic, dynamic),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        exported = onnx.load(plain)
        # Shapes that the exporter worked out for its own folding, which quantising changes.
        del exported.graph.value_info[:]
        quantize_dynamic(exported, path, weight_type=QuantType.QInt8)
    # Whatever an exporter stumbles on, the benchmark of the others goes on.
    except Exception as error:
        raise ModelError(f"cannot be exported: {type(error).__name__}: {error}"[:200]) from error
    finally:
        plain.unlink(missing_ok=True)
