"""The stages from an affiliation to its links, in their order."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Each takes away candidates or orders them."""

    FIRST_STAGE = "first stage"
    """The search of the index."""

    SIEVE = "sieve"
    """Chooses the candidates that the reranker reads."""

    RERANKER = "reranker"
    """Orders them by its score."""

    JUDGE = "judge"
    """Gives each a probability, which reaches the policy's threshold or does not."""

    DECISION = "decision"
    """Links those that reach it, or not, as their `resolver.matching.decision.Fate` says."""

    LINEAGE = "lineage"
    """Puts successors and parents in place of links, as the policy asks."""
