"""Organisations → documents → vectors → a new index version.

A version is built in full from a release, or derived from another version and the differences
between two releases. Readers do not see it before it is activated, unless they ask for it by name.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count, groupby
from uuid import UUID

from resolver.encoder import Encoder
from resolver.encoder.lexical import TermIds, in_order, terms, terms_of_words
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
"""Inactive organisations are indexed: an affiliation of 1998 may name one that has ended since.
Withdrawn ones are not: they are mistakes of the registry, mostly duplicates."""

BATCH = 1024
"""Documents encoded and written at once."""

Progress = Callable[[int, int], None]
"""Called with (documents written, all documents), from 0 on."""

Names = tuple[str, OrganisationStatus, Sequence[str]]
"""An organisation's ROR id, its status and all its names, as the registry writes them."""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python's garbage collector is off meanwhile.

    It would go through all documents again and again, for seconds, and find nothing: there are no
    cycles among them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
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

    Organisations whose status is not among `statuses` are left out: by default the withdrawn ones
    (see `INDEXED`). `statistics` are learnt from the organisations unless they are given.

    If there is a version of the same release, encoder, document form and statistics already, it is
    returned and nothing is built; `force` builds another one beside it. `version` gives the new
    version another name than `version_name` would; with `force` no version may have that name yet.
    The store optimises after the last call of `progress`.

    All documents are held in memory, some 0.5 kB each, and the terms of their names; vectors only
    `batch` at a time.

    Raises:
        IndexProblem: there is nothing to index, or the store refused something; there is no new
            version then.
    """
    base = version_name(
        release, release_sha256, encoder, statuses, statistics.fingerprint if statistics else ""
    )
    known = store.versions()
    taken = [m for m in known if m.version == version] if version else _named(known, base)
    if taken and not force:
        return taken[-1]

    indexed, names = _documents_of_all(organisations, statuses)
    if not indexed:
        raise _empty(release)
    statistics = statistics or learnt(indexed, names)
    manifest = Manifest(
        version=version or _free(base, taken),
        release=release,
        release_sha256=release_sha256,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        dimension=encoder.dimension,
        form=FORM,
        organisations=len({document.ror_id for document in indexed}),
        points=len(indexed),
        built_at=datetime.now(UTC).isoformat(),
        statistics=statistics.fingerprint,
    )
    translated = _translated(indexed, statistics.translation)
    with store.create(manifest, statistics) as writer:
        _write(writer, indexed, names, translated, statistics, encoder, progress, batch)
        writer.finish()
    return manifest


@_uncollected()
def statistics_of(
    organisations: Iterable[Organisation], *, statuses: Collection[OrganisationStatus] = INDEXED
) -> Statistics:
    """The statistics that a full build of these organisations learns from them."""
    return learnt(*_documents_of_all(organisations, statuses))


@_uncollected()
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
    """A version of a new release, derived from the version `base` of another release.

    `changed` are the organisations that differ between the two releases, `names` the names of all
    organisations of the new one. Points come out as `build` would write them, vectors and payloads,
    for the new release with the statistics of the base. Names of changed organisations are embedded
    where anything of them is new but `Document.other_names`, and removed where they are gone.
    Unchanged organisations that share one of these names get new namesake counts
    (`Document.namesakes`). Nothing else in their
    documents can change, for documents name relatives by id alone.

    If such a version is there already it is returned; `force` makes another one beside it.
    `progress` counts the names that are embedded.

    Raises:
        IndexMismatch: the base is of another encoder, document form or choice of statuses, or
            keeps no statistics: only a full build can help.
        IndexProblem: nothing would be left to index, the base does not have the documents that
            `changed` says it has, or the store refused something; there is no new version then.
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
    after = {point: shared.counted(document) for point, document in after.items()}
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
        written: list[Document] = []
        rewritten: list[Document] = []
        for point, document in after.items():
            stored = held.get(point)
            same_words = translated.get(_key(document)) == translated_before.get(_key(document))
            if stored != document or not same_words:
                # The organisation's other names and its website are in no vector.
                kept = stored and document == replace(
                    stored, other_names=document.other_names, website=document.website
                )
                (rewritten if kept and same_words else written).append(document)
        rewritten += [
            shared.counted(document)
            for document in writer.held(shared.points).values()
            if document != shared.counted(document)
        ]
        writer.remove(gone)
        names_written = [in_order(terms(document.name)) for document in written]
        _write(writer, written, names_written, translated, statistics, encoder, progress, batch)
        writer.rewrite(rewritten)
        watch.lap("wrote")
        writer.finish()
        watch.lap("optimised and checked")
    log.info(
        "index version %s from %s: %d names embedded, %d removed, %d updated; %s",
        manifest.version,
        base.version,
        len(written),
        len(gone),
        len(rewritten),
        watch,
    )
    return manifest


