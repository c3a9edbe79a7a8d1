"""Known vulnerabilities of the pinned versions: ``python .ci/audit.py constraints.txt``.

Exit codes: 0 none is known; 1 some are; 3 not all could be looked up, so nothing is said. pip-audit
itself ends with 0 where the service knows none of the packages, or is not there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOUND, NOT_RUN = 1, 3
SECONDS = 60


def verdict(report: dict[str, Any], pinned: int) -> tuple[int, list[str]]:
    """Exit code and lines for pip-audit's JSON report on `pinned` packages."""
    packages = report["dependencies"]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}"
        f" ({', '.join(found.get('aliases', ())) or 'no alias'}),"
        f" fixed in {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if lines:
        return FOUND, lines
    if skipped or len(packages) < pinned:
        missing = len(skipped) + pinned - len(packages)
        return NOT_RUN, [f"audit: NOT RUN: {missing} of {pinned} packages could not be looked up"]
    return 0, [f"audit: no known vulnerability in {pinned} packages"]


def main(constraints: Path) -> int:
    pinned = sum("==" in line for line in constraints.read_text().splitlines())
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps"]
    options = ["--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        report = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        print("audit: NOT RUN: the service of known vulnerabilities does not answer")
        return NOT_RUN
    code, lines = verdict(report, pinned)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
