"""What this machine computes with, and with which packages: a speed without its machine says
nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

_CGROUP = Path("/sys/fs/cgroup")

INSTRUCTIONS = {
    "amx_int8": "AMX int8",
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "i8mm": "I8MM",
    "asimddp": "dot product",
    "amx_bf16": "AMX bf16",
    "avx512_bf16": "AVX-512 bf16",
    "bf16": "bf16",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "asimd": "NEON",
}
"""Linux's flags for what multiplies matrices (x86 and ARM), and their usual names."""

INT8 = {"AMX int8", "AVX-512 VNNI", "AVX VNNI", "I8MM", "dot product"}
"""Those for `Hardware.dot_products`."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """`cores` are those that this process may use; `threads` those of the built-in reranker.

    `instructions`: values of `INSTRUCTIONS`, in its order; empty where the system does not tell.
    """

    processor: str
    cores: int
    threads: int
    instructions: tuple[str, ...] = ()

    @property
    def dot_products(self) -> bool:
        """Whether it sums four 8-bit products at once. If not, 8 bits are hardly faster than
        floats."""
        return not INT8.isdisjoint(self.instructions)

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        text = f"{threads} on {cores} of {self.processor}"
        if not self.instructions:
            return text
        without = "" if self.dot_products else " (no 8-bit dot products: slow)"
        return f"{text} with {', '.join(self.instructions)}{without}"


def hardware(threads: int | None) -> Hardware:
    """This machine; `threads` None means one for each core."""
    cpuinfo = _CPUINFO.read_text() if _CPUINFO.exists() else ""
    processor = (
        field(cpuinfo, "model name") or platform.processor() or platform.machine() or "unknown"
    )
    return Hardware(processor, cores(), threads or cores(), instructions(cpuinfo))


def cores() -> int:
    """Cores that this process may use: its affinity, and a container's share of CPU time.

    ONNX Runtime by itself takes all that the machine has.
    """
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    share = quota(_CGROUP)
    return usable if share is None else max(1, min(usable, round(share)))


def quota(cgroup: Path) -> float | None:
    """Cores' worth of CPU time that a container may use (``docker run --cpus``); None: no limit.

    Reads the limit where a container sees its own: ``cpu.max`` of cgroup 2, "200000 100000", or
    the two files of cgroup 1.
    """
    try:
        if (cgroup / "cpu.max").exists():
            limit, period = (cgroup / "cpu.max").read_text().split()
        else:
            limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        share = int(limit) / int(period)
    # No such file, "max" for no limit, or a system that writes them otherwise: no limit is known.
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def instructions(cpuinfo: str) -> tuple[str, ...]:
    """The values of `INSTRUCTIONS` that ``/proc/cpuinfo`` lists."""
    flags = set((field(cpuinfo, "flags") or field(cpuinfo, "Features")).split())
    return tuple(name for flag, name in INSTRUCTIONS.items() if flag in flags)


def field(cpuinfo: str, name: str) -> str:
    """What ``/proc/cpuinfo`` says of the first core, or nothing."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Of those that are installed, in their order."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
