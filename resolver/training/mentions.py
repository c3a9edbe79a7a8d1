"""Which words of an affiliation name an organisation: it decides whether a pair is surely wrong."""

from __future__ import annotations

from collections.abc import Iterable

from resolver.text.words import words

# fmt: off
FUNCTION_WORDS = frozenset([
    "a", "al", "and", "at", "da", "das", "de", "del", "dell", "della", "delle", "di", "do", "dos",
    "du", "e", "el", "et", "for", "fur", "i", "im", "in", "la", "las", "le", "les", "los", "of",
    "on", "the", "to", "und", "van", "vor", "y", "zu", "zum", "zur",
])
# fmt: on
"""Words that may be missing or added without making it another name."""

SLACK = 2
"""Words that may stand between those of a name: "University (public) of Oslo"."""


def informative(name: str) -> list[str]:
    """The words of a name without its function words, or all if there are no others."""
    found = words(name)
    return [word for word in found if word not in FUNCTION_WORDS] or found


def share(affiliation: list[str], name: str) -> float:
    """The share of a name's informative words, in [0, 1], that the words of a text hold."""
    wanted = informative(name)
    if not wanted:
        return 0.0
    present = set(affiliation)
    return sum(word in present for word in wanted) / len(wanted)


def mention(affiliation: list[str], name: str) -> frozenset[int]:
    """Positions, in the words of a text, of the tightest whole mention of a name.

    A mention has every informative word of the name within its length and `SLACK`; the
    order of the words is free. Empty when there is none.
    """
    wanted = set(informative(name))
    width = len(words(name)) + SLACK
    places = [i for i, word in enumerate(affiliation) if word in wanted]
    best: tuple[int, ...] = ()
    for n, first in enumerate(places):
        span = [i for i in places[n:] if i < first + width]
        missing = set(wanted)
        taken = []
        for i in span:
            taken.append(i)
            missing.discard(affiliation[i])
            if not missing:
                break
        if not missing and (not best or taken[-1] - taken[0] < best[-1] - best[0]):
            best = tuple(taken)
    return frozenset(best)


def ground(affiliation: list[str], names: Iterable[str]) -> frozenset[int]:
    """Positions of the words that name an organisation: all whole mentions of its names, else the
    words of the name of which most are there."""
    names = list(names)
    whole = frozenset().union(*(mention(affiliation, name) for name in names))
    if whole or not names:
        return whole
    nearest = set(informative(max(names, key=lambda name: share(affiliation, name))))
    return frozenset(i for i, word in enumerate(affiliation) if word in nearest)
