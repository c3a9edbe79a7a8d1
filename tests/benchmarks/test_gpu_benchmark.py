"""`benchmarks.gpu` on the CPU, with a tiny model: the same ways but for the kernel."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from resolver.reranker.checking import PAIRS
from resolver.reranker.loading import load
from resolver.reranker.tokenised import token_reranker

pytestmark = pytest.mark.slowest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # By its path and without the package's folder: it needs nothing installed from here.
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT.parent,
        timeout=300,
    )


def test_a_dry_run(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    done = run("--dry-run", "--pairs", "200", "--json", str(path))
    assert done.returncode == 0, done.stderr
    figures = json.loads(path.read_text())
    names = [one["variant"] for one in figures["variants"]]
    assert [name.split(",")[0] for name in names] == ["CrossEncoder.predict", "engine", "engine"]
    assert names[1:] == ["engine, padded", "engine, packed"]
    for one in figures["variants"]:
        assert one["pairs_per_second"] == pytest.approx(
            one["tokens_per_second"] / figures["tokens_a_pair"]
        )
        assert 0 < one["share_of_ceiling"] < 1
        assert f"| {one['variant']} | {one['pairs_per_second']:,.0f} |" in done.stdout
    assert figures["variants"][0]["times_predict"] == 1
    assert all(line["passed"] for line in figures["verification"])
    assert len(figures["verification"]) == 5
    # On a busy machine there may be no time for every round.
    assert all(line.startswith("rounds ") for line in figures["left_out"])
    assert 20 < figures["tokens_a_pair"] < 60
    assert {"torch", "transformers", "sentence-transformers", "numpy"} <= set(figures["versions"])


def test_a_model_is_saved_that_workers_can_use(tmp_path: Path) -> None:
    done = run("--dry-run", "--save", str(tmp_path / "model"))
    assert done.returncode == 0, done.stderr
    reranker = token_reranker(load(str(tmp_path / "model"), "cpu"))
    tokens, builtin = reranker.tokens, token_reranker(load("builtin", None, threads=1)).tokens
    assert tokens.encode(list(PAIRS)).ids.tolist() == builtin.encode(list(PAIRS)).ids.tolist()
    assert len(set(reranker.score(list(PAIRS)).tolist())) == len(PAIRS)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from benchmarks import gpu

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="no GPU here; --dry-run tries the script on a CPU"):
        gpu.main()


def test_wrong_scores_fail_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel that computes something else is caught before its speed is believed."""
    from benchmarks import gpu

    right = gpu.by_sequence
    monkeypatch.setattr(gpu, "by_sequence", lambda query, *rest: 0.5 * right(query, *rest))
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry-run", "--pairs", "100"])
    with pytest.raises(SystemExit, match="the engine's scores are not CrossEncoder's"):
        gpu.main()
    printed = capsys.readouterr().out
    assert "FAILED: engine in float32, packed" in printed
    assert "ok: engine in float32, padded" in printed
