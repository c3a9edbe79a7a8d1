"""Build an embedded index on a small file system, for a test: the process has it for itself.

``full_disk.py FOLDER NAMES FILLED_AFTER LEFT``: mounts 80 MB at FOLDER, indexes NAMES names there,
and after FILLED_AFTER of them has somebody else fill the disk up to LEFT bytes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from resolver.errors import DiskFull
from resolver.index import build
from resolver.index.embedded import EmbeddedStore
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.service.parts import load_encoder
from resolver.settings import Settings


def organisation(number: int) -> Organisation:
    name = Name(f"Institute {number} of Things", frozenset({NameKind.DISPLAY}), None)
    return Organisation(
        ror_id=f"0{number:06d}00",
        status=OrganisationStatus.ACTIVE,
        names=(name,),
        types=("education",),
        places=(),
        relations=(),
        identifiers=(),
        domains=(),
        websites=(),
        established=None,
    )


def main(folder: Path, names: int, filled_after: int, left: int) -> None:
    mounted = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)]
    subprocess.run(mounted, check=True)
    filler = folder / "filler"

    def progress(done: int, total: int) -> None:
        if done >= filled_after and not filler.exists():
            filler.write_bytes(bytes(shutil.disk_usage(folder).free - left))

    store = EmbeddedStore(folder / "index")
    try:
        build.build(
            map(organisation, range(names)),
            release="v1.0",
            release_sha256="0" * 64,
            encoder=load_encoder(Settings(home=folder)),
            store=store,
            progress=progress,
        )
    except DiskFull as error:
        print(error)
    # A manifest of a half-built version would be here.
    print([manifest.version for manifest in store.versions()])
    filler.unlink(missing_ok=True)
    print([path.name for path in (folder / "index" / "versions").iterdir()])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
