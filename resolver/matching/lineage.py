"""Links in the light of the registry's relations: successors and parents in place of what is named.

Pure functions of their arguments. The documents that they need come in rounds, since who the
parent of a parent is shows only when the parent is known::

    known = {document.ror_id: document for document in …}
    while missing := needed(links, policy, known):
        found = look_up(missing)
        known |= {ror_id: found.get(ror_id) for ror_id in missing}
    links = apply(links, policy, known)

An organisation that nobody knows is None in `known`, lest it be asked for again. Real registries
have circles of parents and of successors; they end here, and lead nowhere.

*Succession* comes first. An organisation that has ended gives way to an active one when all that
the registry says of its successors, and of theirs in turn, leads to that one. After a split
nothing tells which part is meant, so the organisation stays as it is named; so it does when the
registry knows no successor, or none that is active.

*Level* comes second. Topmost is a parent that has no parent itself. Where an organisation belongs
to several topmost ones (a laboratory of two universities), each of them stands for it; where there
is none, it stands for itself.

Neither brings in what the policy does not admit, or what a person said that the affiliation is not
(`barred`): such a parent is passed over on the way up, as is one that has ended; such a successor
does not succeed.
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

    Empty when `apply` has all that it needs. There are as many rounds as generations at most.
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

    `links` are best first; doing it twice changes nothing. Where one organisation takes the place
    of others, they are its `stands_for`, sorted, and the best of their probabilities is its own.
    Score, evidence and matched name are those of its own link, if it has one, or else of the best
    that it stands for.
    """
    placed = [_Placed(link, frozenset(link.stands_for or (link.ror_id,))) for link in links]
    if policy.succession is Succession.ROLL_FORWARD:
        placed = _merge(
            ((one, _successor(one.ror_id, policy, known, barred) or one.ror_id) for one in placed),
            known,
        )
    match policy.level:
        case Level.MOST_SPECIFIC:
            placed = _without_parents(placed, known)
        case Level.TOP_PARENT:
            placed = _merge(
                (
                    (one, top)
                    for one in placed
                    for top in _topmost(one.ror_id, policy, known, barred) or [one.ror_id]
                ),
                known,
            )
        case Level.BOTH:
            placed = _merge(
                (
                    (one, ror_id)
                    for one in placed
                    for ror_id in (one.ror_id, *_topmost(one.ror_id, policy, known, barred))
                ),
                known,
            )
    return tuple(one.at(rank) for rank, one in enumerate(placed[: policy.max_links], start=1))


@dataclass(frozen=True, slots=True)
class _Placed:
    """A link on its way; `names` are those of its organisations that the affiliation names."""

    link: Link
    names: frozenset[str]

    @property
    def ror_id(self) -> str:
        return self.link.ror_id

    def at(self, rank: int) -> Link:
        return replace(self.link, rank=rank, stands_for=tuple(sorted(self.names - {self.ror_id})))


def _merge(places: Iterable[tuple[_Placed, str]], known: Known) -> list[_Placed]:
    """What was placed and who takes its place → each organisation once, in order of appearance."""
    merged: dict[str, _Placed] = {}
    for one, ror_id in places:
        shown = one.link
        if ror_id != one.ror_id:
            document = known[ror_id]
            assert document is not None  # only known organisations are walked to
            shown = replace(shown, ror_id=ror_id, name=document.display_name)
        names = one.names
        if before := merged.get(ror_id):
            names |= before.names
            probability = max(before.link.probability, shown.probability)
            # Its own link knows best what was read of it.
            shown = shown if ror_id == one.ror_id else before.link
            shown = replace(shown, probability=probability)
        merged[ror_id] = _Placed(shown, names)
    return list(merged.values())


def _without_parents(placed: Sequence[_Placed], known: Known) -> list[_Placed]:
    """All but those above another; of a circle of parents, all."""
    above = {one.ror_id: set(_ancestors(one.ror_id, known)) for one in placed}
    return [
        one
        for one in placed
        if not any(
            one.ror_id in ancestors and ror_id not in above[one.ror_id]
            for ror_id, ancestors in above.items()
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


def _topmost(ror_id: str, policy: Policy, known: Known, barred: Collection[str]) -> list[str]:
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
    """All known parents and their parents, the nearest first; in a circle also `ror_id` itself."""
    found: dict[str, Document] = {}
    start = known.get(ror_id)
    generation = [start] if start else []
    while generation:
        parents = {
            parent: document
            for child in generation
            for parent in child.parents
            if parent not in found and (document := known.get(parent)) is not None
        }
        found |= parents
        generation = list(parents.values())
    return found
