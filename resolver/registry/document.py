"""How an organisation is shown to the models: the only place where that text is made.

The first stage indexes a `Document` for each name; the reranker reads `Document.text`. Whoever
changes anything here must change `FORM` too: an index of another form is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from resolver.registry.identifier import identifiers_of
from resolver.registry.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    RelationKind,
)
from resolver.text.affiliation import normalise

FORM = 7
"""Version of the document form, of the words by which it is searched, and of how both are written
to an index. It is kept in every manifest of an index."""


@dataclass(frozen=True, slots=True)
class Document:
    """A name of an organisation, with everything that recall, reranking and deciding read.

    `name` is this name, `display_name` the one that ROR displays. `is_acronym` holds when the name
    is nothing but an acronym. `namesakes` counts the organisations with this name, case and accents
    aside, this one included. `parents` and `successors` are ROR ids, in the order of the record,
    `relatives` those of all other relations. `identifiers` are its identifiers as
    `resolver.registry.identifier` writes them, sorted. `other_names` are the names of the
    organisation beside this one, sorted. `website` is the first one of the record, in the document
    of the display name alone.
    """

    ror_id: str
    name: str
    display_name: str
    is_acronym: bool
    city: str | None
    region: str | None
    country_code: str | None
    country: str | None
    types: tuple[str, ...] = ()
    status: OrganisationStatus = OrganisationStatus.ACTIVE
    namesakes: int = 1
    parents: tuple[str, ...] = ()
    successors: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    website: str | None = None

    @property
    def text(self) -> str:
        """What the reranker reads: written as an affiliation would be.

        "ETH Zürich (Swiss Federal Institute of Technology), Zurich, Switzerland":
        the cross-encoder was trained on affiliation against affiliation.
        """
        name = self.name
        if self.display_name != name:
            name = f"{name} ({self.display_name})"
        return ", ".join(part for part in (name, self.city, self.country) if part)

    @property
    def dense_text(self) -> str:
        """What the dense encoder reads: "ETH Zürich, Zurich, Switzerland"."""
        return ", ".join(part for part in (self.name, self.city, self.country) if part)


def documents(organisation: Organisation) -> Iterator[Document]:
    """A document for each distinct name, the display name first, then in the order of the record.

    A name that differs from an earlier one only in case is left out. `Document.namesakes` is 1, for
    a single record does not show the others.
    """
    place = organisation.place
    display_name = normalise(organisation.display_name)
    parents = organisation.related(RelationKind.PARENT)
    successors = organisation.related(RelationKind.SUCCESSOR)
    relatives = tuple(
        dict.fromkeys(
            relation.ror_id
            for relation in organisation.relations
            if relation.ror_id not in parents and relation.ror_id not in successors
        )
    )
    identifiers = identifiers_of(organisation)
    website = next(iter(organisation.websites), None)
    names: dict[str, Name] = {}
    for name in sorted(organisation.names, key=lambda name: NameKind.DISPLAY not in name.kinds):
        value = normalise(name.value)
        if value:
            names.setdefault(value.casefold(), replace(name, value=value))
    for key, name in names.items():
        yield Document(
            ror_id=organisation.ror_id,
            name=name.value,
            display_name=display_name,
            is_acronym=name.kinds == {NameKind.ACRONYM},
            city=place.city if place else None,
            region=place.region if place else None,
            country_code=place.country_code if place else None,
            country=place.country if place else None,
            types=organisation.types,
            status=organisation.status,
            parents=parents,
            successors=successors,
            relatives=relatives,
            identifiers=identifiers,
            other_names=tuple(sorted(o.value for k, o in names.items() if k != key)),
            website=website if name.value == display_name else None,
        )
