"""Each benchmark runs from the command line, on the sample, and measures what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from benchmarks import strings
from benchmarks.made_up_release import made_up
from resolver import sample
from resolver.encoder.loading import load as load_encoder
from resolver.settings import BUILTIN

pytestmark = pytest.mark.slowest


def run(name: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The figures and what was printed."""
    figures = folder / f"{name}.json"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(figures)],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "RESOLVER_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(figures.read_text())
    assert found["versions"]["onnxruntime"]
    assert found["machine"]["threads"] == 1
    assert found["settings"]["registry"].endswith("sample/registry.json")
    return found, done.stdout


def test_sieve(tmp_path: Path) -> None:
    encoder = load_encoder(BUILTIN, None)
    strings.indexed(strings.organisations(sample.REGISTRY), encoder, tmp_path / "home" / "index")
    figures = tmp_path / "sieve.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.sieve", str(sample.GOLD), "--from", "0.003", "0",
            "--json", str(figures),
        ],
        cwd=ROOT,
        env=os.environ | {"RESOLVER_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(figures.read_text())["from"]
    assert 0 < 2 * found["0.003"]["all"]["pairs"] < found["0.0"]["all"]["pairs"] <= 20
    assert found["0.003"]["all"]["f1"] > 0.8
    assert "0.003" in done.stdout


@pytest.mark.parametrize(
    ("other", "name"), [(["--against", str(ROOT)], "there"), (["--every-pair"], "every pair")]
)
def test_stages(tmp_path: Path, other: list[str], name: str) -> None:
    encoder = load_encoder(BUILTIN, None)
    strings.indexed(strings.organisations(sample.REGISTRY), encoder, tmp_path / "home" / "index")
    figures = tmp_path / "stages.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.stages", str(sample.GOLD), *other,
            "--slice", "16", "--json", str(figures),
        ],
        cwd=ROOT,
        env=os.environ | {"RESOLVER_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(figures.read_text())["sets"][sample.GOLD.stem]
    assert found["links_differ"] == 0
    assert found["strings"] > found["counted"] > 0
    here, there = found["milliseconds"]["here"], found["milliseconds"][name]
    stages = {"search by words", "sieve: trees", "reranker", "decide"}
    assert here.keys() - {"forecasts"} == there.keys() - {"forecasts"} >= stages
    assert min(here.values()) > 0
    assert max(here, key=here.__getitem__) == "reranker"
    if name == "there":
        assert found["largest_difference"] == 0
        assert found["pairs"]["here"] == found["pairs"][name] > 0
    else:
        assert "forecasts" not in there
        assert 0 < found["pairs"]["here"] < found["pairs"][name]
    assert "0 of" in done.stdout


def test_reranker(tmp_path: Path) -> None:
    found, printed = run(
        "reranker", tmp_path, "--strings", "3", "--depth", "8", "--rounds", "2", "--batches", "16",
        "--job-strings", "2",
    )  # fmt: skip
    assert found["pairs"]["count"] == 24
    names = set(found["scorers"])
    assert {"built-in, ONNX Runtime", "torch engine, float32"} <= names
    assert "CrossEncoder.predict, float32" in names
    for name, row in found["scorers"].items():
        assert len(row["seconds"]) == 2
        assert row["pairs_per_second_best"] >= row["pairs_per_second"] > 0
        assert 0 < row["share_of_ceiling"] < 3, name
        assert name in printed
    # The fastest way to call predict is what is compared with.
    ratios = [r["to_predict"]["median"] for n, r in found["scorers"].items() if "predict" in n]
    assert 1.0 in ratios
    assert found["largest_difference_in_float32"] < 1e-4
    matchers = found["job"]["matchers"]
    assert matchers["built-in"]["built_in_to_it"]["median"] == 1.0
    assert matchers["torch engine, float32"]["engine_to_it"]["median"] == 1.0
    assert matchers["CrossEncoder.predict, float32"]["engine_to_it"]["median"] > 0
    for other in ("infinity-emb", "flashrank"):
        assert other in printed


def test_scorer(tmp_path: Path) -> None:
    figures = tmp_path / "scorer.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.scorer", "--clients", "1", "2", "--seconds", "1",
            "--cpu-ms", "2", "--json", str(figures),
        ],
        cwd=ROOT,
        env=os.environ | {"RAYON_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    assert [(line["requests_a_slice"], line["clients"]) for line in found["lines"]] == [
        (1, 1), (1, 2), (2, 1), (2, 2),
    ]  # fmt: skip
    for line in found["lines"]:
        # No client can do more than its slices take to prepare.
        assert 0 < line["strings_per_second"] < line["clients"] * 600
        assert 0 < line["gpu_busy"] < 1
        assert line["scorer_us"] > 0
    for estimate in found["estimates"]:
        assert estimate["strings_per_second"] == min(estimate["by_cores"], estimate["by_gpu"])
        assert estimate["by_cores"] < 16_000 / 2


