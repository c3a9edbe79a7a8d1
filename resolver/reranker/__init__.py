"""Rerankers: cross-encoders that score pairs of an affiliation and an organisation's text.

Which model a name stands for, and how to add another kind: `resolver.reranker.loading`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from resolver.errors import PairError
from resolver.reranker.odds import probability
from resolver.text.affiliation import Affiliation, Refusal

Pair = tuple[str, str]
"""Affiliation first, organisation text (`resolver.registry.document.Document.text`) second."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling of a reranker's logits: probability = sigmoid(slope·logit + intercept).

    J. Platt, "Probabilistic outputs for support vector machines", 1999. The default is the
    plain sigmoid, the probability of a model trained with binary cross-entropy.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, logits: Sequence[float] | npt.NDArray[np.floating[Any]]) -> list[float]:
        """Probabilities in [0, 1], one for each logit."""
        log_odds = self.slope * np.asarray(logits, np.float64) + self.intercept
        return [float(value) for value in probability(log_odds)]


class Reranker(Protocol):
    """A cross-encoder. `fingerprint` changes with the weights."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def calibration(self) -> Calibration: ...

    @property
    def truncated(self) -> int:
        """Distinct pairs of a call that were longer than the model reads, summed over all calls.

        Of such a pair the affiliation is cut first, from its end; the document keeps up to half
        of the room.
        """
        ...

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """Logits, shape (len(pairs),), in the order of the pairs; higher is a better match.

        Raises:
            PairError: a text of a pair is empty.
        """
        ...

    def close(self) -> None:
        """Release what it holds outside of this process; it can still be used afterwards."""
        ...


def require_texts(pairs: Sequence[Pair]) -> None:
    """Refuse a pair with an empty text: its score would mean nothing.

    Empty is what `resolver.text.affiliation.Affiliation` refuses as such: white space, control
    characters and invisible formatting are not text.

    Raises:
        PairError: names the first such pair, counted from 0, and which of its texts is empty.
    """
    empty = {text for text in {text for pair in pairs for text in pair} if _is_empty(text)}
    if not empty:
        return
    for number, (affiliation, document) in enumerate(pairs):
        if affiliation in empty or document in empty:
            which = "affiliation" if affiliation in empty else "organisation text"
            raise PairError(
                f"pair {number} of {len(pairs)}: the {which} is empty",
                remedy="leave out pairs without text before scoring",
            )


def _is_empty(text: str) -> bool:
    # Most texts begin with a letter, and normalising is slow.
    return not text[:1].isalnum() and Affiliation.of(text).refused is Refusal.EMPTY
