"""The matcher on the sample registry with the built-in models: the line itself, without a database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver import sample
from resolver.encoder.loading import load as load_encoder
from resolver.errors import IndexProblem, ModelError
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.matching.evidence import Features
from resolver.matching.judge import Weighed
from resolver.matching.judge_file import load_forecaster, load_judge, load_sieve
from resolver.matching.matcher import Matcher, even
from resolver.matching.outcome import Nearest, Outcome, Reason, Status
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Level, Policy
from resolver.matching.recall import Recall
from resolver.registry.dump import accepted, open_release
from resolver.registry.rejects import RejectsFile
from resolver.reranker import Calibration, Pair, Reranker
from resolver.reranker.loading import load as load_reranker
from resolver.settings import BUILTIN

GOLD = [json.loads(line) for line in sample.GOLD.read_text().splitlines()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    folder = tmp_path_factory.mktemp("matching")
    release = open_release(sample.REGISTRY)
    store = EmbeddedStore(folder / "index")
    with RejectsFile(folder / "rejects.jsonl") as rejects:
        manifest = build(
            accepted(release.records(), rejects=rejects),
            release=release.version,
            release_sha256=release.sha256,
            encoder=load_encoder(BUILTIN, None),
            store=store,
        )
    store.activate(manifest.version)
    return store


@pytest.fixture(scope="module")
def matcher(store: EmbeddedStore) -> Iterator[Matcher]:
    encoder, reranker = load_encoder(BUILTIN, None), load_reranker(BUILTIN, None)
    index = store.open()
    yield Matcher(
        Recall(encoder, index),
        reranker,
        load_judge(BUILTIN, encoder, reranker),
        sieve=load_sieve(BUILTIN, encoder),
        forecaster=load_forecaster(BUILTIN, encoder, reranker),
    )
    index.close()


def ids(outcome: Outcome) -> list[str]:
    return [link.ror_id for link in outcome.links]


@pytest.mark.parametrize(
    ("affiliation", "expected"),
    [
        ("Nuffield Dept. of Medicine, Univ. of Oxford, Oxford OX3 7LF, UK", ["052gg0110"]),
        ("Department of Sociology, University of York, York, UK", ["04m01e293"]),
        ("Schulich School of Business, York University, Toronto, Canada", ["05fq50484"]),
        ("MIT, 77 Massachusetts Ave., Cambridge, Massachusetts", ["042nb2s44"]),
        ("Universit&auml;t Z&uuml;rich", ["02crff812"]),
        ("東京大学", ["057zh3y96"]),
        ("Московский государственный университет имени М. В. Ломоносова", ["010pmpe69"]),
    ],
)
def test_an_organisation_is_linked(matcher: Matcher, affiliation: str, expected: list[str]) -> None:
    assert ids(matcher.resolve([affiliation])[0]) == expected


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", Reason.EMPTY),
        (" \n\u3000\x00", Reason.EMPTY),
        ("\ud800", None),
        ("x" * 100_000, Reason.TOO_LONG),
        ("&amp;" * 5000, Reason.TOO_LONG),
        ("?!", None),
        ("🧪🧬", None),
        ("\u202e\u202d", Reason.EMPTY),
        ("14 Juniper Close, Flat 3", None),
    ],
    ids=ascii,
)
def test_what_names_nothing_gets_a_reason(
    matcher: Matcher, raw: str, reason: Reason | None
) -> None:
    (outcome,) = matcher.resolve([raw])
    assert outcome.affiliation == raw
    assert outcome.status is Status.NO_MATCH
    assert reason is None or outcome.reason is reason


def test_neighbours_do_not_matter(matcher: Matcher) -> None:
    """Alone, in a chunk, twice in a chunk, in another order: the same answers in the same places."""
    texts = [row["affiliation"] for row in GOLD[:20]] + ["", "\x00", "x" * 20_000]
    together = matcher.resolve(texts)
    assert [outcome.affiliation for outcome in together] == texts
    assert matcher.resolve(texts[::-1]) == together[::-1]
    assert matcher.resolve([*texts, *texts]) == [*together, *together]
    assert [matcher.resolve([text])[0] for text in texts[:6]] == together[:6]
    assert matcher.resolve([]) == []


def test_a_text_and_its_markup_are_one(matcher: Matcher) -> None:
    plain, marked = matcher.resolve(
        ["Texas A&M University", "Texas&nbsp;A&amp;M <i>University</i>"]
    )
    assert plain.links == marked.links


def test_judgements_show_what_led_there(matcher: Matcher) -> None:
    (judgement,) = matcher.judgements(["Univ. of Oxford, UK"])
    assert judgement.candidates[0].document.display_name == "University of Oxford"
    assert 0 < len(judgement.scored) < matcher.rerank_depth
    assert all(0 <= scored.probability <= 1 for scored in judgement.scored)
    logits = [scored.logit for scored in judgement.scored]
    assert logits == sorted(logits, reverse=True)
    assert all(scored.score is not None for scored in judgement.scored)


def test_a_broken_index_is_an_error_not_a_no_match(matcher: Matcher, store: EmbeddedStore) -> None:
    closed = store.open()
    closed.close()
    broken = Matcher(Recall(matcher.recall.encoder, closed), matcher.reranker, matcher.judge)
    with pytest.raises(IndexProblem):
        broken.resolve(["University of Oxford"])
    assert broken.resolve([""])[0].reason is Reason.EMPTY


# Statements

TWO = "Dept. of Sociology, University of York, York, UK; University of Oxford, Oxford, UK"


def test_each_statement_is_resolved_by_itself(matcher: Matcher) -> None:
    first, second = TWO.split("; ")
    together, alone, other = matcher.resolve([TWO, first, second])
    assert sorted(ids(together)) == sorted(ids(alone) + ids(other)) == [YORK_GB, OXFORD]
    for link in together.links:
        assert link.evidence is not None
        assert TWO[link.evidence.start : link.evidence.end] == link.evidence.text
    probabilities = {link.ror_id: link.probability for link in (*alone.links, *other.links)}
    assert {link.ror_id: link.probability for link in together.links} == probabilities


@pytest.mark.parametrize("slice_size", [1, 2, 64])
def test_equal_statements_are_reranked_once(matcher: Matcher, slice_size: int) -> None:
    first, second = TWO.split("; ")
    reranker = Recorder(matcher.reranker)
    recorded = replace(matcher, reranker=reranker, slice_size=slice_size)
    outcomes, meters = recorded.measured([first, TWO, f"{second}; {first}", second])
    assert {affiliation for affiliation, _ in reranker.pairs} == {first, second}
    assert len(set(reranker.pairs)) == len(reranker.pairs) == meters.pairs
    assert meters.pairs_avoided == 2 * meters.pairs
    assert set(ids(outcomes[1])) == set(ids(outcomes[2])) == {YORK_GB, OXFORD}


def test_overrides_hold_for_the_whole_text(matcher: Matcher) -> None:
    first, _ = TWO.split("; ")
    denied = saying(TWO, ("is not", YORK_GB))
    assert ids(matcher.resolve([TWO], overrides=denied)[0]) == [OXFORD]
    denied = saying(first, ("is not", YORK_GB))
    assert YORK_GB in ids(matcher.resolve([TWO], overrides=denied)[0])
    affirmed = saying(TWO, ("is", OXFORD))
    assert ids(matcher.resolve([TWO], overrides=affirmed)[0]) == [OXFORD]


# Slices


@pytest.fixture(autouse=True)
def no_stage_is_left() -> Iterator[None]:
    yield
    # The reranker keeps threads of its own.
    left = [thread.name for thread in threading.enumerate()]
    assert not [name for name in left if name.startswith(("recall", "score"))]


class Recorder:
    """A reranker that keeps what it was asked, and where; it may fail on a text."""

    def __init__(self, reranker: Reranker, fails_on: str | None = None) -> None:
        self._reranker = reranker
        self._fails_on = fails_on
        self.pairs: list[Pair] = []
        self.calls = 0
        self.threads: set[threading.Thread] = set()

    @property
    def name(self) -> str:
        return self._reranker.name

    @property
    def fingerprint(self) -> str:
        return self._reranker.fingerprint

    @property
    def calibration(self) -> Calibration:
        return self._reranker.calibration

    @property
    def truncated(self) -> int:
        return self._reranker.truncated

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        self.calls += 1
        self.threads.add(threading.current_thread())
        self.pairs += pairs
        if any(affiliation == self._fails_on for affiliation, _ in pairs):
            raise ModelError("the model is gone")
        return self._reranker.score(pairs)


FEW = [row["affiliation"] for row in GOLD[20:28]]


@pytest.fixture(scope="module")
def whole(matcher: Matcher) -> list[Outcome]:
    return replace(matcher, slice_size=1000).resolve(FEW)


@given(size=st.integers(1, len(FEW) + 1), order=st.permutations(range(len(FEW))))
@settings(max_examples=6, deadline=None)
def test_slices_do_not_matter(
    matcher: Matcher, whole: list[Outcome], size: int, order: list[int]
) -> None:
    sliced = replace(matcher, slice_size=size).resolve([FEW[i] for i in order])
    assert sliced == [whole[i] for i in order]


@pytest.mark.parametrize(
    ("length", "size", "lengths"),
    [
        (0, 4, []),
        (1, 4, [1]),
        (4, 4, [4]),
        (5, 4, [2, 3]),
        (130, 64, [43, 43, 44]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_slices_are_even(length: int, size: int, lengths: list[int]) -> None:
    texts = [str(number) for number in range(length)]
    slices = even(texts, size)
    assert [len(one) for one in slices] == lengths
    assert [text for one in slices for text in one] == texts


@pytest.mark.parametrize(("texts", "threaded"), [(1, False), (4, False), (5, True)])
def test_one_slice_starts_no_thread(matcher: Matcher, texts: int, threaded: bool) -> None:
    reranker = Recorder(matcher.reranker)
    replace(matcher, reranker=reranker, slice_size=4).resolve(FEW[:texts])
    assert (reranker.threads == {threading.main_thread()}) is not threaded


@pytest.mark.parametrize(
    ("rerank_from", "rerank_depth", "fewest", "most"),
    [(0.0, 20, 20, 20), (0.0, 7, 7, 7), (0.003, 20, 2, 19), (1.0, 20, 1, 1)],
    ids=["all that may be", "as many as may be", "what is worth it", "never none"],
)
def test_the_sieve_says_what_is_on_the_shortlist(
    matcher: Matcher, rerank_from: float, rerank_depth: int, fewest: int, most: int
) -> None:
    every = replace(matcher, forecaster=None)
    sieved = replace(every, rerank_from=rerank_from, rerank_depth=rerank_depth)
    (judgement,) = sieved.judgements([FEW[0]])
    assert fewest <= len(judgement.scored) <= most
    _, meters = sieved.measured([FEW[0]])
    assert meters.pairs == len(judgement.scored)
    assert meters.sieved == len(judgement.candidates) - meters.pairs


@pytest.mark.slowest
def test_the_sieve_saves_most_pairs_and_hardly_an_answer(matcher: Matcher) -> None:
    texts = [row["affiliation"] for row in GOLD]
    every = replace(matcher, forecaster=None)
    sieved, few = every.measured(texts)
    unsieved, many = replace(every, sieve=None).measured(texts)
    assert few.pairs < many.pairs / 2
    assert few.sieved > few.pairs
    assert many.sieved > 0
    same = sum(ids(a) == ids(b) for a, b in zip(sieved, unsieved, strict=True))
    assert same >= 0.95 * len(texts)


@pytest.mark.parametrize("accept", [0.02, 0.5])
def test_what_could_be_linked_was_read(matcher: Matcher, accept: float) -> None:
    policy = Policy(accept_probability=accept)
    judgements = matcher.judgements(FEW, policy, explained=False)
    scored = [scored for judgement in judgements for scored in judgement.scored]
    assert any(s.score is None for s in scored)
    assert all(s.score is not None for s in scored if s.probability >= accept)
    assert all((s.score is None) == (s.forecast is not None) for s in scored)
    assert all(link.score is not None for j in judgements for link in j.outcome.links)
    assert [j.pairs for j in judgements] == [
        sum(s.score is not None for s in judgement.scored) for judgement in judgements
    ]


@pytest.mark.slowest
def test_the_forecaster_saves_pairs_and_hardly_an_answer(matcher: Matcher) -> None:
    texts = [row["affiliation"] for row in GOLD]
    some, few = matcher.measured(texts)
    every, many = replace(matcher, forecaster=None).measured(texts)
    assert few.pairs < 0.75 * many.pairs
    same = sum(ids(a) == ids(b) for a, b in zip(some, every, strict=True))
    assert same >= 0.98 * len(texts)


def test_a_pair_is_scored_once_in_a_call(matcher: Matcher) -> None:
    reranker = Recorder(matcher.reranker)
    every = replace(matcher, sieve=None, forecaster=None)
    recorded = replace(every, reranker=reranker, slice_size=2)
    texts = [*FEW[:5], "", FEW[0], f" {FEW[1]}\n", FEW[4]]
    outcomes, meters = recorded.measured(texts)
    assert reranker.calls == 3
    assert len(set(reranker.pairs)) == len(reranker.pairs) == meters.pairs
    assert {affiliation for affiliation, _ in reranker.pairs} == set(FEW[:5])
    # Eight texts with as many candidates each as are reranked, the empty one without.
    assert meters.pairs + meters.pairs_avoided == 8 * matcher.rerank_depth
    assert meters.pairs <= 5 * matcher.rerank_depth
    assert outcomes[:5] == every.resolve(FEW[:5])


def test_meters_say_what_a_call_cost(matcher: Matcher) -> None:
    _, meters = replace(matcher, slice_size=2).measured(FEW[:5])
    for stage in ("normalise", "recall", "sieve", "score", "decide"):
        # A stage is in one thread.
        assert 0 < getattr(meters, stage) <= meters.wall
    assert 0 < meters.busy <= 1
    assert meters.store == 0
    assert matcher.measured(["", "\x00"])[1].pairs == 0


def test_what_is_resolved_is_what_is_explained(matcher: Matcher) -> None:
    explained = matcher.judgements(FEW)
    assert matcher.resolve(FEW) == [judgement.outcome for judgement in explained]
    assert all(scored.weighed for judgement in explained for scored in judgement.scored)


@pytest.mark.parametrize("place", [0, 3, 7])
def test_a_failing_slice_fails_the_call(matcher: Matcher, place: int) -> None:
    reranker = Recorder(matcher.reranker, fails_on=FEW[place])
    with pytest.raises(ModelError, match="the model is gone"):
        replace(matcher, reranker=reranker, slice_size=1).resolve(FEW)
    # The next one may have begun meanwhile.
    assert reranker.calls <= place + 2


class Undecided:
    """A judge that fails."""

    def probability(self, features: Features) -> npt.NDArray[np.float64]:
        raise ModelError("the judge is gone")

    def weighed(self, features: Features) -> list[Weighed]:
        raise NotImplementedError

    def as_object(self) -> dict[str, object]:
        raise NotImplementedError


def test_a_slice_that_cannot_be_decided_fails_the_call(matcher: Matcher) -> None:
    reranker = Recorder(matcher.reranker)
    undecided = replace(matcher, judge=Undecided(), reranker=reranker, slice_size=1)
    with pytest.raises(ModelError, match="the judge is gone"):
        undecided.resolve(FEW)
    # The slices that were under way are not followed by others.
    assert reranker.calls <= 3


def test_a_broken_index_fails_a_call_of_slices(matcher: Matcher, store: EmbeddedStore) -> None:
    closed = store.open()
    closed.close()
    broken = replace(matcher, recall=Recall(matcher.recall.encoder, closed), slice_size=2)
    with pytest.raises(IndexProblem):
        broken.resolve(FEW)


# Overrides

YORK_GB, YORK_CA, OXFORD, NOBODY = "04m01e293", "05fq50484", "052gg0110", "00000aa78"
SOCIOLOGY = "Department of Sociology, University of York, York, UK"


def saying(text: str, *said: tuple[str, str | None]) -> dict[str, list[Override]]:
    """Statements with keys from 1."""
    return {
        text: [
            Override(id, text, ror_id, Verdict(verdict), "ada", "by hand", name="as once known")
            for id, (verdict, ror_id) in enumerate(said, start=1)
        ]
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param([("is", OXFORD)], [OXFORD], id="another one"),
        pytest.param([("is", YORK_GB)], [YORK_GB], id="the same one"),
        pytest.param([("is", OXFORD), ("is", YORK_GB)], [YORK_GB, OXFORD], id="two"),
        pytest.param([("is", NOBODY)], [NOBODY], id="one that the index does not have"),
        pytest.param([("is", OXFORD), ("is not", YORK_GB)], [OXFORD], id="this and not that"),
        pytest.param([("is not", OXFORD)], [YORK_GB], id="not what it would not be anyway"),
        pytest.param([("is not", YORK_GB)], Reason.OVERRIDDEN, id="not what it would be"),
        pytest.param([("is not", NOBODY)], [YORK_GB], id="not one that nobody knows"),
        pytest.param([("none", None)], Reason.OVERRIDDEN, id="none"),
        pytest.param([("none", None), ("is not", OXFORD)], Reason.OVERRIDDEN, id="none, nor this"),
    ],
)
def test_a_person_wins_over_the_model(
    matcher: Matcher, said: list[tuple[str, str | None]], expected: list[str] | Reason
) -> None:
    (outcome,) = matcher.resolve([SOCIOLOGY], overrides=saying(SOCIOLOGY, *said))
    assert (outcome.reason or ids(outcome)) == expected
    assert outcome.overrides == tuple(range(1, len(said) + 1))
    for link in outcome.links:
        made = ("is", link.ror_id) in said
        assert link.evidence is not None
        assert (link.evidence.override is not None) == made
        assert (link.probability == 1.0) == made


def test_what_is_said_of_one_text_leaves_the_others_alone(matcher: Matcher) -> None:
    texts = [SOCIOLOGY, *FEW, SOCIOLOGY.upper()]
    alone = matcher.resolve(texts)
    for said in (("is", OXFORD), ("is not", YORK_GB), ("none", None)):
        for size in (2, 64):
            sliced = replace(matcher, slice_size=size)
            first, *others = sliced.resolve(texts, overrides=saying(SOCIOLOGY, said))
            assert first != alone[0]
            assert others == alone[1:]


@pytest.mark.parametrize("raw", ["", "x" * 20_000], ids=["empty", "too long"])
def test_what_is_refused_takes_no_override(matcher: Matcher, raw: str) -> None:
    (outcome,) = matcher.resolve([raw], overrides=saying(raw, ("is", OXFORD)))
    assert not outcome.links
    assert outcome.overrides == ()


def test_overrides_are_of_the_normalised_text(matcher: Matcher) -> None:
    raw = f" <i>{SOCIOLOGY}</i>\n"
    (outcome,) = matcher.resolve([raw], overrides=saying(SOCIOLOGY, ("is", OXFORD)))
    assert (outcome.affiliation, ids(outcome)) == (raw, [OXFORD])


def test_a_rival_gets_the_words_of_what_it_is_not(matcher: Matcher) -> None:
    """The better one of two of like name is taken out; no place speaks against the other."""
    text = "York University and University of York"
    (alone,) = matcher.resolve([text])
    assert alone.links
    for link in alone.links:
        (outcome,) = matcher.resolve([text], overrides=saying(text, ("is not", link.ror_id)))
        assert link.ror_id not in ids(outcome)
        assert {link.ror_id, *ids(outcome)} >= set(ids(alone))


def test_what_it_is_not_is_no_candidate(matcher: Matcher) -> None:
    said = saying(SOCIOLOGY, ("is not", YORK_GB))
    (judgement,) = matcher.judgements([SOCIOLOGY], overrides=said)
    (alone,) = matcher.judgements([SOCIOLOGY])
    assert judgement.overrides == said[SOCIOLOGY]
    assert [c.ror_id for c in judgement.candidates] == [
        c.ror_id for c in alone.candidates if c.ror_id != YORK_GB
    ]
    assert YORK_GB not in {s.candidate.ror_id for s in judgement.scored}


def test_the_reason_is_the_model_s_where_it_would_not_have_linked(matcher: Matcher) -> None:
    text = "14 Juniper Close, Flat 3"
    (alone,) = matcher.resolve([text])
    (outcome,) = matcher.resolve([text], overrides=saying(text, ("is not", OXFORD)))
    assert outcome.reason is alone.reason is not None
    assert outcome.overrides == (1,)


def test_that_it_names_none_is_the_reason_whatever_the_model_s(matcher: Matcher) -> None:
    text = "14 Juniper Close, Flat 3"
    (judgement,) = matcher.judgements([text], overrides=saying(text, ("none", None)))
    assert judgement.outcome.reason is Reason.OVERRIDDEN
    assert judgement.outcome.overrides == (1,)
    best = max(judgement.scored, key=lambda s: s.probability)
    assert judgement.outcome.nearest == Nearest(best.ror_id, best.probability)


def test_a_person_s_link_is_not_put_at_another_level(matcher: Matcher) -> None:
    """The registry has a parent for the hospital; the policy wants the topmost."""
    policy = Policy(level=Level.TOP_PARENT, countries=frozenset({"JP"}), max_links=1)
    child = next(
        document
        for document in matcher.recall.index.organisations(
            {row["id"][-9:] for row in json.loads(sample.REGISTRY.read_text())}
        ).values()
        if document.parents and document.country_code != "JP"
    )
    said = saying(SOCIOLOGY, ("is", child.ror_id), ("is", OXFORD))
    (outcome,) = matcher.resolve([SOCIOLOGY], policy, said)
    assert ids(outcome) == sorted([child.ror_id, OXFORD])
    assert not any(link.stands_for for link in outcome.links)


def test_overrides_cost_nothing(matcher: Matcher) -> None:
    _, alone = matcher.measured([SOCIOLOGY])
    for said in (("is", OXFORD), ("is not", YORK_GB)):
        _, meters = matcher.measured([SOCIOLOGY], overrides=saying(SOCIOLOGY, said))
        assert (meters.pairs, meters.pairs_avoided) == (alone.pairs, 0)


def test_others_are_weighed_beside_what_it_is_not(matcher: Matcher) -> None:
    """What is denied leaves an example of what it looks like: a rival must be good by itself."""

    def weighed(*said: tuple[str, str]) -> dict[str, float]:
        (judgement,) = matcher.judgements([SOCIOLOGY], overrides=saying(SOCIOLOGY, *said))
        return {s.candidate.ror_id: s.probability for s in judgement.scored}

    alone = weighed()
    assert len(alone) > 1
    assert weighed(("is not", YORK_GB)) == {k: p for k, p in alone.items() if k != YORK_GB}


def test_the_sample_is_mostly_right(matcher: Matcher) -> None:
    """A floor, not a figure: the figures are in docs/benchmarks.md, on other strings."""
    outcomes = matcher.resolve([row["affiliation"] for row in GOLD])
    right = sum(set(ids(o)) == set(row["ror_ids"]) for o, row in zip(outcomes, GOLD, strict=True))
    assert right / len(GOLD) > 0.75
