"""What the project is built on: known vulnerabilities, licences, and the bill of materials."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tomllib
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonValidator
from support.paths import ROOT


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit, licences = script("audit"), script("licences")

GOOD = {"name": "amqp", "version": "5.4.2", "vulns": []}
BAD = {
    "name": "vine",
    "version": "5.1.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["5.1.1"]}],
}
UNKNOWN = {"name": "kombu", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "pinned", "code", "said"),
    [
        pytest.param([GOOD], 1, 0, "no known vulnerability in 1 packages", id="good"),
        pytest.param([GOOD, BAD], 2, 1, "vine 5.1.0: PYSEC-1 (CVE-1), fixed in 5.1.1", id="bad"),
        pytest.param([BAD, UNKNOWN], 2, 1, "PYSEC-1", id="bad and unknown"),
        pytest.param([GOOD, UNKNOWN], 2, 3, "NOT RUN: 1 of 2", id="unknown"),
        pytest.param([GOOD], 2, 3, "NOT RUN: 1 of 2", id="left out"),
        pytest.param([], 9, 3, "NOT RUN: 9 of 9", id="nothing"),
    ],
)
def test_what_an_audit_says(
    packages: list[dict[str, Any]], pinned: int, code: int, said: str
) -> None:
    found, lines = audit.verdict({"dependencies": packages}, pinned)
    assert found == code
    assert said in "\n".join(lines)


def test_every_licence_is_allowed() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/licences.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(listed) > len(project["dependencies"])
    assert {"celery", "sqlalchemy", "torch", "qdrant-edge-py", "pytest"} <= listed


ALLOWED = frozenset({"MIT", "Apache-2.0", "Mozilla Public License 2.0 (MPL 2.0)", "LLVM-exception"})


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("MIT AND (Apache-2.0 OR MIT)", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("Other/Proprietary License", False),
        ("", False),
    ],
)
def test_licences(expression: str, allowed: bool) -> None:
    assert licences.is_allowed(expression, ALLOWED) is allowed


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "MIT"), ("License", "x")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: MIT License")], "MIT License"),
        ([("Classifier", "Topic :: x"), ("License", "BSD\nlong text")], "BSD"),
        ([], ""),
    ],
)
def test_where_a_licence_is_read(fields: list[tuple[str, str]], expected: str) -> None:
    metadata = Message()
    for name, value in fields:
        metadata[name] = value
    assert licences.licence(metadata) == expected


@pytest.mark.slow
def test_the_bill_of_materials(tmp_path: Path) -> None:
    """As ``make sbom`` writes it, but of the pinned versions: the whole environment takes longer."""
    path = tmp_path / "sbom.json"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(ROOT / "constraints.txt")]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--no-validate"]
    done = subprocess.run(
        [*command, *options, "--output-format", "JSON", "--output-file", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert JsonValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    bill = json.loads(path.read_bytes())
    assert bill["specVersion"] == "1.6"
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "affiliation-resolver"
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    assert {one["name"].lower().replace("_", "-") for one in bill["components"]} == pinned
