"""What a search of the index brings: names, and the organisations that bear them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """One result list: names, best first, an organisation possibly several times.

    `names` (n,) int32 are the numbers that the index calls its names by, `organisations` (n,)
    int64 those of the organisations that bear them, in the order of ROR ids; `scores` (n,)
    float32, descending.
    """

    names: npt.NDArray[np.int32]
    organisations: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)


NOTHING = Results(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))
