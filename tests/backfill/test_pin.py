from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resolver.backfill import pin as pins
from resolver.backfill import pinning
from resolver.backfill.folder import Folder
from resolver.curation import overrides
from resolver.errors import BackfillError
from resolver.matching.override import new_override
from resolver.service.installation import Installation
from resolver.text.affiliation import text_hash

TEXT = "Institute of Examples, Ort"


@pytest.fixture
def pinned(installation: Installation, tmp_path: Path) -> Callable[..., Folder]:
    """Makes a pin in a folder of its own, with these settings."""

    def make(name: str, **choices: object) -> Folder:
        settings = installation.settings.model_copy(update=choices)
        folder = Folder(str(tmp_path / name))
        with Installation(settings, engine=installation.engine) as chosen:
            pinning.make(chosen, folder)
        return folder

    return make


@pytest.fixture
def overridden(installation: Installation) -> Iterator[None]:
    engine = installation.engine
    overrides.add(engine, [new_override(TEXT, "05a28rw58", "is", author="Curator")])
    yield
    held = overrides.stored.current(engine)
    overrides.end(engine, [override.id or 0 for override in held], author="Curator")


def test_a_pin_that_is_made_again_stays_as_it_is(pin_folder: Folder, pinned: Callable) -> None:
    before = pin_folder.read(pins.NAME)
    assert pins.read(pinned("again")).fingerprint == pins.read(pin_folder).fingerprint
    pinned("again")
    assert pin_folder.read(pins.NAME) == before


def test_the_policy_and_overrides_are_part_of_it(
    pin_folder: Folder, pinned: Callable, overridden: None
) -> None:
    plain, strict, decided = map(
        pins.read, (pin_folder, pinned("strict", accept_probability=0.9), pinned("decided"))
    )
    assert len({plain.fingerprint, strict.fingerprint, decided.fingerprint}) == 3
    assert plain.answering == decided.answering != strict.answering
    assert pins.changed_overrides(pin_folder, pinned("decided")) == {text_hash(TEXT)}


def test_another_pin_is_never_written_over(pin_folder: Folder, pinned: Callable) -> None:
    pinned("a")
    with pytest.raises(BackfillError, match="has another pin"):
        pinned("a", max_links=1)


@pytest.mark.parametrize("content", [None, b"{}", b"nonsense"])
def test_a_folder_that_is_no_pin(tmp_path: Path, content: bytes | None) -> None:
    folder = Folder(str(tmp_path))
    if content is not None:
        folder.write(pins.NAME, content)
    with pytest.raises(BackfillError, match=r"pin\.json"):
        pins.read(folder)


def test_a_machine_copies_it_once_whoever_asks(pin_folder: Folder, tmp_path: Path) -> None:
    pin = pins.read(pin_folder)
    with ThreadPoolExecutor(4) as threads:
        copies = {*threads.map(lambda _: pins.fetch(pin_folder, pin, tmp_path), range(4))}
    (copy,) = copies
    assert {path.name for path in tmp_path.iterdir()} == {copy.name, f"{copy.name}.lock"}
    assert (copy / "index/versions" / pin.version["index_version"] / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda file: file.write_bytes(b"other"), "is not what was pinned"),
        (lambda file: file.unlink(), "is missing"),
    ],
)
def test_a_damaged_pin_is_not_copied(
    pin_folder: Folder, tmp_path: Path, harm: Callable[[Path], None], problem: str
) -> None:
    there = tmp_path / "pin"
    shutil.copytree(pin_folder.address, there)
    pin = pins.read(Folder(str(there)))
    harm(next(there.rglob("statistics.npz")))
    with pytest.raises(BackfillError, match=problem):
        pins.fetch(Folder(str(there)), pin, tmp_path / "scratch")
    assert not (tmp_path / "scratch" / pin.fingerprint).exists()
