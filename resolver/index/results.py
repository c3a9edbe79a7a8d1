"""The results of a search: names, and the organisations that have them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """The results of one query: names, best first. An organisation may be there several times.

    `names` (n,) int32 are the numbers of the names in the open index. `organisations` (n,) int64
    are the numbers of the organisations that have them; they sort like ROR ids. `scores` (n,)
    float32 descend.
    """

    names: npt.NDArray[np.int32]
    organisations: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.names)


NOTHING = Results(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32))
