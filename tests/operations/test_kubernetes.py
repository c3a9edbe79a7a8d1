"""The manifest for Kubernetes says what the program and the pinned versions say.

KubeRay's schema, against which it was checked, is too large to be kept here.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main
import yaml
from support.paths import ROOT

from resolver.cli import app

MANIFEST = ROOT / "kubernetes/backfill.yaml"
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
)


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    job: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())["spec"]
    return job


def test_the_entrypoint_is_a_command(job: dict[str, Any]) -> None:
    program, _, group, command, *arguments = shlex.split(job["entrypoint"])
    assert (program, group, command) == ("resolver", "backfill", "run")
    backfill = typer.main.get_command(app).commands[group]  # type: ignore[attr-defined]
    given = backfill.commands[command].make_context(command, arguments).params
    assert (given["address"], str(given["scratch"])) == ("auto", "/scratch")
    (workers,) = job["rayClusterSpec"]["workerGroupSpecs"]
    cores = workers["maxReplicas"] * int(workers["rayStartParams"]["num-cpus"])
    assert given["workers"] * given["cpus"] <= cores


def test_the_copy_of_the_pin_is_on_a_volume(job: dict[str, Any]) -> None:
    (workers,) = job["rayClusterSpec"]["workerGroupSpecs"]
    pod = workers["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/scratch"
    assert [volume["name"] for volume in pod["volumes"]] == [mount["name"]]


def test_versions_are_those_of_the_constraints(job: dict[str, Any]) -> None:
    assert job["rayClusterSpec"]["rayVersion"] == PINNED["ray"]
    page = (ROOT / "docs/backfill.md").read_text()
    named = re.findall(r"([a-z-]+)(?:\[default\])?==([\d.]+\d)", page)
    assert dict(named) == {name: PINNED[name] for name in ("ray", "duckdb", "qdrant-edge-py")}
