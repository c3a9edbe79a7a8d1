"""``resolver resolve`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import Run

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
    assert link.keys() == {
        "ror_id", "name", "country", "country_code", "city", "website", "matched_name",
        "probability", "score", "rank", "stands_for", "evidence",
    }  # fmt: skip
    assert [link[key] for key in ("country", "country_code", "city", "website")] == [
        "United Kingdom", "GB", "Oxford", "https://www.ox.ac.uk",
    ]  # fmt: skip
    assert link["ror_id"] == "052gg0110"
    assert link["stands_for"] == []
    assert link["evidence"]["text"] == "Univ. of Oxford"
    assert BONN[link["evidence"]["start"] : link["evidence"]["end"]] == "Univ. of Oxford"
    assert (link["evidence"]["country"], link["evidence"]["city_named"]) == ("named", True)
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


def test_what_is_not_utf8_is_refused_or_read_as_what_it_is(
    sample_home: Path, resolver: Run
) -> None:
    """A garbled name is never matched."""
    file = sample_home / "latin1.txt"
    file.write_bytes("Universität Zürich, Zürich\nUniversity of Oxford\n".encode("latin-1"))
    done = resolver("resolve", "--json", "--file", str(file))
    assert done.returncode == 2
    assert "line 1: not UTF-8 (byte 0xe4 at 9)" in done.stderr
    assert [answer["status"] for answer in objects(done.stdout)] == ["linked"]
    done = resolver("resolve", "--json", "--encoding", "latin-1", "--file", str(file))
    assert [answer["status"] for answer in objects(done.stdout)] == 2 * ["linked"]


def test_a_reason_is_told_in_plain_words(resolver: Run) -> None:
    done = resolver("resolve", "Department of Physics", "Jena, Germany")
    assert "department_only: it names a department, not what that is part of" in done.stdout
    assert "place_only: it names places only" in done.stdout


def test_choices_bear_on_the_links(resolver: Run) -> None:
    (refused,) = objects(resolver("resolve", "--json", "--countries", "CH", BONN).stdout)
    assert refused["reason"] == "not_admitted"
