"""What figures were taken on: a speed without its machine says nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Hardware:
    """`cores` are those that this process may use; `threads` those of the built-in reranker."""

    processor: str
    cores: int
    threads: int


def hardware(threads: int | None) -> Hardware:
    """This machine; `threads` None means one for each core."""
    return Hardware(_processor(), cores(), threads or cores())


def cores() -> int:
    """Cores that this process may use: what ONNX Runtime should take, and by itself does not."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line[:10] == "model name"), "")
    return model or platform.processor() or platform.machine()
