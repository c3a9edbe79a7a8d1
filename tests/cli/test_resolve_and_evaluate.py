"""``resolver resolve`` and ``resolver evaluate`` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Run

from resolver import sample

pytestmark = pytest.mark.slow

BONN = "Dept. of Geophysics, Univ. of Oxford, Oxford, UK"


def objects(stdout: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_resolve_prints_a_table_for_a_person(resolver: Run) -> None:
    done = resolver("resolve", BONN)
    assert done.returncode == 0, done.stderr
    assert "University of Oxford" in done.stdout
    assert "052gg0110" in done.stdout


def test_resolve_json_has_the_promised_form(resolver: Run) -> None:
    done = resolver("resolve", "--json", BONN, "Kumabou Metal Co")
    linked, silent = objects(done.stdout)
    assert linked.keys() == {"affiliation", "status", "reason", "links"}
    assert (linked["affiliation"], linked["status"], linked["reason"]) == (BONN, "linked", None)
    (link,) = linked["links"]  # type: ignore[misc]
    assert link.keys() == {"ror_id", "name", "matched_name", "probability", "score", "rank"}
    assert link["ror_id"] == "052gg0110"
    assert 0.5 <= link["probability"] <= 1
    assert silent["status"] == "no_match"
    assert silent["reason"]
    assert silent["links"] == []


HOSTILE = {
    "empty": ("", "empty"),
    "blank": (" \t\u3000", "empty"),
    "NUL": ("\x00", "empty"),
    "100 kB": ("University of Oxford " * 5000, "too_long"),
    "no words": ("?!. -- 🧪", None),
    "emoji beside a name": ("🧪 University of Oxford 🧪", "052gg0110"),
    "HTML entities": ("Universit&auml;t Z&#252;rich, Z&uuml;rich", "02crff812"),
    "right to left": ("\u202bUniversity of Oxford\u202c, المملكة المتحدة", "052gg0110"),
}


def test_hostile_lines_each_get_an_answer_and_stop_nothing(resolver: Run) -> None:
    """NUL cannot stand in an argument, so these come by a pipe."""
    lines = [text for text, _ in HOSTILE.values()]
    done = resolver("resolve", "--json", input="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    answers = objects(done.stdout)
    assert len(answers) == len(HOSTILE)
    for (name, (text, expected)), answer in zip(HOSTILE.items(), answers, strict=True):
        assert answer["affiliation"] == text, name
        ids = [link["ror_id"] for link in answer["links"]]  # type: ignore[attr-defined]
        if expected is None:
            assert answer["status"] == "no_match", name
        else:
            assert expected in (answer["reason"], *ids), (name, answer)


def test_invalid_utf8_is_answered(sample_home: Path, resolver: Run) -> None:
    file = sample_home / "latin1.txt"
    file.write_bytes("Universität Zürich\nUniversity of Oxford\n".encode("latin-1"))
    answers = objects(resolver("resolve", "--json", "--file", str(file)).stdout)
    assert len(answers) == 2
    assert answers[1]["status"] == "linked"


def test_evaluate_prints_what_was_promised(resolver: Run) -> None:
    done = resolver("evaluate", "--json", str(sample.GOLD))
    (report,) = objects(done.stdout)
    assert report.keys() >= {
        "file", "strings", "precision", "recall", "f1", "f05", "exact",
        "no_match_specificity", "recall_at", "seconds", "strings_per_second",
    }  # fmt: skip
    assert report["recall_at"].keys() == {"5", "20", "50", "100"}  # type: ignore[attr-defined]
    assert report["strings"] == len(sample.GOLD.read_text().splitlines())
    # Far below what the built-in models reach, far above what chance or a broken part would.
    assert report["precision"] > 0.7  # type: ignore[operator]
    assert report["recall"] > 0.7  # type: ignore[operator]
    assert report["recall_at"]["50"] > 0.95  # type: ignore[index]


def test_evaluate_table(resolver: Run) -> None:
    done = resolver("evaluate", str(sample.GOLD))
    assert done.returncode == 0, done.stderr
    assert "no-match spec." in done.stdout


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
