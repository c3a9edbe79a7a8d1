import os
from pathlib import Path

import pytest

from resolver.hardware import Hardware, cores, hardware, instructions, quota, versions


def test_hardware_names_what_is_there() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert hardware(None).threads == cores()
    assert hardware(3).threads == 3
    assert hardware(None).processor


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("", ()),
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2\n", ("AVX2",)),
        (
            "flags\t\t: avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8\n",
            ("AMX int8", "AVX-512 VNNI", "AMX bf16", "AVX-512 bf16", "AVX-512", "AVX2"),
        ),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n", ("I8MM", "dot product", "NEON")),
    ],
    ids=["unknown", "old", "AMX", "ARM"],
)
def test_instructions(cpuinfo: str, expected: tuple[str, ...]) -> None:
    assert instructions(cpuinfo) == expected


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (Hardware("Zilog Z80", 1, 1), "1 thread on 1 core of Zilog Z80"),
        (
            Hardware("EPYC", 2, 2, ("AVX-512 VNNI", "AVX2")),
            "2 threads on 2 cores of EPYC with AVX-512 VNNI, AVX2",
        ),
        (
            Hardware("Xeon", 4, 1, ("AVX2",)),
            "1 thread on 4 cores of Xeon with AVX2 (no 8-bit dot products: slow)",
        ),
    ],
    ids=["unknown", "8 bits", "none"],
)
def test_what_is_logged(machine: Hardware, expected: str) -> None:
    assert str(machine) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "50000\n"}, None),
    ],
    ids=["no files", "2 without", "2 with", "1 without", "1 with", "1 in part"],
)
def test_the_share_of_a_container(
    tmp_path: Path, files: dict[str, str], expected: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota(tmp_path) == expected


def test_versions_are_of_what_is_installed() -> None:
    found = versions(("numpy", "no-such-package", "orjson"))
    assert list(found) == ["numpy", "orjson"]
    assert all(found.values())
