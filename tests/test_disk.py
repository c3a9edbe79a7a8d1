"""resolver.disk, on a device that is always full."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver import disk
from resolver.errors import DiskFull

FULL_DEVICE = Path("/dev/full")


def test_a_full_disk_is_named_with_what_is_left(tmp_path: Path) -> None:
    told = f"disk is full: {tmp_path} cannot be written, .* are free"
    with (
        pytest.raises(DiskFull, match=told),
        disk.writing(tmp_path),
        FULL_DEVICE.open("w") as file,
    ):
        file.write("x")


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(28, "No space left on device"), True),
        (OSError(122, "Disk quota exceeded"), True),
        (OSError(13, "Permission denied"), False),
        (Exception("Service internal error: No space left on device (os error 28)"), True),
        (RuntimeError("I/O error: Disk quota exceeded (os error 122)"), True),
        (RuntimeError("something else"), False),
    ],
)
def test_libraries_have_errors_of_their_own(error: Exception, full: bool) -> None:
    assert disk.is_full(error) == full


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk.writing(tmp_path):
        (tmp_path / "none" / "file").write_text("x")


def test_room_is_required_before_anything_is_begun(tmp_path: Path) -> None:
    disk.require(tmp_path, 1, "a file")
    below = tmp_path / "not" / "there" / "yet"
    needed = disk.free(tmp_path) + 10**12
    with pytest.raises(DiskFull, match=r"a file needs [\d,.]+ GB in .*yet, where [\d,.]+ \wB are"):
        disk.require(below, needed, "a file")


@pytest.mark.parametrize(
    ("size", "shown"),
    [(999, "1.0 kB"), (1_500_000, "1.5 MB"), (2_345_000_000_000, "2,345.0 GB")],
)
def test_sizes_as_a_person_reads_them(size: int, shown: str) -> None:
    assert disk.shown(size) == shown
