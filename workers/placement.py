"""The GPU and the cores that one process of a worker uses."""

from __future__ import annotations

from resolver.errors import SettingsError
from resolver.hardware import cores
from resolver.service.parts import runs_in_torch
from resolver.settings import Settings


def placed(settings: Settings, index: int, processes: int) -> Settings:
    """The settings of process `index`, from 0, of `processes` on this machine.

    With `settings.device` unset or "cuda" each process has a GPU of its own, if there is any. A
    device with a number is used by all of them, as is "cpu". Without `settings.threads` the cores
    are divided among the processes, a thread for each core.

    Call it in the process itself: it may load torch.

    Raises:
        SettingsError: there are GPUs, and fewer than processes.
    """
    return settings.model_copy(
        update={
            "device": _device(settings, index),
            "threads": settings.threads or max(1, cores() // processes),
        }
    )


def _device(settings: Settings, index: int) -> str | None:
    # The first process takes the first GPU by itself.
    if index == 0 or settings.device not in (None, "cuda") or not runs_in_torch(settings):
        return settings.device
    gpus = _gpus()
    if index < gpus:
        return f"cuda:{index}"
    if gpus == 0:
        return settings.device
    raise SettingsError(
        f"process {index + 1} of this worker finds no GPU of its own: there are {gpus}",
        remedy=f"use --concurrency {gpus}, or --scorer, which computes on one for all processes",
    )


def _gpus() -> int:
    try:
        import torch
    except ImportError:
        return 0
    return torch.cuda.device_count()
