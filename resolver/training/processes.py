"""The processes of a training: a single one, or several that ``accelerate launch`` or torchrun
started.

One of them, the main one, reads the registry, opens the index, prints and writes. The others wait
for what it writes, and take part in the training itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from resolver.errors import SettingsError

PATIENCE = timedelta(hours=6)
"""How long a process waits for another: the main process may mine and evaluate for hours."""


def device_kind(device: str | None) -> str:
    """ "cpu" or "cuda" …: what was asked for, else the best there is.

    Raises:
        SettingsError: a single device is named by its number, which the trainer cannot honour.
    """
    if device is not None:
        kind, _, number = device.partition(":")
        if number:
            raise SettingsError(
                f"training cannot be sent to {device}",
                remedy=f"hide the others: CUDA_VISIBLE_DEVICES={number}, with --device {kind}",
            )
        return kind
    import torch

    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes"}
    return "cuda" if torch.cuda.is_available() and not on_cpu else "cpu"


def join(device: str | None) -> Any:
    """The accelerate state of this process: `is_main_process`, `num_processes`, `device` …

    The first call in a launched process meets the others.
    """
    from accelerate import PartialState  # type: ignore[import-untyped]

    if "WORLD_SIZE" in os.environ:
        return PartialState(cpu=device_kind(device) == "cpu", timeout=PATIENCE)
    return PartialState(cpu=device_kind(device) == "cpu")


def launcher(device: str | None) -> list[str]:
    """The beginning of the command that started these processes."""
    count = join(device).num_processes
    if count == 1:
        return ["resolver"]
    # accelerate launch always says how it computes, by this variable; torchrun knows none.
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        return ["accelerate", "launch", "--num_processes", str(count), "-m", "resolver.cli"]
    return ["torchrun", "--nproc-per-node", str(count), "-m", "resolver.cli"]


@contextmanager
def main_first(device: str | None) -> Iterator[bool]:
    """The block runs in the main process first, then in the others; yields whether it is main."""
    state = join(device)
    with state.main_process_first():
        yield bool(state.is_main_process)
