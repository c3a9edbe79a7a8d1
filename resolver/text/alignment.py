"""How a name lies in a text: which of its words stand there, in which order, and what stands
beside them.

Two names can share most of their words and be those of two organisations: "Zhejiang University"
and "Zhejiang University of Technology". What tells them apart is which words the text lacks and
which the name lacks, so words are told apart by what they say (`WordKind`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from resolver.text.text import Text
from resolver.text.word_kind import WordKind

WEIGHT = {
    WordKind.LINK: 0.0,
    WordKind.NUMBER: 0.5,
    WordKind.KIND: 0.5,
    WordKind.FIELD: 0.5,
    WordKind.OWN: 1.0,
}
"""How much a word counts where words are weighed against each other."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A name beside a text. Counts are of words; a CJK character counts as one.

    `run` is the longest run of the name's words that stand in the text one after the other, as a
    share of the name (0 to 1). `exact` says whether the whole name stands there so, spelt the same,
    accents aside, and `alone` whether, links aside, nothing else stands with it in its part between
    commas.

    `own` counts the words of kind `WordKind.OWN` that match, `missing_own` those and numbers that
    stand nowhere in the text, `missing_kind` the words of the kinds `KIND` and `FIELD` that are not
    among the matched ones, `between` words between the matched ones, links aside. `weight` is the
    sum of the `WEIGHT` of the matched words.
    """

    run: float
    exact: bool
    alone: bool
    own: int
    missing_own: int
    missing_kind: int
    between: int
    weight: float


def align(
    text: Text,
    parts: Sequence[int],
    name: Text,
    alike: Sequence[Sequence[int]],
    matched: Collection[int],
    places: Collection[str] = (),
) -> Alignment:
    """A name beside a text, of which the units at the positions `matched` match it.

    `parts` numbers the part of each unit of the text; `alike` is `text.matching(name)`. Words of
    the `places` that the organisation is in count as no word beside its name.
    """
    kinds, name_kinds = text.kinds, name.kinds
    longest, exact = _longest_runs(text.units, name.units, alike)
    run = longest / max(len(name.units), 1)
    own = missing_own = missing_kind = 0
    for kind, positions in zip(name_kinds, alike, strict=True):
        if kind in _NAMING:
            missing_own += not positions
            own += kind is WordKind.OWN and any(position in matched for position in positions)
        elif kind is not WordKind.LINK:
            missing_kind += not any(position in matched for position in positions)
    if not matched:
        return Alignment(run, False, False, own, missing_own, missing_kind, 0, 0.0)
    first, last = min(matched), max(matched)
    if exact is not None:
        first, last = exact, exact + len(name.units) - 1
    beside = (
        _says_something(text, kinds, parts, side, edge, places)
        for side, edge in (
            (range(first - 1, -1, -1), first),
            (range(last + 1, len(kinds)), last),
        )
    )
    return Alignment(
        run=run,
        exact=exact is not None,
        alone=exact is not None and not any(beside),
        own=own,
        missing_own=missing_own,
        missing_kind=missing_kind,
        between=sum(
            kinds[position] is not WordKind.LINK and position not in matched
            for position in range(first, last + 1)
        ),
        weight=sum(WEIGHT[kinds[position]] for position in matched),
    )


def own_words_missing(text: Text, name: Text) -> int:
    """How many of a name's numbers and words of kind `WordKind.OWN` stand nowhere in the text."""
    return sum(
        kind in _NAMING and not positions
        for kind, positions in zip(name.kinds, text.matching(name), strict=True)
    )


_NAMING = frozenset({WordKind.NUMBER, WordKind.OWN})


def _longest_runs(
    units: Sequence[str], name: Sequence[str], alike: Sequence[Sequence[int]]
) -> tuple[int, int | None]:
    """Length of the longest run, and where one that is the whole name, spelt the same, begins."""
    longest = 0
    runs: dict[int, int] = {}
    spelt: dict[int, int] = {}
    for word, positions in zip(name, alike, strict=True):
        runs = {position: runs.get(position - 1, 0) + 1 for position in positions}
        spelt = {
            position: spelt.get(position - 1, 0) + 1
            for position in positions
            if units[position] == word
        }
        longest = max(longest, *runs.values()) if runs else longest
    whole = [end - len(name) + 1 for end, length in spelt.items() if length == len(name)]
    return longest, min(whole, default=None)


def _says_something(
    text: Text,
    kinds: Sequence[WordKind],
    parts: Sequence[int],
    positions: range,
    edge: int,
    places: Collection[str],
) -> bool:
    """Whether the same part has a word other than links and `places` on one side of a name, at the
    `positions` beyond its first or last word, at `edge`.

    A number before a name is a footnote mark.
    """
    for position in positions:
        if parts[position] != parts[edge]:
            return False
        kind = kinds[position]
        if kind is WordKind.LINK or (kind is WordKind.NUMBER and position < edge):
            continue
        if text.units[position] not in places:
            return True
    return False
