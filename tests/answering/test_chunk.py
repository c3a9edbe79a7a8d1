"""A chunk against a real Postgres and a real index of the sample registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import Engine, text
from support.hashing_encoder import HashingEncoder
from support.overrides import add

from resolver.answering.chunk import ChunkReport, answer, resolve_chunk, withdraw_chunk
from resolver.curation import overrides as curation
from resolver.database import due_answers, overrides, releases, resolver_versions
from resolver.errors import DatabaseUnavailable, IndexUnavailable, IntakeError, ResolverSuperseded
from resolver.index.build import build
from resolver.index.embedded import EmbeddedStore
from resolver.matching.judge import LogitJudge
from resolver.matching.matcher import Matcher
from resolver.matching.meters import Meters
from resolver.matching.override import Override, Verdict, new_override
from resolver.matching.policy import Level, Policy, Succession
from resolver.matching.recall import Recall
from resolver.release import load
from resolver.reranker import Calibration, Pair
from resolver.sample import REGISTRY
from resolver.text.affiliation import Affiliation, text_hash
from resolver.text.words import words
from resolver.workers.client import chunks

ETH = "05a28rw58"


class OverlapReranker:
    """A real reranker without weights: the share of the name's words that the affiliation has."""

    name = "word-overlap"
    truncated = 0
    fingerprint = "word-overlap-1"
    calibration = Calibration()

    def __init__(self) -> None:
        self.scored: list[str] = []

    def score(self, pairs: list[Pair]) -> npt.NDArray[np.float32]:  # type: ignore[override]
        self.scored += [affiliation for affiliation, _ in pairs]
        return np.array([_logit(*pair) for pair in pairs], np.float32)


