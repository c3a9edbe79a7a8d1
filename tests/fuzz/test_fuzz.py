"""10,000 hostile inputs, the same in every run, and each input that ever did harm."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fuzz_inputs import HOSTILE, drawn, variants
from support.fuzz_targets import TARGETS

CASES = Path(__file__).with_name("cases")

VARIANTS = 4
"""Inputs that are made of each one that hypothesis draws, which takes longer than to answer one."""

INPUTS = {
    "normalisation": 3_000,
    "registry_record": 2_400,
    "registry_file": 600,
    "task_message": 2_000,
    "input_file": 1_200,
    "overrides_file": 800,
}


def test_every_target_gets_its_share() -> None:
    assert set(INPUTS) == set(HOSTILE) == set(TARGETS)
    assert sum(INPUTS.values()) == 10_000


@pytest.mark.parametrize("name", list(TARGETS))
def test_hostile_input_gets_a_promised_answer(name: str) -> None:
    # The same inputs each time: this must not fail by chance. `make fuzz` looks for others.
    inputs = drawn(name, INPUTS[name] // (1 + VARIANTS))
    assert len(inputs) * (1 + VARIANTS) >= INPUTS[name]
    for data in inputs:
        TARGETS[name](data)
        for variant in variants(data, VARIANTS):
            TARGETS[name](variant)


def _cases() -> list[Path]:
    return sorted(path for path in CASES.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", _cases(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_once_did_harm(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())
