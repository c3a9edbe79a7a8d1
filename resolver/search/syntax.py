"""Lucene's query syntax: from a text to clauses, in which nothing is looked up yet.

It is the syntax of Elasticsearch's query_string, which users of ROR's API write: words, "phrases",
``~``, ``*`` and ``?``, ``+``, ``-``, ``!``, AND, OR, NOT, ``^``, ``field:``, ranges, groups, and a
backslash before a character that is meant as it stands. Clauses are joined as Lucene's classic
parser does, without precedence: AND demands its two neighbours.

It is milder in three points, since names have such characters: ``/`` begins no regular expression,
a ``+``, ``-`` or ``!`` that a space follows is no operator, and, where fields are not allowed, a
colon is a character like others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from resolver.errors import QueryError

MAX_CHARACTERS = 4_000
MAX_DEPTH = 20
MAX_CLAUSES = 500
MAX_WILDCARDS = 8
"""Bounds of a query. Elasticsearch's default is 1,024 clauses; the address of a request has some
8,000 characters at most on most servers."""

AUTO = -1
"""The distance of a fuzzy word that names none: it depends on the length of the word."""


class Wildcard(Enum):
    ANY = "*"
    ONE = "?"


class Occur(Enum):
    """Whether a clause must hold, may hold, or must not hold."""

    MUST = "must"
    SHOULD = "should"
    MUST_NOT = "must not"


@dataclass(frozen=True, slots=True)
class Word:
    text: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """A word and words like it, up to so many edits (0 to 2, or `AUTO`)."""

    text: str
    distance: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A word with wildcards."""

    pieces: tuple[str | Wildcard, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words in this order; `slop` is how many places they may be moved in all."""

    text: str
    slop: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """None is an open end."""

    low: str | None
    high: str | None
    with_low: bool = True
    with_high: bool = True


@dataclass(frozen=True, slots=True)
class Fielded:
    """A query that holds for one field; `field` as it was written, without escapes."""

    field: str
    query: Query


@dataclass(frozen=True, slots=True)
class Boosted:
    query: Query
    factor: float


@dataclass(frozen=True, slots=True)
class Clauses:
    clauses: tuple[tuple[Occur, Query], ...]


Query = Word | Fuzzy | Pattern | Phrase | Range | Fielded | Boosted | Clauses

_SPECIAL = frozenset('()"[]{}^~')
_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r"(?:(AND|&&)|(OR|\|\|)|(NOT))(?=[\s(]|$)")
_FUZZY = re.compile(r"~(\d*\.?\d*)")
_BOOST = re.compile(r"\^(\d+(?:\.\d+)?)")
_COMPARED = re.compile(r"([<>])(=?)")
_BOUNDS = re.compile(
    r"""[\[{]\s*("(?:[^"\\]|\\.)*"|(?:[^\s\]}"\\]|\\.)+)\s+TO\s+"""
    r"""("(?:[^"\\]|\\.)*"|(?:[^\s\]}"\\]|\\.)+)\s*[\]}]""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def parse(text: str, *, every: bool, fields: bool) -> Clauses:
    """The clauses of a query; none for a text of white space.

    `every` is the default operator: AND, else OR. `fields` is whether ``name:`` names a field.

    Raises:
        QueryError: the text cannot be read, or is too long or too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise QueryError(f"the query has more than {MAX_CHARACTERS:,} characters")
    parser = _Parser(text, every=every, fields=fields)
    clauses = parser.clauses(0)
    if not parser.at_end:
        raise QueryError(f"there is a {parser.next!r} too many in the query")
    return clauses


def unescaped(text: str) -> str:
    """The text without backslashes that make the next character stand for itself."""
    return _ESCAPE.sub(lambda m: _character(m[1]) if m[1] else m[2], text)


def _character(code: str) -> str:
    character = chr(int(code, 16))
    return "\ufffd" if "\ud800" <= character <= "\udfff" else character


class _Parser:
    def __init__(self, text: str, *, every: bool, fields: bool) -> None:
        self._text = text
        self._every = every
        self._fields = fields
        self._at = 0
        self._count = 0
        self._skip_space()

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._text)

    @property
    def next(self) -> str:
        return self._text[self._at : self._at + 1]

    def clauses(self, depth: int) -> Clauses:
        """Up to the end, or the bracket that closes the group."""
        if depth > MAX_DEPTH:
            raise QueryError(f"the query has more than {MAX_DEPTH} brackets within brackets")
        read: list[tuple[Occur, Query]] = []
        while not self.at_end and self.next != ")":
            conjunction = self._conjunction()
            if conjunction and not read:
                raise QueryError(f"nothing stands before {conjunction} in the query")
            occur = self._modifier(conjunction)
            if conjunction and read and read[-1][0] is not Occur.MUST_NOT:
                self._join(read, conjunction)
            if self.at_end or self.next == ")":
                raise QueryError("the query ends with an operator")
            query = self._clause(depth)
            if query is not None:
                read.append((occur, query))
                self._count += 1
                if self._count > MAX_CLAUSES:
                    raise QueryError(f"the query has more than {MAX_CLAUSES} words")
            self._skip_space()
        return Clauses(tuple(read))

    def _join(self, read: list[tuple[Occur, Query]], conjunction: str) -> None:
        """The clause before an AND must hold; before an OR it need not."""
        if conjunction == "AND":
            read[-1] = (Occur.MUST, read[-1][1])
        elif self._every:
            read[-1] = (Occur.SHOULD, read[-1][1])

    def _conjunction(self) -> str | None:
        match = _OPERATOR.match(self._text, self._at)
        if match is None or match[3]:
            return None
        self._skip_to(match.end())
        return "AND" if match[1] else "OR"

    def _modifier(self, conjunction: str | None) -> Occur:
        match = _OPERATOR.match(self._text, self._at)
        if match is not None:
            if not match[3]:
                raise QueryError("two operators stand side by side in the query")
            self._skip_to(match.end())
            return Occur.MUST_NOT
        sign = self.next
        if sign in "+-!" and self._text[self._at + 1 : self._at + 2].strip():
            self._at += 1
            return Occur.MUST if sign == "+" else Occur.MUST_NOT
        demanded = conjunction == "AND" or (self._every and conjunction != "OR")
        return Occur.MUST if demanded else Occur.SHOULD

    def _clause(self, depth: int) -> Query | None:
        """None for what is no word: a sign by itself."""
        character = self.next
        if character == "(":
            return self._boosted(self._group(depth))
        if character == '"':
            return self._boosted(self._phrase())
        if character in "[{":
            return self._boosted(self._range())
        if character in _SPECIAL:
            raise QueryError(f"nothing stands before {character!r} in the query")
        pieces, is_field = self._pieces()
        if is_field:
            field = "".join(p.value if isinstance(p, Wildcard) else p for p in pieces)
            return self._of_field(field, depth)
        return self._boosted(self._word(pieces))

    def _of_field(self, field: str, depth: int) -> Query:
        compared = _COMPARED.match(self._text, self._at)
        if compared:
            self._at = compared.end()
            bound = self._bound()
            above, equal = compared[1] == ">", bool(compared[2])
            query: Query | None = (
                Range(bound, None, equal, True) if above else Range(None, bound, True, equal)
            )
        elif self.at_end or self.next.isspace() or self.next in ")]}^~":
            raise QueryError(f"nothing stands after '{field}:' in the query")
        elif self.next in '("[{':
            query = self._clause(depth)
        else:
            pieces, again = self._pieces()
            if again:
                raise QueryError(f"a colon too many stands after '{field}:' in the query")
            query = self._boosted(self._word(pieces))
        return Fielded(field, query or Clauses(()))

    def _bound(self) -> str:
        if self.next == '"':
            return self._phrase().text
        pieces, _ = self._pieces()
        return "".join(p.value if isinstance(p, Wildcard) else p for p in pieces)

    def _group(self, depth: int) -> Query:
        self._skip_to(self._at + 1)
        clauses = self.clauses(depth + 1)
        if self.at_end:
            raise QueryError("a bracket is not closed in the query")
        self._at += 1
        return clauses

    def _phrase(self) -> Phrase:
        start = end = self._at + 1
        while end < len(self._text) and self._text[end] != '"':
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise QueryError("a quotation mark is not closed in the query")
        self._at = end + 1
        text = unescaped(self._text[start:end])
        slop = _FUZZY.match(self._text, self._at)
        if slop is None:
            return Phrase(text)
        self._at = slop.end()
        return Phrase(text, min(int(_number(slop[1]) or 0), 100))

    def _range(self) -> Range:
        match = _BOUNDS.match(self._text, self._at)
        if match is None:
            raise QueryError("a range in the query is not of the form [from TO to]")
        self._at = match.end()
        low, high = (
            None if bound == "*" else unescaped(bound.removeprefix('"').removesuffix('"'))
            for bound in match.groups()
        )
        return Range(low, high, match[0][0] == "[", match[0][-1] == "]")

    def _pieces(self) -> tuple[list[str | Wildcard], bool]:
        """The text up to the next space or special character, and whether a colon ended it, which
        is passed over."""
        pieces: list[str | Wildcard] = []
        plain: list[str] = []
        text = self._text
        while not self.at_end:
            character = text[self._at]
            if character == "\\":
                escape = _ESCAPE.match(text, self._at)
                if escape is None:
                    raise QueryError("the query ends with a backslash")
                plain.append(unescaped(escape[0]))
                self._at = escape.end()
                continue
            if character.isspace() or character in _SPECIAL:
                break
            self._at += 1
            if character == ":" and self._fields:
                return _joined(pieces, plain), True
            if character in "*?":
                pieces = _joined(pieces, plain)
                plain = []
                pieces.append(Wildcard(character))
            else:
                plain.append(character)
        return _joined(pieces, plain), False

    def _word(self, pieces: list[str | Wildcard]) -> Query | None:
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        wildcards = sum(isinstance(piece, Wildcard) for piece in pieces)
        fuzzy = _FUZZY.match(self._text, self._at)
        if fuzzy is not None:
            self._at = fuzzy.end()
        if wildcards:
            if wildcards > MAX_WILDCARDS:
                raise QueryError(f"a word of the query has more than {MAX_WILDCARDS} wildcards")
            return Pattern(tuple(pieces))
        if not text:
            return None
        return Word(text) if fuzzy is None else Fuzzy(text, _distance(fuzzy[1]))

    def _boosted(self, query: Query | None) -> Query | None:
        boost = _BOOST.match(self._text, self._at)
        if boost is None:
            return query
        self._at = boost.end()
        return query and Boosted(query, min(float(boost[1]), 1000.0))

    def _skip_to(self, position: int) -> None:
        self._at = position
        self._skip_space()

    def _skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at


def _joined(pieces: list[str | Wildcard], plain: list[str]) -> list[str | Wildcard]:
    return [*pieces, "".join(plain)] if plain else pieces


def _number(digits: str) -> float | None:
    return float(digits) if digits.strip(".") else None


def _distance(digits: str) -> int:
    """``~`` is `AUTO`, ``~1`` and ``~2`` edits; a share such as ``~0.8``, of older versions of
    Lucene, is `AUTO` too."""
    number = _number(digits)
    return AUTO if number is None or 0 < number < 1 else min(int(number), 2)
