"""The matcher on the sample registry with the built-in models: the line itself, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from resolver import sample
from resolver.domain.outcome import Outcome, Reason, Status
from resolver.encoder.loading import load as load_encoder
from resolver.errors import IndexProblem
from resolver.index.embedded import EmbeddedStore
from resolver.indexing import build
from resolver.judging import load_judge
from resolver.matching import Matcher
from resolver.recall import Recall
from resolver.registry.dump import accepted, open_release
from resolver.registry.rejects import RejectsFile
from resolver.reranker.loading import load as load_reranker
from resolver.settings import BUILTIN

GOLD = [json.loads(line) for line in sample.GOLD.read_text().splitlines()]


@pytest.fixture(scope="module")
def matcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matcher]:
    folder = tmp_path_factory.mktemp("matching")
    release = open_release(sample.REGISTRY)
    encoder, reranker = load_encoder(BUILTIN, None), load_reranker(BUILTIN, None)
    store = EmbeddedStore(folder / "index")
    with RejectsFile(folder / "rejects.jsonl") as rejects:
        build(
            accepted(release.records(), rejects=rejects),
            release=release.version,
            release_sha256=release.sha256,
            encoder=encoder,
            store=store,
        )
    index = store.open()
    yield Matcher(Recall(encoder, index), reranker, load_judge(BUILTIN, encoder, reranker))
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
    assert len(judgement.scored) == matcher.rerank_depth
    assert all(0 <= scored.probability <= 1 for scored in judgement.scored)
    scores = [scored.score for scored in judgement.scored]
    assert scores == sorted(scores, reverse=True)


def test_a_broken_index_is_an_error_not_a_no_match(matcher: Matcher) -> None:
    store = matcher.recall.index
    closed = EmbeddedStore(store._path.parents[1]).open()  # type: ignore[attr-defined]
    closed.close()
    broken = Matcher(Recall(matcher.recall.encoder, closed), matcher.reranker, matcher.judge)
    with pytest.raises(IndexProblem):
        broken.resolve(["University of Oxford"])
    assert broken.resolve([""])[0].reason is Reason.EMPTY


def test_the_sample_is_mostly_right(matcher: Matcher) -> None:
    """A floor, not a figure: the figures are in docs/benchmarks.md, on other strings."""
    outcomes = matcher.resolve([row["affiliation"] for row in GOLD])
    right = sum(set(ids(o)) == set(row["ror_ids"]) for o, row in zip(outcomes, GOLD, strict=True))
    assert right / len(GOLD) > 0.75
