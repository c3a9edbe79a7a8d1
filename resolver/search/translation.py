"""From clauses to the queries of the engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import tantivy

from resolver.errors import QueryError
from resolver.search.building import composed, field_key, identifier_key
from resolver.search.fields import FIELDS, Kind, day, named
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
)

LIKE_SCORE = (8.0, 5.0)
"""Score of a name that has a word at one edit, and at two, from one that no name has. A word that
is there scores 3 to 12, a rare one most."""

PATTERN_SCORE = 3.0
"""Score of a name that has a word of a pattern."""

_MOST_DIGITS = 18
_MOST_DEGREES = 360.0
"""Bounds of the numbers that are looked up."""

_LONGEST_FUZZY = 60
"""Characters of a word that it is compared by: the automaton of the comparison grows with them."""

LEAST_MENDED = 4
"""Letters of a word from which on words like it are searched where no name has it."""

_SHOULD = tantivy.Occur.Should

_OCCUR = {
    Occur.MUST: tantivy.Occur.Must,
    Occur.SHOULD: tantivy.Occur.Should,
    Occur.MUST_NOT: tantivy.Occur.MustNot,
}

_WILD = {Wildcard.ANY: ".*", Wildcard.ONE: "."}
_SPECIAL_IN_REGEX = re.compile(r"([\\.+*?()|\[\]{}^$#&\-~])")


@dataclass(frozen=True, slots=True)
class Engine:
    """One index of tantivy, open for reading, and the words of its texts."""

    schema: tantivy.Schema
    searcher: tantivy.Searcher
    analyzer: tantivy.TextAnalyzer

    def words(self, text: str) -> list[str]:
        return [str(word) for word in self.analyzer.analyze(composed(text))]


Translated = tantivy.Query | None
"""None stands for what holds no word, as a comma between words; it demands nothing."""


def names_query(engine: Engine, clauses: Clauses) -> tantivy.Query:
    """Names that the clauses hold for. A clause that names a field cannot occur."""
    return _whole(clauses, lambda query: _in_names(engine, query))


def _in_names(engine: Engine, query: Query) -> Translated:
    schema = engine.schema
    match query:
        case Word(text):
            words = [_known(engine, word) for word in engine.words(text)]
            return _any([*words, _term(schema, "identifier", identifier_key(text))])
        case Fuzzy(text, distance):
            return _any(_like(engine, "name", word, distance) for word in engine.words(text))
        case Phrase(text, slop):
            phrase = _phrase(engine, "name", text, slop)
            key = identifier_key(text)
            return _any([phrase, _term(schema, "identifier", key)]) if key else None
        case Pattern(pieces):
            return _text_pattern(engine, "name", pieces, every=False)
        case Range() | Fielded():
            raise QueryError("a range needs a field, which only query.advanced can name")
        case Boosted(inner, factor):
            return _boosted(_in_names(engine, inner), factor)
        case Clauses():
            return _joined(query, lambda inner: _in_names(engine, inner))
    assert_never(query)


def _known(engine: Engine, word: str) -> tantivy.Query:
    """A word; where no name has it, the words like it, since it is misspelt then."""
    if len(word) < LEAST_MENDED or not word.isalpha() or engine.searcher.doc_freq("name", word):
        return _term(engine.schema, "name", word)
    return _like(engine, "name", word, AUTO)


def fields_query(engine: Engine, clauses: Clauses) -> tantivy.Query:
    """Records that the clauses hold for, in the fields that they name, else in any."""
    return _whole(clauses, lambda query: _in_fields(engine, query, None))


def _in_fields(engine: Engine, query: Query, field: str | None) -> Translated:
    match query:
        case Fielded(name, inner):
            if name == "_exists_":
                return _exists(engine, inner)
            return _in_fields(engine, inner, name)
        case Boosted(inner, factor):
            return _boosted(_in_fields(engine, inner, field), factor)
        case Clauses():
            return _joined(query, lambda inner: _in_fields(engine, inner, field))
    if field is None or field == "*":
        return _in_any_field(engine, query)
    names = named(field)
    if not names:
        return tantivy.Query.empty_query()
    return _best(_in_field(engine, query, name) for name in names)


def _exists(engine: Engine, query: Query) -> tantivy.Query:
    if isinstance(query, Word | Phrase):
        names = named(query.text)
    elif isinstance(query, Pattern):
        names = named("".join(p.value if isinstance(p, Wildcard) else p for p in query.pieces))
    else:
        raise QueryError("after '_exists_:' stands the name of a field")
    return _any(_has(engine, name) for name in names) or tantivy.Query.empty_query()


def _has(engine: Engine, name: str) -> tantivy.Query:
    """Records that have the field."""
    key, kind = field_key(name), FIELDS[name]
    if kind in (Kind.TEXT, Kind.KEYWORD):
        return _regex(engine.schema, key, ".*")
    if kind is Kind.DEGREES:
        return _range(engine.schema, key, tantivy.FieldType.Float, -_MOST_DEGREES, None)
    return _range(engine.schema, key, tantivy.FieldType.Unsigned, 0, None)


def _in_any_field(engine: Engine, query: Word | Fuzzy | Pattern | Phrase | Range) -> Translated:
    if isinstance(query, Range):
        raise QueryError("a range needs a field: field:[from TO to]")
    if isinstance(query, Pattern):
        if set(query.pieces) == {Wildcard.ANY}:
            return tantivy.Query.all_query()
        kinds = {Kind.TEXT, Kind.KEYWORD}
    else:
        if not query.text.strip():
            return None
        kinds = {Kind.TEXT, Kind.KEYWORD}
        if query.text.isascii() and query.text.isdigit() and len(query.text) < _MOST_DIGITS:
            kinds.add(Kind.WHOLE)
    return _best(_in_field(engine, query, name) for name in FIELDS if FIELDS[name] in kinds)


def _in_field(
    engine: Engine, query: Word | Fuzzy | Pattern | Phrase | Range, name: str
) -> Translated:
    schema, key, kind = engine.schema, field_key(name), FIELDS[name]
    if isinstance(query, Pattern) and set(query.pieces) == {Wildcard.ANY}:
        return _has(engine, name)
    if kind is Kind.TEXT:
        return _in_text(engine, query, key)
    if kind is Kind.KEYWORD:
        match query:
            case Pattern(pieces):
                return _keyword_pattern(schema, key, pieces)
            case Range():
                raise _no_range(name)
            case Fuzzy(text, distance):
                return _fuzzy(schema, key, text, _edits(text, distance))
            case Word(text) | Phrase(text):
                return _term(schema, key, text)
    return _in_numbers(schema, query, name)


def _in_text(
    engine: Engine, query: Word | Fuzzy | Pattern | Phrase | Range, key: str
) -> Translated:
    match query:
        case Word(text):
            return _all(_term(engine.schema, key, word) for word in engine.words(text))
        case Fuzzy(text, distance):
            return _all(_like(engine, key, word, distance) for word in engine.words(text))
        case Phrase(text, slop):
            return _phrase(engine, key, text, slop)
        case Pattern(pieces):
            return _text_pattern(engine, key, pieces, every=True)
        case Range():
            raise _no_range(key)
    assert_never(query)


def _in_numbers(
    schema: tantivy.Schema, query: Word | Fuzzy | Pattern | Phrase | Range, name: str
) -> tantivy.Query:
    key, kind = field_key(name), FIELDS[name]
    of_kind = tantivy.FieldType.Float if kind is Kind.DEGREES else tantivy.FieldType.Unsigned
    low: int | float | None
    high: int | float | None
    if isinstance(query, Range):
        # A range that leaves out a month begins after its last day, and ends before its first.
        low = None if query.low is None else _read(name, kind, query.low)[not query.with_low]
        high = None if query.high is None else _read(name, kind, query.high)[query.with_high]
        return _range(schema, key, of_kind, low, high, query.with_low, query.with_high)
    if isinstance(query, Pattern):
        raise QueryError(f"the field {name} holds a {kind.value}, which has no wildcards")
    low, high = _read(name, kind, query.text)
    return _range(schema, key, of_kind, low, high)


def _read(name: str, kind: Kind, text: str) -> tuple[int | float, int | float]:
    """The least and the greatest number that a text stands for."""
    if kind is Kind.DATE:
        days = day(text)
        if days is None:
            raise QueryError(f"{text[:80]!r} is no date such as 2026-03-01, which {name} holds")
        return days
    try:
        if kind is Kind.DEGREES:
            degrees = float(text)
            if abs(degrees) <= _MOST_DEGREES:
                return degrees, degrees
        else:
            number = int(text)
            if 0 <= number < 10**_MOST_DIGITS:
                return number, number
    except ValueError:
        pass
    raise QueryError(f"{text[:80]!r} is no {kind.value}, which {name} holds")


def _whole(clauses: Clauses, translate: Callable[[Query], Translated]) -> tantivy.Query:
    return _joined(clauses, translate) or tantivy.Query.empty_query()


def _joined(clauses: Clauses, translate: Callable[[Query], Translated]) -> Translated:
    translated = [
        (_OCCUR[occur], inner)
        for occur, query in clauses.clauses
        if (inner := translate(query)) is not None
    ]
    if not translated:
        return None
    if all(occur is Occur.MUST_NOT for occur, _ in clauses.clauses):
        translated.append((tantivy.Occur.Must, tantivy.Query.all_query()))
    return tantivy.Query.boolean_query(translated)


def _boosted(query: Translated, factor: float) -> Translated:
    return query and tantivy.Query.boost_query(query, factor)


def _term(schema: tantivy.Schema, key: str, text: str) -> tantivy.Query:
    return tantivy.Query.term_query(schema, key, text)


def _any(queries: Iterable[Translated]) -> Translated:
    return _of([query for query in queries if query is not None], _SHOULD)


def _all(queries: Iterable[Translated]) -> Translated:
    return _of([query for query in queries if query is not None], tantivy.Occur.Must)


def _of(queries: Sequence[tantivy.Query], occur: tantivy.Occur) -> Translated:
    if len(queries) <= 1:
        return queries[0] if queries else None
    return tantivy.Query.boolean_query([(occur, query) for query in queries])


def _best(queries: Iterable[Translated]) -> Translated:
    """Any of them, by the best score."""
    found = [query for query in queries if query is not None]
    return tantivy.Query.disjunction_max_query(found) if len(found) > 1 else _of(found, _SHOULD)


def _phrase(engine: Engine, key: str, text: str, slop: int) -> Translated:
    words = engine.words(text)
    if len(words) <= 1:
        return _term(engine.schema, key, words[0]) if words else None
    return tantivy.Query.phrase_query(engine.schema, key, list[Any](words), slop)


def _like(engine: Engine, key: str, word: str, distance: int) -> tantivy.Query:
    """The word itself where it occurs, else the words at the least distance that has any."""
    if engine.searcher.doc_freq(key, word):
        return _term(engine.schema, key, word)
    queries = [
        tantivy.Query.const_score_query(_fuzzy(engine.schema, key, word, edits), score)
        for edits, score in zip((1, 2), LIKE_SCORE, strict=True)
        if edits <= _edits(word, distance)
    ]
    # The nearer words match both queries, and the better of the two scores counts.
    return tantivy.Query.disjunction_max_query(queries) if queries else tantivy.Query.empty_query()


def _edits(word: str, distance: int) -> int:
    """As many as Lucene allows a word of this length, where the query does not say."""
    if distance != AUTO:
        return distance
    return 0 if len(word) < 3 else 1 if len(word) < 6 else 2


def _fuzzy(schema: tantivy.Schema, key: str, text: str, edits: int) -> tantivy.Query:
    return tantivy.Query.fuzzy_term_query(schema, key, text[:_LONGEST_FUZZY], edits)


def _text_pattern(
    engine: Engine, key: str, pieces: Sequence[str | Wildcard], *, every: bool
) -> Translated:
    """A pattern in a text: what is between signs and spaces is one word each, and the wildcards
    belong to the words that they touch."""
    patterns: list[list[str]] = [[]]
    for position, piece in enumerate(pieces):
        if isinstance(piece, Wildcard):
            patterns[-1].append(_WILD[piece])
            continue
        words = engine.words(piece)
        if position and words and not piece[0].isalnum():
            patterns.append([])
        for number, word in enumerate(words):
            if number:
                patterns.append([])
            patterns[-1].append(_escaped(word))
        if words and not piece[-1].isalnum():
            patterns.append([])
    queries = [
        _regex(engine.schema, key, "".join(parts))
        for parts in patterns
        if parts and not set(parts) <= set(_WILD.values())
    ]
    if not queries:
        return tantivy.Query.all_query() if any(patterns) else None
    return _all(queries) if every else _any(queries)


def _keyword_pattern(
    schema: tantivy.Schema, key: str, pieces: Sequence[str | Wildcard]
) -> tantivy.Query:
    return _regex(
        schema, key, "".join(_WILD[p] if isinstance(p, Wildcard) else _escaped(p) for p in pieces)
    )


def _regex(schema: tantivy.Schema, key: str, pattern: str) -> tantivy.Query:
    try:
        query = tantivy.Query.regex_query(schema, key, pattern)
    except ValueError as error:
        raise QueryError("a word with wildcards in the query is too long") from error
    return tantivy.Query.const_score_query(query, PATTERN_SCORE)


def _escaped(text: str) -> str:
    return _SPECIAL_IN_REGEX.sub(r"\\\1", text)


def _no_range(name: str) -> QueryError:
    return QueryError(f"the field {name} holds text, of which no range can be asked for")


def _range(
    schema: tantivy.Schema,
    key: str,
    kind: tantivy.FieldType,
    low: float | None,
    high: float | None,
    with_low: bool = True,
    with_high: bool = True,
) -> tantivy.Query:
    if low is None and high is None:
        return tantivy.Query.all_query()
    return tantivy.Query.range_query(
        schema, key, kind, low, high, with_low or low is None, with_high or high is None
    )
