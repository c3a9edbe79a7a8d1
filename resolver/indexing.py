"""Organisations → documents → vectors → a new index version, activated when it is whole."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby

from resolver.domain.document import FORM, Document, documents
from resolver.domain.organisation import Organisation, OrganisationStatus
from resolver.domain.words import words
from resolver.encoder import Encoder
from resolver.encoder.lexical import document_vector, idf, terms
from resolver.encoder.translation import learn
from resolver.errors import IndexMismatch, IndexProblem
from resolver.index import IndexStore, Manifest, Point

INDEXED = (OrganisationStatus.ACTIVE, OrganisationStatus.INACTIVE)
"""An affiliation of 1998 truly names an organisation that has ended since, so inactive records
are indexed. Withdrawn ones are not: they are mistakes of the registry, mostly duplicates."""

BATCH = 1024
"""Documents encoded and written at once."""


def build(
    organisations: Iterable[Organisation],
    *,
    release: str,
    release_sha256: str,
    encoder: Encoder,
    store: IndexStore,
    statuses: Collection[OrganisationStatus] = INDEXED,
    progress: Callable[[int, int], None] | None = None,
    batch: int = BATCH,
    force: bool = False,
) -> Manifest:
    """Index every name of the organisations and activate the new version.

    Organisations whose status is not among `statuses` are left out: by default the
    withdrawn ones (see `INDEXED`). A version of the same release, encoder and document
    form is not built twice: it is activated and returned, unless `force` asks for a new
    one beside it. `progress` is called with (documents written, documents in all) from 0
    on; the store's own optimising comes after the last call.

    All documents are held in memory, some 0.5 kB each; vectors only `batch` at a time.

    Raises:
        IndexProblem: there is nothing to index, or the store refused something; the version
            that was active stays so.
    """
    base = version_name(release, release_sha256, encoder, statuses)
    taken = [
        manifest
        for manifest in store.versions()
        if manifest.version == base or manifest.version.startswith(f"{base}.")
    ]
    if taken and not force:
        store.activate(taken[-1].version)
        return taken[-1]

    # Keyed, because two organisations of one id would be the same points.
    found = {
        _key(document): document
        for organisation in organisations
        if organisation.status in statuses
        for document in documents(organisation)
    }
    found = dict(zip(found, _counted(found.values()), strict=True))
    if not found:
        raise IndexProblem(
            f"release {release} has no organisation to index",
            remedy="load a registry first: resolver registry load",
        )
    manifest = Manifest(
        version=f"{base}.{len(taken) + 1}" if taken else base,
        release=release,
        release_sha256=release_sha256,
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        dimension=encoder.dimension,
        form=FORM,
        organisations=len({ror_id for ror_id, _ in found}),
        points=len(found),
        built_at=datetime.now(UTC).isoformat(),
    )
    _fill(list(found.values()), manifest, encoder, store, progress, batch)
    store.activate(manifest.version)
    return manifest


def _fill(
    found: list[Document],
    manifest: Manifest,
    encoder: Encoder,
    store: IndexStore,
    progress: Callable[[int, int], None] | None,
    batch: int,
) -> None:
    # Terms are made twice rather than kept: seconds against hundreds of megabytes.
    weights = idf(terms(document.name) for document in found)
    translated = _translated(found)
    with store.create(manifest) as writer:
        for start in range(0, len(found), batch):
            if progress:
                progress(start, len(found))
            part = found[start : start + batch]
            dense = encoder.encode_documents([document.dense_text for document in part])
            writer.add(
                [
                    Point(
                        document,
                        vector,
                        document_vector(
                            terms(document.name),
                            weights,
                            translated.get(_key(document)),
                            document.identifiers,
                        ),
                    )
                    for document, vector in zip(part, dense, strict=True)
                ]
            )
        if progress:
            progress(len(found), len(found))
        writer.finish()


def _key(document: Document) -> tuple[str, str]:
    return document.ror_id, document.name


def _counted(found: Collection[Document]) -> Iterator[Document]:
    """The documents, each told how many organisations bear its name."""
    bearers: dict[str, set[str]] = defaultdict(set)
    for document in found:
        bearers[_folded(document.name)].add(document.ror_id)
    for document in found:
        yield replace(document, namesakes=len(bearers[_folded(document.name)]))


def _folded(name: str) -> str:
    return " ".join(words(name)) or name


def _translated(found: Sequence[Document]) -> dict[tuple[str, str], dict[int, float]]:
    """For organisations without a name in their country's script: its terms, on the first name."""
    organisations = [list(names) for _, names in groupby(found, key=lambda d: d.ror_id)]
    translation = learn(organisations)
    guesses = ((_key(names[0]), translation.terms(names)) for names in organisations)
    return {key: guessed for key, guessed in guesses if guessed}


def version_name(
    release: str,
    release_sha256: str,
    encoder: Encoder,
    statuses: Collection[OrganisationStatus] = INDEXED,
) -> str:
    """The release, and a hash of all that decides what is in the index: "v2.9-3f1c09aa17b2"."""
    parts = (release_sha256, encoder.fingerprint, str(FORM), *sorted(statuses))
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
