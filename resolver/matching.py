"""Affiliations → outcomes: normalise, recall candidates, rerank, judge, decide, then put the links
at the level, and of the generation, that the policy asks for.

`Matcher.resolve` is the one way through, for the command line, the workers and the
evaluation alike. It depends on its parts and its arguments only, and keeps no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resolver.domain import lineage
from resolver.domain.affiliation import MAX_CHARACTERS, normalise
from resolver.domain.candidate import Candidate
from resolver.domain.decision import Scored, decide, refusal
from resolver.domain.document import Document
from resolver.domain.evidence import evidence
from resolver.domain.judge import Judge
from resolver.domain.outcome import Outcome
from resolver.domain.policy import Policy
from resolver.recall import Recall
from resolver.reranker import Reranker


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome with what led to it.

    `candidates` is the first stage's list, `scored` the part of it that the reranker
    judged; both best first by their own order, and empty when nothing was searched.
    """

    outcome: Outcome
    candidates: Sequence[Candidate] = ()
    scored: Sequence[Scored] = ()


@dataclass(frozen=True, slots=True)
class Matcher:
    """First stage, reranker, judge and policy in one.

    `recall_depth` organisations come from the first stage, and the first `rerank_depth` of
    them meet the reranker.
    """

    recall: Recall
    reranker: Reranker
    judge: Judge
    policy: Policy = field(default_factory=Policy)
    recall_depth: int = 50
    rerank_depth: int = 20

    def resolve(self, affiliations: Sequence[str], policy: Policy | None = None) -> list[Outcome]:
        """One outcome an affiliation, in order; `policy` takes the place of the matcher's own.

        Any string is taken. A failing part raises its `ResolverError`; it never shows as
        "no match".
        """
        return [judgement.outcome for judgement in self.judgements(affiliations, policy)]

    def judgements(
        self, affiliations: Sequence[str], policy: Policy | None = None
    ) -> list[Judgement]:
        """Like `resolve`, with candidates and scores."""
        # Slicing first bounds the work that a text of megabytes can cause.
        normalised = [normalise(raw[: MAX_CHARACTERS + 1]) for raw in affiliations]
        refused = [refusal(raw, text) for raw, text in zip(affiliations, normalised, strict=True)]
        texts = list(
            dict.fromkeys(
                text for text, reason in zip(normalised, refused, strict=True) if reason is None
            )
        )
        judged = dict(zip(texts, self._search(texts, policy or self.policy), strict=True))
        return [
            Judgement(Outcome(raw, reason=reason)) if reason else _as_written(raw, judged[text])
            for raw, text, reason in zip(affiliations, normalised, refused, strict=True)
        ]

    def _search(self, texts: Sequence[str], policy: Policy) -> list[Judgement]:
        if not texts:
            return []
        found = self.recall.candidates(texts, depth=self.recall_depth)
        shortlists = [candidates[: self.rerank_depth] for candidates in found]
        pairs = [
            (text, candidate.document.text)
            for text, shortlist in zip(texts, shortlists, strict=True)
            for candidate in shortlist
        ]
        logits = self.reranker.score(pairs) if pairs else np.empty(0, np.float32)
        judged = []
        start = 0
        for text, candidates, shortlist in zip(texts, found, shortlists, strict=True):
            scores = logits[start : start + len(shortlist)].tolist()
            start += len(shortlist)
            features = evidence(text, shortlist, scores)
            scored = list(
                map(
                    Scored,
                    shortlist,
                    scores,
                    self.judge.probability(features).tolist(),
                    self.judge.weighed(features),
                )
            )
            scored.sort(key=lambda s: (-s.score, s.candidate.ror_id))
            judged.append(Judgement(decide(text, scored, policy), candidates, scored))
        return self._placed(judged, policy)

    def _placed(self, judged: Sequence[Judgement], policy: Policy) -> list[Judgement]:
        """The same with the links as `resolver.domain.lineage` wants them."""
        known: dict[str, Document | None] = {
            scored.candidate.ror_id: scored.candidate.document
            for judgement in judged
            for scored in judgement.scored
        }
        links = [link for judgement in judged for link in judgement.outcome.links]
        while missing := lineage.needed(links, policy, known):
            found = self.recall.index.organisations(missing)
            known |= {ror_id: found.get(ror_id) for ror_id in missing}
        return [
            replace(
                judgement,
                outcome=replace(
                    judgement.outcome, links=lineage.apply(judgement.outcome.links, policy, known)
                ),
            )
            for judgement in judged
        ]


def _as_written(raw: str, judgement: Judgement) -> Judgement:
    return replace(judgement, outcome=replace(judgement.outcome, affiliation=raw))