def prune(store: IndexStore, *, keep: int, needed: Collection[str] = ()) -> list[str]:
    """Drop the oldest versions beyond the newest `keep`; returns their names.

    The active version and the `needed` ones stay. A version that some process has open stays too,
    with a warning; the next call will drop it.
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
        except IndexMissing:  # another process dropped it
            continue
        except IndexBusy as busy:
            log.warning("not dropped: %s", busy)
            continue
        dropped.append(version)
    return dropped


@dataclass(frozen=True, slots=True)
class _Change:
    """The documents of an organisation in the two releases; empty where it is not indexed."""

    before: list[Document]
    after: list[Document]


@dataclass(frozen=True, slots=True)
class _Shared:
    """Names that the changes touch, and unchanged organisations that have these names too.

    `bearers` counts for each such name, folded, the organisations of the new release that have it.
    `points` are those of the names of the unchanged organisations among them.
    """

    bearers: dict[str, int]
    points: list[UUID]

    def counted(self, document: Document) -> Document:
        """The document with the number of its namesakes in the new release."""
        bearers = self.bearers.get(_folded(document.name), document.namesakes)
        return _with_namesakes(document, bearers)


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
                # One of the two is in the index, by whether this is the display name.
                points += (organisation_point_id(ror_id), name_point_id(ror_id, value))
    return _Shared({name: len(ids) for name, ids in bearers.items()}, list(dict.fromkeys(points)))


def _bearers(documents: Iterable[Document]) -> dict[str, set[str]]:
    bearers: dict[str, set[str]] = defaultdict(set)
    for document in documents:
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
        stored = held.get(point)
        if stored is None or replace(stored, namesakes=document.namesakes) != document:
            raise IndexProblem(
                f"index version {base.version} does not have {document.ror_id} "
                f"{document.name!r} as release {base.release} has it",
                remedy="run: resolver index build --full",
            )


class _Watch:
    """How long each stage took, in seconds."""

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
    indexed: Sequence[Document],
    names: Sequence[TermIds],
    translated: Mapping[tuple[str, str], dict[int, float]],
    statistics: Statistics,
    encoder: Encoder,
    progress: Progress | None,
    batch: int,
) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="index") as thread:
        writing: Future[None] | None = None
        for start in range(0, len(indexed), batch):
            if progress:
                progress(start, len(indexed))
            part = indexed[start : start + batch]
            dense = encoder.encode_documents([document.dense_text for document in part])
            sparse = statistics.vectors(
                part,
                [translated.get(_key(document), {}) for document in part],
                names=names[start : start + batch],
            )
            points = [Point(*point) for point in zip(part, dense, sparse, strict=True)]
            # One batch is made while the one before is written.
            if writing:
                writing.result()
            writing = thread.submit(writer.add, points)
        if writing:
            writing.result()
    if progress:
        progress(len(indexed), len(indexed))


def _documents_of_all(
    organisations: Iterable[Organisation], statuses: Collection[OrganisationStatus]
) -> tuple[list[Document], list[TermIds]]:
    """The documents of all organisations, with their namesakes counted, and the terms of each
    name."""
    # By key: two organisations with the same id would be the same points.
    keyed = {
        _key(document): document
        for organisation in organisations
        for document in _documented(organisation, statuses)
    }
    # Each name is cut into words once, for all that is made of them.
    cut = [words(name) for _, name in keyed]
    borne = [
        (ror_id, _folded(name, its_words))
        for (ror_id, name), its_words in zip(keyed, cut, strict=True)
    ]
    namesakes = Counter(folded for _, folded in set(borne))
    documents = [
        _with_namesakes(document, namesakes[folded])
        for document, (_, folded) in zip(keyed.values(), borne, strict=True)
    ]
    return documents, [in_order(terms_of_words(its_words)) for its_words in cut]


def _documented(
    organisation: Organisation | None, statuses: Collection[OrganisationStatus]
) -> list[Document]:
    if organisation is None or organisation.status not in statuses:
        return []
    return list(documents(organisation))


def _key(document: Document) -> tuple[str, str]:
    return document.ror_id, document.name


def _folded(name: str, its_words: Sequence[str] | None = None) -> str:
    """The words of a name as one string; a name without a word is its own."""
    return " ".join(words(name) if its_words is None else its_words) or name


def _with_namesakes(document: Document, namesakes: int) -> Document:
    # Most names are unique, and a copy takes longer than a comparison.
    return document if document.namesakes == namesakes else replace(document, namesakes=namesakes)


def _translated(
    documents: Sequence[Document], translation: Translation
) -> dict[tuple[str, str], dict[int, float]]:
    """For organisations without a name in the script of their country: the terms of a translated
    name, under the key of their first document."""
    organisations = (list(names) for _, names in groupby(documents, key=lambda d: d.ror_id))
    guesses = ((_key(names[0]), translation.terms(names)) for names in organisations)
    return {key: guessed for key, guessed in guesses if guessed}


def _empty(release: str) -> IndexProblem:
    return IndexProblem(
        f"release {release} has no organisation to index",
        remedy="load a registry first: resolver registry load",
    )


def _named(versions: Iterable[Manifest], name: str) -> list[Manifest]:
    """The versions of this name, and those built beside them (with ".2" and so on at the end)."""
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
    """Whether an index made of these, in full or derived, would have that name."""
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

    `statistics` is the fingerprint of statistics that were given, "" for the release's own.
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
        IndexMismatch: names the first thing that differs, in the index and here.
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
