"""Overrides from and to CSV, and what a change of them marks."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from resolver.curation.overrides import (
    BATCH,
    COLUMNS,
    BadLine,
    Effect,
    add,
    end,
    problems,
    read_csv,
    write_csv,
)
from resolver.database import answers, due_answers, records, releases, resolver_versions
from resolver.database import overrides as stored
from resolver.errors import SettingsError
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Outcome, Reason
from resolver.matching.override import Override, Verdict, ids, new_override
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.text.affiliation import normalise

YORK, OXFORD = "04m01e293", "052gg0110"
HEADER = "affiliation,ror_id,verdict,author,note\n"


def read(text: str) -> list[Override | BadLine]:
    return list(read_csv(enumerate(io.StringIO(text, newline=""), 1), author="whoever runs it"))


def written(overrides: list[Override]) -> str:
    file = io.StringIO(newline="")
    assert write_csv(file, overrides) == len(overrides)
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            HEADER + f"Univ. of York,{YORK},is,ada,by hand\n",
            Override(None, "Univ. of York", YORK, Verdict.IS, "ada", "by hand"),
            id="plain",
        ),
        pytest.param(
            f"note , ROR_ID,row,verdict,affiliation\nwhy,https://ror.org/{YORK},7,IS NOT,York\n",
            Override(None, "York", YORK, Verdict.IS_NOT, "whoever runs it", "why"),
            id="columns in another order",
        ),
        pytest.param(
            HEADER + f'" <i>York</i>,\n  UK ",{YORK},is-not,, two\tlines\n',
            Override(None, "York , UK", YORK, Verdict.IS_NOT, "whoever runs it", "two lines"),
            id="as it came",
        ),
        pytest.param(
            f"affiliation,ror_id,verdict\r\nYork,{YORK},is\r\n\r\n",
            Override(None, "York", YORK, Verdict.IS, "whoever runs it"),
            id="only what is needed",
        ),
        pytest.param(
            "affiliation,ror_id,verdict\n14 Juniper Close, ,None\n",
            Override(None, "14 Juniper Close", None, Verdict.NONE, "whoever runs it"),
            id="none",
        ),
    ],
)
def test_a_line_is_a_statement(text: str, expected: Override) -> None:
    assert read(text) == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f",{YORK},is,ada,", "affiliation: there is no text"),
        (f"{'x' * 10_001},{YORK},is,ada,", "affiliation: longer than 10,000 characters"),
        (f"{'ﷺ' * 9_000},{YORK},is,ada,", "affiliation: longer than 10,000 characters"),
        ("York,,is,ada,", "ror_id: '' is no ROR id"),
        ("York,York,is,ada,", "ror_id: 'York' is no ROR id"),
        (f"York,{YORK},,ada,", "verdict: '' is neither 'is' nor 'is not' nor 'none'"),
        (f"York,{YORK},none,ada,", "ror_id: must be empty where the verdict is 'none'"),
        ("Leeds,,none,ada,", "contradicts line 2 on the same affiliation"),
        (f"York,{YORK},maybe,ada,", "verdict: 'maybe' is neither"),
        (f"York,{YORK}", "verdict: '' is neither"),
        (f"York, UK,{YORK},is,ada,", "has 6 cells, the header 5"),
        (f"York,{YORK},is,{'a' * 201},", "author: longer than 200 characters"),
        (f"York,{YORK},is,ada,{'a' * 2001}", "note: longer than 2,000 characters"),
        (f"York,{YORK},is,ada,\x00", "note: holds NUL, or is not UTF-8"),
        (f"York,{YORK},is,\ud800,", "author: holds NUL, or is not UTF-8"),
        (f'"York"s,{YORK},is,ada,', "a quote inside a quoted cell is not doubled"),
        (f"Leeds,{OXFORD},is not,ada,", "contradicts line 2 on the same affiliation"),
    ],
    ids=lambda value: ascii(value[-40:]),
)
def test_a_bad_line_is_told_and_its_neighbours_are_taken(line: str, reason: str) -> None:
    first, bad, last = read(
        f"{HEADER}Leeds,{OXFORD},is,ada,\n{line}\nBath,{OXFORD},is,ada,see above\n"
    )
    assert isinstance(bad, BadLine)
    assert bad.line == 3
    assert reason in str(bad)
    assert [one.affiliation for one in (first, last) if isinstance(one, Override)] == [
        "Leeds", "Bath",
    ]  # fmt: skip


def test_lines_are_counted_as_an_editor_does() -> None:
    found = read(HEADER + f'"York,\nUK",{YORK},is,ada,\n\nBath,?,is,ada,\n')
    assert [one.line for one in found if isinstance(one, BadLine)] == [5]


@pytest.mark.parametrize(
    ("lines", "bad"),
    [
        (["York,,none,ada,", f"York,{YORK},is,ada,", f"Bath,{YORK},is,ada,"], {3}),
        ([f"York,{YORK},is,ada,", "York,,none,ada,", f"York,{OXFORD},is,ada,"], {3}),
        (["York,,none,ada,", f"York,{YORK},is not,ada,", "York,,none,ada,"], set()),
        (["York,,none,ada,", "York,,none,bo,", f"York,{YORK},is,ada,"], {3, 4}),
    ],
    ids=["none first", "none later", "nor this", "another author"],
)
def test_an_affiliation_is_no_organisation_or_some(lines: list[str], bad: set[int]) -> None:
    found = read(HEADER + "\n".join(lines))
    assert {one.line for one in found if isinstance(one, BadLine)} == bad


def test_a_line_twice_is_one() -> None:
    line = f"York,{YORK},is,ada,\n"
    assert len(read(HEADER + line + f" York ,{YORK.upper()},IS,ada,\n" + line)) == 1


def test_a_quote_that_is_not_closed_is_told_and_swallows_no_line() -> None:
    lines = f"York,{YORK},is,ada,\n" + f'"Bath,{OXFORD},is,ada,\n' + f"Leeds,{YORK},is,ada,\n"
    _, bad, last = read(HEADER + lines)
    assert isinstance(bad, BadLine)
    assert bad.line == 3
    assert isinstance(last, Override)
    assert last.affiliation == "Leeds"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_what_stands_between_columns_is_seen_by_the_header(delimiter: str) -> None:
    line = HEADER + f"York,{YORK},is,ada,\n"
    assert read(line.replace(",", delimiter)) == read(line)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="2 columns named 'verdict'"):
        read(f"affiliation,ror_id,verdict,Verdict\nYork,{YORK},is,is not\n")


@pytest.mark.parametrize("header", ["", "affiliation,verdict\n", "York,052gg0110,is\n"])
def test_a_file_without_the_columns_is_refused(header: str) -> None:
    with pytest.raises(SettingsError, match="has no column"):
        read(header)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
decisions = st.tuples(
    st.sampled_from([YORK, OXFORD, "05a28rw58"]), st.sampled_from(["is", "is not"])
) | st.just(("", "none"))
statements = st.builds(
    lambda text, decision, author, note: new_override(text, *decision, author=author, note=note),
    texts.filter(normalise),
    decisions,
    texts.filter(str.strip),
    texts,
)


@st.composite
def said(draw: st.DrawFn) -> list[Override]:
    """As a database holds them: one of an affiliation and an organisation, each with a key."""
    found = draw(st.lists(statements, max_size=8, unique_by=lambda one: one.key))
    empty = {one.affiliation for one in found if one.verdict is Verdict.NONE}
    found = [one for one in found if one.verdict is not Verdict.IS or one.affiliation not in empty]
    numbers = draw(st.permutations(range(1, len(found) + 1)))
    return [replace(one, id=number) for number, one in zip(numbers, found, strict=True)]


@given(said())
def test_what_is_exported_is_imported_as_it_was(overrides: list[Override]) -> None:
    text = written(overrides)
    assert len(text.splitlines()) == len(overrides) + 1
    found = read(text)
    assert sorted((replace(one, id=None) for one in overrides), key=repr) == sorted(found, key=repr)
    again = [
        replace(one, id=number)
        for number, one in enumerate(found, start=1)
        if isinstance(one, Override)
    ]
    assert written(again) == text


@given(st.text(max_size=200))
def test_any_file_is_read_or_refused(text: str) -> None:
    for start in ("", HEADER, HEADER + f"York,{YORK},is,"):
        try:
            assert all(isinstance(one, Override | BadLine) for one in read(start + text))
        except SettingsError:
            assert start == ""


def test_the_header_of_an_export_names_all_columns() -> None:
    assert next(csv.reader([written([])])) == list(COLUMNS)


# Changes

SENT = ["York", "Bath", "Leeds"]


@pytest.fixture
def version(engine: Engine) -> int:
    """A resolver version in use, with `SENT` answered by it; its release has York alone."""
    york = Organisation(
        ror_id=YORK,
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of York", frozenset({NameKind.DISPLAY})),),
    )
    release = releases.load_release(
        engine,
        releases.ReleaseInfo("v2.9", None, "aa", "v2.9.json"),
        [york],
        rejected=lambda: 0,
        schema_version=lambda: None,
    )
    made = resolver_versions.register(
        engine,
        release_id=release.release_id,
        encoder=("builtin", "e"),
        reranker=("builtin", "r"),
        settings={},
        index_version="v2.9-1",
        configuration={},
    )
    resolver_versions.put_in_use(engine, made.id)
    records.intake(engine, made.id, [SourceRecord("s", text, text) for text in SENT])
    answer(engine, made.id)
    return made.id


def answer(engine: Engine, version: int) -> None:
    """Answer all that is sent, with the overrides that hold."""
    found = records.intake(engine, version, [SourceRecord("s", text, text) for text in SENT])
    said = stored.applying(engine, [one.text for one in found])
    none = Reason.NOT_IN_REGISTRY
    answers.save(
        engine,
        version,
        [
            (one.id, Outcome(one.text, reason=none, overrides=ids(said.get(one.text, ()))))
            for one in found
        ],
    )


def due(engine: Engine, version: int) -> list[str]:
    return sorted(one.text for one in due_answers.due(engine, version, limit=10))


def saying(affiliation: str, ror_id: str = YORK, verdict: str = "is") -> Override:
    return new_override(affiliation, ror_id, verdict, author="ada")


def ids_of(engine: Engine, *affiliations: str) -> tuple[int, ...]:
    """The overrides that hold for some texts."""
    return ids([one for one in stored.current(engine) if one.affiliation in affiliations])


def test_a_change_marks_the_answers_that_it_bears_on(engine: Engine, version: int) -> None:
    said = [saying("York"), saying(" <i>Bath</i> ", OXFORD, "is not"), saying("Kelmar")]
    assert add(engine, said) == Effect(statements=3, answers=2)
    assert due(engine, version) == ["Bath", "York"]
    assert add(engine, said) == Effect(0, 0)
    answer(engine, version)
    assert due(engine, version) == []
    assert add(engine, said) == Effect(0, 0)
    assert add(engine, [saying("York", verdict="is not")]) == Effect(1, 1)
    answer(engine, version)

    gone = end(engine, ids_of(engine, "York", "Kelmar", "Leeds"), author="bo")
    assert gone == Effect(statements=2, answers=1)
    assert due(engine, version) == ["York"]
    assert [one.affiliation for one in stored.current(engine)] == ["Bath"]


def test_what_is_none_is_answered_again_and_so_is_its_end(engine: Engine, version: int) -> None:
    assert add(engine, [saying("York", "", "none")]) == Effect(1, 1)
    answer(engine, version)
    assert add(engine, [saying("York")]) == Effect(1, 1)
    answer(engine, version)
    assert [one.ended is None for one in stored.history(engine, "York")] == [False, True]
    assert end(engine, ids_of(engine, "York"), author="bo") == Effect(1, 1)


def test_a_change_and_its_marks_are_one(
    engine: Engine, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError

    add(engine, [saying("Bath")])
    answer(engine, version)
    with monkeypatch.context() as patched:
        patched.setattr(due_answers, "mark_texts", broken)
        with pytest.raises(ZeroDivisionError):
            add(engine, [saying("York")])
        with pytest.raises(ZeroDivisionError):
            end(engine, ids_of(engine, "Bath"), author="bo")
    assert [one.affiliation for one in stored.history(engine)] == ["Bath"]
    assert due(engine, version) == []
    assert end(engine, ids_of(engine, "Bath"), author="bo") == Effect(statements=1, answers=1)


def test_what_is_said_back_and_forth_before_a_refresh_leaves_nothing_to_tell(
    engine: Engine, version: int
) -> None:
    add(engine, [saying("York")])
    end(engine, ids_of(engine, "York"), author="ada")
    answer(engine, version)
    assert due(engine, version) == []


def test_many_are_stored_in_parts(engine: Engine, version: int) -> None:
    said = [saying(f"Place {number}") for number in range(BATCH + 1)]
    assert add(engine, iter(said)).statements == BATCH + 1
    assert len(stored.current(engine)) == BATCH + 1


def test_problems_are_those_of_what_is_asked_for(engine: Engine, version: int) -> None:
    said = [saying("York"), saying("Bath", OXFORD), saying("Leeds", OXFORD)]
    add(engine, said)
    (problem,) = problems(engine, {said[0].key, said[1].key})
    assert (problem.override.key, problem.status) == (("Bath", OXFORD), None)
