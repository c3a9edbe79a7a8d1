"""The presets against what they are named after, and options by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from resolver.errors import ModelError, SettingsError
from resolver.training.presets import (
    AFFILIATIONS_2025,
    BUILTIN,
    PRESETS,
    changed,
    departures,
    preset,
)
from resolver.training.report import Data
from resolver.training.reranker import RerankerTraining, arguments

# The model card of cometadata/gte-multilingual-reranker-affiliations, "All Hyperparameters" and
# what its logs show. Left out are those of reporting, of the hub, and of other hardware
# (deepspeed, fsdp, tpu, mps …), and those that transformers 5 has no more.
CARD: dict[str, Any] = {
    "eval_strategy": "steps",
    "prediction_loss_only": True,
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 32,
    "gradient_accumulation_steps": 1,
    "eval_accumulation_steps": None,
    "torch_empty_cache_steps": None,
    "learning_rate": 2e-05,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-08,
    "max_grad_norm": 1.0,
    "num_train_epochs": 2,
    "max_steps": -1,
    "lr_scheduler_type": "linear",
    # Named warmup_ratio there; a share of the steps in transformers 5.
    "warmup_steps": 0.1,
    "save_only_model": False,
    "restore_callback_states_from_checkpoint": False,
    "use_cpu": False,
    "seed": 42,
    "data_seed": None,
    "bf16": False,
    "fp16": False,
    "bf16_full_eval": False,
    "fp16_full_eval": False,
    "tf32": None,
    "dataloader_drop_last": False,
    "dataloader_num_workers": 0,
    "dataloader_prefetch_factor": None,
    "disable_tqdm": False,
    "remove_unused_columns": True,
    "label_names": None,
    "load_best_model_at_end": True,
    "ignore_data_skip": False,
    "label_smoothing_factor": 0.0,
    "optim": "adamw_torch_fused",
    "optim_args": None,
    "length_column_name": "length",
    "ddp_find_unused_parameters": None,
    "ddp_bucket_cap_mb": None,
    "ddp_broadcast_buffers": False,
    "dataloader_pin_memory": True,
    "dataloader_persistent_workers": False,
    "skip_memory_metrics": True,
    "push_to_hub": False,
    "resume_from_checkpoint": None,
    "auto_find_batch_size": False,
    "full_determinism": False,
    "torch_compile": False,
    "neftune_noise_alpha": None,
    "optim_target_modules": None,
    "batch_eval_metrics": False,
    "eval_on_start": False,
    "use_liger_kernel": False,
    "eval_use_gather_object": False,
    "average_tokens_across_devices": True,
    "prompts": None,
    "batch_sampler": "batch_sampler",
    "multi_dataset_batch_sampler": "proportional",
    "router_mapping": {},
    "learning_rate_mapping": {},
    # From the log: a line for step 1 and each hundredth, an evaluation at 500 and 1,000.
    "logging_first_step": True,
    "logging_steps": 100,
    "eval_steps": 500,
    "save_steps": 500,
    "metric_for_best_model": "affiliation-val_ndcg@10",
    "greater_is_better": True,
}


@pytest.fixture(scope="module")
def trainer_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    options = dataclasses.replace(
        AFFILIATIONS_2025.training, out=tmp_path_factory.mktemp("out"), device="cuda"
    )
    made: dict[str, Any] = arguments(options, evaluated=True).to_dict()
    return made


@pytest.mark.parametrize(("name", "value"), CARD.items(), ids=CARD)
def test_the_published_hyper_parameters(
    trainer_settings: dict[str, Any], name: str, value: object
) -> None:
    assert trainer_settings[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base", "Alibaba-NLP/gte-multilingual-reranker-base"),
        ("max_length", 8192),
        ("positive_weight", None),
        ("layers", None),
        ("freeze_words", False),
        ("dropout", None),
    ],
)
def test_the_published_model(name: str, value: object) -> None:
    assert getattr(AFFILIATIONS_2025.training, name) == value


def test_the_evaluator_and_the_loss_are_the_published_ones(tmp_path: Path) -> None:
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from support.tiny_models import save_bert
    from torch.nn import Identity

    from resolver.training.affiliations import Sample, SampleKind
    from resolver.training.reranker import cross_encoder, evaluator, loss

    options = dataclasses.replace(AFFILIATIONS_2025.training, device="cpu")
    samples = [Sample(SampleKind.AFFILIATION, "a", ("b",), ("c", "d"))]
    measure = evaluator(samples, options)
    assert (measure.at_k, measure.always_rerank_positives, measure.name, measure.batch_size) == (
        10, True, "affiliation-val", 32,
    )  # fmt: skip
    assert measure.samples == [{"query": "a", "positive": ["b"], "negative": ["c", "d"]}]
    model = cross_encoder(save_bert(tmp_path, labels=1), options, "cpu")
    made = loss(model, options)
    assert isinstance(made, BinaryCrossEntropyLoss)
    assert isinstance(made.activation_fn, Identity)
    assert isinstance(model.activation_fn, Identity)
    assert made.pos_weight is None
    # No position beyond those that the model has.
    assert model.max_seq_length == 64


def test_builtin_is_what_the_options_are_without_a_preset() -> None:
    assert BUILTIN.training == RerankerTraining(base="", out=Path())
    assert BUILTIN.data == Data(gold=())


def made(*further: str, start: str = "affiliations-2025", **training: Any) -> Any:
    return changed(preset(start), training=training, data={}, further=list(further))


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("epochs=3", "epochs", 3.0),
        ("num_train_epochs=3", "epochs", 3.0),
        ("per-device-train-batch-size=8", "batch_size", 8),
        ("warmup_ratio=0.2", "warmup", 0.2),
        ("schedule=cosine", "schedule", "cosine"),
        ("dropout=null", "dropout", None),
        ("freeze_words=yes", "freeze_words", True),
        ("positive_weight=2", "positive_weight", 2.0),
    ],
)
def test_an_option_is_set_by_any_of_its_names(assignment: str, name: str, value: object) -> None:
    assert getattr(made(assignment).training, name) == value


def test_options_of_the_data_and_of_the_trainer_are_set(tmp_path: Path) -> None:
    options = made(
        "evaluation_negatives=4", "adam_beta1=0.8", 'lr_scheduler_kwargs={"num_cycles": 2}',
        "lr_scheduler_type=cosine",
    )  # fmt: skip
    assert options.data.evaluation_negatives == 4
    settings = arguments(
        dataclasses.replace(options.training, out=tmp_path, device="cpu"), evaluated=True
    )
    assert settings.adam_beta1 == 0.8
    assert settings.lr_scheduler_kwargs == {"num_cycles": 2}
    # What the preset sets of the trainer's own stays.
    assert settings.logging_first_step is True


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("epochs", "no value"),
        ("epoch=3", "did you mean epochs?"),
        ("nonsense=3", "no such option"),
        ("epochs=many", "number"),
        ("batch_size=2.5", "integer"),
        ("batch_size=0", "above 0"),
        ("dropout=2", r"in \[0, 1\]"),
        ("adam_beta1=high", "number"),
        ("output_dir=elsewhere", "follows from other options"),
        ("push_to_hub=true", "follows from other options"),
        ("save_only_model=true", "follows from other options"),
        ("base=elsewhere", "has one of its own"),
        ("save_steps=250", "keep_best needs a checkpoint at each evaluation"),
    ],
)
def test_what_cannot_be_set_is_said(assignment: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        made(assignment)
    assert caught.value.remedy


def test_the_best_can_be_kept_however_often_it_is_evaluated() -> None:
    assert made(evaluation_steps=50).training.checkpoint_steps == 50
    assert made("eval_steps=50").training.checkpoint_steps == 50


def test_options_that_exclude_each_other_are_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        made(bf16=True, fp16=True)
    options = dataclasses.replace(
        made("lr_scheduler_type=sideways").training, out=tmp_path, device="cpu"
    )
    with pytest.raises(ModelError, match="sideways"):
        arguments(options, evaluated=True)


def test_an_unknown_preset_is_said() -> None:
    with pytest.raises(SettingsError, match="affiliations-2025") as caught:
        preset("affiliations-2024")
    assert "builtin" in str(caught.value)


def test_departures_are_what_differs_and_nothing_of_this_run_alone() -> None:
    options = made("epochs=3", "adam_beta1=0.8", base="x", device="cpu", out=Path("y"))
    found = departures(options)
    assert found["epochs"] == (2.0, 3.0)
    assert found["base"] == (AFFILIATIONS_2025.training.base, "x")
    assert found["further"][1] == {"logging_first_step": True, "adam_beta1": 0.8}
    assert set(found) == {"epochs", "base", "further"}
    assert all(departures(one) == {} for one in PRESETS.values())
