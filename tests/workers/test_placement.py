"""What of a machine each process of a worker takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.errors import SettingsError
from resolver.hardware import cores
from resolver.reranker.onnx import MODEL
from resolver.settings import Settings
from resolver.workers import placement
from resolver.workers.placement import placed


def settings(**changes: object) -> Settings:
    return Settings(_env_file=None, **changes)  # type: ignore[arg-type, call-arg]


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [
        (None, 3, [None, "cuda:1", "cuda:2"]),
        ("cuda", 3, ["cuda", "cuda:1", "cuda:2"]),
        ("cuda:1", 3, ["cuda:1"] * 3),
        ("cpu", 3, ["cpu"] * 3),
        (None, 0, [None] * 3),
    ],
)
def test_each_process_has_a_gpu_of_its_own(
    monkeypatch: pytest.MonkeyPatch, device: str | None, gpus: int, expected: list[str | None]
) -> None:
    monkeypatch.setattr(placement, "_gpus", lambda: gpus)
    own = settings(device=device, reranker="some/cross-encoder")
    assert [placed(own, index, 3).device for index in range(3)] == expected


@pytest.mark.parametrize("device", [None, "cuda"])
def test_more_processes_than_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str | None
) -> None:
    monkeypatch.setattr(placement, "_gpus", lambda: 2)
    own = settings(device=device, reranker="some/cross-encoder")
    assert placed(own, 1, 3).device == "cuda:1"
    with pytest.raises(SettingsError, match=r"process 3 .* there are 2") as refused:
        placed(own, 2, 3)
    assert "--concurrency 2" in str(refused.value.remedy)


def test_models_without_torch_need_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(placement, "_gpus", lambda: pytest.fail("torch was asked"))
    (tmp_path / MODEL).touch()
    for reranker in ("builtin", "http://localhost:7997", str(tmp_path)):
        assert placed(settings(reranker=reranker), 5, 8).device is None


@pytest.mark.parametrize("processes", [1, 2, 1000])
def test_cores_are_divided(processes: int) -> None:
    assert placed(settings(), 0, processes).threads == max(1, cores() // processes)
    assert placed(settings(threads=7), 0, processes).threads == 7


def test_this_machine_is_asked() -> None:
    torch = pytest.importorskip("torch")
    assert placement._gpus() == torch.cuda.device_count()
