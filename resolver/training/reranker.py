"""Fine-tuning a cross-encoder on labelled pairs, with sentence-transformers.

The recipe is that of ``cometadata/gte-multilingual-reranker-affiliations``: binary
cross-entropy on the bare logit, AdamW, warm-up, linear schedule, seed 42. The defaults here are
those of the built-in model, where they differ to suit a small model on a CPU: fewer layers, a
higher learning rate, frozen word embeddings, batches of similar lengths, bfloat16 autocast. The
published values are the preset `affiliations-2025` (`resolver.training.presets`).
"""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from resolver.errors import ModelError
from resolver.evaluation.metrics import CUT
from resolver.reranker import require_texts
from resolver.training import dequantisation, processes
from resolver.training.affiliations import Sample
from resolver.training.pairs import LabelledPair
from resolver.weights import soundness

if TYPE_CHECKING:
    import datasets
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments

log = logging.getLogger(__name__)

SEED = 42
"""The seed of the published recipe."""

BUCKET_BATCHES = 64
"""The shuffled pairs are cut into stretches of so many batches; each stretch is sorted by length.
That leaves little padding, and a pair meets other pairs in each epoch."""

EVALUATION = "affiliation-val"
"""The name of the evaluation set in the published card."""

START = "start"
CHECKPOINTS = "checkpoints"
"""Folders in `out` that a training needs while it runs."""


