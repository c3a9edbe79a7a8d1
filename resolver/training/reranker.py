"""Fine-tuning a cross-encoder on labelled pairs, with sentence-transformers.

The recipe is that of ``cometadata/gte-multilingual-reranker-affiliations``: binary
cross-entropy on the bare logit, AdamW, warm-up, linear schedule, seed 42. What differs suits
a small model on a CPU: fewer layers, a higher learning rate, frozen word embeddings, batches
of like length, bfloat16 autocast.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resolver.errors import ModelError
from resolver.training.pairs import LabelledPair

if TYPE_CHECKING:
    import datasets

log = logging.getLogger(__name__)

SEED = 42
"""The seed of the published recipe."""

BUCKET_BATCHES = 64
"""Batches of like length are cut from a shuffled stretch of so many: little padding, and still
another neighbourhood for each pair."""


@dataclass(frozen=True, slots=True)
class RerankerTraining:
    """How to fine-tune.

    `base` is a local folder or hub id of a BERT-like encoder or of a cross-encoder; `layers`
    keeps so many of its layers, evenly spaced and the last included (None: all);
    `max_length` counts tokens of a pair; `freeze_words` keeps the word embeddings as they are.
    `device` None takes the best there is; `bf16` is autocast, on CPU too; `threads` are torch's
    on a CPU (None: one a core). `checkpoint_steps` saves a checkpoint every so many steps (None:
    only the end).
    """

    base: str
    out: Path
    layers: int | None = None
    epochs: float = 1.0
    batch_size: int = 64
    learning_rate: float = 1e-4
    warmup: float = 0.06
    weight_decay: float = 0.01
    max_length: int = 128
    seed: int = SEED
    freeze_words: bool = True
    bf16: bool = True
    device: str | None = None
    threads: int | None = None
    checkpoint_steps: int | None = None
    progress: bool = True


def train_reranker(options: RerankerTraining, pairs: Sequence[LabelledPair]) -> Path:
    """Fine-tune and save a checkpoint that `sentence_transformers.CrossEncoder` loads.

    Returns `options.out`. On one machine the same options and pairs give the same weights.

    Raises:
        ModelError: there is nothing to learn from, or the base cannot be loaded.
    """
    if {pair.label for pair in pairs} != {0, 1}:
        raise ModelError(
            f"{len(pairs)} training pairs, of one label at most",
            remedy="give gold strings whose ROR ids are in the registry at hand",
        )
    import torch
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments
    from transformers import set_seed

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    set_seed(options.seed)
    start = options.out / "start"
    _reduce(options.base, options.layers, start)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = CrossEncoder(
        str(start),
        num_labels=1,
        max_length=options.max_length,
        device=device,
        activation_fn=torch.nn.Identity(),
        local_files_only=True,
        model_kwargs={
            # The fused CPU kernel's backward pass takes twice the time of the plain one.
            "attn_implementation": "eager" if device == "cpu" else "sdpa",
            "dtype": torch.float32,
        },
    )
    if options.freeze_words:
        model.model.get_input_embeddings().weight.requires_grad_(False)
    rows = Dataset.from_dict(
        {
            "affiliation": [pair.affiliation for pair in pairs],
            "document": [pair.document for pair in pairs],
            "label": [float(pair.label) for pair in pairs],
        }
    )
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(options.out / "checkpoints"),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup,
        weight_decay=options.weight_decay,
        lr_scheduler_type="linear",
        bf16=options.bf16,
        use_cpu=device == "cpu",
        seed=options.seed,
        batch_sampler=length_batches,
        save_strategy="steps" if options.checkpoint_steps else "no",
        save_steps=options.checkpoint_steps or 500,
        save_only_model=True,
        save_total_limit=2,
        logging_steps=50,
        disable_tqdm=not options.progress,
        report_to="none",
        dataloader_pin_memory=device != "cpu",
    )
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        loss=BinaryCrossEntropyLoss(model),
    )
    trainer.train()
    model.save_pretrained(str(options.out), create_model_card=False)
    log.info("trained %s on %d pairs", options.out, len(pairs))
    return options.out


def _reduce(base: str, layers: int | None, out: Path) -> None:
    """Save the base with fewer layers and one label, without dropout."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
        depth = int(config.num_hidden_layers)
        kept = kept_layers(depth, layers or depth)
        config.num_labels = 1
        # One pass over many pairs does not overfit, and dropout costs a fifth of the time.
        config.attention_probs_dropout_prob = 0.0
        config.hidden_dropout_prob = 0.0
        model = AutoModelForSequenceClassification.from_pretrained(
            base, config=config, dtype="float32", use_safetensors=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{base} cannot be trained: {error}",
            remedy="give a folder or id of a transformers encoder with safetensors weights",
        ) from error
    if len(kept) < depth:
        holder = _encoder_layers(model)
        holder.layer = type(holder.layer)(holder.layer[i] for i in kept)
        model.config.num_hidden_layers = len(kept)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def kept_layers(depth: int, layers: int) -> list[int]:
    """Evenly spaced layer numbers, the last one included: (12, 6) → 1, 3, 5, 7, 9, 11."""
    if not 1 <= layers <= depth:
        raise ModelError(
            f"cannot keep {layers} layers of {depth}", remedy=f"choose from 1 to {depth}"
        )
    return [(i + 1) * depth // layers - 1 for i in range(layers)]


def _encoder_layers(model: Any) -> Any:
    encoder = getattr(model.base_model, "encoder", None)
    if encoder is None or not hasattr(encoder, "layer"):
        raise ModelError(
            f"layers of a {type(model).__name__} cannot be chosen",
            remedy="keep all of them, or start from a BERT-like base",
        )
    return encoder


class LengthBatches:
    """Batches of like length in a shuffled order that changes with each epoch."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.drop_last = False
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}-{self.epoch}")  # noqa: S311
        order = list(range(len(self.lengths)))
        rng.shuffle(order)
        stretch = self.batch_size * BUCKET_BATCHES
        batches = []
        for start in range(0, len(order), stretch):
            bucket = sorted(order[start : start + stretch], key=self.lengths.__getitem__)
            batches += [
                bucket[i : i + self.batch_size] for i in range(0, len(bucket), self.batch_size)
            ]
        rng.shuffle(batches)
        yield from batches


def length_batches(
    dataset: datasets.Dataset, batch_size: int, *, seed: int = 0, **_: object
) -> LengthBatches:
    """The batch sampler that sentence-transformers asks for; characters stand for tokens."""
    lengths = [
        len(affiliation) + len(document)
        for affiliation, document in zip(dataset["affiliation"], dataset["document"], strict=True)
    ]
    return LengthBatches(lengths, batch_size, seed)
