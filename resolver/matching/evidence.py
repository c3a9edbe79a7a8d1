"""The kinds of evidence that speak for or against a candidate: numbers that a person can check.

`FEATURES` is the one list of them. To add one, write a line there, with a function of all
candidates of an affiliation, raise `FORM`, and fit the judge anew
(``resolver train --part judge``). The list in docs/explain.md is made of it
(``python -m resolver.matching.evidence``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from resolver.matching.place import UNKNOWN_DISTANCE, NamedPlaces, Positions
from resolver.matching.reading import (
    Counts,
    Flags,
    Numbers,
    Reading,
    Relation,
    of_others,
    relations,
)
from resolver.matching.remainder import Remainder
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus
from resolver.text.alignment import Alignment, own_words_missing
from resolver.text.cached_property import cached_property
from resolver.text.text import registry_text
from resolver.text.words import CJK

FORM = 3
"""Form of the evidence. Raise it with every change after which the same affiliation, the same
registry and the same models could give other numbers: a kind of evidence added, moved, removed or
computed in another way, here or in what it rests on (how a text is normalised and cut into words
and segments, places, identifiers, the first stage and how its lists are fused).

It is part of the resolver version, so that answers of another form are due, and of the judge's
file, since a judge fitted to other numbers means nothing.
``tests/matching/test_forms.py`` fails where the numbers change and this does not."""

STRONG = 1.0
"""A logit above which three in four candidates are right (calibration of the built-in reranker)."""

NO_NAMESAKE = 10.0
"""Larger than any difference of two logits that bears on a decision."""

NO_RELATED = -10.0
"""Lower than any logit."""

_SHORT = 2
"""Most units of a name that a word in capitals can stand for."""

Features = npt.NDArray[np.float64]
"""Shape (candidates, features), float64."""

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Feature(Generic[S]):
    """One kind of evidence.

    `says` completes "`name`: …" in the docs, in Markdown. `column` gives its value for each
    candidate of a `Reading`, `Shortlist` or `Scores`, in order: shape (candidates,), numbers or
    bools.
    """

    name: str
    says: str
    column: Callable[[S], npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class OwnFeature:
    """A kind of evidence that a candidate has whatever the others are, given the reading and its
    position there. Of the judge's it is worked out for the shortlist alone."""

    name: str
    says: str
    value: Callable[[Reading, int], float]


class Shortlist:
    """The candidates of a reading that are worth the reranker's time.

    `positions` are theirs in the reading, in its order. `rivals`, `namesakes` and `shared` are the
    reading's, of these candidates alone; `alignments` say how their names lie in the text, and
    `remainders` what is left around them. `all_names` are those of the whole reading, and
    `acronyms_named` the positions of acronyms that are a name of any of its candidates. `known` is
    the evidence that needs no logits, in the order of `KNOWN`.
    """

    def __init__(self, reading: Reading, positions: Sequence[int]) -> None:
        self.positions: npt.NDArray[np.int64] = np.asarray(positions, np.int64)
        self.documents: list[Document] = [reading.documents[i] for i in positions]
        self.matched = [reading.matched[i] for i in positions]
        these = np.ix_(self.positions, self.positions)
        self.rivals: Relation = reading.rivals[these]
        self.namesakes: Relation = reading.namesakes[these]
        self.shared: npt.NDArray[np.int64] = reading.shared[these]
        self.affiliation = reading.affiliation
        self.acronyms = reading.acronyms
        self.short_names = [reading.short_names[i] for i in positions]
        self.short_name_share: Numbers = reading.short_name_shares[self.positions]
        self.acronyms_named = self.acronyms.at.keys() & chain.from_iterable(reading.short_names)
        self.places = reading.places
        self.all_names = reading.texts
        self.alignments = [reading.alignment(position) for position in positions]
        self.remainders = [
            reading.remainder(position, named)
            for position, named in zip(positions, self._named_beside(), strict=True)
        ]
        self.known: Features = np.empty((0, len(KNOWN)))
        if len(self):
            of_names = [feature.column(self) for feature in NAME_FEATURES]
            of_reading = first_stage(FIRST_STAGE_FEATURES, reading, positions)
            self.known = np.column_stack([of_reading, *of_names])

    def __len__(self) -> int:
        """How many candidates there are."""
        return len(self.positions)

    def _named_beside(self) -> list[frozenset[int]]:
        """For each candidate the positions of the whole names of others that are no rivals."""
        whole = np.array([alignment.exact for alignment in self.alignments], np.bool_)
        if not whole.any():
            return [frozenset()] * len(whole)
        return [
            frozenset().union(*(self.matched[j] for j in np.flatnonzero(beside).tolist()))
            for beside in whole & self.others & ~self.rivals
        ]

    @cached_property
    def parents(self) -> Relation:
        """Whether the column's candidate is a parent of the row's."""
        number = {document.ror_id: i for i, document in enumerate(self.documents)}
        relation = np.zeros_like(self.rivals)
        for i, document in enumerate(self.documents):
            relation[i, [number[parent] for parent in document.parents if parent in number]] = True
        return of_others(relation)

    @cached_property
    def related(self) -> Relation:
        """Whether the registry relates the two candidates in any way, or one of them to what
        followed the other."""
        standing_for: dict[str, list[int]] = {}
        for i, document in enumerate(self.documents):
            for ror_id in {document.ror_id, *document.successors}:
                standing_for.setdefault(ror_id, []).append(i)
        relation = np.zeros_like(self.rivals)
        for j, document in enumerate(self.documents):
            for ror_id in chain(document.parents, document.successors, document.relatives):
                for i in standing_for.get(ror_id, ()):
                    relation[i, j] = relation[j, i] = True
        return of_others(relation)

    @cached_property
    def others(self) -> Relation:
        """Whether the column's candidate is not the row's."""
        return of_others(np.ones_like(self.rivals))


