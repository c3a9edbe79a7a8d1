"""``resolver evaluate`` as a user runs it."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.command_line import Run, in_a_terminal, run_in

from resolver import sample

pytestmark = pytest.mark.slow


MAYBE = "CONICET - Universidad de Buenos Aires, Facultad de Ciencias Exactas, Argentina"
"""A string of the sample whose organisations are linked."""


def objects(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


@pytest.fixture(scope="module")
def evaluated(sample_home: Path) -> tuple[list[dict[str, Any]], Path]:
    """The sample gold in two files, evaluated once: the JSON objects, and where the files are.

    The second file has asserted labels too, the same as its labels but for one that lacks them. In
    it the organisations of one string are maybes, as `MAYBE` says.
    """
    folder = sample_home / "evaluated"
    folder.mkdir()
    lines = sample.GOLD.read_text().splitlines(keepends=True)
    (folder / "first.jsonl").write_text("".join(lines[:100]))
    second = [json.loads(line) for line in lines[100:]]
    labelled = next(row for row in second if row["ror_ids"])
    for row in second:
        row["asserted"] = [] if row is labelled else row["ror_ids"]
        if row["affiliation"] == MAYBE:
            row["ror_ids"], row["maybe"] = [], row["ror_ids"]
    (folder / "second.jsonl").write_text("".join(json.dumps(row) + "\n" for row in second))
    done = run_in(
        sample_home, "evaluate", "--json", "--bootstrap", "200", "--latency", "5",
        "--errors", str(folder / "errors.jsonl"), "--plot", str(folder / "curve.svg"),
        str(folder / "first.jsonl"), str(folder / "second.jsonl"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return objects(done.stdout), folder


def test_evaluate_prints_what_was_promised(
    evaluated: tuple[list[dict[str, Any]], Path],
) -> None:
    (first, second, pooled), _ = evaluated
    assert [report["file"] for report in (first, second, pooled)] == ["first", "second", "all sets"]
    assert pooled.keys() >= {
        "file", "strings", "precision", "recall", "f1", "f05", "exact",
        "no_match_specificity", "recall_at", "rankings", "reliability", "best_f1", "at_precision",
        "curve", "intervals", "asserted", "mistakes", "lost_at", "lost_in_decision", "seconds",
        "strings_per_second", "latency",
        "hardware", "policy", "index", "encoder", "reranker", "recall_depth", "rerank_depth",
    }  # fmt: skip
    assert pooled["recall_at"].keys() == {"5", "20", "50", "100"}
    assert first["strings"] + second["strings"] == pooled["strings"]
    assert pooled["strings"] == len(sample.GOLD.read_text().splitlines())
    # Far below what the built-in models reach, far above what chance or a broken part would.
    assert pooled["precision"] > 0.7
    assert pooled["recall"] > 0.7
    assert pooled["recall_at"]["50"] > 0.95
    assert pooled["rankings"]["decision"]["top1"] > 0.7
    low, high = pooled["intervals"]["f1"]
    assert low < pooled["f1"] < high
    assert pooled["latency"]["strings"] == 10
    assert 0 < pooled["latency"]["p50_ms"] <= pooled["latency"]["p95_ms"]
    assert pooled["hardware"]["cores"] >= 1


def test_the_curve_passes_through_the_decision(
    evaluated: tuple[list[dict[str, Any]], Path],
) -> None:
    """The whole of it is kept for so few strings, so the point of the default threshold is there."""
    for report in evaluated[0]:
        threshold = report["policy"]["accept_probability"]
        at = [point for point in report["curve"] if point["accept_probability"] >= threshold][-1]
        figures = ("precision", "recall", "f1", "exact")
        assert [at[name] for name in figures] == pytest.approx([report[name] for name in figures])


def test_asserted_labels_are_measured_beside_the_others(
    evaluated: tuple[list[dict[str, Any]], Path],
) -> None:
    first, second, pooled = evaluated[0]
    assert first["asserted"] is None
    assert pooled["asserted"] is None
    asserted = second["asserted"]
    assert asserted["strings"] == second["strings"]
    assert asserted["precision"] < second["precision"]
    assert asserted.keys() <= second.keys()


def test_a_maybe_that_is_linked_is_no_mistake(
    evaluated: tuple[list[dict[str, Any]], Path], resolver: Run
) -> None:
    (row,) = objects(resolver("resolve", "--json", MAYBE).stdout)
    assert row["links"]
    errors = objects((evaluated[1] / "errors.jsonl").read_text())
    assert MAYBE not in {error["affiliation"] for error in errors}


def test_the_mistakes_are_those_that_the_figures_count(
    evaluated: tuple[list[dict[str, Any]], Path],
) -> None:
    (*_, pooled), folder = evaluated
    rows = objects((folder / "errors.jsonl").read_text())
    assert rows
    counted = Counter((row["kind"], row["side"]) for row in rows)
    assert counted == {
        (kind, side): count
        for kind, sides in pooled["mistakes"].items()
        for side, count in sides.items()
    }
    assert {row["set"] for row in rows} <= {"first", "second"}
    missed = [row for row in rows if row["side"] == "missed"]
    files = (folder / "first.jsonl", folder / "second.jsonl")
    gold_pairs = sum(len(row["ror_ids"]) for file in files for row in objects(file.read_text()))
    assert len(missed) == round((1 - pooled["recall"]) * gold_pairs)
    assert all(row["name"] for row in missed)
    lost = Counter(row["lost_at"] for row in missed)
    assert lost == {stage: count for stage, count in pooled["lost_at"].items() if count}
    assert {row["lost_at"] for row in rows if row["side"] == "wrong"} <= {None}


def test_the_curve_is_drawn(evaluated: tuple[list[dict[str, Any]], Path]) -> None:
    assert "<svg" in (evaluated[1] / "curve.svg").read_text()


@pytest.mark.parametrize("columns", [120, 80])
def test_evaluate_tables_fit_a_terminal(sample_home: Path, columns: int) -> None:
    file = sample_home / "logs.jsonl"
    rows = map(json.loads, sample.GOLD.read_text().splitlines()[:8])
    asserted = ({**row, "maybe": [], "asserted": row["ror_ids"]} for row in rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in asserted))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    code, shown = in_a_terminal(
        [
            sys.executable, "-m", "resolver.cli", "evaluate", str(file), "--latency", "2",
            "--bootstrap", "20", "--reliability", "--accept-probability", "0.6",
        ],
        columns=columns,
        env=environment | {"RESOLVER_HOME": str(sample_home)},
        cwd=sample_home,
    )  # fmt: skip
    assert code == 0, shown
    lines = shown[shown.index("index ") :].splitlines()
    for title in (
        "What is linked", "Stage by stage", "Operating points", "Where what is missing was lost",
        "Mistakes", "Speed",
    ):  # fmt: skip
        assert any(line.startswith(title) for line in lines), title
    assert "accept probability 0.6" in shown
    assert "95%" in shown
    assert "asserted" in shown
    assert "calibration error" in shown
    assert "ner_fallback" in shown
    assert "…" not in shown
    assert max(map(len, lines)) <= columns


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--errors", "errors.txt"), ".jsonl or .csv"),
        (("--plot", "curve.jpg"), ".png, .svg or .pdf"),
        (("--errors", "no/errors.csv"), "no is no folder"),
    ],
)
def test_evaluate_refuses_outputs_before_it_begins(
    resolver: Run, options: tuple[str, ...], said: str
) -> None:
    done = resolver("evaluate", str(sample.GOLD), *options)
    assert done.returncode == 1
    assert said in done.stderr.replace("\n", " ")
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"affiliation": "x"}', ":1: not a labelled affiliation"),
        ('{"affiliation": "x", "ror_ids": []}\nnonsense', ":2: not a labelled affiliation"),
        ('{"affiliation": 1, "ror_ids": []}', ":1: affiliation must be a string"),
    ],
)
def test_evaluate_names_a_bad_line(
    resolver: Run, sample_home: Path, content: str, said: str
) -> None:
    file = sample_home / "gold.jsonl"
    file.write_text(content)
    done = resolver("evaluate", str(file))
    assert done.returncode == 1
    assert said in done.stderr.replace("\n", "")


def test_links_are_compared_with_the_ids_in_works(resolver: Run) -> None:
    done = resolver("evaluate", "--json", "--latency", "0", str(sample.CROSSREF))
    assert done.returncode == 2
    assert "crossref.json, work 3: affiliation: is a string, not an object" in done.stderr
    assert "read as works of Crossref (recognised by its content): 3 works" in done.stderr
    (report,) = objects(done.stdout)
    assert report["file"] == "crossref (asserted)"
    assert report["strings"] == 3
    assert report["recall"] == 1.0
    wrong = resolver("evaluate", "--latency", "0", "--format", "openalex", str(sample.CROSSREF))
    assert "no id of an OpenAlex work" in wrong.stderr
