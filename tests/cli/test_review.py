"""``resolver review`` as an operator runs it: decisions become labels, which evaluation reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from uuid import UUID

import pytest
from support.command_line import run_in

from resolver.curation import review
from resolver.curation.review import Action, Choice, Decided, Filters
from resolver.service.installation import Installation
from resolver.settings import Settings

pytestmark = pytest.mark.slow


def test_from_decisions_to_labels_and_their_measurement(
    answered_home: Path, tmp_path: Path
) -> None:
    rebuilt = run_in(answered_home, "review", "rebuild", "--anew")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert "texts with an answer" in rebuilt.stderr
    with Installation(Settings(home=answered_home)) as installation:
        engine = installation.engine
        linked = review.queue(engine, Filters(reason=review.LINKED), "ada", limit=3)
        unlinked = review.queue(engine, Filters(reason="not_in_registry"), "ada", limit=1)
        assert len(linked) == 3
        assert len(unlinked) == 1
        choices = [
            Choice(UUID(int=n), item.affiliation_id, Action.CONFIRM, "ada", tuple(item.ror_ids))
            for n, item in enumerate(linked)
        ]
        choices.append(Choice(UUID(int=9), unlinked[0].affiliation_id, Action.LACKING, "ada"))
        assert all(isinstance(review.decide(engine, choice), Decided) for choice in choices)

    file = tmp_path / "labels.jsonl"
    written = run_in(answered_home, "review", "labels", "--out", str(file))
    assert written.returncode == 0, written.stderr
    labels = [json.loads(line) for line in file.read_text().splitlines()]
    assert {label["affiliation"] for label in labels} == {
        item.text for item in (*linked, *unlinked)
    }
    assert {label["source"] for label in labels} == {"review:ada"}
    measured = run_in(answered_home, "evaluate", str(file), "--json")
    assert measured.returncode == 0, measured.stderr
    # All of them are the answers of the version in use.
    figures = json.loads(measured.stdout.splitlines()[0])
    assert (figures["strings"], figures["f1"]) == (4, 1.0)
    # They are read for a judge too; so few are refused, and no file is left.
    judge = tmp_path / "judge.json"
    few = run_in(
        answered_home, "train", str(file), "--part", "judge", "--unseen", str(file),
        "--out", str(judge),
    )  # fmt: skip
    assert few.returncode == 1, few.stderr
    assert "too few for a sieve" in few.stderr
    assert not judge.exists()

    requests = tmp_path / "lacking.csv"
    assert run_in(answered_home, "review", "lacking", "--out", str(requests)).returncode == 0
    (row,) = csv.DictReader(requests.open(encoding="utf-8"))
    assert row["Name of organization"]
    assert (row["state"], row["author"]) == ("draft", "ada")
