"""An organisation as the registry describes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# fmt: off
TYPES = frozenset({
    "archive", "company", "education", "facility", "funder", "government", "healthcare",
    "nonprofit", "other",
})
# fmt: on
"""Types of organisation (ROR documentation, "ROR data structure", field ``types``)."""


class OrganisationStatus(StrEnum):
    """ROR's three states of a record."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    WITHDRAWN = "withdrawn"


class NameKind(StrEnum):
    """ROR's name types; one name may carry several."""

    DISPLAY = "ror_display"
    LABEL = "label"
    ALIAS = "alias"
    ACRONYM = "acronym"


class RelationKind(StrEnum):
    """What the other organisation is to this one: ``CHILD`` means "has the child"."""

    PARENT = "parent"
    CHILD = "child"
    RELATED = "related"
    PREDECESSOR = "predecessor"
    SUCCESSOR = "successor"


@dataclass(frozen=True, slots=True)
class Name:
    """A name of an organisation; `language` is ISO 639-1 or None."""

    value: str
    kinds: frozenset[NameKind] = frozenset()
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an organisation is. `country_code` is ISO 3166-1 alpha-2, `continent_code` GeoNames's
    ("EU"), `region_code` the second half of ISO 3166-2 ("ZH"); degrees are WGS 84."""

    country_code: str | None = None
    country: str | None = None
    city: str | None = None
    region: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    geonames_id: int | None = None
    region_code: str | None = None
    continent_code: str | None = None
    continent: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of an organisation to another, which has the id `ror_id` and the name `label`."""

    kind: RelationKind
    ror_id: str
    label: str


@dataclass(frozen=True, slots=True)
class Identifier:
    """The same organisation in another registry (`scheme`: fundref, grid, isni, wikidata)."""

    scheme: str
    values: tuple[str, ...] = ()
    preferred: str | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """When ROR wrote a record (`date`: "2026-03-04"), and in which version of its schema."""

    date: str | None = None
    schema_version: str | None = None


@dataclass(frozen=True, slots=True)
class Organisation:
    """A record of the registry, whatever version of the schema it came in.

    `ror_id` is the nine characters after ``https://ror.org/``. `names` keep the order of the
    record, and exactly one of them is of `NameKind.DISPLAY`.
    """

    ror_id: str
    status: OrganisationStatus
    names: tuple[Name, ...]
    types: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    relations: tuple[Relation, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    domains: tuple[str, ...] = ()
    websites: tuple[str, ...] = ()
    established: int | None = None
    wikipedia: tuple[str, ...] = ()
    created: Edit | None = None
    last_modified: Edit | None = None

    @property
    def display_name(self) -> str:
        return next(name.value for name in self.names if NameKind.DISPLAY in name.kinds)

    @property
    def place(self) -> Place | None:
        """The first place, which is ROR's main one."""
        return self.places[0] if self.places else None

    def related(self, kind: RelationKind) -> tuple[str, ...]:
        """ROR ids of the organisations in this relation, in the order of the record."""
        return tuple(relation.ror_id for relation in self.relations if relation.kind is kind)
