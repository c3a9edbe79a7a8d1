"""The sample registry, indexed: in an installation with a database, or in a folder alone."""

from __future__ import annotations

from pathlib import Path

from resolver import sample
from resolver.encoder.loading import load as load_encoder
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.registry.dump import accepted, open_release
from resolver.registry.rejects import RejectsFile
from resolver.release.index import index_release
from resolver.release.load import load
from resolver.service import parts
from resolver.service.installation import Installation
from resolver.settings import BUILTIN


def load_and_index(installation: Installation) -> None:
    """The release is loaded and its index active; there is no resolver version yet."""
    settings = installation.settings
    load(installation.engine, sample.REGISTRY, rejects=settings.home / "rejects.jsonl")
    indexed = index_release(installation, parts.load_encoder(settings))
    installation.store.activate(indexed.manifest.version)


def build_sample_index(home: Path) -> Path:
    """`home`, with an active index where the settings look for it."""
    release = open_release(sample.REGISTRY)
    store = EmbeddedStore(home / "index")
    with RejectsFile(home / "rejects.jsonl") as rejects:
        manifest = build(
            accepted(release.records(), rejects=rejects),
            release=release.version,
            release_sha256=release.sha256,
            encoder=load_encoder(BUILTIN, None),
            store=store,
        )
    store.activate(manifest.version)
    return home
