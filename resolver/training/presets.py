"""Presets: named sets of training options.

`builtin` is how the built-in reranker is trained, `affiliations-2025` the recipe that the model
card of ``cometadata/gte-multilingual-reranker-affiliations`` gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import orjson

from resolver.errors import SettingsError
from resolver.training.report import Data
from resolver.training.reranker import RerankerTraining

GTE = "Alibaba-NLP/gte-multilingual-reranker-base"
"""The base of the published fine-tune."""


@dataclass(frozen=True, slots=True)
class Preset:
    """Options by name. `training.base` is "" where a base must be given; `training.out` and
    `data.gold` are always given."""

    name: str
    training: RerankerTraining
    data: Data


BUILTIN = Preset("builtin", RerankerTraining(base="", out=Path()), Data(gold=()))

AFFILIATIONS_2025 = Preset(
    "affiliations-2025",
    RerankerTraining(
        base=GTE,
        out=Path(),
        epochs=2.0,
        batch_size=32,
        evaluation_batch_size=32,
        learning_rate=2e-5,
        warmup=0.1,
        weight_decay=0.0,
        max_length=8192,
        freeze_words=False,
        bf16=False,
        dropout=None,
        like_lengths=False,
        evaluation_steps=500,
        checkpoint_steps=500,
        keep_best=True,
        logging_steps=100,
        # The card's log has a line for the first step.
        further={"logging_first_step": True},
    ),
    Data(
        gold=(),
        synthetic_strings=0,
        affiliation_positives=1,
        affiliation_negatives=1,
        strings_apart=True,
    ),
)
"""Every value of the card of 2025. The card does not say how its pairs were chosen: the values of
`Data` are this project's."""

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in (BUILTIN, AFFILIATIONS_2025)}

ALIASES: Mapping[str, str] = {
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "evaluation_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "warmup_ratio": "warmup",
    "warmup_steps": "warmup",
    "optim": "optimizer",
    "lr_scheduler_type": "schedule",
    "eval_steps": "evaluation_steps",
    "save_steps": "checkpoint_steps",
    "load_best_model_at_end": "keep_best",
    "pos_weight": "positive_weight",
}
"""The trainer's names for options that have a name here."""

_OWN = frozenset({"base", "out", "gold", "complete", "material", "device", "further", "progress"})
"""Options that have an argument of their own on the command line, or cannot be set."""

_GOVERNED = frozenset(
    {
        "batch_sampler",
        "ddp_timeout",
        "disable_tqdm",
        "do_eval",
        "do_predict",
        "do_train",
        "eval_strategy",
        "greater_is_better",
        "local_rank",
        "metric_for_best_model",
        "output_dir",
        "resume_from_checkpoint",
        "save_only_model",
        "save_strategy",
        "use_cpu",
    }
)
"""Fields of the trainer that follow from other options, or that resuming depends on."""

_ABOVE_ZERO = (
    "epochs",
    "batch_size",
    "evaluation_batch_size",
    "gradient_accumulation",
    "learning_rate",
    "max_length",
    "logging_steps",
    "evaluation_steps",
    "checkpoint_steps",
)


def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        SettingsError: there is none.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise SettingsError(
            f"there is no preset {name!r}", remedy=f"choose {' or '.join(PRESETS)}"
        ) from None


def changed(
    start: Preset, *, training: Mapping[str, Any], data: Mapping[str, Any], further: list[str]
) -> Preset:
    """The preset with other values; `further` are assignments "name=value".

    A name is an option of `RerankerTraining` or of `Data`, or a field of the trainer's
    `CrossEncoderTrainingArguments`. A value is JSON, or a bare word.

    Raises:
        SettingsError: a name is unknown or cannot be set, or a value is of another type.
    """
    options: dict[str, Any] = dict(training)
    of_data: dict[str, Any] = dict(data)
    of_trainer: dict[str, Any] = dict(start.training.further)
    for assignment in further:
        name, value = _assignment(assignment)
        if name in _fields(RerankerTraining):
            options[name] = value
        elif name in _fields(Data):
            of_data[name] = value
        else:
            of_trainer[name] = value
    if "evaluation_steps" in options and start.training.keep_best:
        # The best step can only be saved if each step that is evaluated is saved.
        options.setdefault("checkpoint_steps", options["evaluation_steps"])
    made = Preset(
        start.name,
        dataclasses.replace(start.training, **options, further=of_trainer),
        dataclasses.replace(start.data, **of_data),
    )
    _require_sound(made.training, made.data)
    return made


