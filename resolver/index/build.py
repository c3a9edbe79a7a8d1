"""Organisations → documents → vectors → a new index version.

Built in full from a release, or derived from another version and what two releases differ in.
Nobody sees it before it is activated, or named.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count, groupby
from uuid import UUID

from resolver.encoder import Encoder
from resolver.encoder.statistics import Statistics, learnt
from resolver.encoder.translation import Translation
from resolver.errors import IndexBusy, IndexMismatch, IndexMissing, IndexProblem
from resolver.index import IndexStore, IndexWriter, Manifest, Point
from resolver.index.payload import name_point_id, organisation_point_id, point_id
from resolver.registry.change import Change
from resolver.registry.document import FORM, Document, documents
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.text.affiliation import normalise
from resolver.text.words import words

log = logging.getLogger(__name__)

INDEXED = (OrganisationStatus.ACTIVE, OrganisationStatus.INACTIVE)
"""An affiliation of 1998 truly names an organisation that has ended since, so inactive records
are indexed. Withdrawn ones are not: they are mistakes of the registry, mostly duplicates."""

BATCH = 1024
"""Documents encoded and written at once."""

Progress = Callable[[int, int], None]
"""Called with (documents written, documents in all), from 0 on."""

Names = tuple[str, OrganisationStatus, Sequence[str]]
"""An organisation's ROR id, its status and all its names, as the registry writes them."""


def build(
    organisations: Iterable[Organisation],
    *,
    release: str,
    release_sha256: str,
    encoder: Encoder,
    store: IndexStore,
    statuses: Collection[OrganisationStatus] = INDEXED,
    statistics: Statistics | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
    force: bool = False,
    version: str | None = None,
) -> Manifest:
    """Index every name of the organisations.

    Organisations whose status is not among `statuses` are left out: by default the
    withdrawn ones (see `INDEXED`). `statistics` are learnt from the organisations unless they are
    given. A version of the same release, encoder, document form and statistics is not built twice:
    it is returned, unless `force` asks for a new one beside it. `version` names it
    otherwise (`is_named`), and is not to be there when it is forced. The store's own optimising
    comes after the last call of `progress`.

    All documents are held in memory, some 0.5 kB each; vectors only `batch` at a time.

    Raises:
        IndexProblem: there is nothing to index, or the store refused something; no version came
            of it.
    """
    base = version_name(
        release, release_sha256, encoder, statuses, statistics.fingerprint if statistics else ""
    )
    known = store.versions()
    taken = [m for m in known if m.version == version] if version else _named(known, base)
    if taken and not force:
        return taken[-1]

    found = _found(organisations, statuses)
    if not found:
        raise _empty(release)
    statistics = statistics or learnt(found)
    manifest = Manifest(
        version=version or _free(base, taken),
        release=release,
        release_sha256=release_sha256,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        dimension=encoder.dimension,
        form=FORM,
        organisations=len({document.ror_id for document in found}),
        points=len(found),
        built_at=datetime.now(UTC).isoformat(),
        statistics=statistics.fingerprint,
    )
    translated = _translated(found, statistics.translation)
    with store.create(manifest, statistics) as writer:
        _write(writer, found, translated, statistics, encoder, progress, batch)
        writer.finish()
    return manifest


def statistics_of(
    organisations: Iterable[Organisation], *, statuses: Collection[OrganisationStatus] = INDEXED
) -> Statistics:
    """What a full build of these organisations learns from them."""
    return learnt(_found(organisations, statuses))


