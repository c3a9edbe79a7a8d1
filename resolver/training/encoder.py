"""Making the static encoder: token vectors distilled from a transformer, then fine-tuned.

1. Each token of the vocabulary goes through the teacher by itself; PCA reduces the results.
2. Vectors are weighted by a / (a + p), p the token's probability by its Zipfian rank
   (S. Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", 2017).
3. Contrastive fine-tuning with in-batch negatives (`MultipleNegativesRankingLoss`) on pairs
   that cost nothing: a string and its organisation, two names of one organisation.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resolver import weights
from resolver.encoder.static import SCALES, TABLE, WEIGHTS
from resolver.errors import ModelError
from resolver.registry.document import Document, documents
from resolver.registry.organisation import Organisation
from resolver.text.segments import segments
from resolver.text.words import words
from resolver.training.mentions import share
from resolver.training.pairs import Labelled, held_out
from resolver.weights import checkpoints

log = logging.getLogger(__name__)

SIF_A = 1e-3
"""The constant a of the smooth inverse frequency, as its authors recommend."""

SEGMENT_SHARE = 0.6
"""A comma segment is paired with an organisation when it holds this share of a name."""

NAME_PAIRS = 3
"""Most pairs of names from one organisation."""

Texts = tuple[str, str]
"""A query text and a document text of the same organisation."""


@dataclass(frozen=True, slots=True)
class EncoderTraining:
    """How to make a static encoder.

    `base` is the teacher, a local folder or hub id; `prefix` is what it wants before a query
    text; `dimension` that of the vectors made. `device` None takes the best there is.
    """

    base: str
    out: Path
    dimension: int = 96
    prefix: str = "query: "
    epochs: float = 3.0
    batch_size: int = 2048
    learning_rate: float = 1e-2
    warmup: float = 0.1
    seed: int = 42
    device: str | None = None
    threads: int | None = None
    progress: bool = True


def text_pairs(
    gold: Iterable[Labelled], organisations: Mapping[str, Organisation], *, seed: int
) -> Iterator[Texts]:
    """Pairs from labelled strings, their segments, and the registry's own names.

    No held-out organisation takes part. The same arguments give the same pairs.
    """
    rng = random.Random(seed)  # noqa: S311
    for item in gold:
        for ror_id in sorted(item.ror_ids):
            organisation = organisations.get(ror_id)
            if organisation is None or held_out(ror_id):
                continue
            shown = list(documents(organisation))
            text = words(item.affiliation)
            nearest = max(shown, key=lambda document: share(text, document.name))
            yield item.affiliation, nearest.dense_text
            display = _display(shown)
            if not nearest.name.isascii() and nearest is not display:
                yield item.affiliation, display.dense_text
            for segment in segments(item.affiliation):
                if share(words(segment), nearest.name) >= SEGMENT_SHARE:
                    yield segment, nearest.dense_text
    for organisation in organisations.values():
        shown = list(documents(organisation))
        if len(shown) < 2 or held_out(organisation.ror_id):
            continue
        for _ in range(min(NAME_PAIRS, len(shown) - 1)):
            one, other = rng.sample(shown, 2)
            yield (one.name if rng.random() < 0.5 else one.dense_text), other.dense_text
        # Other languages and scripts meet the name that every organisation has.
        display = _display(shown)
        for foreign in [d for d in shown if not d.name.isascii() and d is not display][:NAME_PAIRS]:
            yield foreign.name, display.dense_text


def _display(shown: Sequence[Document]) -> Document:
    return next((d for d in shown if d.name == d.display_name), shown[0])


def train_encoder(options: EncoderTraining, pairs: Sequence[Texts]) -> Path:
    """Distil, fine-tune and write a folder that `resolver.encoder.static.load_static` reads.

    Returns `options.out`.

    Raises:
        ModelError: there are no pairs, or the teacher cannot be loaded.
    """
    if not pairs:
        raise ModelError(
            "no pairs to train the encoder on",
            remedy="give gold strings, or a registry whose organisations have several names",
        )
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import set_seed

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    set_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    vectors, tokenizer_json = distil(options)
    weights.write_tokenizer(tokenizer_json, options.out / weights.TOKENIZER)
    tokenizer = weights.read_tokenizer(options.out / weights.TOKENIZER)
    embedding = StaticEmbedding(tokenizer, embedding_weights=vectors)
    model = SentenceTransformer(modules=[embedding], device=options.device)
    rows = Dataset.from_dict(
        {"query": [query for query, _ in pairs], "document": [document for _, document in pairs]}
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(options.out / "checkpoints"),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            warmup_steps=options.warmup,
            use_cpu=model.device.type == "cpu",
            seed=options.seed,
            save_strategy="no",
            logging_steps=20,
            disable_tqdm=not options.progress,
            report_to="none",
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        loss=MultipleNegativesRankingLoss(model),
    )
    trainer.train()
    write_table(embedding.embedding.weight.detach().cpu().numpy(), options.out / WEIGHTS)
    log.info("encoder %s trained on %d pairs", options.out, len(pairs))
    return options.out


def distil(options: EncoderTraining) -> tuple[npt.NDArray[np.float32], str]:
    """Weighted token vectors (vocabulary, dimension) of the teacher, and its tokenizer.json."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        with checkpoints.opened(options.base) as folder:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            teacher = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{options.base} cannot be the teacher: {error}",
            remedy="give a folder or id of a transformers encoder with safetensors weights",
        ) from error
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    teacher = teacher.to(device).eval()
    backend = tokenizer.backend_tokenizer
    vocabulary = backend.get_vocab_size()
    start = [tokenizer.cls_token_id, *backend.encode(options.prefix, add_special_tokens=False).ids]
    end = [tokenizer.sep_token_id]
    states = []
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
        for first in range(0, vocabulary, 1024):
            tokens = range(first, min(first + 1024, vocabulary))
            ids = torch.tensor([[*start, token, *end] for token in tokens], device=device)
            hidden = teacher(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
            states.append(hidden.float().mean(1).cpu().numpy())
    vectors = np.concatenate(states)
    vectors -= vectors.mean(0)
    _, axes = np.linalg.eigh(vectors.T @ vectors)
    # eigh sorts ascending; the sign of an axis is free, so fix it.
    axes = axes[:, ::-1][:, : options.dimension]
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    reduced = vectors @ axes
    reduced /= np.linalg.norm(reduced, axis=1, keepdims=True)
    # A Unigram vocabulary lists its pieces by falling probability.
    rank = np.arange(1, vocabulary + 1)
    probability = 1 / (rank * np.log(vocabulary))
    weighted = reduced * (SIF_A / (SIF_A + probability))[:, None]
    return weighted.astype(np.float32), backend.to_str()


def write_table(vectors: npt.NDArray[np.float32], path: Path) -> None:
    """Write token vectors (vocabulary, dimension) as int8 rows with a float16 scale each."""
    from safetensors.numpy import save_file

    largest = np.abs(vectors).max(1)
    scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float16)
    table = np.clip(np.rint(vectors / scales.astype(np.float32)[:, None]), -127, 127)
    save_file({TABLE: table.astype(np.int8), SCALES: scales}, path)