@dataclass(frozen=True, slots=True)
class RerankerTraining:
    """How to fine-tune.

    `base` is a local folder or hub id of a BERT-like encoder or of a cross-encoder, ``builtin``,
    or the folder of an ONNX form; `layers` is the number of its layers to keep, evenly spaced and
    the last included (None: all); `max_length` counts tokens of a pair; `freeze_words` keeps the
    word embeddings as they are.
    `device` None takes the best there is; `bf16` is autocast, on CPU too; `threads` are torch's
    on a CPU (None: one a core). `checkpoint_steps` saves a checkpoint every so many steps (None:
    only the end); an interrupted run continues from the last one.

    `batch_size` and `evaluation_batch_size` are for each device; `warmup` is a share of the
    steps; `dropout` None keeps the base's own. `evaluation_steps` evaluates every so many steps
    and after the last (None: only before and after the training); with `keep_best` the
    checkpoint of the best nDCG@10 is what is saved. `further` are other fields of
    `CrossEncoderTrainingArguments`, by name.
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
    fp16: bool = False
    evaluation_batch_size: int = 64
    gradient_accumulation: int = 1
    optimizer: str = "adamw_torch_fused"
    schedule: str = "linear"
    max_grad_norm: float = 1.0
    dropout: float | None = 0.0
    like_lengths: bool = True
    positive_weight: float | None = None
    evaluation_steps: int | None = None
    keep_best: bool = False
    logging_steps: int = 50
    further: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reranking:
    """The figures of `CrossEncoderRerankingEvaluator`: means over samples, in [0, 1]."""

    map: float
    mrr: float
    ndcg: float


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """A line of the training log; None for what was not measured at this step."""

    step: int
    epoch: float
    loss: float | None = None
    evaluation_loss: float | None = None
    evaluation: Reranking | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """The result of a training. `best` is the step that was saved, None for the last one; `resumed`
    the step that it continued from, None for a run without interruption."""

    out: Path
    steps: int
    log: tuple[TrainingStep, ...]
    before: Reranking | None
    after: Reranking | None
    best: int | None
    resumed: int | None


def fit_reranker(
    options: RerankerTraining,
    pairs: Sequence[LabelledPair],
    samples: Sequence[Sample] = (),
    *,
    resume: bool = False,
    watch: Callable[[TrainingStep], None] | None = None,
) -> Training:
    """Fine-tune, and save a checkpoint in `options.out` that `CrossEncoder` loads.

    The model is evaluated on `samples` before, during and after the training. On one machine the
    same options and pairs give the same weights. With `resume` the training continues from the
    last complete checkpoint in `options.out`, if there is one, and ends with the weights of a run
    without interruption. `watch` is called with each line of the log, in the main process.

    Raises:
        ModelError: there is nothing to learn from, the base cannot be loaded, or the options
            contradict each other.
        PairError: a text is empty.
    """
    if {pair.label for pair in pairs} != {0, 1}:
        raise ModelError(
            f"{len(pairs)} training pairs, of one label at most",
            remedy="give gold strings whose ROR ids are in the registry at hand",
        )
    require_texts([(pair.affiliation, pair.document) for pair in pairs])
    import torch
    from sentence_transformers.cross_encoder import CrossEncoderTrainer
    from transformers import set_seed
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from transformers.utils.logging import disable_progress_bar

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if not options.progress:
        disable_progress_bar()
    set_seed(options.seed)
    state = processes.join(options.device)
    start = options.out / START
    saved = options.out / CHECKPOINTS
    with processes.main_first(options.device) as main:
        if main:
            _reduce(options, start)
            if resume:
                remove_broken(saved)
    model = cross_encoder(start, options, str(state.device))
    measure = evaluator(samples, options) if samples else None
    before = _measured(model, measure) if state.is_main_process else None
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments(options, evaluated=measure is not None),
        train_dataset=_rows((pair.affiliation, pair.document, pair.label) for pair in pairs),
        eval_dataset=_judged_rows(samples) if measure and options.evaluation_steps else None,
        evaluator=measure,
        loss=loss(model, options),
        callbacks=_callbacks(watch),
    )
    if watch is not None:
        trainer.remove_callback(PrinterCallback)
        if trainer.pop_callback(ProgressCallback) is not None:
            trainer.add_callback(_bar())
    last = last_checkpoint(saved, state.num_processes) if resume else None
    if last is not None:
        log.info("going on from %s", last)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    best = trainer.state.best_model_checkpoint if options.keep_best else None
    after = _measured(model, measure) if state.is_main_process else None
    with processes.main_first(options.device) as main:
        if main:
            model.save_pretrained(str(options.out), create_model_card=False)
            log.info("trained %s on %d pairs", options.out, len(pairs))
    return Training(
        out=options.out,
        steps=trainer.state.global_step,
        log=tuple(_steps(trainer.state.log_history)),
        before=before,
        after=after,
        best=None if best is None else _number(Path(best)),
        resumed=None if last is None else _number(last),
    )


def arguments(options: RerankerTraining, *, evaluated: bool) -> CrossEncoderTrainingArguments:
    """The trainer's own settings; `evaluated`: there are samples to evaluate on.

    Raises:
        ModelError: they contradict each other or the device.
    """
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments

    on_cpu = processes.device_kind(options.device) == "cpu"
    values: dict[str, Any] = {
        "output_dir": str(options.out / CHECKPOINTS),
        "num_train_epochs": options.epochs,
        "per_device_train_batch_size": options.batch_size,
        "per_device_eval_batch_size": options.evaluation_batch_size,
        "gradient_accumulation_steps": options.gradient_accumulation,
        "learning_rate": options.learning_rate,
        "warmup_steps": options.warmup,
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        "optim": options.optimizer,
        "lr_scheduler_type": options.schedule,
        "bf16": options.bf16,
        "fp16": options.fp16,
        "use_cpu": on_cpu,
        "seed": options.seed,
        "save_strategy": "steps" if options.checkpoint_steps else "no",
        "save_steps": options.checkpoint_steps or 500,
        "save_total_limit": 2,
        "logging_steps": options.logging_steps,
        "disable_tqdm": not options.progress,
        "report_to": "none",
        "dataloader_pin_memory": not on_cpu,
        # The others wait while the main process evaluates.
        "ddp_timeout": int(processes.PATIENCE.total_seconds()),
    }
    if options.like_lengths:
        values["batch_sampler"] = length_batches
    if processes.join(options.device).num_processes > 1:
        # Looking for unused parameters finds no tensor in what CrossEncoder answers with, takes
        # all of them for unused, and fails when they are used after all. None is unused.
        values["ddp_find_unused_parameters"] = False
    if evaluated and options.evaluation_steps:
        values |= {
            "eval_strategy": "steps",
            "eval_steps": options.evaluation_steps,
            "load_best_model_at_end": options.keep_best,
            "metric_for_best_model": f"{EVALUATION}_ndcg@{CUT}",
            "greater_is_better": True,
        }
    try:
        made = CrossEncoderTrainingArguments(**values | dict(options.further))
        # Asking for the device sets the number of GPUs; more than one would be used by threads,
        # slowly, and with another batch size than was asked for.
        if made.device.type == "cuda" and made.n_gpu > 1:
            log.warning("one GPU of %d is used; accelerate launch uses them all", made.n_gpu)
            made._n_gpu = 1
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"these training options do not go together: {error}",
            remedy="change the one that is named",
        ) from error
    return made


def cross_encoder(start: Path, options: RerankerTraining, device: str) -> CrossEncoder:
    """The model as its training begins; it answers with bare logits."""
    import torch
    from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderModelCardData

    model = CrossEncoder(
        str(start),
        num_labels=1,
        device=device,
        activation_fn=torch.nn.Identity(),
        local_files_only=True,
        model_kwargs={
            # The fused CPU kernel's backward pass takes twice the time of the plain one.
            "attn_implementation": "eager" if device == "cpu" else "sdpa",
            "dtype": torch.float32,
        },
        # Its own card, written beside each checkpoint, would ask the hub about the base.
        model_card_data=CrossEncoderModelCardData(
            local_files_only=True, generate_widget_examples=False
        ),
    )
    room = getattr(model.model.config, "max_position_embeddings", options.max_length)
    # XLM-R counts its positions from 2; its tokenizer knows.
    model.max_seq_length = min(options.max_length, room, model.max_seq_length or room)
    if options.freeze_words:
        model.model.get_input_embeddings().weight.requires_grad_(False)
    return model


def _rows(rows: Iterable[tuple[str, str, int]]) -> datasets.Dataset:
    from datasets import Dataset

    affiliations, documents, labels = zip(*rows, strict=True)
    return Dataset.from_dict(
        {
            "affiliation": list(affiliations),
            "document": list(documents),
            "label": [float(label) for label in labels],
        }
    )


def _judged_rows(samples: Sequence[Sample]) -> datasets.Dataset:
    """The samples as labelled pairs, for the evaluation loss."""
    return _rows(
        (sample.query, text, label)
        for sample in samples
        for label, texts in ((1, sample.positive), (0, sample.negative))
        for text in texts
    )


def evaluator(
    samples: Sequence[Sample], options: RerankerTraining
) -> CrossEncoderRerankingEvaluator:
    """The evaluator of the published card."""
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    return CrossEncoderRerankingEvaluator(
        samples=[
            {
                "query": sample.query,
                "positive": list(sample.positive),
                "negative": list(sample.negative),
            }
            for sample in samples
        ],
        at_k=CUT,
        always_rerank_positives=True,
        name=EVALUATION,
        batch_size=options.evaluation_batch_size,
        write_csv=False,
    )


def loss(model: CrossEncoder, options: RerankerTraining) -> Any:
    """Binary cross-entropy on the bare logit."""
    import torch
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    weight = options.positive_weight
    return BinaryCrossEntropyLoss(
        model,
        activation_fn=torch.nn.Identity(),
        pos_weight=None if weight is None else torch.tensor(weight),
    )


def _measured(
    model: CrossEncoder, measure: CrossEncoderRerankingEvaluator | None
) -> Reranking | None:
    return None if measure is None else _reranking(measure(model), "")


def _reranking(metrics: Mapping[str, Any], prefix: str) -> Reranking | None:
    names = [f"{prefix}{EVALUATION}_{name}" for name in ("map", f"mrr@{CUT}", f"ndcg@{CUT}")]
    if any(name not in metrics for name in names):
        return None
    return Reranking(*(float(metrics[name]) for name in names))


def _steps(history: Sequence[Mapping[str, Any]]) -> Iterator[TrainingStep]:
    """The trainer's history, one `TrainingStep` for each step."""
    lines: dict[int, dict[str, Any]] = {}
    for entry in history:
        line = _line(entry)
        if line is not None:
            lines.setdefault(entry["step"], {"epoch": entry["epoch"]}).update(line)
    for step in sorted(lines):
        yield TrainingStep(step=step, **lines[step])


