from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.backfilling import AFFILIATIONS, write_mentions

from resolver.backfill import outcome_file, pinning
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.part import outcome_name
from resolver.errors import BackfillError
from resolver.matching.outcome import Outcome, Reason
from resolver.service.installation import Installation
from resolver.text.affiliation import MAX_CHARACTERS, text_hash

Plan = Callable[..., plans.Plan]

TOO_LONG = "University " * MAX_CHARACTERS


@pytest.fixture
def plan(pin_folder: Folder, folder: Folder, tmp_path: Path) -> Plan:
    """Plans a run of these texts, on disk and in a store."""

    def make(
        texts: list[str | None], *, run: Folder = folder, name: str = "in", **options: object
    ) -> plans.Plan:
        mentions = write_mentions(tmp_path / name, texts, files=2)
        return plans.make([str(mentions)], run, pin_folder, **options)

    return make


def due(run: Folder) -> list[tuple[bytes, str]]:
    files = [file.name for file in run.files(plans.DUE)]
    table = run.dataset(files).to_table()
    return list(zip(table["key"].to_pylist(), table["text"].to_pylist(), strict=True))


def test_texts_are_distinct_as_everywhere_and_each_is_in_a_part(plan: Plan, folder: Folder) -> None:
    made = plan(["ETH Zürich", "ETH Zu\u0308rich", " ETH&nbsp;Zürich", "MIT", "MIT", None, ""])
    assert (made.mentions, made.texts, made.taken, made.due) == (7, 3, 0, 3)
    assert sorted(due(folder)) == sorted(
        (text_hash(text), text) for text in ("ETH Zürich", "MIT", "")
    )
    assert plans.read(folder) == made
    spellings = folder.dataset([file.name for file in folder.files(plans.SPELLINGS)]).to_table()
    assert sorted(spellings.to_pylist(), key=lambda row: row["raw"]) == [
        {"raw": " ETH&nbsp;Zürich", "text": "ETH Zürich"},
        {"raw": "ETH Zu\u0308rich", "text": "ETH Zürich"},
    ]


def test_a_text_that_is_too_long_is_due_with_its_beginning(plan: Plan, folder: Folder) -> None:
    plan([TOO_LONG])
    ((_, text),) = due(folder)
    assert text == TOO_LONG[: MAX_CHARACTERS + 1]


def test_parts_have_the_texts_by_their_hashes(plan: Plan, folder: Folder) -> None:
    made = plan([*AFFILIATIONS], parts=16)
    assert sum(made.parts.values()) == len(set(due(folder))) == made.texts
    for name, texts in made.parts.items():
        table = pq.read_table(pa.BufferReader(folder.read(f"{plans.DUE}/{name}.parquet")))
        assert len(table) == texts
        assert {key.hex()[0] for key in table["key"].to_pylist()} == {f"{int(name):x}"}


@pytest.mark.parametrize(
    ("texts", "parts"),
    [(0, 1), (1, 1), (600, 2), (100_000, 64), (2_000_000, 100), (100_000_001, 5_001)],
)
def test_how_many_parts(texts: int, parts: int) -> None:
    assert plans.part_count(texts) == parts


def test_a_planned_run_is_not_planned_again(plan: Plan, folder: Folder) -> None:
    plan(["MIT"])
    with pytest.raises(BackfillError, match="is planned already"):
        plan(["ETH"])


def test_a_plan_that_was_killed_leaves_nothing_behind(plan: Plan, folder: Folder) -> None:
    folder.write(plans.BEGUN, b"")
    folder.write(f"{plans.DUE}/99.parquet", b"of the one that was killed")
    made = plan(["MIT"])
    assert [file.name for file in folder.files(plans.DUE)] == [
        f"{plans.DUE}/{name}.parquet" for name in made.parts
    ]
    assert plans.BEGUN not in {file.name for file in folder.files()}


def test_files_of_others_are_left_alone(plan: Plan, folder: Folder) -> None:
    folder.write("outcomes/thesis.parquet", b"of years")
    with pytest.raises(BackfillError, match=r"has other files, as outcomes/thesis\.parquet"):
        plan(["MIT"])
    assert folder.read("outcomes/thesis.parquet") == b"of years"


@pytest.mark.parametrize(
    ("column", "problem"),
    [("name", "no column 'name'"), ("number", "is int64, not text"), ("list", "not text")],
)
def test_a_column_that_holds_no_affiliations(
    pin_folder: Folder, folder: Folder, tmp_path: Path, column: str, problem: str
) -> None:
    pq.write_table(pa.table({"number": [1], "list": [["a"]]}), tmp_path / "in.parquet")
    with pytest.raises(BackfillError, match=problem):
        plans.make([str(tmp_path / "in.parquet")], folder, pin_folder, column=column)


def answer(run: Folder, made: plans.Plan, *, failing: str = "") -> None:
    """Every text of the run gets an outcome, but for one that fails."""
    for name in made.parts:
        table = pq.read_table(pa.BufferReader(run.read(f"{plans.DUE}/{name}.parquet")))
        texts = table["text"].to_pylist()
        outcomes = [
            None if text == failing else Outcome(text, reason=Reason.NOT_IN_REGISTRY)
            for text in texts
        ]
        content = outcome_file.to_buffer(table["key"].to_pylist(), texts, outcomes, pin=made.pin)
        run.write(outcome_name(name), content)


def test_earlier_answers_are_taken_over(plan: Plan, folder: Folder, tmp_path: Path) -> None:
    """Of the texts that are in both; not of one that failed."""
    earlier = Folder(str(tmp_path / "earlier"))
    answer(earlier, plan(["a", "b", "c", "d"], run=earlier, name="before"), failing="d")
    made = plan(["b", "c", "d", "e", " b"], previous=earlier)
    assert (made.texts, made.taken, made.due) == (4, 2, 2)
    assert sorted(text for _, text in due(folder)) == ["d", "e"]
    names = plans.outcome_files(folder, made)
    assert [outcome_file.written(folder, name) for name in names] == [
        outcome_file.Written(made.pin, 2, 0)
    ]
    third = Folder(f"{folder.address}-third")
    assert plan(["b", "x"], run=third, name="third", previous=folder).taken == 1


def test_a_mention_that_has_changed_since_is_named(plan: Plan, tmp_path: Path) -> None:
    made = plan(["a", "b"])
    assert sum(dataset.count_rows() for dataset in plans.mentions(made)) == 2
    write_mentions(tmp_path / "in", ["a", "other"], files=2)
    with pytest.raises(BackfillError, match=r"parquet has changed since"):
        list(plans.mentions(made))


def test_outcomes_of_another_pin_are_not_taken_over(
    plan: Plan, folder: Folder, tmp_path: Path
) -> None:
    earlier = Folder(str(tmp_path / "earlier"))
    made = plan(["a"], run=earlier, name="before")
    answer(earlier, replace(made, pin="another"))
    with pytest.raises(BackfillError, match="is of the pin another, not of"):
        plan(["a"], previous=earlier)


def test_a_run_of_another_policy_is_not_taken_over(
    plan: Plan, folder: Folder, tmp_path: Path, installation: Installation
) -> None:
    settings = installation.settings.model_copy(update={"max_links": 1})
    pin = Folder(str(tmp_path / "pin"))
    with Installation(settings, engine=installation.engine) as other:
        pinning.make(other, pin)
    earlier = Folder(str(tmp_path / "earlier"))
    plans.make([str(write_mentions(tmp_path / "before", ["a"]))], earlier, pin)
    with pytest.raises(BackfillError, match=r"differs from .* in more than overrides"):
        plan(["a"], previous=earlier)