class Scores:
    """The candidates of a shortlist with a logit each, shape (candidates,): the reranker's score,
    or its forecast (`resolver.matching.forecaster`)."""

    def __init__(self, shortlist: Shortlist, logit: Numbers) -> None:
        self.shortlist = shortlist
        self.logit = logit

    @cached_property
    def better(self) -> Relation:
        """Whether the column's candidate has a higher logit than the row's."""
        return np.asarray(self.logit > self.logit[:, None])

    @cached_property
    def better_documents(self) -> list[list[Document]]:
        """For each candidate the documents of the better ones."""
        documents = self.shortlist.documents
        return [[documents[j] for j in np.flatnonzero(row).tolist()] for row in self.better]


def best(scores: Numbers, among: Relation) -> Numbers:
    """For each row the best of the scores of those that it has the relation `among` to; 0 without
    any."""
    highest: Numbers = np.where(among, scores, -np.inf).max(axis=1, initial=-np.inf)
    highest[np.isneginf(highest)] = 0.0
    return highest


# What a reading tells


def _reciprocal_rank(reading: Reading) -> Numbers:
    return 1 / np.arange(1, len(reading) + 1)


def _coverage(reading: Reading) -> Numbers:
    length = reading.name_lengths
    return np.where(length > 0, reading.matched_counts / np.maximum(length, 1), 0.0)


