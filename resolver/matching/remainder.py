"""What a name and the part of the text where it stands leave of each other.

An organisation that the registry lacks mostly has a near name there: "Heritage Institute of
Technology" and "Hooghly Institute of Technology". What tells them apart are the words that one has
and the other lacks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from resolver.registry.document import Document
from resolver.text.text import Text, registry_text
from resolver.text.word_kind import WordKind
from resolver.text.words import same


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a name stands in a text.

    `part` are the positions of the text's units between the same commas as those that match the
    name, ascending. `sorts` are the sorts of organisations that they name. `taken` are positions of
    places and of the whole names of other organisations. `holders` counts for each unit of the text
    the candidates whose name has it.
    """

    text: Text
    part: Sequence[int]
    sorts: frozenset[str]
    taken: Collection[int]
    holders: Sequence[int]


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is left on either side.

    Of the part's words of the kinds `WordKind.OWN` and `WordKind.FIELD` those are *left* that no
    name of the organisation has and that are not taken. `share` is the share that is not left, from
    0 to 1; 1 without such words. `rare` counts the `OWN` words that are left, each as 1 / (1 +
    candidates whose name has it). `sorts` counts the sorts of organisations that the part names and
    that neither names nor types of this one say; `missing_sorts` those that the name names and the
    part does not.
    """

    rare: float
    share: float
    sorts: int
    missing_sorts: int


def remainder(
    document: Document, name: Text, matched: Collection[int], around: Surroundings
) -> Remainder:
    """The remainder of an organisation's `name`, which the text's units at `matched` match."""
    units, kinds = around.text.units, around.text.kinds
    names = [*map(registry_text, {document.name, document.display_name, *document.other_names})]
    telling = [p for p in around.part if kinds[p] in _TELLING and p not in around.taken]
    left = [p for p in telling if p not in matched and not _has(names, units[p])]
    sorts = frozenset().union(*(name.sorts for name in names), *map(_sorts_of_type, document.types))
    return Remainder(
        rare=sum(1 / (1 + around.holders[p]) for p in left if kinds[p] is WordKind.OWN),
        share=1 - len(left) / len(telling) if telling else 1.0,
        sorts=len(around.sorts - sorts),
        missing_sorts=len(name.sorts - around.sorts) if around.part else 0,
    )


_TELLING = frozenset({WordKind.OWN, WordKind.FIELD})

_BEGINNING = 3
"""Letters at the beginning that words which are the `same` share: most need not be compared."""


def _has(names: Sequence[Text], unit: str) -> bool:
    return any(
        unit == word or (unit[:_BEGINNING] == word[:_BEGINNING] and same(unit, word))
        for name in names
        for word in name.units
    )


_SORTS_OF_TYPES = {
    "healthcare": frozenset({"hospital"}),
    "company": frozenset({"company"}),
    "government": frozenset({"authority"}),
}
"""Of the registry's types of organisations those that say which sort it is."""


def _sorts_of_type(name: str) -> frozenset[str]:
    return _SORTS_OF_TYPES.get(name, frozenset())
