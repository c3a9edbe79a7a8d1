"""``resolver override`` as a user runs it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.command_line import run_in

pytestmark = pytest.mark.slow

Override = Callable[..., CompletedProcess[str]]

MIT, OXFORD, NOBODY = "042nb2s44", "052gg0110", "00000aa78"
PHYSICS = "Department of Physics, Massachusetts Institute of Technology, Cambridge, MA 02139, USA"
MANUKAU = "School of Computing, Manukau Institute of Technology (MIT), Otara, Auckland"


@pytest.fixture
def override(answered_home: Path) -> Override:
    def run(*arguments: str, code: int = 0, **options: object) -> CompletedProcess[str]:
        done = run_in(answered_home, "override", *arguments, **options)
        assert done.returncode == code, done.stderr
        return done

    return run


def objects(done: CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def links(home: Path, affiliation: str) -> list[dict[str, str]]:
    query = (
        "SELECT DISTINCT rank, l.ror_id, probability, score, note"
        " FROM resolved_links l LEFT JOIN link_override x ON x.id = l.override_id"
        f" WHERE l.affiliation = '{affiliation}' ORDER BY rank"
    )
    done = run_in(home, "sql", query, "--csv")
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(done.stdout.splitlines()))


@pytest.mark.slowest
def test_an_override_from_its_making_to_its_end(override: Override, answered_home: Path) -> None:
    before = links(answered_home, PHYSICS)
    assert [link["ror_id"] for link in before] == [MIT]

    said = override("add", f" <b>{PHYSICS}</b>", f"https://ror.org/{OXFORD}", "--author", "ada",
                    "--note", "seen on [their] page")  # fmt: skip
    assert "answers due: 1; next: resolver refresh" in said.stderr
    again = override("add", PHYSICS, OXFORD, "--author", "ada", "--note", "seen on [their] page")
    assert "the override exists already; nothing changed" in again.stderr
    assert "due" not in again.stderr
    assert links(answered_home, PHYSICS) == before

    assert run_in(answered_home, "refresh").returncode == 0
    (link,) = links(answered_home, PHYSICS)
    assert (link["ror_id"], link["probability"]) == (OXFORD, "1.0")
    assert link["note"] == "seen on [their] page"
    explained = run_in(answered_home, "explain", PHYSICS)
    assert "said by ada" in explained.stdout
    alone = run_in(answered_home, "explain", "--model-alone", "--json", PHYSICS)
    assert json.loads(alone.stdout)["links"][0]["ror_id"] == MIT

    ended = override("remove", PHYSICS, OXFORD, "--author", "bo", "--note", "it was another one")
    assert "1 ended" in ended.stderr
    assert run_in(answered_home, "refresh").returncode == 0
    assert links(answered_home, PHYSICS) == before
    (past,) = objects(override("history", PHYSICS, "--json"))
    assert past["author"] == "ada"
    assert past["ended"]["author"] == "bo"  # type: ignore[index]
    assert PHYSICS not in override("list", "--json").stdout
    shown = override("history", PHYSICS, env={"COLUMNS": "300"}).stdout
    assert "seen on [their] page; ended by bo; it was another one" in shown


@pytest.mark.slowest
def test_what_it_is_not_is_not_linked(override: Override, answered_home: Path) -> None:
    (link,) = links(answered_home, MANUKAU)
    override("add", MANUKAU, link["ror_id"], "--is-not")
    assert run_in(answered_home, "refresh").returncode == 0
    assert link["ror_id"] not in {one["ror_id"] for one in links(answered_home, MANUKAU)}
    override("remove", MANUKAU)
    assert run_in(answered_home, "refresh").returncode == 0
    assert links(answered_home, MANUKAU) == [link]


@pytest.mark.slowest
def test_what_names_none_is_not_linked(override: Override, answered_home: Path) -> None:
    before = links(answered_home, PHYSICS)
    override("add", PHYSICS, OXFORD)
    override("add", PHYSICS, "--none", "--author", "ada")
    (none,) = objects(override("list", "--json"))
    assert (none["verdict"], none["ror_id"]) == ("none", None)
    assert run_in(answered_home, "refresh").returncode == 0
    assert links(answered_home, PHYSICS) == []
    explained = run_in(answered_home, "explain", PHYSICS).stdout
    assert "names none of the registry's organisations" in explained
    assert "overridden" in explained
    override("remove", PHYSICS)
    assert run_in(answered_home, "refresh").returncode == 0
    assert links(answered_home, PHYSICS) == before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("add", "", OXFORD), "affiliation: there is no text"),
        (("add", "York", "York"), "ror_id: 'York' is no ROR id"),
        (("add", "York", OXFORD, "--author", " "), "author: who says so?"),
        (("add", "York"), "no organisation"),
        (("add", "York", OXFORD, "--none"), "ror_id: must be empty where the verdict is 'none'"),
        (("add", "York", "--none", "--is-not"), "--none and --is-not exclude each other"),
        (("remove", "York", OXFORD, "--none"), "--none and an organisation exclude each other"),
        (("add", "York", OXFORD, "--note", "x" * 2_001), "note: longer than 2,000 characters"),
        (("remove", "York"), "no such override exists"),
        (("remove", "York", "York"), "'York' is no ROR id"),
        (("import", "missing.csv"), "No such file"),
        (("export", "missing/there.csv"), "No such file"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_makes_no_sense_is_refused(
    override: Override, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in override(*arguments, code=1).stderr


CSV = f"""\
affiliation,ror_id,verdict,author,note
"Kelmar Institute, Oslo",{MIT},is,ada,"their page, 2026"
"Kelmar Institute, Oslo",{OXFORD},is not,bo,
Kelmar-Institutt,{NOBODY},is,ada,
Reception desk,,none,ada,
"""


@pytest.mark.slowest
def test_a_file_is_taken_in_and_given_back(override: Override, tmp_path: Path) -> None:
    bad = b"Kelmar,York,is,ada,\nKelmar,052gg0110,is,ada,caf\xe9\n"
    (tmp_path / "in.csv").write_bytes(b"\xef\xbb\xbf" + CSV.encode() + bad)
    done = override("import", str(tmp_path / "in.csv"), code=2)
    for expected in (
        "4 read, 4 of them new",
        "in.csv, line 6: ror_id: 'York' is no ROR id",
        "in.csv, line 7: note: holds NUL, or is not UTF-8",
        "2 lines refused; the others were imported",
        f"warning {NOBODY} is not in the release in use",
    ):
        assert expected in done.stderr.replace("\n", " ")

    override("export", str(tmp_path / "out.csv"))
    assert (tmp_path / "out.csv").read_text() == CSV
    assert override("export").stdout == CSV
    again = override("import", "-", input=CSV)
    assert "4 read, 0 of them new" in again.stderr
    assert override("export").stdout == CSV

    (problem,) = objects(override("check", "--json", code=2))
    assert (problem["ror_id"], problem["status"], problem["author"]) == (NOBODY, None, "ada")
    assert "not in the" in override("check", code=2).stdout
    override("remove", "Kelmar-Institutt")
    assert "active" in override("check").stderr
    override("remove", "Kelmar Institute, Oslo")
    override("remove", "Reception desk", OXFORD, code=1)
    override("remove", "Reception desk", "--none")
    assert len(override("export").stdout.splitlines()) == 1


def test_whoever_runs_it_says_so(override: Override) -> None:
    override("add", "Kelmar Academy", OXFORD, env={"LOGNAME": "grace"})
    (said,) = objects(override("list", "--json"))
    assert said["author"] == "grace"
    override("remove", "Kelmar Academy", env={"LOGNAME": "grace"})
