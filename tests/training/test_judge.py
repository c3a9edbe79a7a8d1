import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resolver import sample
from resolver.encoder.loading import load as load_encoder
from resolver.errors import ModelError
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.evidence import NAMES, Features
from resolver.matching.judge import LogitJudge
from resolver.matching.matcher import Matcher
from resolver.matching.reading import Reading
from resolver.matching.recall import Recall
from resolver.registry.document import Document
from resolver.registry.dump import open_release
from resolver.registry.organisation import Organisation, OrganisationStatus
from resolver.reranker.loading import load as load_reranker
from resolver.settings import BUILTIN
from resolver.text.affiliation import Affiliation
from resolver.training import judge
from resolver.training.judge import (
    PARTS,
    Example,
    fit_judge,
    of_fold,
    unseen,
)
from resolver.training.pairs import Labelled, fold, held_out, read_labelled

CITIES = ("Oslo", "Bergen", "Trondheim", "Bonn", "Graz", "York", "Lyon", "Nantes")
KINDS = ("University of {}", "{} Hospital", "Institute of Physics {}")


def candidate(name: str, score: float) -> Candidate:
    document = Document(name, name, name, False, None, None, "NO", "Norway")
    return Candidate(document, Ranked(1, score), None, 1.0)


def examples(count: int, *, seed: int = 1) -> list[Example]:
    """Each names one organisation; its logit is higher, as a rule, and one verdict is unknown."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        city, kind = rng.choice(CITIES), rng.choice(KINDS)
        right = kind.format(city)
        names = [right, *rng.sample([k.format(c) for c in CITIES for k in KINDS], 4)]
        names = list(dict.fromkeys(names))
        candidates = [candidate(name, rng.random()) for name in names]
        logits = tuple(rng.gauss(2 if name == right else -2, 1.5) for name in names)
        item = Labelled(
            f"Department {number}, {right}, Norway",
            frozenset({right}),
            complete=rng.random() < 0.5,
        )
        verdicts = tuple(1 if name == right else 0 for name in names)
        found.append(
            Example(
                item,
                item.affiliation,
                candidates,
                tuple(range(len(names))),
                logits,
                (*verdicts[:-1], None),
            )
        )
    return found


def evidence_of(found: Sequence[Example]) -> list[Features]:
    return [example.features() for example in found]


@pytest.fixture(scope="module")
def fitted() -> tuple[list[Example], object, tuple[tuple[float, float, float], ...]]:
    found = examples(12 * len(NAMES))
    judge, operating = fit_judge(found, evidence_of(found))
    return found, judge, tuple(operating)


def test_it_tells_right_from_wrong_on_other_strings(fitted) -> None:
    _, judge, _ = fitted
    right, wrong = [], []
    for example in examples(100, seed=2):
        for probability, verdict in zip(
            judge.probability(example.features()), example.verdicts, strict=True
        ):
            (right if verdict == 1 else wrong).append(probability)
    assert np.mean(right) > 0.85
    assert np.mean(wrong) < 0.1


def test_operating_points_trade_recall_for_precision(fitted) -> None:
    _, _, operating = fitted
    accepts = [accept for accept, _, _ in operating]
    recalls = [recall for _, _, recall in operating]
    assert accepts == sorted(accepts)
    assert recalls == sorted(recalls, reverse=True)
    assert operating[0][1] <= operating[-1][1]
    assert 0.8 < operating[accepts.index(0.5)][1] <= 1


def test_the_same_examples_give_the_same_trees(fitted) -> None:
    found, judge, _ = fitted
    ticks: list[int] = []
    again, _ = fit_judge(found, evidence_of(found), progress=ticks.append)
    assert again.as_object() == judge.as_object()
    assert ticks == list(range(1, PARTS + 2))


def test_too_few_candidates_are_refused() -> None:
    found = examples(20)
    with pytest.raises(ModelError, match="too few for a judge"):
        fit_judge(found, evidence_of(found))
    with pytest.raises(ModelError, match="too few for a judge"):
        fit_judge([], [])


class Listed:
    """A first stage that knows the candidates of each text."""

    def __init__(self, found: Sequence[Example]) -> None:
        self._known = {example.item.affiliation: list(example.candidates) for example in found}

    def candidates(self, texts: Sequence[Affiliation], *, depth: int) -> list[list[Candidate]]:
        return [self._known[text.text][:depth] for text in texts]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[3.0, 1.0], [1.0, 2.0]], [[1, 0], [None, 0]]),
        ([[1.0, 1.0], [3.0, 2.0]], [[None, 0], [1, 0]]),
        ([[1.0, 1.0], [1.0, 2.0]], [[1, 0], [1, 0]]),
    ],
    ids=["in the first", "in the second", "in both alike"],
)
def test_a_named_organisation_is_right_in_one_statement(
    scores: list[list[float]], expected: list[list[int | None]]
) -> None:
    documents = [candidate(name, 0.0).document for name in ("Oslo University", "Bergen College")]
    item = Labelled("two statements", frozenset({"Oslo University"}), complete=True)
    statements = [list(zip(documents, of_one, strict=True)) for of_one in scores]
    organisations = {
        document.ror_id: Organisation(document.ror_id, OrganisationStatus.ACTIVE, (), places=())
        for document in documents
    }
    assert judge.verdicts_of(item, statements, organisations) == expected


NAMED, NEAR, MAYBE = "Oslo University", "Oslo University Press", "Oslo Hospital"


def example_of(
    candidates: Sequence[str], shortlist: Sequence[int], verdicts: Sequence[int | None]
) -> Example:
    item = Labelled("Oslo University", frozenset({NAMED}), complete=True)
    return Example(
        item,
        item.affiliation,
        [candidate(name, 0.0) for name in candidates],
        tuple(shortlist),
        tuple(float(position) for position in shortlist),
        tuple(verdicts),
    )


@pytest.mark.parametrize(
    ("candidates", "shortlist", "verdicts", "left", "verdicts_left"),
    [
        ([NAMED, NEAR, MAYBE], [0, 1, 2], [1, 0, None], [NEAR, MAYBE], [0, None]),
        ([NEAR, NAMED, MAYBE], [1, 2], [1, None], [MAYBE], [None]),
        ([NEAR, NAMED, MAYBE], [0, 2], [0, None], [NEAR, MAYBE], [0, None]),
        ([NEAR, NAMED], [1], [1], None, None),
        ([NAMED, NEAR], [0, 1], [None, 0], [NEAR], [0]),
    ],
    ids=["first", "in the middle", "not on the shortlist", "alone", "right in another statement"],
)
def test_near_names_are_left_where_the_registry_lacks_what_is_named(
    candidates: list[str],
    shortlist: list[int],
    verdicts: list[int | None],
    left: list[str] | None,
    verdicts_left: list[int | None] | None,
) -> None:
    example = example_of(candidates, shortlist, verdicts).without_named()
    if left is None:
        assert example is None
        return
    assert example is not None
    assert [example.candidates[position].ror_id for position in example.shortlist] == left
    assert list(example.verdicts) == verdicts_left
    assert [float(candidates.index(name)) for name in left] == list(example.logits)
    assert example.item.weight == judge.ABSENT_WEIGHT
    assert NAMED not in {candidate.ror_id for candidate in example.candidates}


def test_a_share_of_the_strings_with_complete_labels_is_learnt_without_what_they_name() -> None:
    named = frozenset({NAMED})
    strings = [Labelled(f"Room {i}, Oslo University", named, complete=True) for i in range(2000)]
    chosen = [item for item in strings if judge.absent(item)]
    assert len(chosen) / len(strings) == pytest.approx(judge.ABSENT_SHARE, abs=0.02)
    assert not any(judge.absent(replace(item, complete=False)) for item in chosen)
    assert not any(judge.absent(replace(item, ror_ids=frozenset())) for item in chosen)


def test_precision_and_recall_are_not_measured_without_what_is_named() -> None:
    found = examples(60)
    without = [e for e in (example.without_named() for example in found) if e]
    assert without
    certain = [np.array([0.95 if v == 1 else 0.01 for v in e.verdicts]) for e in found]
    mistaken = [np.full(len(e.shortlist), 0.95) for e in without]
    measured = judge._operating([*found, *without], [*certain, *mistaken])
    assert measured == judge._operating(found, certain)
    assert measured[0] == (judge.THRESHOLDS[0], 1.0, 1.0)


def test_the_sieve_passes_what_is_named() -> None:
    found = [
        replace(e, item=replace(e.item, affiliation=f"Room {i}, {e.item.affiliation}"))
        for i, e in enumerate(examples(400))
    ]
    named = {name for e in found for name in e.item.ror_ids}
    organisations = {name: Organisation(name, "active", (), places=()) for name in named}
    strings = [example.item for example in found]
    ticks: list[int] = []
    sieve = judge.fit_sieve(Listed(found), strings, organisations, depth=5, progress=ticks.append)
    assert ticks[-1] == len(strings)
    for example in examples(40, seed=2):
        reading = Reading(Affiliation.of(example.item.affiliation), example.candidates)
        (passed,) = sieve.shortlists([reading], least=0.2, most=5)
        assert example.verdicts.index(1) in passed
        assert len(passed) < len(example.candidates)


def test_too_few_candidates_are_refused_by_the_sieve() -> None:
    found = examples(5)
    with pytest.raises(ModelError, match="too few for a sieve"):
        judge.fit_sieve(Listed(found), [example.item for example in found], {}, depth=5)


def test_what_cannot_be_known_is_left_out(fitted) -> None:
    from resolver.training.judge import _strings, _table

    found, _, _ = fitted
    table = _table(found, evidence_of(found), _strings(found))
    assert len(table.y) == sum(verdict is not None for e in found for verdict in e.verdicts)


@pytest.mark.slow
def test_examples_are_the_shortlists_of_strings_that_the_reranker_did_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample registry, its gold strings and the built-in models."""
    organisations = [
        record for record in open_release(sample.REGISTRY).records()
        if isinstance(record, Organisation)
    ]  # fmt: skip
    encoder, reranker = load_encoder(BUILTIN, None), load_reranker(BUILTIN, None)
    store = EmbeddedStore(tmp_path / "index")
    manifest = build(
        organisations, release="sample", release_sha256="0", encoder=encoder, store=store
    )
    store.activate(manifest.version)
    monkeypatch.setattr(judge, "IN_THEIR_SCRIPTS", 3)
    trained = read_labelled(sample.GOLD)
    of_held_out = [
        Labelled(name.value, frozenset({organisation.ror_id}))
        for organisation in organisations
        if held_out(organisation.ror_id)
        for name in organisation.names
    ]
    further = [Labelled("University of Bonn, 53115 Bonn", frozenset({"041nas322"}), complete=True)]
    strings = unseen(
        [*trained, *of_held_out], organisations, left_out=1, folds=2, further=further, seed=1
    )
    texts = {item.affiliation for item in strings}
    assert texts >= {item.affiliation for item in (*of_held_out, *further)}
    for item in trained:
        left_out = fold(item.affiliation, 2) == 1
        assert (item.affiliation in texts) >= left_out
    assert sum(item.certain for item in strings) == 3
    folds = [
        {item.affiliation for item in of_fold([*trained, *of_held_out], number, 2)}
        for number in (0, 1)
    ]
    assert not folds[0] & folds[1]
    assert folds[1] <= texts
    assert folds[0] | texts == texts | {item.affiliation for item in trained}
    with closing(store.open()) as index:
        matcher = Matcher(Recall(encoder, index), reranker, LogitJudge(1.0, 0.0), rerank_depth=5)
        ticks: list[int] = []
        by_id = {organisation.ror_id: organisation for organisation in organisations}
        found = judge.examples(matcher, strings, by_id, progress=ticks.append)
    assert ticks[-1] == len(strings)
    assert len(found) == sum(bool(item.affiliation) for item in strings)
    for example in found:
        logits = example.features()[:, NAMES.index("logit")]
        assert logits == pytest.approx(example.logits, abs=1e-6)
        assert example.item.complete == (example.item in further)
