"""The index of the sample registry in a folder, built without a database."""

from __future__ import annotations

from pathlib import Path

from resolver import sample
from resolver.encoder.loading import load as load_encoder
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.registry.dump import accepted, open_release
from resolver.registry.rejects import RejectsFile
from resolver.settings import BUILTIN


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