def test_throughput(tmp_path: Path) -> None:
    found, printed = run("throughput", tmp_path, "--count", "24", "--chunk-size", "8")
    assert found["strings"] == 24
    new, again = found["new"], found["again"]
    assert new["strings_per_second"] > 0
    assert new["stages"]["score"] > 0
    assert new["stages"]["pairs"] > 24
    assert new["links"] == again["links"] > 12
    # The sample is easy; half wrong would mean that something is broken.
    assert new["accuracy"]["f1"] > 0.7
    assert new["accuracy"]["strings"] == 24
    assert "24 seen before" in printed


def test_growth(tmp_path: Path) -> None:
    found, printed = run(
        "growth", tmp_path, "--sizes", "200", "500", "--strings", "24", "--depths", "5", "10",
        "--resolved", "4", "--rounds", "2",
    )  # fmt: skip
    small, large = found["sizes"]
    assert (small["organisations"], large["organisations"]) == (200, 500)
    assert small["names"] < large["names"]
    assert 0 < small["disk_bytes"] < large["disk_bytes"]
    assert large["recall_ms_p50"] > 0
    assert large["recall_at"]["50"] > 0.9
    assert [row["depth"] for row in found["depths"]] == [5, 10]
    assert all(row["strings_per_second"] > 0 for row in found["depths"])
    assert "| 500 |" in printed


def test_a_size_that_would_take_too_long_is_left_out(tmp_path: Path) -> None:
    found, printed = run(
        "growth", tmp_path, "--sizes", "50", "1000000", "--strings", "4", "--depths",
        "--minutes", "1",
    )  # fmt: skip
    assert found["sizes"][1]["left_out"]
    assert found["depths"] == []
    assert "| 1,000,000 | not in the minutes given |" in printed


def test_release(tmp_path: Path) -> None:
    found, printed = run("release", tmp_path, "--strings", "60")
    took = found["update"]
    assert {"load", "index", "switch", "select", "refresh"} <= set(took["seconds"])
    assert took["derived"]
    assert took["changes"]["added"] > 3
    assert took["left"] == 0
    assert 0 < sum(took["selected"].values()) == took["resolved"] < 30
    answers = found["found"]["answers"]
    assert 0 < answers["found"] <= answers["changed"] <= 2 * answers["found"]
    assert found["spoilt"] == 0
    assert found["unexplained"] == 0
    assert found["again"]["idle"]
    assert found["again"]["changed_tables"] == []
    assert found["again"]["rows"]["affiliation"] == 60
    client = found["client"]
    assert client["calls"] > 2
    assert client["errors"] == []
    assert client["mixtures"] == 0
    assert len(client["versions"]) == 2
    assert "changed nothing" in printed


