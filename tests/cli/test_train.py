"""``resolver train`` from the command line to a model that loads, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from support.command_line import Run
from support.tiny_models import save_older_gte

from resolver import sample
from resolver.matching.judge_file import BUILTIN_JUDGE
from resolver.training.pairs import held_out
from resolver.weights.checkpoints import convert

pytestmark = pytest.mark.slow

FORMS = ("Department of Physics, {}, {}, {}", "{}, {}, {}", "School of Medicine, {}, {}, {}")
TRAINED = 30
"""Organisations whose strings are trained on; the strings of all that are held out evaluate."""

PUBLISHED = ("--preset", "affiliations-2025")
# What random weights learn something by within seconds.
SHORT = (
    "--learning-rate", "3e-3", "--epochs", "4", "--batch-size", "8", "--set", "dropout=0",
    "--evaluation-steps", "100", "--set", "logging_steps=25",
)  # fmt: skip
ONE_THREAD = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def gold(folder: Path) -> Path:
    """Easy strings of sample organisations: a name, its city, its country."""
    rows = []
    trained = 0
    for record in orjson.loads(sample.REGISTRY.read_bytes()):
        if record["status"] != "active":
            continue
        if not held_out(record["id"][-9:]):
            trained += 1
            if trained > TRAINED:
                continue
        name = next(n["value"] for n in record["names"] if "ror_display" in n["types"])
        place = record["locations"][0]["geonames_details"]
        for form in FORMS:
            affiliation = form.format(name, place["name"], place["country_name"])
            rows.append({"affiliation": affiliation, "ror_ids": [record["id"]]})
    path = folder / "gold.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def older(folder: Path) -> Path:
    """A tiny GTE in the form that the hub has, with a card that names its licence."""
    base = folder / "older-gte"
    base.mkdir()
    save_older_gte(base, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny GTE\n")
    return base


@pytest.fixture(scope="module")
def native(older: Path, folder: Path) -> Path:
    return convert(older, folder / "native-gte")


@pytest.fixture
def trained(resolver: Run, gold: Path, older: Path, folder: Path) -> Path:
    """One undisturbed run, shared by the tests that look at it."""
    out = folder / "trained"
    if not out.exists():
        done = resolver(
            "train", str(gold), *PUBLISHED, *SHORT, "--base", str(older), "--out", str(out),
            "--data-license", "CC0 1.0", env=ONE_THREAD,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        (folder / "stdout.txt").write_text(done.stdout)
        (folder / "stderr.txt").write_text(done.stderr)
    return out


def figures(out: Path) -> dict:
    return orjson.loads((out / "training.json").read_bytes())["figures"]


def weights(out: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(out / "model.safetensors")


@pytest.mark.slowest
def test_a_tiny_gte_learns_by_the_published_recipe(trained: Path, folder: Path) -> None:
    found = figures(trained)
    # What so few steps teach so small a model about other strings is chance, and differs between
    # machines; that the loss falls (from 0.75 to 0.58) does not.
    assert found["after"]["ndcg"] != found["before"]["ndcg"]
    log = orjson.loads((trained / "training.json").read_bytes())["log"]
    losses = [step["loss"] for step in log if step["loss"] is not None]
    assert np.mean(losses[len(losses) // 2 :]) < losses[0]
    assert found["checkpoint"]["strings"] > 20
    said = (folder / "stdout.txt").read_text()
    for heading in ("MAP", "MRR@10", "nDCG@10", "before", "after"):
        assert heading in said
    for when in ("before", "after"):
        row = next(line for line in said.splitlines() if f" {when} " in line)
        for name in ("map", "mrr", "ndcg"):
            assert f"{found[when][name]:.4f}" in row
    messages = (folder / "stderr.txt").read_text()
    assert "step 25 " in messages
    assert "evaluation loss" in messages
    assert "no small ONNX form" in messages
    assert not (trained / "onnx").exists()


def test_the_card_says_how_it_was_made(trained: Path, gold: Path) -> None:
    from huggingface_hub import ModelCard

    from resolver.training.run import file_digest

    card = ModelCard.load(trained / "README.md")
    about = card.data.to_dict()
    assert about["base_model"] == "older-gte"
    assert about["license"] == "apache-2.0"
    assert about["pipeline_tag"] == "text-ranking"
    assert about["library_name"] == "sentence-transformers"
    assert about["metrics"] == ["map", "mrr@10", "ndcg@10"]
    (result,) = about["model-index"]
    values = {m["type"]: m["value"] for m in result["results"][0]["metrics"]}
    assert values["ndcg@10"] == round(figures(trained)["after"]["ndcg"], 4)
    text = card.text
    assert file_digest(gold) in text
    assert "| **epochs** | **4.0** | preset: 2.0 |" in text
    assert "| warmup | 0.1 |  |" in text
    assert "CC0 1.0" in text
    assert "resolver train" in text
    best = figures(trained)["best"]
    assert best is not None
    assert f"| **{best}** |" in text
    # Nothing of the machine that it was made on, beside the command as it was given.
    assert str(trained) not in text.split("```console")[0]


def test_it_loads_and_scores_by_both_ways(trained: Path) -> None:
    from sentence_transformers import CrossEncoder

    from resolver.reranker.loading import load

    pairs = [
        ("Department of Physics, University of Oslo", "University of Oslo, Oslo, Norway"),
        ("Department of Physics, University of Oslo", "University of Bergen, Bergen, Norway"),
    ]
    scores = CrossEncoder(str(trained), device="cpu", local_files_only=True).predict(pairs)
    assert scores.shape == (2,)
    reranker = load(str(trained), "cpu")
    assert np.allclose(reranker.score(pairs), scores, atol=1e-5)
    assert {path.name for path in trained.iterdir()} >= {"training.json", "README.md", "run.json"}
    assert not {"start", "checkpoints", "data"} & {path.name for path in trained.iterdir()}


@pytest.mark.slowest
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    trained: Path, resolver: Run, gold: Path, native: Path, sample_home: Path, folder: Path
) -> None:
    """From the native form of the same base: both forms train to the same weights, too."""
    out = folder / "killed"
    command = [
        "train", str(gold), *PUBLISHED, *SHORT, "--base", str(native), "--out", str(out),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {"RESOLVER_HOME": str(sample_home), **ONE_THREAD}
    with (folder / "killed.log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", *command],
            env=environment, stdout=log, stderr=log, cwd=sample_home,
        )  # fmt: skip
        deadline = time.monotonic() + 200
        while not list(out.glob("checkpoints/checkpoint-*/trainer_state.json")):
            assert run.poll() is None, (folder / "killed.log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not (out / "training.json").exists()
    other = resolver(*command, "--set", "weight_decay=0.5", env=ONE_THREAD)
    assert other.returncode == 1
    assert "training.weight_decay was 0.0, is 0.5" in other.stderr.replace("\n", " ")
    done = resolver(*command, env=ONE_THREAD)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, resumed = (orjson.loads((o / "training.json").read_bytes()) for o in (trained, out))
    assert resumed["resumed_at_step"] is not None
    # Every loss is the same to the last digit, and so is what is kept.
    assert resumed["log"] == whole["log"]
    assert resumed["figures"]["after"] == whole["figures"]["after"]
    ours, theirs = weights(trained), weights(out)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slowest
def test_two_processes_train_one_model(
    gold: Path, older: Path, sample_home: Path, folder: Path
) -> None:
    out = folder / "together"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {"RESOLVER_HOME": str(sample_home), "COLUMNS": "160", **ONE_THREAD}
    done = subprocess.run(
        [
            # accelerate launch starts one process a GPU; on a CPU it is torchrun that starts
            # several. What they find in the environment is the same.
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "-m", "resolver.cli",
            "train", str(gold), *PUBLISHED, "--base", str(older), "--out", str(out),
            "--most-pairs", "192", "--epochs", "2", "--evaluation-steps", "3",
        ],
        env=environment, cwd=sample_home, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    made = orjson.loads((out / "training.json").read_bytes())
    assert made["processes"] == 2
    # Whole batches of 32, as many for each of the two, in two epochs.
    assert made["steps"] == made["counts"]["training pairs"] // 32 // 2 * 2 > 0
    assert made["command"].startswith("torchrun --nproc-per-node 2 -m resolver.cli train")
    # One table, by the main process alone.
    assert done.stdout.count("before") == 1
    assert (out / "README.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--base"),
        (("--base", "x", "--set", "nonsense"), "no value"),
        (("--base", "x", "--device", "cuda:1"), "CUDA_VISIBLE_DEVICES=1"),
    ],
    ids=["no base", "no value", "numbered device"],
)
def test_wrong_options_are_said_before_anything_is_done(
    resolver: Run, gold: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = resolver("train", str(gold), "--out", str(tmp_path / "out"), *arguments)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_forecaster_is_fitted_without_labels(resolver: Run, tmp_path: Path) -> None:
    """On the shortlists of all that the first stage finds: the sample has few strings."""
    texts, out = tmp_path / "texts.txt", tmp_path / "judge.json"
    rows = map(orjson.loads, sample.GOLD.read_text().splitlines())
    texts.write_text("\n".join(row["affiliation"] for row in rows))
    command = ("train", str(texts), "--part", "forecaster", "--out", str(out))
    every = {"RESOLVER_RERANK_FROM": "0", "RESOLVER_RERANK_DEPTH": "10"}
    done = resolver(*command, env=ONE_THREAD | every)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "forecaster fitted on" in done.stderr
    fitted, builtin = (orjson.loads(path.read_bytes()) for path in (out, BUILTIN_JUDGE))
    assert fitted["forecaster"] != builtin["forecaster"]
    assert {**fitted, "forecaster": None} == {**builtin, "forecaster": None}
    asked = ("resolve", "--json", "University of York, York, UK")
    answered = resolver(*asked, env={**ONE_THREAD, "RESOLVER_JUDGE": str(out)})
    assert answered.returncode == 0, answered.stderr
    assert orjson.loads(answered.stdout)["links"][0]["score"] > 0