def _name_length(reading: Reading, position: int) -> float:
    """Two CJK characters make about one word."""
    name = reading.names[position]
    characters = sum(bool(CJK.fullmatch(unit)) for unit in name)
    return float(np.log1p(len(name) - characters + (characters + 1) // 2))


def _text_length(reading: Reading) -> int:
    return max(len(reading.affiliation.units), 1)


def _segment_share(reading: Reading) -> Numbers:
    pieces = [len(piece.units) for piece in reading.affiliation.pieces]
    piece_of_unit = np.repeat(np.eye(len(pieces), dtype=np.float32), pieces, axis=0)
    matched = reading.matches @ piece_of_unit
    most = matched.argmax(axis=1)
    return np.asarray(matched[np.arange(len(most)), most] / np.maximum(pieces, 1)[most])


def _position(reading: Reading) -> Numbers:
    units = len(reading.affiliation.units)
    first = reading.matches.argmax(axis=1) if units else 0
    return np.asarray(np.where(reading.matched_counts > 0, first, units) / _text_length(reading))


def _holds_rival(reading: Reading) -> Numbers:
    size = reading.matched_counts
    shorter = reading.rivals & (size > 0) & (size < size[:, None])
    held = np.where(shorter, reading.shared / np.maximum(size, 1), 0.0)
    return np.asarray(held.max(axis=1, initial=0.0))


def _capitals(reading: Reading, position: int) -> bool:
    name = reading.names[position]
    return len(name) <= _SHORT and not reading.capitals.isdisjoint(name)


def _spelled_out_otherwise(shortlist: Shortlist, *, by_initials: bool) -> list[float]:
    return [
        shortlist.acronyms.otherwise(document, matched, by_initials=by_initials)
        for document, matched in zip(shortlist.documents, shortlist.matched, strict=True)
    ]


def _acronym_confirmed(shortlist: Shortlist) -> Flags:
    confirmed = shortlist.acronyms.confirmed
    return _flags(map(confirmed, shortlist.documents, shortlist.matched))


def _short_name_standing(shortlist: Shortlist) -> list[int]:
    standing = shortlist.acronyms.standing
    return [max(map(standing, short), default=0) for short in shortlist.short_names]


def _other_short_names(shortlist: Shortlist) -> list[float]:
    return [
        math.log1p(len(shortlist.acronyms_named - short - matched))
        for short, matched in zip(shortlist.short_names, shortlist.matched, strict=True)
    ]


def _no_acronym(shortlist: Shortlist) -> Flags:
    return _flags(
        document.is_acronym and bool(matched) and matched <= shortlist.acronyms.none
        for document, matched in zip(shortlist.documents, shortlist.matched, strict=True)
    )


def _of_place(
    value: Callable[[NamedPlaces, Document, Positions], float],
) -> Callable[[Reading | Shortlist], Numbers]:
    """What the places of the text say of each candidate, given the positions of its name."""
    return lambda r: np.array(
        [value(r.places, d, m) for d, m in zip(r.documents, r.matched, strict=True)], np.float64
    )


def _beside(shortlist: Shortlist) -> Numbers:
    named = [
        shortlist.places.beside(document, matched)
        for document, matched in zip(shortlist.documents, shortlist.matched, strict=True)
    ]
    city, region, country = np.array(named, np.bool_).reshape(-1, 3).T
    return np.where(city, 3.0, np.where(region, 2.0, np.where(country, 1.0, 0.0)))


def _place_share(shortlist: Shortlist) -> Numbers:
    apart = shortlist.places.apart
    shares = [len(matched & apart) / max(len(matched), 1) for matched in shortlist.matched]
    return np.array(shares, np.float64)


def _rival_city(reading: Reading) -> Flags:
    city = reading.agreement[0]
    named = np.where(
        reading.namesakes.any(axis=1), (reading.namesakes & city).any(axis=1),
        (reading.rivals & city).any(axis=1),
    )  # fmt: skip
    return np.asarray(~city & named)


def _of_document(value: Callable[[Document], float]) -> Callable[[Reading, int], float]:
    return lambda reading, position: value(reading.documents[position])


def _of_type(name: str) -> Callable[[Reading, int], float]:
    return _of_document(lambda document: name in document.types)


def _pieces(reading: Reading) -> Numbers:
    return _same(reading, math.log1p(sum(bool(p.units) for p in reading.affiliation.pieces)))


def _same(reading: Reading, value: float) -> Numbers:
    """One value for all candidates."""
    return np.full(len(reading), value)


def _flags(values: Iterable[object]) -> Flags:
    return np.array([bool(value) for value in values], np.bool_)


# How the names of the shortlist lie in the text


def _of_alignment(value: Callable[[Alignment], float]) -> Callable[[Shortlist], Numbers]:
    return lambda s: np.array([value(alignment) for alignment in s.alignments], np.float64)


def _of_remainder(value: Callable[[Remainder], float]) -> Callable[[Shortlist], Numbers]:
    return lambda s: np.array([value(remainder) for remainder in s.remainders], np.float64)


_weight = _of_alignment(lambda a: a.weight)
_exact = _of_alignment(lambda a: a.exact + a.alone)


def _rival_weight(shortlist: Shortlist) -> Numbers:
    weight = _weight(shortlist)
    whole = [not (a.missing_own or a.missing_kind) for a in shortlist.alignments]
    return best(weight, shortlist.rivals & np.array(whole)) - weight


def _rival_exact(shortlist: Shortlist) -> Numbers:
    return best(_exact(shortlist), shortlist.rivals & ~shortlist.namesakes)


def _missing_display(shortlist: Shortlist) -> list[int]:
    return [
        alignment.missing_own
        if document.name == document.display_name
        else own_words_missing(shortlist.affiliation, registry_text(document.display_name))
        for document, alignment in zip(shortlist.documents, shortlist.alignments, strict=True)
    ]


def _alike_rivals(shortlist: Shortlist) -> Counts:
    size = shortlist.shared.diagonal()
    same_words = (shortlist.shared == size) & (shortlist.shared == size[:, None])
    return np.asarray((shortlist.rivals & same_words & (size > 0)).sum(axis=1))


def _names_around(shortlist: Shortlist) -> list[float]:
    names = [name.unit_set for name in shortlist.all_names]
    return [
        math.log1p(sum(map(names[position].__lt__, names)))
        for position in shortlist.positions.tolist()
    ]


def _relations(shortlist: Shortlist) -> list[float]:
    return [math.log1p(relations(document)) for document in shortlist.documents]


# What the reranker's scores add


def _strong_others(scores: Scores) -> list[int]:
    shortlist = scores.shortlist
    strong = np.flatnonzero(scores.logit > STRONG).tolist()
    return [
        len({shortlist.matched[j] for j in strong if j != i and not shortlist.rivals[i, j]})
        for i in range(len(shortlist.positions))
    ]


def _within_better(scores: Scores) -> Numbers:
    shortlist = scores.shortlist
    counts = shortlist.shared.diagonal()
    size = counts[:, None]
    longer = scores.better & shortlist.rivals & (counts > size) & (size > 0)
    held = np.where(longer, shortlist.shared / np.maximum(size, 1), 0.0)
    return np.asarray(held.max(axis=1, initial=0.0))


def _namesake_gap(scores: Scores) -> Numbers:
    namesakes = scores.shortlist.namesakes
    gap = scores.logit - best(scores.logit, namesakes)
    return np.where(namesakes.any(axis=1), gap, NO_NAMESAKE)


def _related_logit(scores: Scores) -> Numbers:
    among = scores.shortlist.related & ~scores.shortlist.rivals
    return np.where(among.any(axis=1), best(scores.logit, among), NO_RELATED)


def _is_parent_of(document: Document, others: Sequence[Document]) -> bool:
    return any(document.ror_id in other.parents for other in others)


def _is_child_of(document: Document, others: Sequence[Document]) -> bool:
    return any(other.ror_id in document.parents for other in others)


def _is_relative_of(document: Document, others: Sequence[Document]) -> bool:
    related = (*document.relatives, *document.successors)
    return any(other.ror_id in related for other in others)


def _better_one(
    relation: Callable[[Document, Sequence[Document]], bool],
) -> Callable[[Scores], Flags]:
    return lambda s: _flags(map(relation, s.shortlist.documents, s.better_documents))


FIRST_STAGE_FEATURES: tuple[Feature[Reading] | OwnFeature, ...] = (
    Feature(
        "sparse",
        "the first stage's score by words; 0 where it was not found that way",
        lambda r: r.sparse,
    ),
    Feature(
        "sparse_gap",
        "the same minus the best of its rivals'",
        lambda r: r.sparse - best(r.sparse, r.rivals),
    ),
    Feature(
        "dense",
        "the first stage's score by meaning; 0 where it was not found that way",
        lambda r: r.dense,
    ),
    Feature(
        "dense_gap",
        "the same minus the best of its rivals'",
        lambda r: r.dense - best(r.dense, r.rivals),
    ),
    Feature("reciprocal_rank", "1 / rank in the first stage's fused list", _reciprocal_rank),
    Feature("coverage", "share of the name's words that the text has in one place", _coverage),
    Feature(
        "missing",
        "how many of the name's words the text does not have there",
        lambda r: r.name_lengths - r.matched_counts,
    ),
    OwnFeature("name_length", "ln(1 + words of the name)", _name_length),
    Feature(
        "text_share",
        "share of the text's words that match the name",
        lambda r: r.matched_counts / _text_length(r),
    ),
    Feature(
        "segment_share",
        "the same share of the part between commas that has most of them",
        _segment_share,
    ),
    Feature(
        "position", "where the first of these words is, from 0 (the beginning) to 1", _position
    ),
    Feature(
        "holds_rival",
        "largest share of a shorter rival's words that match its name too",
        _holds_rival,
    ),
    OwnFeature(
        "acronym",
        "the name is nothing but an acronym",
        _of_document(lambda d: d.is_acronym),
    ),
    OwnFeature(
        "capitals",
        "the name has one or two words, and the text has one of them in capitals",
        _capitals,
    ),
    OwnFeature(
        "display_name",
        "the name is the one that ROR displays",
        _of_document(lambda d: d.name == d.display_name),
    ),
    OwnFeature(
        "namesakes",
        "ln(organisations with this name)",
        _of_document(lambda d: math.log(d.namesakes)),
    ),
    Feature("city", "the text names the organisation's city", lambda r: r.agreement[0]),
    OwnFeature("city_known", "the registry knows its city", _of_document(lambda d: bool(d.city))),
    Feature("region", "the text names its region", lambda r: r.agreement[1]),
    Feature("country", "the text names its country", lambda r: r.agreement[2]),
    OwnFeature(
        "country_known",
        "the registry knows its country",
        _of_document(lambda d: bool(d.country_code)),
    ),
    Feature(
        "other_country",
        "the text names another country beside the name, and nothing of its own place",
        _of_place(NamedPlaces.elsewhere),
    ),
    Feature(
        "rival_city",
        "the text names a namesake's city (without namesakes a rival's), and not its own",
        _rival_city,
    ),
    Feature(
        "identifier",
        "the text has its ROR id, GRID, ISNI, Wikidata item or Crossref funder number",
        lambda r: r.identified,
    ),
    Feature(
        "domain",
        "the text has a web or e-mail domain of it that no other candidate has",
        lambda r: r.domains,
    ),
    OwnFeature(
        "inactive",
        "the organisation has ended",
        _of_document(lambda d: d.status is not OrganisationStatus.ACTIVE),
    ),
    *(
        OwnFeature(name, f"its type in ROR is {name}", _of_type(name))
        for name in ("education", "healthcare", "company", "facility", "government")
    ),
    Feature(
        "text_words",
        "ln(1 + words of the text)",
        lambda r: _same(r, math.log1p(len(r.affiliation.units))),
    ),
    Feature("segments", "ln(1 + parts of the text between commas)", _pieces),
)
"""What is known before the reranker has read anything, in the order of the judge's columns."""

NAME_FEATURES: tuple[Feature[Shortlist], ...] = (
    Feature(
        "spelled_out_otherwise",
        "its name matches only an acronym whose letters begin words beside it: the share of these "
        "words that none of the organisation's names match",
        lambda r: _spelled_out_otherwise(r, by_initials=True),
    ),
    Feature(
        "bracketed_otherwise",
        "the same for an acronym alone in brackets after a name with other initials",
        lambda r: _spelled_out_otherwise(r, by_initials=False),
    ),
    Feature(
        "acronym_confirmed",
        "the text has both a full name of the organisation and its acronym",
        _acronym_confirmed,
    ),
    Feature(
        "no_acronym",
        "the name is nothing but an acronym, and what matches it in the text is none: a state, a "
        "degree, a word in small letters",
        _no_acronym,
    ),
    Feature(
        "short_name_share",
        "where a word of the text is a whole name of it, such as its acronym: its share of the "
        "relations in the registry of all candidates with this name that are where the text says; "
        "negative where it is elsewhere itself",
        lambda s: s.short_name_share,
    ),
    Feature(
        "short_name_standing",
        "how such a word stands in the text: 4 alone between commas, slashes and the like, 3 "
        "beside other acronyms, the number of a research unit or words that join, 2 joined to "
        "another word by a hyphen, 1 beside another word, 0 without such a word",
        _short_name_standing,
    ),
    Feature(
        "other_short_names",
        "ln(1 + other acronyms of the text that are a name of a candidate)",
        _other_short_names,
    ),
    Feature(
        "place_beside",
        "what the text names of its place beside the name: 3 its city, 2 its region, 1 its"
        " country, 0 nothing",
        _beside,
    ),
    Feature(
        "town_country",
        "1 where a town beside the name is in its country, -1 where all are in others, 0 without"
        " any",
        _of_place(NamedPlaces.towns),
    ),
    Feature(
        "town_distance",
        "ln(1 + kilometres) from its city to the nearest town beside the name;"
        f" {UNKNOWN_DISTANCE:g} where that is not known",
        _of_place(NamedPlaces.distance),
    ),
    Feature(
        "place_share",
        "share of the words matching the name that the text has as a place",
        _place_share,
    ),
    Feature(
        "only_places",
        "the text names places and nothing else",
        lambda s: np.full(len(s.documents), s.places.only),
    ),
    Feature(
        "run",
        "longest run of the name's words that stand in the text one after the other, as a share of "
        "the name",
        _of_alignment(lambda a: a.run),
    ),
    Feature(
        "exact",
        "1: the whole name stands in the text, spelt the same, accents aside; 2: and nothing else "
        "in its part between commas; 0: neither",
        _exact,
    ),
    Feature(
        "rival_exact",
        "the highest `exact` of its rivals with another name",
        _rival_exact,
    ),
    Feature(
        "own_words",
        "how many of the words that match say what it is called, not what it is",
        _of_alignment(lambda a: a.own),
    ),
    Feature(
        "missing_own",
        "how many of the name's words that say what it is called the text does not have at all",
        _of_alignment(lambda a: a.missing_own),
    ),
    Feature(
        "missing_kind",
        'how many of the name\'s words that say what it is ("hospital", "technology") do not match',
        _of_alignment(lambda a: a.missing_kind),
    ),
    Feature(
        "missing_display",
        "`missing_own` of the name that ROR displays",
        _missing_display,
    ),
    Feature(
        "between",
        "how many words stand between those that match",
        _of_alignment(lambda a: a.between),
    ),
    Feature(
        "part_share",
        "of the words in its part between commas that say what something is called or studies, the "
        "share that some name of the organisation has; places and whole names of other candidates "
        "are not counted",
        _of_remainder(lambda r: r.share),
    ),
    Feature(
        "left_rare",
        "the words of that part that say what something is called and that no name of it has, each "
        "as 1 / (1 + candidates whose name has it)",
        _of_remainder(lambda r: r.rare),
    ),
    Feature(
        "left_sorts",
        'how many sorts of organisations ("hospital", "university") that part names and neither '
        "its names nor its types do",
        _of_remainder(lambda r: r.sorts),
    ),
    Feature(
        "missing_sorts",
        "how many sorts of organisations its name names and that part does not",
        _of_remainder(lambda r: r.missing_sorts),
    ),
    Feature(
        "rival_weight",
        "how much more of the text, words of kind counted half, a rival matches of whose name "
        "nothing is missing",
        _rival_weight,
    ),
    Feature(
        "alike_rivals",
        "how many rivals match the very same words of the text",
        _alike_rivals,
    ),
    Feature(
        "names_around",
        "ln(1 + candidates whose names have all words of its name and more)",
        _names_around,
    ),
    Feature(
        "parent_of_rival",
        "it is a parent of a rival",
        lambda s: (s.parents.T & s.rivals).any(axis=1),
    ),
    Feature(
        "child_of_rival",
        "a rival is its parent",
        lambda s: (s.parents & s.rivals).any(axis=1),
    ),
    Feature(
        "relations",
        "ln(1 + organisations that the registry relates it to)",
        _relations,
    ),
)
"""How the name lies in the text (`resolver.text.alignment`), beside acronyms, places and the names
of its rivals. It is worked out for the shortlist alone."""

RERANKER_FEATURES: tuple[Feature[Scores], ...] = (
    Feature(
        "logit",
        "the reranker's score, or its forecast where the reranker has not read the candidate",
        lambda s: s.logit,
    ),
    Feature(
        "rival_gap",
        "the logit minus the best of its rivals'",
        lambda s: s.logit - best(s.logit, s.shortlist.rivals),
    ),
    Feature(
        "best_gap",
        "the logit minus the best of all others'",
        lambda s: s.logit - best(s.logit, s.shortlist.others),
    ),
    Feature(
        "better_rivals",
        "how many of its rivals are better",
        lambda s: (s.better & s.shortlist.rivals).sum(axis=1),
    ),
    Feature("better", "how many are better", lambda s: s.better.sum(axis=1)),
    Feature(
        "first_gap",
        "the logit minus that of the first stage's first",
        lambda s: s.logit - s.logit[0],
    ),
    Feature(
        "strong_others",
        f"on how many other words there are candidates with a logit above {STRONG:g}",
        _strong_others,
    ),
    Feature(
        "within_better",
        "largest share of its words that match a better rival's longer name too",
        _within_better,
    ),
    Feature(
        "namesake_gap",
        f"the logit minus the best of its namesakes'; {NO_NAMESAKE:g} without any",
        _namesake_gap,
    ),
    Feature(
        "related_logit",
        "the highest logit of the candidates on other words that the registry relates it to, or "
        f"to what followed it; {NO_RELATED:g} without any",
        _related_logit,
    ),
    Feature("parent_of_better", "it is a parent of a better candidate", _better_one(_is_parent_of)),
    Feature("child_of_better", "a better candidate is its parent", _better_one(_is_child_of)),
    Feature(
        "relative_of_better",
        "the registry relates it to a better candidate in another way",
        _better_one(_is_relative_of),
    ),
)
"""What the reranker's scores add. *Better* candidates have a higher logit."""

FEATURES: tuple[Feature[Reading] | OwnFeature | Feature[Shortlist] | Feature[Scores], ...] = (
    *FIRST_STAGE_FEATURES,
    *NAME_FEATURES,
    *RERANKER_FEATURES,
)
"""All kinds of evidence, in the order of the judge's columns."""

NAMES = tuple(feature.name for feature in FEATURES)

KNOWN = NAMES[: len(FIRST_STAGE_FEATURES) + len(NAME_FEATURES)]
"""What is known of a shortlist before the reranker has read anything."""


def first_stage(
    features: Sequence[Feature[Reading] | OwnFeature],
    reading: Reading,
    positions: Sequence[int] | None = None,
) -> Features:
    """Some of the `FIRST_STAGE_FEATURES`, a row for each candidate, or for those at `positions`.

    Those that compare candidates are computed once for a reading: the judge asks again for what the
    sieve has asked for.
    """
    rows = range(len(reading)) if positions is None else positions
    numbers = np.asarray(rows, np.int64)
    table = np.empty((len(rows), len(features)))
    for number, feature in enumerate(features):
        if isinstance(feature, OwnFeature):
            table[:, number] = [feature.value(reading, row) for row in rows]
            continue
        column = reading.columns.get(feature.name)
        if column is None:
            column = reading.columns[feature.name] = np.asarray(feature.column(reading))
        table[:, number] = column[numbers]
    return table


def evidence(shortlist: Shortlist, logits: Sequence[float] | Numbers) -> Features:
    """The `FEATURES` of a shortlist, given a logit for each of its candidates."""
    if not len(shortlist):
        return np.empty((0, len(FEATURES)))
    scores = Scores(shortlist, np.asarray(logits, np.float64))
    return np.column_stack(
        [shortlist.known, *(feature.column(scores) for feature in RERANKER_FEATURES)]
    )


def documented() -> str:
    """`FEATURES` as the table of docs/explain.md."""
    rows = [f"| `{feature.name}` | {feature.says} |" for feature in FEATURES]
    return "\n".join(["| Evidence | What it says |", "|---|---|", *rows])


if __name__ == "__main__":
    print(documented())
