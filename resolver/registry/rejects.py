"""The rejects file: one line for each registry record that was refused, and why."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from resolver.errors import RecordError, RegistryError


class RejectsFile:
    """JSON lines ``{"index", "ror_id", "field", "reason"}``; a context manager.

    The file is made when the first record is refused; a file that an earlier load left at `path` is
    removed on entry. `count` is the number of lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, error: RecordError) -> None:
        """Write one refused record.

        Raises:
            RegistryError: the file cannot be written.
        """
        line = orjson.dumps(
            {
                "index": error.index,
                "ror_id": error.ror_id,
                "field": error.field,
                "reason": error.reason,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("wb")
            self._file.write(line)
            # So the reasons are there even if the load is killed.
            self._file.flush()
        except OSError as problem:
            raise self._unwritable(problem) from problem
        self.count += 1

    def _unwritable(self, error: OSError) -> RegistryError:
        return RegistryError(
            f"the rejects file {self.path} cannot be written ({error.strerror})",
            remedy="give a path in a folder that can be written to",
        )
