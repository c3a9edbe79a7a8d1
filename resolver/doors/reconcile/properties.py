"""What can be asked of an organisation, as a property with an id, a name and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from resolver.registry.organisation import NameKind, Organisation, RelationKind
from resolver.registry.ror_id import ROR_URL


@dataclass(frozen=True, slots=True)
class Entity:
    """A value that is an organisation itself."""

    id: str
    name: str


Value = str | int | Entity


@dataclass(frozen=True, slots=True)
class Property:
    """A property; its values are organisations where `of_entities`."""

    id: str
    name: str
    values: Callable[[Organisation], Iterable[Value]]
    of_entities: bool = False


def _place(field: str) -> Callable[[Organisation], list[Value]]:
    def values(organisation: Organisation) -> list[Value]:
        place = organisation.place
        value = getattr(place, field) if place else None
        return [] if value is None else [value]

    return values


def _names(kind: NameKind) -> Callable[[Organisation], list[Value]]:
    return lambda organisation: [name.value for name in organisation.names if kind in name.kinds]


def _related(kind: RelationKind) -> Callable[[Organisation], list[Value]]:
    return lambda organisation: [
        Entity(relation.ror_id, relation.label)
        for relation in organisation.relations
        if relation.kind is kind
    ]


def _identifier(scheme: str) -> Callable[[Organisation], list[Value]]:
    def values(organisation: Organisation) -> list[Value]:
        for identifier in organisation.identifiers:
            if identifier.scheme == scheme:
                first = [identifier.preferred] if identifier.preferred else []
                return list(dict.fromkeys([*first, *identifier.values]))
        return []

    return values


PROPERTIES: Sequence[Property] = (
    Property("ror_url", "ROR id in full", lambda organisation: [ROR_URL + organisation.ror_id]),
    Property("country", "Country", _place("country")),
    Property("country_code", "Country code", _place("country_code")),
    Property("city", "City", _place("city")),
    Property("types", "Types", lambda organisation: organisation.types),
    Property("status", "Status", lambda organisation: [organisation.status.value]),
    Property(
        "established",
        "Year established",
        lambda organisation: [] if organisation.established is None else [organisation.established],
    ),
    Property("website", "Website", lambda organisation: organisation.websites),
    Property("domain", "Domain", lambda organisation: organisation.domains),
    Property("acronyms", "Acronyms", _names(NameKind.ACRONYM)),
    Property("aliases", "Aliases", _names(NameKind.ALIAS)),
    Property("labels", "Labels", _names(NameKind.LABEL)),
    Property("parent", "Parent", _related(RelationKind.PARENT), of_entities=True),
    Property("child", "Child", _related(RelationKind.CHILD), of_entities=True),
    Property("successor", "Successor", _related(RelationKind.SUCCESSOR), of_entities=True),
    Property("isni", "ISNI", _identifier("isni")),
    Property("wikidata", "Wikidata", _identifier("wikidata")),
    Property("grid", "GRID", _identifier("grid")),
    Property("fundref", "Crossref Funder ID", _identifier("fundref")),
)

BY_ID = {entry.id: entry for entry in PROPERTIES}
