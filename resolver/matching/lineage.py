"""Links by the registry's relations: successors and parents in place of what is named.

Pure functions of their arguments. They need documents of related organisations, which come in
rounds: the parent of a parent is known only when the parent is::

    known = {document.ror_id: document for document in …}
    while missing := needed(links, policy, known):
        documents = look_up(missing)
        known |= {ror_id: documents.get(ror_id) for ror_id in missing}
    links = apply(links, policy, known)

An organisation that the registry does not have is None in `known`, so that it is not asked for
again. Real registries have circles of parents and of successors; following them ends, and leads to
no organisation.

*Succession* comes first. An organisation that has ended is replaced by an active one when all of
its successors, and theirs in turn, lead to that one. After a split nothing tells which part is
meant, so the organisation stays as it is named. So it does when the registry knows no successor, or
none that is active.

*Level* comes second. A top parent is one that has no parent itself. Where an organisation has
several (a laboratory of two universities), each of them stands for it; where it has none, it stands
for itself.

Neither brings in an organisation that the policy does not admit, or that a curator decided the
affiliation is not (`barred`): such a parent is passed over on the way up, as is one that has ended;
such a successor does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from resolver.matching.outcome import Link
from resolver.matching.policy import Level, Policy, Succession
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus

Known = Mapping[str, Document | None]
"""ROR id → any document of the organisation; None: the registry does not have it."""


def needed(links: Iterable[Link], policy: Policy, known: Known) -> set[str]:
    """ROR ids of the organisations to look up next, for any number of affiliations at once.

    Empty when `apply` has all that it needs. There are at most as many rounds as generations.
    """
    follows_successors = policy.succession is Succession.ROLL_FORWARD
    follows_parents = policy.level is not Level.NAMED
    if not (follows_successors or follows_parents):
        return set()
    missing: set[str] = set()
    reached = {link.ror_id for link in links}
    waiting = list(reached)
    while waiting:
        ror_id = waiting.pop()
        if ror_id not in known:
            missing.add(ror_id)
            continue
        document = known[ror_id]
        if document is None:
            continue
        further = set(document.parents) if follows_parents else set()
        if follows_successors and document.status is not OrganisationStatus.ACTIVE:
            further.update(document.successors)
        waiting += further - reached
        reached |= further
    return missing


def apply(
    links: Sequence[Link], policy: Policy, known: Known, barred: Collection[str] = ()
) -> tuple[Link, ...]:
    """The links of one affiliation as the policy wants them, best first, `max_links` at most.

    `links` are best first; applying it again changes nothing. Where an organisation stands for
    others, they are its `stands_for`, sorted, and its probability is the best of theirs. Score,
    evidence and matched name are those of its own link, if it has one, or else of the best link
    that it stands for.
    """
    standing = [_Standing(link, frozenset(link.stands_for or (link.ror_id,))) for link in links]
    if policy.succession is Succession.ROLL_FORWARD:
        standing = _merge(
            (
                (link, _successor(link.ror_id, policy, known, barred) or link.ror_id)
                for link in standing
            ),
            known,
        )
    match policy.level:
        case Level.MOST_SPECIFIC:
            standing = _without_parents(standing, known)
        case Level.TOP_PARENT:
            standing = _merge(
                (
                    (link, top)
                    for link in standing
                    for top in _top_parents(link.ror_id, policy, known, barred) or [link.ror_id]
                ),
                known,
            )
        case Level.BOTH:
            standing = _merge(
                (
                    (link, ror_id)
                    for link in standing
                    for ror_id in (link.ror_id, *_top_parents(link.ror_id, policy, known, barred))
                ),
                known,
            )
    return tuple(link.at(rank) for rank, link in enumerate(standing[: policy.max_links], start=1))


@dataclass(frozen=True, slots=True)
class _Standing:
    """A link with the organisations that it stands for, itself included: `named` are ROR ids of
    what the affiliation names."""

    link: Link
    named: frozenset[str]

    @property
    def ror_id(self) -> str:
        return self.link.ror_id

    def at(self, rank: int) -> Link:
        return replace(self.link, rank=rank, stands_for=tuple(sorted(self.named - {self.ror_id})))


def _merge(replacements: Iterable[tuple[_Standing, str]], known: Known) -> list[_Standing]:
    """Links and the organisation that replaces each → each organisation once, in order of
    appearance."""
    merged: dict[str, _Standing] = {}
    for replaced, ror_id in replacements:
        link = replaced.link
        if ror_id != replaced.ror_id:
            document = known[ror_id]
            assert document is not None  # only known organisations are walked to
            link = replace(link, ror_id=ror_id, name=document.display_name)
        named = replaced.named
        if before := merged.get(ror_id):
            named |= before.named
            probability = max(before.link.probability, link.probability)
            # Its own link has its own evidence.
            link = link if ror_id == replaced.ror_id else before.link
            link = replace(link, probability=probability)
        merged[ror_id] = _Standing(link, named)
    return list(merged.values())


def _without_parents(standing: Sequence[_Standing], known: Known) -> list[_Standing]:
    """All links but those to an ancestor of another; of a circle of parents, all."""
    ancestors_of = {link.ror_id: set(_ancestors(link.ror_id, known)) for link in standing}
    return [
        link
        for link in standing
        if not any(
            link.ror_id in ancestors and ror_id not in ancestors_of[link.ror_id]
            for ror_id, ancestors in ancestors_of.items()
        )
    ]


def _successor(ror_id: str, policy: Policy, known: Known, barred: Collection[str]) -> str | None:
    """The one active organisation that all successors of an ended one lead to."""
    ends: set[str] = set()
    seen = {ror_id}
    waiting = [ror_id]
    while waiting:
        here = waiting.pop()
        document = known.get(here)
        if document is None:
            return None
        if document.status is OrganisationStatus.ACTIVE:
            if here in barred or not policy.admits(document):
                return None
            ends.add(here)
        elif not document.successors:
            return None
        else:
            waiting += (further := set(document.successors) - seen)
            seen |= further
    return ends.pop() if len(ends) == 1 else None


def _top_parents(ror_id: str, policy: Policy, known: Known, barred: Collection[str]) -> list[str]:
    """The admitted ancestors that have no admitted ancestor themselves."""

    def admitted(start: str) -> list[str]:
        return [
            ancestor
            for ancestor, document in _ancestors(start, known).items()
            if ancestor not in barred
            and document.status is OrganisationStatus.ACTIVE
            and policy.admits(document)
        ]

    return [ancestor for ancestor in admitted(ror_id) if not admitted(ancestor)]


def _ancestors(ror_id: str, known: Known) -> dict[str, Document]:
    """All known parents and their parents, the nearest first; of a circle `ror_id` itself too."""
    ancestors: dict[str, Document] = {}
    start = known.get(ror_id)
    generation = [start] if start else []
    while generation:
        parents = {
            parent: document
            for child in generation
            for parent in child.parents
            if parent not in ancestors and (document := known.get(parent)) is not None
        }
        ancestors |= parents
        generation = list(parents.values())
    return ancestors
