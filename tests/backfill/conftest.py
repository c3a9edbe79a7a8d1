"""A pin of the sample registry, made once, and a server of S3's interface."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from resolver.backfill import pinning
from resolver.backfill.folder import Folder
from resolver.backfill.isolated import Isolated
from resolver.backfill.pin import fetch, read
from resolver.service.installation import Installation
from resolver.settings import Settings


@pytest.fixture(scope="session")
def installation(
    prepared: tuple[str, Path],
    copied_database: Callable[[str | None], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """The sample registry, loaded and indexed."""
    url, home = prepared
    copy = tmp_path_factory.mktemp("backfill")
    shutil.copytree(home, copy, symlinks=True, dirs_exist_ok=True)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=copy, database_url=SecretStr(copied_database(url)), threads=1
    )
    with Installation(settings) as made:
        yield made


@pytest.fixture(scope="session")
def pin_folder(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(str(tmp_path_factory.mktemp("pin")))
    pinning.make(installation, folder)
    return folder


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's folder for copies of pins."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def isolated(pin_folder: Folder, scratch: Path) -> Iterator[Isolated]:
    pin = read(pin_folder)
    with Isolated(pin, fetch(pin_folder, pin, scratch)) as made:
        yield made


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """``s3://bucket`` on a server of this machine, which the environment names."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patched.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patched.setenv("AWS_REGION", "us-east-1")
        fs.S3FileSystem(
            endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True
        ).create_dir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """An empty folder, on disk and in a store."""
    if request.param == "disk":
        return Folder(str(tmp_path / "folder"))
    return Folder(f"{request.getfixturevalue('s3')}/{tmp_path.name}")