def _logit(affiliation: str, organisation: str) -> float:
    name = words(organisation.split(", ", maxsplit=1)[0])
    found = set(words(affiliation))
    return 10.0 * (sum(word in found for word in name) / max(len(name), 1) - 0.5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    return EmbeddedStore(tmp_path_factory.mktemp("index"))


@pytest.fixture
def matcher(engine: Engine, store: EmbeddedStore, tmp_path: Path) -> Iterator[Matcher]:
    report = load.load(engine, REGISTRY, rejects=tmp_path / "rejects.jsonl")
    assert report is not None
    release = releases.current_release(engine)
    assert release is not None
    encoder = HashingEncoder()
    manifest = build(
        releases.organisations(engine, release.id),
        release=release.version,
        release_sha256=release.sha256,
        encoder=encoder,
        store=store,
    )
    index = store.open(manifest.version)
    # More than half of a name must match: "Novartis (Switzerland)" has half of its words.
    yield Matcher(Recall(encoder, index), OverlapReranker(), LogitJudge(1.0, -1.0))
    index.close()


@pytest.fixture
def version(engine: Engine, matcher: Matcher) -> int:
    return _register(engine, recall_depth=50)


def _register(engine: Engine, **settings: object) -> int:
    release = releases.current_release(engine)
    assert release is not None
    registered = resolver_versions.register(
        engine,
        release_id=release.id,
        encoder=("character-hashing", "64"),
        reranker=("word-overlap", "1"),
        settings=settings,
        index_version="sample",
        configuration={},
    )
    return resolver_versions.put_in_use(engine, registered.id).id


def _record(number: int, affiliation: object, **changes: object) -> dict[str, object]:
    return {"source": "test", "id": f"10.1/{number}", "affiliation": affiliation, **changes}


CHUNK: list[object] = [
    _record(1, "ETH Zurich, Switzerland"),
    _record(2, "Qwxyz Vvvv"),
    _record(3, ""),
    _record(4, "ETH  Zurich,\nSwitzerland"),
    _record(5, None),
    "no record",
]

REPORT = ChunkReport(
    received=6, refused=2, new=3, already_resolved=0, linked=1, no_match=2, links=1
)


def _rows(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def _counts(engine: Engine) -> dict[str, object]:
    tables = ("affiliation", "source_record", "outcome", "link", "refused_record")
    return {table: _rows(engine, f"SELECT count(*) FROM {table}")[0][0] for table in tables}


COUNTS = {"affiliation": 3, "source_record": 4, "outcome": 3, "link": 1, "refused_record": 2}


def test_chunk_is_stored(engine: Engine, matcher: Matcher, version: int) -> None:
    assert resolve_chunk(engine, matcher, version, CHUNK) == REPORT
    assert _counts(engine) == COUNTS
    answers = _rows(
        engine,
        """
        SELECT s.external_id, o.status, o.reason, l.name
        FROM source_record s
        JOIN outcome o USING (affiliation_id) LEFT JOIN link l USING (affiliation_id)
        ORDER BY s.external_id
        """,
    )
    assert answers[0] == ("10.1/1", "linked", None, "ETH Zurich")
    assert answers[1][:2] == ("10.1/2", "no_match")
    assert answers[2] == ("10.1/3", "no_match", "empty", None)
    assert answers[3] == ("10.1/4", "linked", None, "ETH Zurich")


def test_refused_records_are_kept_with_their_reasons(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    resolve_chunk(engine, matcher, version, CHUNK)
    kept = _rows(
        engine, "SELECT source, external_id, reason, payload FROM refused_record ORDER BY reason"
    )
    assert kept == [
        (
            "test",
            "10.1/5",
            "affiliation: is null",
            '{"source": "test", "id": "10.1/5", "affiliation": null}',
        ),
        (None, None, "not an object but a string", '"no record"'),
    ]


def test_chunk_sent_twice_changes_nothing_and_computes_nothing(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    resolve_chunk(engine, matcher, version, CHUNK)
    reranker = OverlapReranker()
    again = resolve_chunk(engine, replace(matcher, reranker=reranker), version, CHUNK)
    assert again == replace(REPORT, new=0, already_resolved=3, linked=0, no_match=0, links=0)
    assert _counts(engine) == COUNTS
    assert reranker.scored == []


def test_only_what_has_no_answer_meets_the_models(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    resolve_chunk(engine, matcher, version, CHUNK)
    reranker = OverlapReranker()
    counted = replace(matcher, reranker=reranker, slice_size=1)
    known = [_record(number, "ETH Zurich,  Switzerland") for number in range(10, 40)]
    more = [*known, _record(40, "CERN, Geneva"), *known, _record(41, "University of York, UK")]
    report = resolve_chunk(engine, counted, version, more)
    assert (report.already_resolved, report.new) == (1, 2)
    assert set(reranker.scored) == {"CERN, Geneva", "University of York, UK"}
    assert report.meters.pairs == len(reranker.scored)


def test_report_says_what_the_chunk_cost(engine: Engine, matcher: Matcher, version: int) -> None:
    meters = resolve_chunk(engine, matcher, version, CHUNK).meters
    assert 0 < meters.store < meters.wall
    assert 0 < meters.recall < meters.wall
    assert meters.pairs > 0
    again = resolve_chunk(engine, matcher, version, CHUNK).meters
    assert again == Meters(wall=again.wall, store=again.store)
    assert 0 < again.store < again.wall


def test_chunk_that_fails_in_a_later_slice_is_completed_by_the_next_attempt(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    shaky = replace(matcher, reranker=_Interrupted(IndexUnavailable("gone"), after=1), slice_size=1)
    with pytest.raises(IndexUnavailable):
        resolve_chunk(engine, shaky, version, CHUNK)
    # All answers of a chunk are stored, or none.
    assert _counts(engine) == COUNTS | {"outcome": 0, "link": 0}
    assert resolve_chunk(engine, shaky, version, CHUNK) == REPORT
    assert _counts(engine) == COUNTS


def test_new_version_answers_again_and_an_old_one_stores_nothing(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    resolve_chunk(engine, matcher, version, CHUNK)
    later = _register(engine, recall_depth=60)
    assert resolve_chunk(engine, matcher, later, CHUNK) == REPORT
    more = [*CHUNK, _record(7, "CERN, Geneva")]
    with pytest.raises(ResolverSuperseded):
        resolve_chunk(engine, matcher, version, more)
    assert _counts(engine) == COUNTS | {"affiliation": 4, "source_record": 5}
    assert _rows(engine, "SELECT DISTINCT resolver_version_id FROM outcome") == [(later,)]
    assert resolve_chunk(engine, matcher, later, more).new == 1


def test_what_a_person_said_counts_before_what_the_models_say(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    add(
        engine,
        [
            Override(None, "ETH Zurich, Switzerland", "052gg0110", Verdict.IS, "ada"),
            Override(None, "CERN, Geneva", "01ggx4157", Verdict.IS_NOT, "ada"),
        ],
    )
    chunk = [_record(1, "ETH  Zurich, Switzerland"), _record(2, "CERN, Geneva")]
    resolve_chunk(engine, matcher, version, chunk)
    assert _rows(engine, "SELECT external_id, organisation FROM resolved_links") == [
        ("10.1/1", "University of Oxford")
    ]
    assert _rows(engine, "SELECT cardinality(overrides) FROM outcome") == [(1,), (1,)]


LABS = [_record(1, "Université Paris-Sud, Orsay"), _record(2, "Goddard Space Flight Center")]

ANSWERS = """
    SELECT external_id, organisation, stands_for, policy ->> 'level', policy ->> 'succession'
    FROM resolved_links ORDER BY external_id, rank
"""


def test_chunk_is_answered_as_its_policy_asks(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    resolve_chunk(engine, matcher, version, LABS)
    named = [
        ("10.1/1", "Université Paris-Sud", [], "named", "keep"),
        ("10.1/2", "Goddard Space Flight Center", [], "named", "keep"),
    ]
    assert _rows(engine, ANSWERS) == named
    policy = Policy(level=Level.TOP_PARENT, succession=Succession.ROLL_FORWARD)
    for new in (2, 0):  # a message may come twice
        assert resolve_chunk(engine, matcher, version, LABS, policy).new == new
        assert _rows(engine, ANSWERS) == [
            ("10.1/1", "Université Paris-Saclay", ["028rypz17"], "top-parent", "roll-forward"),
            ("10.1/2", "National Aeronautics and Space Administration", ["0171mag52"],
             "top-parent", "roll-forward"),
        ]  # fmt: skip
    # What was asked for before is answered already.
    assert resolve_chunk(engine, matcher, version, LABS).new == 0
    assert _rows(engine, ANSWERS) == named


def test_policy_of_the_matcher_is_the_default(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    strict = Policy(countries=frozenset({"US"}))
    resolve_chunk(engine, replace(matcher, policy=strict), version, LABS)
    assert [row[:2] for row in _rows(engine, ANSWERS)] == [
        ("10.1/2", "Goddard Space Flight Center")
    ]
    assert _rows(engine, "SELECT external_id, policy ->> 'countries' FROM unmatched") == [
        ("10.1/1", '["US"]')
    ]
    assert resolve_chunk(engine, matcher, version, LABS, strict).new == 0


class _Interrupted(OverlapReranker):
    """Fails once, when it was asked `after` times."""

    def __init__(self, error: Exception, after: int = 0) -> None:
        super().__init__()
        self.error: Exception | None = error
        self.after = after

    def score(self, pairs: list[Pair]) -> npt.NDArray[np.float32]:
        self.after -= 1
        if self.error is not None and self.after < 0:
            error, self.error = self.error, None
            raise error
        return super().score(pairs)


def test_interrupted_chunk_is_completed_by_the_next_attempt(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    shaky = replace(matcher, reranker=_Interrupted(IndexUnavailable("gone")))
    with pytest.raises(IndexUnavailable):
        resolve_chunk(engine, shaky, version, CHUNK)
    assert _counts(engine) == COUNTS | {"outcome": 0, "link": 0}
    assert resolve_chunk(engine, shaky, version, CHUNK) == REPORT
    assert _counts(engine) == COUNTS


def test_missing_database_is_told(matcher: Matcher, engine: Engine, version: int) -> None:
    from resolver.database.connection import connect

    nowhere = connect("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailable):
        resolve_chunk(nowhere, matcher, version, CHUNK)


@pytest.mark.parametrize("raw", [None, {"records": []}, "ETH Zurich"])
def test_what_is_no_chunk_is_told(
    engine: Engine, matcher: Matcher, version: int, raw: object
) -> None:
    with pytest.raises(IntakeError, match="the chunk is not a list"):
        resolve_chunk(engine, matcher, version, raw)


HOSTILE: list[Callable[[], str]] = [
    lambda: "\0\ud800 ETH Zurich",
    lambda: "x" * 200_000,
    lambda: "<b>" * 5_000 + "&amp;" * 5_000,
    lambda: "\u202eETH\u200b Zurich\U0001f600",
    lambda: ", ".join(["ETH Zurich"] * 900),
]


def test_hostile_texts_get_an_outcome_each(engine: Engine, matcher: Matcher, version: int) -> None:
    chunk: list[object] = [_record(number, make()) for number, make in enumerate(HOSTILE)]
    report = resolve_chunk(engine, matcher, version, chunk)
    assert (report.new, report.refused) == (len(HOSTILE), 0)
    assert report.linked + report.no_match == len(HOSTILE)


MARKUP = "<b>" * 1_611 + "ETH Zurich" + "</b>" * 1_611
WRAPPED = "ETH Zurich " + "&" + "amp;" * 12 + " Switzerland"

DOORS = {
    "a text": ("ETH Zurich, Switzerland", None),
    "empty": ("", "empty"),
    "nothing visible": ("<b>\u200b</b>\0", "empty"),
    "markup around a name": (MARKUP, "too_long"),
    "white space around a name": (" " * 11_000 + "ETH Zurich", "too_long"),
    "blank": (" " * 11_000, "too_long"),
    "escapes": ("&amp;" * 2_001, "too_long"),
    "expands": ("\ufdfa" * 600, "too_long"),
    "a hundred thousand": ("ETH Zurich " * 10_000, "too_long"),
    "15 MB": ("\ufdfa" * 5_000_000, "too_long"),
    "twelve layers": (WRAPPED, None),
    "a number of 5,000 digits": ("ETH Zurich, Switzerland &#" + "9" * 5_000 + ";", None),
}


@pytest.mark.parametrize(("raw", "refused"), DOORS.values(), ids=DOORS)
def test_all_doors_are_of_one_mind(
    engine: Engine, matcher: Matcher, version: int, raw: str, refused: str | None
) -> None:
    """The matcher, the client and a worker, a message of anybody's, and a person."""
    began = time.process_time()
    (outcome,) = matcher.resolve([raw])
    assert (outcome.reason in {"empty", "too_long"}) == bool(refused)
    assert refused in (None, outcome.reason)
    ((sent,),) = chunks([_record(1, raw)], size=1)
    for record in (sent, _record(2, raw)):
        resolve_chunk(engine, matcher, version, [record])
    answers = "SELECT o.reason FROM source_record JOIN outcome o USING (affiliation_id)"
    assert _rows(engine, answers) == [(outcome.reason,)] * 2
    assert resolve_chunk(engine, matcher, version, [_record(3, raw)]).already_resolved == 1
    assert due_answers.due_count(engine, version) == 0
    if refused:
        with pytest.raises(ValueError, match=r"no text|longer than 10,000"):
            new_override(raw, ETH, "is not", author="ada")
    else:
        add(engine, [new_override(raw, ETH, "is not", author="ada")])
        assert due_answers.due_count(engine, version) == 0  # until somebody marks them
        found = overrides.applying(engine, [Affiliation.of(raw).text])
        (outcome,) = matcher.resolve([raw], overrides=found)
        assert ETH not in {link.ror_id for link in outcome.links}
        assert len(outcome.overrides) == 1
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "raw", ["ETH Zurich, Switzerland", WRAPPED], ids=["a text", "twelve layers"]
)
def test_what_a_text_is_not_holds_after_one_refresh(
    engine: Engine, matcher: Matcher, version: int, raw: str
) -> None:
    resolve_chunk(engine, matcher, version, [_record(1, raw)])
    said = new_override(raw, ETH, "is not", author="ada")
    assert curation.add(engine, [said]).answers == 1
    (due,) = due_answers.due(engine, version, limit=9)
    answer(engine, matcher, version, [(due.affiliation_id, due.text)], Policy())
    assert due_answers.due_count(engine, version) == 0
    assert _rows(engine, "SELECT overrides FROM outcome") == [([1],)]
    assert (ETH,) not in _rows(engine, "SELECT ror_id FROM link")


def test_a_text_that_was_stored_is_not_made_again(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    """What is said of a text is found by the text that is stored, whatever is made of it now."""
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO affiliation (text_hash, text) VALUES (:hash, :text)"),
            {"hash": text_hash("ETH&amp;Zurich"), "text": "ETH&amp;Zurich"},
        )
    add(engine, [Override(None, "ETH&amp;Zurich", ETH, Verdict.IS, "ada")])
    answered = answer(engine, matcher, version, [(1, "ETH&amp;Zurich")], Policy())
    assert [outcome.overrides for outcome in answered.outcomes] == [(1,)]
    assert due_answers.due_count(engine, version) == 0


def test_empty_chunk(engine: Engine, matcher: Matcher, version: int) -> None:
    assert resolve_chunk(engine, matcher, version, []).received == 0


def test_replaced_record_keeps_what_came_and_loses_the_rest(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    """Also where the chunk is done in parts, of which each replaces the same."""
    before = [_record(1, "ETH Zurich, Switzerland", position=place) for place in range(4)]
    resolve_chunk(engine, matcher, version, before)
    now: list[object] = [_record(1, "University of Oxford", position=place) for place in range(2)]
    whole = [{"source": "test", "id": "10.1/1", "positions": [0, 1]}]
    reports = [
        resolve_chunk(engine, matcher, version, part, replace_whole=whole)
        for part in ([now[0]], [now[1]], now)
    ]
    assert [report.withdrawn for report in reports] == [2, 0, 0]
    assert _rows(engine, "SELECT position, organisation FROM resolved_links ORDER BY 1") == [
        (0, "University of Oxford"), (1, "University of Oxford"),
    ]  # fmt: skip
    assert _rows(engine, "SELECT end_reason, count(*) FROM past_record GROUP BY 1 ORDER BY 1") == [
        ("changed", 2), ("withdrawn", 2),
    ]  # fmt: skip


def test_message_that_replaces_what_cannot_be_read_stores_nothing(
    engine: Engine, matcher: Matcher, version: int
) -> None:
    with pytest.raises(IntakeError, match="the chunk is not a list"):
        resolve_chunk(engine, matcher, version, CHUNK, replace_whole=True)
    assert _counts(engine)["source_record"] == _counts(engine)["refused_record"] == 0


def test_withdrawing_by_message(engine: Engine, matcher: Matcher, version: int) -> None:
    resolve_chunk(engine, matcher, version, CHUNK)
    chunk = [
        {"source": "test", "id": "10.1/1"}, {"source": "test", "id": "nowhere"}, {"id": "10.1/2"},
    ]  # fmt: skip
    report = withdraw_chunk(engine, chunk)
    assert (report.records, report.unknown) == (1, 1)
    assert _rows(engine, "SELECT external_id FROM source_record ORDER BY 1") == [
        ("10.1/2",), ("10.1/3",), ("10.1/4",),
    ]  # fmt: skip
    assert ("to be withdrawn: source: missing",) in _rows(
        engine, "SELECT reason FROM refused_record"
    )
    again = withdraw_chunk(engine, chunk)
    assert (again.records, again.before, again.unknown) == (0, 1, 1)
