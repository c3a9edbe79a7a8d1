"""Fitting the judge: which weights make the evidence say how probable a link is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from resolver.domain.evidence import FEATURES, Judge, evidence
from resolver.domain.organisation import Organisation
from resolver.errors import ModelError
from resolver.matching import Matcher
from resolver.training.pairs import Labelled, verdict

RIDGE = 1.0
"""Inverse strength C of the ridge on standardised features (scikit-learn's default). The fit
has some 10,000 candidates for 16 weights, so it matters little."""

IN_THEIR_SCRIPTS = 0.25
"""Made strings in scripts beside Latin, for each gold string: of the 671 held-out gold strings
none is in another script, so what such a name is worth would never be seen."""

BATCH = 64


def fit_judge(
    matcher: Matcher,
    gold: Sequence[Labelled],
    organisations: Mapping[str, Organisation],
    *,
    progress: Callable[[int], None] | None = None,
) -> Judge:
    """Logistic regression on the candidates that `matcher` brings for held-out strings.

    `gold` must be strings whose organisations the reranker was not trained on
    (`pairs.split`), or its scores are better than they will ever be again. Candidates that may
    be meant, though no label says so, are left out.

    Raises:
        ModelError: there are too few right or wrong candidates to fit on.
    """
    from sklearn.linear_model import LogisticRegression

    rows, labels = [], []
    for start in range(0, len(gold), BATCH):
        items = gold[start : start + BATCH]
        judgements = matcher.judgements([item.affiliation for item in items])
        for item, judgement in zip(items, judgements, strict=True):
            shortlist = judgement.candidates[: matcher.rerank_depth]
            scores = {scored.candidate.ror_id: scored.score for scored in judgement.scored}
            features = evidence(
                item.affiliation, shortlist, [scores[candidate.ror_id] for candidate in shortlist]
            )
            for candidate, row in zip(shortlist, features, strict=True):
                label = verdict(item, candidate.document, organisations)
                if label is not None:
                    rows.append(row)
                    labels.append(label)
        if progress:
            progress(min(start + BATCH, len(gold)))
    right = sum(labels)
    if min(right, len(labels) - right) < 10 * len(FEATURES):
        raise ModelError(
            f"{right} right and {len(labels) - right} wrong candidates are too few for a judge",
            remedy="give more labelled strings, of organisations in the registry at hand",
        )
    x = np.array(rows)
    # A feature that never varies here says nothing here.
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    fitted = LogisticRegression(C=RIDGE, max_iter=1000).fit(x / spread, np.array(labels))
    weights = fitted.coef_[0] / spread
    return Judge(tuple(weights.tolist()), float(fitted.intercept_[0]))
