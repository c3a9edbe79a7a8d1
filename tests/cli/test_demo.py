"""``make demo``'s command, whole: worker, queue, database and index on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import run_in

from resolver import sample

pytestmark = pytest.mark.slow


@pytest.mark.slowest
def test_the_demo_can_be_repeated_and_answers_by_the_registry_that_it_was_given(
    services_home: Path,
) -> None:
    home = services_home / "demo"
    home.mkdir()
    for _ in range(2):
        done = run_in(home, "demo", "--home", "d")
        assert done.returncode == 0, done.stderr + done.stdout
        assert "University of California, Berkeley" in done.stdout
        assert "empty" in done.stdout

    answers = run_in(
        home, "--home", "d", "sql", "--csv",
        "SELECT (SELECT count(*) FROM source_record), (SELECT count(*) FROM outcome), "
        "(SELECT count(*) FROM pending)",
    ).stdout.splitlines()[1]  # fmt: skip
    lines = sample.AFFILIATIONS.read_text().splitlines()
    texts = {json.loads(line)["affiliation"] for line in lines}
    assert answers == f"{len(lines)},{len(texts)},0"

    # A second registry in the same home: every outcome is by the new one.
    records = json.loads(sample.REGISTRY.read_bytes())
    (home / "v9.9.json").write_text(json.dumps(records[:150]))
    done = run_in(home, "demo", "--home", "d", "--registry", "v9.9.json")
    assert done.returncode == 0, done.stderr + done.stdout
    (answer,) = run_in(
        home, "--home", "d", "sql", "--csv",
        "SELECT DISTINCT version FROM outcome "
        "JOIN resolver_version v ON v.id = resolver_version_id "
        "JOIN registry_release r ON r.id = v.release_id",
    ).stdout.splitlines()[1:]  # fmt: skip
    assert answer == "v9.9"


def test_the_demo_says_why_it_cannot_go_on(tmp_path: Path) -> None:
    done = run_in(tmp_path, "demo", "--registry", "nowhere.zip")
    assert done.returncode == 1
    assert "nowhere.zip" in done.stderr
    assert "Traceback" not in done.stderr