def derive(
    store: IndexStore,
    base: Manifest,
    *,
    release: str,
    release_sha256: str,
    changed: Iterable[Change],
    names: Iterable[Names],
    encoder: Encoder,
    statuses: Collection[OrganisationStatus] = INDEXED,
    progress: Progress | None = None,
    batch: int = BATCH,
    force: bool = False,
) -> Manifest:
    """A version of a new release from one of another release: what differs is written anew.

    `changed` are the organisations that differ between the two, `names` those of all organisations
    of the new release. The points are the same, vectors and payloads, as `build` would write for
    the new release with the statistics of the base: names of the changed organisations are
    embedded where anything of them is new, and removed where they are gone; names of others
    that these share are told so (`Document.namesakes`). A change of an organisation touches no
    other's documents otherwise: they name their relatives by id alone.

    The version that this would be is returned if it is there, unless `force` asks for another one
    beside it. `progress` counts the names that are embedded.

    Raises:
        IndexMismatch: the base is of another encoder, document form or choice of statuses, or
            keeps no statistics: it can only be built in full.
        IndexProblem: nothing would be left, the base is not what `changed` says, or the store
            refused something; no version came of it.
    """
    _require_base(base, encoder, statuses)
    name = version_name(release, release_sha256, encoder, statuses, base.statistics)
    known = store.versions()
    taken = _named(known, name)
    # The release may have been built in full before, with these very statistics.
    in_full = _named(known, version_name(release, release_sha256, encoder, statuses))
    alike = taken + [other for other in in_full if other.statistics == base.statistics]
    if alike and not force:
        return alike[-1]

    watch = _Watch()
    changes = [
        _Change(_documented(old, statuses), _documented(new, statuses)) for old, new in changed
    ]
    before = {point_id(document): document for change in changes for document in change.before}
    after = {point_id(document): document for change in changes for document in change.after}
    shared = _shared(changes, names, statuses)
    after = {point: shared.told(document) for point, document in after.items()}
    gone = [document for point, document in before.items() if point not in after]
    # Form, dimension and statistics are the base's; an encoder may have moved since.
    manifest = replace(
        base,
        encoder=encoder.name,
        version=_free(name, taken),
        release=release,
        release_sha256=release_sha256,
        organisations=base.organisations
        + sum(bool(change.after) - bool(change.before) for change in changes),
        points=base.points + len(after.keys() - before.keys()) - len(gone),
        built_at=datetime.now(UTC).isoformat(),
        derived_from=base.version,
    )
    if manifest.points < 1:
        raise _empty(release)
    statistics = store.statistics(base.version)
    translated = _translated(list(after.values()), statistics.translation)
    translated_before = _translated(list(before.values()), statistics.translation)
    watch.lap("read what changed")
    with store.create(manifest, base=base.version) as writer:
        watch.lap("copied")
        held = writer.held([*(before.keys() | after.keys())])
        _require_held(base, before, held)
        written = [
            document
            for point, document in after.items()
            if held.get(point) != document
            or translated.get(_key(document)) != translated_before.get(_key(document))
        ]
        told = [
            shared.told(document)
            for document in writer.held(shared.points).values()
            if document != shared.told(document)
        ]
        writer.remove(gone)
        _write(writer, written, translated, statistics, encoder, progress, batch)
        writer.rewrite(told)
        watch.lap("wrote")
        writer.finish()
        watch.lap("optimised and checked")
    log.info(
        "index version %s from %s: %d names embedded, %d removed, %d told of namesakes; %s",
        manifest.version,
        base.version,
        len(written),
        len(gone),
        len(told),
        watch,
    )
    return manifest


def prune(store: IndexStore, *, keep: int, needed: Collection[str] = ()) -> list[str]:
    """Drop the oldest versions beyond the newest `keep`; returns their names.

    The active one and the `needed` ones stay. One that some process has open stays too, with a
    warning: the next time will do.
    """
    versions = [manifest.version for manifest in store.versions()]
    active = store.active()
    kept = {*versions[max(0, len(versions) - keep) :], *needed, active.version if active else ""}
    dropped = []
    for version in versions:
        if version in kept:
            continue
        try:
            store.drop(version)
        except IndexMissing:  # dropped by somebody else
            continue
        except IndexBusy as busy:
            log.warning("not dropped: %s", busy)
            continue
        dropped.append(version)
    return dropped


@dataclass(frozen=True, slots=True)
class _Change:
    """The documents of an organisation in the two releases; none where it is not indexed."""

    before: list[Document]
    after: list[Document]


@dataclass(frozen=True, slots=True)
class _Shared:
    """How many organisations of the new release bear each of the names that its changes touch, by
    folded name; and the points of those among them that did not change."""

    bearers: dict[str, int]
    points: list[UUID]

    def told(self, document: Document) -> Document:
        bearers = self.bearers.get(_folded(document.name), document.namesakes)
        return document if document.namesakes == bearers else replace(document, namesakes=bearers)


def _shared(
    changes: Collection[_Change], names: Iterable[Names], statuses: Collection[OrganisationStatus]
) -> _Shared:
    before = _bearers(document for change in changes for document in change.before)
    bearers = _bearers(document for change in changes for document in change.after)
    for name in before.keys() - bearers.keys():
        bearers[name] = set()
    changed = {document.ror_id for c in changes for document in (*c.before, *c.after)}
    points: list[UUID] = []
    for ror_id, status, values in names:
        if status not in statuses or ror_id in changed:
            continue
        for value in map(normalise, values):
            folded = _folded(value)
            if folded in bearers and value:
                bearers[folded].add(ror_id)
                # Whether it is the display name, its point will tell.
                points += (organisation_point_id(ror_id), name_point_id(ror_id, value))
    return _Shared({name: len(ids) for name, ids in bearers.items()}, list(dict.fromkeys(points)))


def _bearers(found: Iterable[Document]) -> dict[str, set[str]]:
    bearers: dict[str, set[str]] = defaultdict(set)
    for document in found:
        bearers[_folded(document.name)].add(document.ror_id)
    return bearers


def _require_base(
    base: Manifest, encoder: Encoder, statuses: Collection[OrganisationStatus]
) -> None:
    require_fresh(base, encoder=encoder, release=None)
    named = [
        version_name(base.release, base.release_sha256, encoder, statuses, statistics)
        for statistics in ("", base.statistics)
    ]
    for what, fits in (
        ("keeps no statistics", bool(base.statistics)),
        ("has organisations of other statuses", any(_named([base], name) for name in named)),
    ):
        if not fits:
            raise IndexMismatch(
                f"index version {base.version} {what}", remedy="run: resolver index build --full"
            )


