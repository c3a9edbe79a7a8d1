import json
from pathlib import Path

import pytest
from support.command_line import Run
from support.tiny_models import save_bert, save_older_gte


@pytest.mark.slow
def test_the_builtin_reranker_is_what_it_was(resolver_anew: Run, tmp_path: Path) -> None:
    """Its logits are recorded and found again; a changed one is noticed."""
    golden = tmp_path / "golden.json"
    done = resolver_anew("models", "check", "builtin", "--write-golden", "--golden", str(golden))
    assert done.returncode == 0, done.stderr
    assert "ONNX" in done.stdout
    stored = json.loads(golden.read_text())
    assert len(stored["pairs"]) > 5
    done = resolver_anew("models", "check", "builtin", "--golden", str(golden))
    assert done.returncode == 0, done.stdout
    assert "FAILED" not in done.stdout
    stored["pairs"][2]["logit"] += 1.0
    golden.write_text(json.dumps(stored))
    done = resolver_anew("models", "check", "builtin", "--golden", str(golden))
    assert done.returncode == 1
    assert "FAILED" in done.stdout


@pytest.mark.slowest
def test_an_older_checkpoint_is_checked_and_converted(resolver_anew: Run, tmp_path: Path) -> None:
    source, out = save_older_gte(tmp_path / "older"), tmp_path / "native"
    done = resolver_anew("models", "convert", str(source), str(out))
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "config.json").read_text())["model_type"] == "gte"
    done = resolver_anew("models", "check", str(source), "--write-golden", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "translated from the remote-code form" in done.stdout
    # Golden logits that lie beside the weights are found without being named, in any form.
    (out / "golden.json").write_bytes((source / "golden.json").read_bytes())
    done = resolver_anew("models", "check", str(out), "--device", "cpu")
    assert done.returncode == 0, done.stdout
    assert "native to transformers" in done.stdout
    assert "largest difference" in done.stdout.split("golden logits")[1]


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_says_why(resolver_anew: Run, tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "encoder", labels=None)
    for arguments in (("check", str(folder)), ("check", str(tmp_path / "nothing"))):
        done = resolver_anew("models", *arguments, env={"HF_HUB_OFFLINE": "1"})
        assert done.returncode == 1
        assert "remedy:" in done.stderr
        assert "Traceback" not in done.stderr


def test_golden_logits_that_are_none(resolver_anew: Run, tmp_path: Path) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text("{}")
    done = resolver_anew("models", "check", "builtin", "--golden", str(golden))
    assert done.returncode == 1
    assert "golden.json" in done.stderr
    assert "remedy:" in done.stderr


def test_the_models_in_use_are_listed(resolver_anew: Run) -> None:
    done = resolver_anew("models", "list")
    assert done.returncode == 0, done.stderr
    for part in ("encoder", "reranker", "judge"):
        assert part in done.stdout
    assert "RESOLVER_RERANKER" in done.stdout
    assert "MB" in done.stdout