def _line(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of an entry of the trainer's history; None for its closing entries."""
    if "loss" in entry:
        return {"loss": float(entry["loss"])}
    evaluation = _reranking(entry, "eval_")
    if evaluation is None:
        return None
    return {"evaluation": evaluation, "evaluation_loss": entry.get("eval_loss")}


def _callbacks(watch: Callable[[TrainingStep], None] | None) -> list[Any]:
    from tqdm.auto import tqdm  # type: ignore[import-untyped]
    from transformers.trainer_callback import TrainerCallback

    class Epochs(TrainerCallback):  # type: ignore[misc]
        def on_epoch_begin(
            self, _args: Any, state: Any, _control: Any, train_dataloader: Any = None, **_: Any
        ) -> None:
            set_epoch(getattr(train_dataloader, "batch_sampler", None), int(state.epoch or 0))

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_log(
            self, _args: Any, state: Any, _control: Any, logs: Mapping[str, Any], **_: Any
        ) -> None:
            line = _line(logs)
            if watch is not None and state.is_world_process_zero and line is not None:
                with tqdm.external_write_mode():
                    watch(TrainingStep(step=state.global_step, epoch=state.epoch, **line))

    return [Epochs(), Watch()]


def set_epoch(batches: Any, epoch: int) -> None:
    """Set the epoch of every sampler that `batches` wraps.

    With several processes, and after a resume, our sampler is wrapped by one that shares batches
    out or skips them. Neither the trainer nor accelerate sets its epoch there, so the order of the
    first epoch would be repeated.
    """
    while batches is not None:
        for sampler in (batches, getattr(batches, "sampler", None)):
            set_its_epoch = getattr(sampler, "set_epoch", None)
            if set_its_epoch is not None:
                set_its_epoch(epoch)
        batches = getattr(batches, "batch_sampler", None)


def _bar() -> Any:
    from transformers.trainer_callback import ProgressCallback

    class Bar(ProgressCallback):  # type: ignore[misc]
        """The progress bar without the log lines, which `watch` gets."""

        def on_log(self, *_: Any, **__: Any) -> None:
            return

    return Bar()


def last_checkpoint(folder: Path, processes: int) -> Path | None:
    """The latest checkpoint from which a run of so many processes can continue, if any."""
    whole = [path for path in _checkpoints(folder) if _is_whole(path, processes)]
    return whole[-1] if whole else None


def remove_broken(folder: Path) -> None:
    """Remove checkpoints that were not written completely."""
    for path in _checkpoints(folder):
        if not _is_whole(path, 1):
            log.warning("%s was not written completely, and is removed", path)
            shutil.rmtree(path)


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-[0-9]*"), key=_number)


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _is_whole(checkpoint: Path, processes: int) -> bool:
    # The trainer writes its state last; with several processes each writes its own random state.
    try:
        orjson.loads((checkpoint / "trainer_state.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    states = list(checkpoint.glob("rng_state*.pth"))
    return (checkpoint / "optimizer.pt").is_file() and len(states) >= processes


def _reduce(options: RerankerTraining, out: Path) -> None:
    """Save the base with the layers to keep, one label, and the dropout of the options."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    base = options.base
    with dequantisation.opened(base) as folder:
        # A head may be new, all else must be there.
        soundness.require_loads(folder, name=base)
        with soundness.loading(base, folder):
            config = AutoConfig.from_pretrained(folder)
            depth = int(config.num_hidden_layers)
            kept = kept_layers(depth, options.layers or depth)
            config.num_labels = 1
            if options.dropout is not None:
                config.attention_probs_dropout_prob = options.dropout
                config.hidden_dropout_prob = options.dropout
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, config=config, dtype="float32", use_safetensors=True
            )
            tokenizer = AutoTokenizer.from_pretrained(folder)
    if len(kept) < depth:
        _keep_layers(model, kept)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def kept_layers(depth: int, layers: int) -> list[int]:
    """Evenly spaced layer numbers, the last one included: (12, 6) → 1, 3, 5, 7, 9, 11."""
    if not 1 <= layers <= depth:
        raise ModelError(
            f"cannot keep {layers} layers of {depth}", remedy=f"choose from 1 to {depth}"
        )
    return [(i + 1) * depth // layers - 1 for i in range(layers)]


def _keep_layers(model: Any, kept: Sequence[int]) -> None:
    body = model.base_model
    # BERT has them in its encoder, GTE in the model itself.
    for holder, name in ((getattr(body, "encoder", None), "layer"), (body, "layers")):
        layers = getattr(holder, name, None)
        if layers is not None:
            setattr(holder, name, type(layers)(layers[i] for i in kept))
            model.config.num_hidden_layers = len(kept)
            return
    raise ModelError(
        f"layers of a {type(model).__name__} cannot be chosen",
        remedy="keep all of them, or start from a BERT-like base",
    )


class LengthBatches:
    """Batches of pairs of similar lengths, in a shuffled order that changes with each epoch."""

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int, *, drop_last: bool = False
    ) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        whole, left = divmod(len(self.lengths), self.batch_size)
        return whole + (left > 0 and not self.drop_last)

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
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        rng.shuffle(batches)
        yield from batches


def length_batches(
    dataset: datasets.Dataset,
    batch_size: int,
    drop_last: bool = False,
    *,
    seed: int = 0,
    **_: object,
) -> LengthBatches:
    """The batch sampler that sentence-transformers asks for; characters stand for tokens.

    With several processes `drop_last` is set: each must have the same number of batches.
    """
    lengths = [
        len(affiliation) + len(document)
        for affiliation, document in zip(dataset["affiliation"], dataset["document"], strict=True)
    ]
    return LengthBatches(lengths, batch_size, seed, drop_last=drop_last)