def _require_sound(training: RerankerTraining, data: Data) -> None:
    wrong = [
        f"{name} must be above 0, not {value}"
        for name in _ABOVE_ZERO
        if (value := getattr(training, name)) is not None and value <= 0
    ]
    wrong += [
        f"{name} must be in [0, 1], not {value}"
        for name, value in (
            ("dropout", training.dropout),
            ("warmup", training.warmup),
            ("affiliation_share", data.affiliation_share),
        )
        if value is not None and not 0 <= value <= 1
    ]
    if training.bf16 and training.fp16:
        wrong.append("bf16 and fp16 exclude each other")
    if training.keep_best and training.evaluation_steps != training.checkpoint_steps:
        wrong.append(
            f"keep_best needs a checkpoint at each evaluation: evaluation_steps is "
            f"{training.evaluation_steps}, checkpoint_steps {training.checkpoint_steps}"
        )
    if wrong:
        raise SettingsError("; ".join(wrong), remedy="see resolver train --help")


def departures(made: Preset) -> dict[str, tuple[Any, Any]]:
    """Options that differ from those of the preset, each with (the preset's value, its value).

    What differs with every run (files, folders, device) is left out.
    """
    start = PRESETS[made.name]
    changes: dict[str, tuple[Any, Any]] = {}
    for was, now in ((start.training, made.training), (start.data, made.data)):
        for option in dataclasses.fields(was):
            before, after = getattr(was, option.name), getattr(now, option.name)
            if before != after and option.name not in _OWN - {"base", "further"}:
                changes[option.name] = (before, after)
    return changes


def _assignment(text: str) -> tuple[str, Any]:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    name, equals, written = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise SettingsError(f"--set {text}: no value", remedy="write --set name=value")
    name = ALIASES.get(name, name)
    types = _fields(RerankerTraining) | _fields(Data)
    if name not in types:
        types = _trainer_fields()
    if name in _OWN or name in _GOVERNED or name.startswith(("hub_", "push_to_hub")):
        raise SettingsError(
            f"--set {name}: follows from other options, or has one of its own",
            remedy="see resolver train --help",
        )
    if name not in types:
        raise SettingsError(
            f"--set {name}: there is no such option{_meant(name, types)}",
            remedy="names are those of RerankerTraining, Data and CrossEncoderTrainingArguments",
        )
    try:
        value = orjson.loads(written)
    except orjson.JSONDecodeError:
        value = written
    kind = types[name]
    try:
        # A dataclass has its own configuration; a union or a plain type has none.
        config = ConfigDict(arbitrary_types_allowed=True)
        value = TypeAdapter(kind, config=config).validate_python(value)
    except ValidationError as error:
        raise SettingsError(
            f"--set {name}={written}: {error.errors()[0]['msg']}",
            remedy=f"give a value of type {getattr(kind, '__name__', kind)}",
        ) from error
    return name, value


def _meant(name: str, known: Mapping[str, Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [*known, *ALIASES, *_fields(RerankerTraining), *_fields(Data)])
    return f" (did you mean {near[0]}?)" if near else ""


@cache
def _fields(of: type) -> dict[str, Any]:
    hints = get_type_hints(of)
    return {option.name: hints[option.name] for option in dataclasses.fields(of)}


@cache
def _trainer_fields() -> dict[str, Any]:
    from sentence_transformers.cross_encoder.training_args import CrossEncoderTrainingArguments

    return _fields(CrossEncoderTrainingArguments)
