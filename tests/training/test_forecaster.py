import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from resolver import sample
from resolver.encoder.loading import load as load_encoder
from resolver.errors import ModelError
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.evidence import KNOWN, Shortlist
from resolver.matching.forecaster import Forecaster
from resolver.matching.judge_file import load_forecaster, load_judge
from resolver.matching.matcher import Matcher
from resolver.matching.reading import Reading
from resolver.matching.recall import Recall
from resolver.registry.document import Document
from resolver.registry.dump import open_release
from resolver.registry.organisation import Organisation
from resolver.reranker.loading import load as load_reranker
from resolver.reranker.odds import probability
from resolver.settings import BUILTIN
from resolver.text.affiliation import Affiliation
from resolver.training.forecaster import (
    FITS,
    ReadShortlist,
    drawn,
    fit_forecaster,
    read_shortlists,
    statements,
)

CITIES = ("Oslo", "Bergen", "Trondheim", "Bonn", "Graz", "York", "Lyon", "Nantes")
KINDS = ("University of {}", "{} Hospital", "Institute of Physics {}")


def shortlists(count: int, *, seed: int = 1) -> list[ReadShortlist]:
    """Each text names one organisation, of which the reranker says 3 and of others -3, about."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        right = rng.choice(KINDS).format(rng.choice(CITIES))
        others = [kind.format(city) for city in CITIES for kind in KINDS]
        names = list(dict.fromkeys([right, *rng.sample(others, 4)]))
        rng.shuffle(names)
        candidates = [
            Candidate(
                Document(name, name, name, False, None, None, "NO", "Norway"),
                Ranked(1, rng.random()),
                None,
                1.0,
            )
            for name in names
        ]
        reading = Reading(Affiliation.of(f"Department {number}, {right}, Norway"), candidates)
        logit = np.array([rng.gauss(3 if name == right else -3, 0.5) for name in names])
        found.append(
            ReadShortlist(Shortlist(reading, range(len(names))), logit, probability(2 * logit))
        )
    return found


def known(read: Sequence[ReadShortlist]) -> np.ndarray:
    return np.concatenate([one.shortlist.known for one in read])


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    ticks: list[int] = []
    made = fit_forecaster(shortlists(300), progress=ticks.append)
    assert ticks == list(range(1, FITS + 1))
    return made


def test_it_foretells_other_strings(fitted: Forecaster) -> None:
    others = shortlists(100, seed=2)
    need, logit = fitted.first.forecast(known(others))
    said = np.concatenate([one.logit for one in others])
    cared = np.concatenate([one.probability for one in others])
    assert np.square(logit - said).mean() < 0.2 * said.var()
    assert need[cared > 0.9].mean() > 0.9
    assert need[cared < 0.1].mean() < 0.1


def test_the_same_shortlists_give_the_same_trees(fitted: Forecaster) -> None:
    assert fit_forecaster(shortlists(300)).as_object() == fitted.as_object()


@pytest.mark.parametrize("count", [0, 20])
def test_too_few_candidates_are_refused(count: int) -> None:
    with pytest.raises(ModelError, match="too few for a forecaster"):
        fit_forecaster(shortlists(count))


@pytest.mark.parametrize(
    ("most", "count"), [(None, 9), (9, 9), (20, 9), (4, 4)], ids=["all", "as many", "fewer", "some"]
)
def test_strings_are_drawn(most: int | None, count: int) -> None:
    texts = [f"text {number}" for number in range(9)]
    some = drawn(texts, most, seed=1)
    assert len(set(some)) == count
    assert set(some) <= set(texts)
    assert some == drawn(texts, most, seed=1)


def test_each_statement_is_read_once() -> None:
    one, other = "University of York, York, UK", "University of Oxford, Oxford, UK"
    stated = statements([f"{one}; {other}", "", other, "x" * 20_000, f" {one}"])
    assert [statement.text for statement in stated] == [one, other]


@pytest.mark.slow
def test_the_reranker_reads_the_whole_shortlists(tmp_path: Path) -> None:
    """The sample registry, and the built-in models with their forecaster."""
    records = open_release(sample.REGISTRY).records()
    encoder, reranker = load_encoder(BUILTIN, None), load_reranker(BUILTIN, None)
    store = EmbeddedStore(tmp_path / "index")
    manifest = build(
        [record for record in records if isinstance(record, Organisation)],
        release="sample",
        release_sha256="0",
        encoder=encoder,
        store=store,
    )
    store.activate(manifest.version)
    texts = ["Department of Sociology, University of York, York, UK", "", "Universität Zürich"]
    ticks: list[int] = []
    with closing(store.open()) as index:
        matcher = Matcher(
            Recall(encoder, index),
            reranker,
            load_judge(BUILTIN, encoder, reranker),
            forecaster=load_forecaster(BUILTIN, encoder, reranker),
            rerank_depth=5,
        )
        read = list(read_shortlists(matcher, texts, progress=ticks.append))
    assert ticks == [2]
    assert [len(one.shortlist) for one in read] == [5, 5]
    for one in read:
        assert np.isfinite(one.logit).all()
        assert one.probability.max() > 0.5
        assert one.shortlist.known.shape == (5, len(KNOWN))
