"""Fine-tuning that is cut off and goes on, and what it reports."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_models import save_bert, save_older_gte

from resolver.errors import ModelError, PairError, SettingsError
from resolver.training import processes
from resolver.training.affiliations import Sample, SampleKind
from resolver.training.pairs import LabelledPair
from resolver.training.presets import AFFILIATIONS_2025, BUILTIN
from resolver.training.reranker import (
    CHECKPOINTS,
    LengthBatches,
    RerankerTraining,
    Training,
    TrainingStep,
    fit_reranker,
    last_checkpoint,
    remove_broken,
    set_epoch,
)

PAIRS = [
    LabelledPair(f"University {i} of {'Oslo' * (i % 3)}", f"University {i + i % 2}", 1 - i % 2)
    for i in range(48)
]
SAMPLES = [
    Sample(SampleKind.ORGANISATION, f"University {i}", (f"University {i}",), (f"Hospital {i}",))
    for i in range(6)
]
BATCH = 8
STEPS_AN_EPOCH = len(PAIRS) // BATCH


class Killed(BaseException):
    """Nothing in the trainer catches it."""


@pytest.fixture(scope="module")
def gte(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gte")
    return save_older_gte(folder, hidden_size=32, intermediate_size=64, num_hidden_layers=2)


def options(base: Path, out: Path, **changes: Any) -> RerankerTraining:
    """The published recipe in little: dropout, random order, two epochs, the best one kept."""
    return dataclasses.replace(
        AFFILIATIONS_2025.training,
        **{
            "base": str(base),
            "out": out,
            "batch_size": BATCH,
            "learning_rate": 1e-3,
            "evaluation_steps": 4,
            "checkpoint_steps": 4,
            "logging_steps": 1,
            "device": "cpu",
            "threads": 1,
            "progress": False,
            **changes,
        },
    )


def weights(out: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = load_file(out / "model.safetensors")
    return found


def killed_at(step: int, run: RerankerTraining) -> Training:
    """A run that is cut off after `step`, before anything of it is saved, and goes on."""

    def watch(line: TrainingStep) -> None:
        if line.step == step:
            raise Killed

    with pytest.raises(Killed):
        fit_reranker(run, PAIRS, SAMPLES, resume=True, watch=watch)
    return fit_reranker(run, PAIRS, SAMPLES, resume=True)


VARIANTS: dict[str, dict[str, Any]] = {
    "random order": {},
    "like lengths": {"like_lengths": True},
    "accumulated": {"gradient_accumulation": 2, "batch_size": BATCH // 2},
    "last one kept": {"keep_best": False, "evaluation_steps": None},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "step", "resumed"),
    [
        pytest.param("random order", 3, None, marks=pytest.mark.slowest),
        ("random order", STEPS_AN_EPOCH + 5, 8),
        pytest.param("like lengths", STEPS_AN_EPOCH + 5, 8, marks=pytest.mark.slowest),
        pytest.param("accumulated", STEPS_AN_EPOCH + 5, 8, marks=pytest.mark.slowest),
        pytest.param("last one kept", STEPS_AN_EPOCH + 5, 8, marks=pytest.mark.slowest),
    ],
)
def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    gte: Path, tmp_path: Path, variant: str, step: int, resumed: int | None
) -> None:
    changes = VARIANTS[variant]
    whole = fit_reranker(options(gte, tmp_path / "whole", **changes), PAIRS, SAMPLES)
    broken = killed_at(step, options(gte, tmp_path / "broken", **changes))
    assert whole.resumed is None
    assert broken.resumed == resumed
    assert broken.steps == whole.steps == 2 * STEPS_AN_EPOCH
    for folder in (".", f"{CHECKPOINTS}/checkpoint-{whole.steps}"):
        ours, theirs = weights(whole.out / folder), weights(broken.out / folder)
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours), folder
    assert (broken.before, broken.after, broken.best) == (whole.before, whole.after, whole.best)
    # The log is that of the whole run, not of its second half.
    assert broken.log == whole.log
    assert [line.step for line in whole.log] == list(range(1, whole.steps + 1))


@pytest.mark.slow
def test_a_checkpoint_at_the_end_of_an_epoch_is_gone_on_from(gte: Path, tmp_path: Path) -> None:
    changes = {"evaluation_steps": STEPS_AN_EPOCH, "checkpoint_steps": STEPS_AN_EPOCH}
    whole = fit_reranker(options(gte, tmp_path / "whole", **changes), PAIRS, SAMPLES)
    broken = killed_at(STEPS_AN_EPOCH + 2, options(gte, tmp_path / "broken", **changes))
    assert broken.resumed == STEPS_AN_EPOCH
    last = f"{CHECKPOINTS}/checkpoint-{whole.steps}"
    ours, theirs = weights(whole.out / last), weights(broken.out / last)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_the_best_checkpoint_is_what_is_saved(gte: Path, tmp_path: Path) -> None:
    made = fit_reranker(options(gte, tmp_path), PAIRS, SAMPLES)
    evaluated = {line.step: line.evaluation for line in made.log if line.evaluation}
    assert list(evaluated) == [4, 8, 12]
    best = max(figures.ndcg for figures in evaluated.values())
    assert made.best in evaluated
    assert evaluated[made.best].ndcg == best
    assert made.after is not None
    assert made.after.ndcg == pytest.approx(best, abs=1e-6)
    assert all(line.evaluation_loss is not None for line in made.log if line.evaluation)
    kept = weights(made.out)
    there = weights(made.out / CHECKPOINTS / f"checkpoint-{made.best}")
    assert all(np.array_equal(kept[name], there[name]) for name in kept)


@pytest.mark.slow
def test_without_resume_a_run_begins_at_the_beginning(gte: Path, tmp_path: Path) -> None:
    run = options(gte, tmp_path)
    first = fit_reranker(run, PAIRS, SAMPLES)
    assert fit_reranker(run, PAIRS, SAMPLES).resumed is None
    # A run that had saved its last step has nothing left to train.
    again = fit_reranker(run, PAIRS, SAMPLES, resume=True)
    assert again.resumed == first.steps
    assert again.log[-1].step == first.steps


@pytest.mark.slow
@pytest.mark.parametrize(
    "base", ["gte", "bert"], ids=["GTE keeps layers too", "BERT, as the built-in one"]
)
def test_layers_and_words(base: str, gte: Path, tmp_path: Path) -> None:
    folder = gte if base == "gte" else save_bert(tmp_path / "base", labels=None)
    changes = {
        "base": str(folder),
        "out": tmp_path / "out",
        "layers": 1,
        "max_length": 64,
        "batch_size": 8,
    }
    run = dataclasses.replace(
        BUILTIN.training, device="cpu", threads=1, progress=False, bf16=False, **changes
    )
    made = weights(fit_reranker(run, PAIRS).out)
    start = weights(run.out / "start")
    words = next(name for name in made if name.endswith("word_embeddings.weight"))
    assert np.array_equal(made[words], start[words])
    assert not any(".1." in name for name in made)
    assert any(not np.array_equal(made[name], start[name]) for name in made)


@pytest.mark.parametrize(
    ("pairs", "error"),
    [
        ([], "0 training pairs"),
        ([LabelledPair("a", "b", 1)] * 3, "one label"),
        ([LabelledPair("a", "b", 1), LabelledPair("a", " ", 0)], "1"),
    ],
    ids=["none", "all right", "an empty text"],
)
def test_pairs_that_teach_nothing_are_refused(pairs: list[LabelledPair], error: str) -> None:
    with pytest.raises((ModelError, PairError), match=error):
        fit_reranker(RerankerTraining(base="none", out=Path("nowhere")), pairs)


# Checkpoints

PARTS = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def checkpoint(folder: Path, step: int, state: str | None = "{}", parts: Any = PARTS) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name in parts:
        (made / name).touch()
    if state is not None:
        (made / "trainer_state.json").write_text(state)
    return made


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({}, 1000),
        ({"state": None}, 500),
        ({"state": '{"global_step": 10'}, 500),
        ({"parts": ("model.safetensors",)}, 500),
    ],
    ids=["whole", "no state", "state cut short", "no optimiser"],
)
def test_only_a_whole_checkpoint_is_gone_on_from(
    tmp_path: Path, last: dict[str, Any], expected: int
) -> None:
    checkpoint(tmp_path, 500)
    checkpoint(tmp_path, 1000, **last)
    found = last_checkpoint(tmp_path, 1)
    assert found == tmp_path / f"checkpoint-{expected}"
    remove_broken(tmp_path)
    steps = sorted(int(path.name.split("-")[1]) for path in tmp_path.iterdir())
    assert steps == ([500, 1000] if expected == 1000 else [500])


def test_each_of_several_processes_needs_its_random_state(tmp_path: Path) -> None:
    checkpoint(tmp_path, 500, parts=("optimizer.pt", "rng_state_0.pth", "rng_state_1.pth"))
    checkpoint(tmp_path, 1000, parts=("optimizer.pt", "rng_state_0.pth"))
    assert last_checkpoint(tmp_path, 2) == tmp_path / "checkpoint-500"
    assert last_checkpoint(tmp_path, 3) is None
    shutil.rmtree(tmp_path / "checkpoint-500")
    assert last_checkpoint(tmp_path / "nothing here", 1) is None


# Batches and devices


@pytest.mark.parametrize("processes", [1, 2])
def test_a_sampler_below_others_learns_its_epoch(processes: int) -> None:
    from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler

    own = LengthBatches(list(range(100)), 8, seed=1, drop_last=True)
    batches = own if processes == 1 else BatchSamplerShard(own, processes, 0, even_batches=False)
    first = list(batches)
    set_epoch(SkipBatchSampler(batches, 3), 1)
    assert own.epoch == 1
    assert list(batches) != first


def test_with_several_processes_every_batch_is_full() -> None:
    batches = LengthBatches([i % 50 for i in range(1003)], 16, seed=1, drop_last=True)
    found = list(batches)
    assert len(found) == len(batches) == 62
    assert {len(batch) for batch in found} == {16}


@pytest.mark.parametrize(("device", "kind"), [("cpu", "cpu"), ("cuda", "cuda")])
def test_a_device_that_is_named_is_taken(device: str, kind: str) -> None:
    assert processes.device_kind(device) == kind


def test_a_numbered_device_is_refused_with_the_way_to_choose_it() -> None:
    with pytest.raises(SettingsError) as caught:
        processes.device_kind("cuda:1")
    assert "CUDA_VISIBLE_DEVICES=1" in str(caught.value)