def _require_held(
    base: Manifest, expected: Mapping[UUID, Document], held: Mapping[UUID, Document]
) -> None:
    for point, document in expected.items():
        found = held.get(point)
        if found is None or replace(found, namesakes=document.namesakes) != document:
            raise IndexProblem(
                f"index version {base.version} does not have {document.ror_id} "
                f"{document.name!r} as release {base.release} has it",
                remedy="run: resolver index build --full",
            )


class _Watch:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self._stages: list[str] = []
        self._started = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self._stages.append(f"{stage} in {now - self._started:.1f} s")
        self._started = now

    def __str__(self) -> str:
        return ", ".join(self._stages)


def _write(
    writer: IndexWriter,
    found: Sequence[Document],
    translated: Mapping[tuple[str, str], dict[int, float]],
    statistics: Statistics,
    encoder: Encoder,
    progress: Progress | None,
    batch: int,
) -> None:
    for start in range(0, len(found), batch):
        if progress:
            progress(start, len(found))
        part = found[start : start + batch]
        dense = encoder.encode_documents([document.dense_text for document in part])
        # Terms are made twice rather than kept: seconds against hundreds of megabytes.
        sparse = statistics.vectors(part, [translated.get(_key(d), {}) for d in part])
        writer.add([Point(*point) for point in zip(part, dense, sparse, strict=True)])
    if progress:
        progress(len(found), len(found))


def _found(
    organisations: Iterable[Organisation], statuses: Collection[OrganisationStatus]
) -> list[Document]:
    """All documents, each told how many organisations bear its name."""
    # Keyed, because two organisations of one id would be the same points.
    keyed = {
        _key(document): document
        for organisation in organisations
        for document in _documented(organisation, statuses)
    }
    return list(_counted(keyed.values()))


def _documented(
    organisation: Organisation | None, statuses: Collection[OrganisationStatus]
) -> list[Document]:
    if organisation is None or organisation.status not in statuses:
        return []
    return list(documents(organisation))


def _key(document: Document) -> tuple[str, str]:
    return document.ror_id, document.name


def _counted(found: Collection[Document]) -> Iterator[Document]:
    """The documents, each told how many organisations bear its name."""
    bearers = _bearers(found)
    for document in found:
        yield replace(document, namesakes=len(bearers[_folded(document.name)]))


def _folded(name: str) -> str:
    return " ".join(words(name)) or name


def _translated(
    found: Sequence[Document], translation: Translation
) -> dict[tuple[str, str], dict[int, float]]:
    """For organisations without a name in their country's script: its terms, on the first name."""
    organisations = (list(names) for _, names in groupby(found, key=lambda d: d.ror_id))
    guesses = ((_key(names[0]), translation.terms(names)) for names in organisations)
    return {key: guessed for key, guessed in guesses if guessed}


def _empty(release: str) -> IndexProblem:
    return IndexProblem(
        f"release {release} has no organisation to index",
        remedy="load a registry first: resolver registry load",
    )


def _named(versions: Iterable[Manifest], name: str) -> list[Manifest]:
    """The versions of this name, and those that were built beside them (".2" and so on)."""
    return [m for m in versions if _bears(m.version, name)]


def _bears(version: str, name: str) -> bool:
    return version == name or version.startswith(f"{name}.")


def is_named(
    version: str,
    release: str,
    release_sha256: str,
    encoder: Encoder,
    statuses: Collection[OrganisationStatus] = INDEXED,
    statistics: str = "",
) -> bool:
    """Whether an index of these, built in full or derived, would bear that name."""
    names = (
        version_name(release, release_sha256, encoder, statuses, given)
        for given in ("", statistics)
    )
    return any(_bears(version, name) for name in names)


def _free(name: str, taken: Collection[Manifest]) -> str:
    names = {manifest.version for manifest in taken}
    beside = (f"{name}.{number}" for number in count(2))
    return next(free for free in chain([name], beside) if free not in names)


def version_name(
    release: str,
    release_sha256: str,
    encoder: Encoder,
    statuses: Collection[OrganisationStatus] = INDEXED,
    statistics: str = "",
) -> str:
    """The release, and a hash of all that decides what is in the index: "v2.9-3f1c09aa17b2".

    `statistics` is the fingerprint of those that were given; without, they are the release's own.
    """
    parts = [release_sha256, encoder.fingerprint, str(FORM), *sorted(statuses)]
    if statistics:
        parts.append(statistics)
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()
    return f"{release}-{digest}"


def require_fresh(manifest: Manifest, *, encoder: Encoder, release: str | None) -> None:
    """Refuse an index that this code, this encoder or this release cannot be used with.

    `release` None means any.

    Raises:
        IndexMismatch: names the first thing that differs, the index's side and ours.
    """
    for what, theirs, ours in (
        ("document form", manifest.form, FORM),
        ("encoder", manifest.encoder, encoder.name),
        ("encoder fingerprint", manifest.encoder_fingerprint, encoder.fingerprint),
        ("encoder dimension", manifest.dimension, encoder.dimension),
        ("release", manifest.release, release or manifest.release),
    ):
        if theirs != ours:
            raise IndexMismatch(
                f"index version {manifest.version} has {what} {theirs}, {ours} is in use",
                remedy="run: resolver index build",
            )
