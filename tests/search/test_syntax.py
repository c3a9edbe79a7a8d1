"""resolver.search.syntax: what a query is read as, and that none fails otherwise than said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import QueryError
from resolver.search.syntax import (
    AUTO,
    Boosted,
    Clauses,
    Fielded,
    Fuzzy,
    Occur,
    Pattern,
    Phrase,
    Query,
    Range,
    Wildcard,
    Word,
    parse,
)

ANY, ONE = Wildcard.ANY, Wildcard.ONE


def one(text: str, *, fields: bool = True) -> Query:
    """The only clause of a query."""
    ((_, query),) = parse(text, every=False, fields=fields).clauses
    return query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("oxford", Word("oxford")),
        ("Würzburg", Word("Würzburg")),
        ("julius-maximilians", Word("julius-maximilians")),
        ("AT&T", Word("AT&T")),
        ("a/b", Word("a/b")),
        ("C++", Word("C++")),
        (r"C\+\+", Word("C++")),
        (r"a\:b", Word("a:b")),
        (r"\*", Word("*")),
        (r"\"a", Word('"a')),
        (r"\u00e9", Word("é")),
        (r"\ud800x", Word("\ufffdx")),
        (r"\AND", Word("AND")),
        ("oxf*", Pattern(("oxf", ANY))),
        (r"\*oxf*", Pattern(("*oxf", ANY))),
        ("o?f*d", Pattern(("o", ONE, "f", ANY, "d"))),
        ("*", Pattern((ANY,))),
        ("oxford~", Fuzzy("oxford", AUTO)),
        ("oxford~1", Fuzzy("oxford", 1)),
        ("oxford~9", Fuzzy("oxford", 2)),
        ("oxford~0.8", Fuzzy("oxford", AUTO)),
        ("oxford~.", Fuzzy("oxford", AUTO)),
        (r"oxford\~", Word("oxford~")),
        ('"the university"', Phrase("the university")),
        ('"the university"~3', Phrase("the university", 3)),
        ('"the university"~', Phrase("the university")),
        (r'"a \"b\" c"', Phrase('a "b" c')),
        ('""', Phrase("")),
        ("oxford^2.5", Boosted(Word("oxford"), 2.5)),
        ("status:active", Fielded("status", Word("active"))),
        ("names.lang:e*", Fielded("names.lang", Pattern(("e", ANY)))),
        (r"names.\*:x", Fielded("names.*", Word("x"))),
        ("names.*:x", Fielded("names.*", Word("x"))),
        ("*:*", Fielded("*", Pattern((ANY,)))),
        (r"id:https\://ror.org/1", Fielded("id", Word("https://ror.org/1"))),
        ('id:"https://ror.org/1"', Fielded("id", Phrase("https://ror.org/1"))),
        ("established:>=1900", Fielded("established", Range("1900", None, True, True))),
        ("established:<1900", Fielded("established", Range(None, "1900", True, False))),
        ("x:[1 TO 2]", Fielded("x", Range("1", "2"))),
        ("x:{1 TO *]", Fielded("x", Range("1", None, False, True))),
        (
            "x:[2026-01-01 TO 2026-02-01}",
            Fielded("x", Range("2026-01-01", "2026-02-01", True, False)),
        ),
        ("x:(a)", Fielded("x", Clauses(((Occur.SHOULD, Word("a")),)))),
    ],
)
def test_clause(text: str, query: Query) -> None:
    assert one(text) == query


M, S, N = Occur.MUST, Occur.SHOULD, Occur.MUST_NOT


@pytest.mark.parametrize(
    ("text", "every", "occurs"),
    [
        ("a b", False, [S, S]),
        ("a b", True, [M, M]),
        ("a AND b", False, [M, M]),
        ("a && b", False, [M, M]),
        ("a AND b c", False, [M, M, S]),
        ("a OR b", True, [S, S]),
        ("a || b", True, [S, S]),
        ("a OR b c", True, [S, S, M]),
        ("+a b", False, [M, S]),
        ("-a b", False, [N, S]),
        ("!a b", True, [N, M]),
        ("NOT a b", True, [N, M]),
        ("a AND NOT b", False, [M, N]),
        ("NOT a AND b", False, [N, M]),
        ("a - b", False, [S, S]),
        ("a + b", False, [S, S]),
        ("a -", False, [S]),
        ("ANDREW ORB NOTRE", False, [S, S, S]),
        ("", False, []),
        (" \t\u3000", False, []),
        ("()", False, [S]),
    ],
)
def test_how_clauses_are_joined(text: str, every: bool, occurs: list[Occur]) -> None:
    # A sign by itself is a word of its own, which holds no letter.
    clauses = parse(text, every=every, fields=True).clauses
    words = [occur for occur, query in clauses if query not in (Word("-"), Word("+"))]
    assert words == occurs


def test_without_fields_a_colon_is_a_character() -> None:
    assert one("Ecole:sup", fields=False) == Word("Ecole:sup")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"open', "quotation mark is not closed"),
        ("(open", "bracket is not closed"),
        ("close)", "')' too many"),
        ("a AND", "ends with an operator"),
        ("AND a", "nothing stands before AND"),
        ("a OR AND b", "two operators"),
        ("NOT", "ends with an operator"),
        ("a\\", "ends with a backslash"),
        ("~a", "nothing stands before '~'"),
        ("x:", "nothing stands after 'x:'"),
        ("x: y", "nothing stands after 'x:'"),
        ("a:b:c", "colon too many"),
        ("x:[1 2]", "not of the form"),
        ("x]", "nothing stands before ']'"),
        ("(" * 30 + "a" + ")" * 30, "brackets within brackets"),
        ("a " * 600, "more than 500 words"),
        ("a*b*c*d*e*f*g*h*i*j", "wildcards"),
        ("a" * 5000, "more than 4,000 characters"),
    ],
)
def test_what_cannot_be_read(text: str, problem: str) -> None:
    with pytest.raises(QueryError, match=problem.replace("(", r"\(").replace(")", r"\)")):
        parse(text, every=False, fields=True)


BROKEN = st.lists(
    st.sampled_from([*'\\"()[]{}+-!^~*?:/&|<>. 0a', "AND ", "OR ", " NOT ", " TO ", "é", "\0"]),
    max_size=60,
).map("".join)


@given(text=BROKEN | st.text(max_size=200), every=st.booleans(), fields=st.booleans())
def test_any_text_is_read_or_refused(text: str, every: bool, fields: bool) -> None:
    try:
        clauses = parse(text, every=every, fields=fields)
    except QueryError as error:
        assert error.problem  # noqa: PT017
    else:
        assert isinstance(clauses, Clauses)