def test_selection(tmp_path: Path) -> None:
    figures = tmp_path / "selection.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.selection", str(tmp_path / "kept"), "--made-up",
            "--releases", str(sample.REGISTRY), "--texts", f"{sample.GOLD}:30",
            "--json", str(figures),
        ],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    there, back = json.loads(figures.read_text())["pairs"]
    assert there["changed"] == back["changed"] > 0
    for pair in (there, back):
        assert pair["texts"] == 30
        assert 0 < pair["found"] <= pair["changed"]
        assert pair["marked"] <= pair["selected"] < pair["cost"]


def test_sizing(tmp_path: Path) -> None:
    found, printed = run("sizing", tmp_path, "--strings", "300", "--answered", "20")
    assert found["strings"] == 300
    assert 0 < found["linked"] <= 1
    for what in ("record", "string", "past_answer", "message"):
        assert 50 < found[f"{what}_bytes"] < 10_000, what
    assert 0 < found["dump_bytes"] < found["restored_bytes"]
    million, ten, hundred = found["sizes"]
    assert million["hours"]["1"] == pytest.approx(1e6 / 50 / 3600)
    assert million["hours"]["4"] == pytest.approx(million["hours"]["1"] / 4)
    each = found["record_bytes"] + found["string_bytes"]
    assert million["database_bytes"] == pytest.approx(found["registry_bytes"] + 1e6 * each)
    assert hundred["database_bytes"] - ten["database_bytes"] == pytest.approx(90e6 * each)
    assert million["database_bytes"] < million["database_bytes_after_a_year"]
    assert "| 100,000,000 |" in printed


def test_millions(tmp_path: Path) -> None:
    found, printed = run("millions", tmp_path, "--strings", "60", "--affiliations", "300")
    assert found["rows"]["affiliation"] == 300
    assert found["rows"]["source_record"] == 60 + 2 * 240
    assert {"fill", "select", "select again"} <= set(found["seconds"])
    asked = found["questions"]
    due = {when: asked[when]["due, by cause"]["answer"] for when in asked}
    assert due["before the release"] == due["rolled back"] == 0 < due["selected"]
    assert asked["selected"]["due, the first page"]["answer"] == min(due["selected"], 256)
    assert "| due, by cause | 0 |" in printed


def test_search(tmp_path: Path) -> None:
    found, printed = run("search", tmp_path, "--names", "60", "--postgres")
    assert found["build"]["organisations"] == 313
    ours, others = found["engines"]["tantivy"], found["engines"]["Postgres"]
    assert ours["recall"]["all"]["names"] == 60
    assert ours["recall"]["all"]["R@5"] > 0.9
    # What is misspelt it does not find.
    assert others["recall"]["typing error"]["R@5"] < ours["recall"]["typing error"]["R@5"]
    assert "ROR's bars" in printed


def test_index_build(tmp_path: Path) -> None:
    before, after = made_up(sample.REGISTRY, tmp_path)
    figures = tmp_path / "index_build.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.index_build", "--before", str(before),
            "--registry", str(after), "--json", str(figures),
        ],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    steps = json.loads(figures.read_text())["steps"]
    assert len(steps) == 6
    derived = steps[f"{after.name}: index derived"]
    assert derived["cpu_seconds"] > 0
    assert derived["what"].startswith("312 organisations")
    assert f"| {before.name}: index built | " in done.stdout


def test_backfill(tmp_path: Path) -> None:
    found, printed = run("backfill", tmp_path, "--strings", "40", "--workers", "1", "--load")
    assert (found["run"]["texts"], found["run"]["done"], found["run"]["left"]) == (40, 40, 0)
    assert found["mentions"] == 100
    steps = {step["command"]: step for step in found["steps"]}
    assert [*steps] == [f"backfill {name}" for name in ("pin", "plan", "run", "join", "load")]
    assert steps["backfill run"]["cpu"] > 1
    assert steps["backfill run"]["memory"] > 300
    assert "| `backfill run` |" in printed
