"""Reading gold files, and from answers to a report.

The figures' definitions are tested in tests/evaluation and tests/matching, the whole way in tests/cli/test_evaluate.py.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import GoldError
from resolver.evaluation.gold import Gold, read_gold
from resolver.evaluation.measurement import (
    DECISION,
    FIRST_STAGE,
    JUDGE,
    POOLED,
    RERANKER,
    TARGET_PRECISIONS,
    MeasuredString,
    ResolvedSet,
    measure,
    pooled,
    work,
)
from resolver.evaluation.mistake import Mistake, MistakeKind, Side
from resolver.evaluation.operating_point import FLOOR, LinksAtThreshold, thresholds
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Scored, decide
from resolver.matching.policy import Policy
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation


def test_read_gold_takes_bare_and_full_ids_and_skips_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '{"affiliation": "a", "ror_ids": ["https://ror.org/052gg0110"], "source": "x"}\n\n'
        '{"affiliation": "", "ror_ids": []}\n'
        '{"affiliation": "b", "ror_ids": ["052gg0110", "https://ror.org/04M01E293/"]}\n'
    )
    assert read_gold(path) == [
        Gold("a", ("052gg0110",), "x"), Gold("", ()), Gold("b", ("052gg0110", "04m01e293")),
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_gold_takes_files_as_programs_write_them(
    tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "gold.jsonl"
    line = '{"affiliation": "Zürich", "ror_ids": ["05a28rw58"]}\r\n'
    path.write_bytes(pack(line.encode(encoding)))
    assert read_gold(path) == [Gold("Zürich", ("05a28rw58",))]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"x" * 9, mtime=0)[:-9], "the file breaks off"),
        (b'{"affiliation": "Z\xfcrich", "ror_ids": []}', r":1: not UTF-8 \(byte 0xfc"),
        (b"PK\x03\x04", "an Excel workbook"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_bytes(content)
    with pytest.raises(GoldError, match=said):
        read_gold(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", ":1: not a labelled affiliation"),
        ('{"affiliation": "a", "ror_ids": []}\n[]', ":2: not a labelled affiliation"),
        ('{"affiliation": "a"}', ":1: not a labelled affiliation"),
        ('{"affiliation": null, "ror_ids": []}', ":1: affiliation must be a string"),
        ('{"affiliation": "a", "ror_ids": "052gg0110"}', "ror_ids a list"),
        ('{"affiliation": "a", "ror_ids": [null]}', ":1: ror_ids: None is no ROR id"),
        ('{"affiliation": "a", "ror_ids": [52110110]}', ":1: ror_ids: 52110110 is no ROR id"),
        (
            '{"affiliation": "a", "ror_ids": []}\n'
            '{"affiliation": "a", "ror_ids": ["052gg0110", "052gg0111"]}',
            ":2: ror_ids: '052gg0111' is no ROR id: its check digits do not fit",
        ),
        ('{"affiliation": "a", "ror_ids": ["grid.4991.5"]}', ":1: ror_ids: 'grid.4991.5' is no"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(content)
    with pytest.raises(GoldError, match=said):
        read_gold(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GoldError, match=r"nowhere\.jsonl"):
        read_gold(tmp_path / "nowhere.jsonl")


def mistake(ror_id: str, side: Side, kind: MistakeKind) -> Mistake:
    unknown = (None,) * 9
    return Mistake("…", side, kind, ror_id, *unknown, (), (), ())


def answer(
    gold: str, recalled: str, probabilities: tuple[float, ...], linked: str
) -> MeasuredString:
    """Organisations are letters. All that is recalled is reranked, in the first stage's order."""
    right = [ror_id in gold for ror_id in recalled]
    claims = list(zip(probabilities, right, strict=True))
    return MeasuredString(
        gold=tuple(gold),
        recalled=tuple(recalled),
        linked=tuple(linked),
        orders={
            FIRST_STAGE: right,
            RERANKER: right,
            JUDGE: right,
            DECISION: [ror_id in gold for ror_id in linked],
        },
        claims={RERANKER: claims, JUDGE: claims},
        by_threshold=tuple(
            LinksAtThreshold(p, (i,)) for p, i in zip(probabilities, recalled, strict=True)
        ),
        mistakes=tuple(
            [mistake(i, Side.MISSED, MistakeKind.BELOW_THRESHOLD) for i in gold if i not in linked]
            + [mistake(i, Side.WRONG, MistakeKind.EXTRA) for i in linked if i not in gold]
        ),
    )


ONE = ResolvedSet(
    "one",
    [answer("a", "ab", (0.9, 0.2), "a"), answer("b", "ab", (0.6, 0.4), "a")],
    seconds=0.5,
    latencies=[0.01, 0.02, 0.03],
)
OTHER = ResolvedSet(
    "other", [answer("", "c", (0.1,), ""), answer("d", "d", (0.3,), "")], seconds=1.5
)


def test_measures_come_from_the_answers() -> None:
    report = measure(ONE)
    assert report.agreement.precision == report.agreement.recall == 0.5
    assert report.recall_at == {5: 1.0, 20: 1.0, 50: 1.0, 100: 1.0}
    assert report.rankings[JUDGE].top1 == 0.5
    assert report.rankings[JUDGE].mrr == 0.75
    # What is not linked is not found, however high it was ranked.
    assert report.rankings[DECISION].mrr == 0.5
    assert report.strings_per_second == 4.0
    assert report.latency is not None
    assert (report.latency.strings, report.latency.p50_ms) == (3, pytest.approx(20))
    assert report.latency.p95_ms == pytest.approx(29)
    assert report.best_f1 is not None
    assert (report.best_f1.accept_probability, report.best_f1.f1) == (0.4, 1.0)
    assert report.intervals == {}


def test_pooled_figures_are_those_of_one_large_set() -> None:
    both = pooled([ONE, OTHER])
    assert (both.name, len(both.answers), both.seconds) == (POOLED, 4, 2.0)
    report = measure(both)
    assert report.agreement.recall == pytest.approx(1 / 3)  # not the mean of 1/2 and 0
    assert report.agreement.no_match_specificity == 1.0
    assert report.strings_per_second == 2.0
    assert report.latency == measure(ONE).latency
    assert len(report.mistakes) == 3


def test_a_set_without_strings_has_no_figures() -> None:
    report = measure(ResolvedSet("empty", [], 0.0), resamples=10)
    assert report.agreement.precision is None
    assert report.best_f1 is None
    assert set((report.at_precision or {}).values()) == {None}
    assert set((report.intervals or {}).values()) == {None}
    assert report.latency is None


def test_the_report_is_flat_and_keeps_what_is_not_known() -> None:
    report = measure(ONE, resamples=50).as_dict()
    assert report["file"] == "one"
    assert report["exact"] == 0.5
    assert report["no_match_specificity"] is None
    assert report["rankings"]["judge"] == {  # type: ignore[index]
        "strings": 2, "top1": 0.5, "mrr": 0.75, "ndcg": pytest.approx(0.8155, abs=1e-4),
    }  # fmt: skip
    assert report["recall_at"].keys() == {"5", "20", "50", "100"}  # type: ignore[attr-defined]
    assert list(report["at_precision"]) == [f"{t:.2f}" for t in TARGET_PRECISIONS]  # type: ignore[call-overload]
    assert report["best_f1"]["exact"] == 1.0  # type: ignore[index]
    assert [p["accept_probability"] for p in report["curve"]] == [0.9, 0.6, 0.4, 0.2]  # type: ignore[attr-defined]
    assert report["intervals"].keys() == {"precision", "recall", "f1", "exact"}  # type: ignore[attr-defined]
    assert report["mistakes"] == {"below_threshold": {"missed": 1}, "extra": {"wrong": 1}}
    assert measure(OTHER).as_dict()["latency"] is None
    orjson.dumps(report)


@pytest.mark.parametrize(("latency", "strings"), [(0, 3), (2, 5), (100, 6)])
def test_work_counts_the_strings_that_are_timed_alone(latency: int, strings: int) -> None:
    assert work([Gold("x", ())] * 3, latency) == strings


NAMES = ("University of York", "York University", "York Hospital", "University of Oxford")
SCORED = [
    Scored(
        Candidate(Document(f"0{i:08}", name, name, False, "York", None, "GB", "United Kingdom"),
                  None, None, 0.0),
        0.0, 0.0,
    )
    for i, name in enumerate(NAMES)
]  # fmt: skip


@given(
    st.lists(st.floats(0.0, 1.0), min_size=len(NAMES), max_size=len(NAMES)), st.floats(FLOOR, 1.0)
)
def test_nothing_changes_between_the_thresholds_that_are_looked_at(
    probabilities: list[float], threshold: float
) -> None:
    """What the exact curve rests on: a decision hangs on who reaches the threshold alone."""
    text = "York Hospital and University of York, York"
    scored = [replace(s, probability=p) for s, p in zip(SCORED, probabilities, strict=True)]

    def linked(at: float) -> list[str]:
        outcome = decide(Affiliation.of(text), scored, Policy(accept_probability=at))
        return [link.ror_id for link in outcome.links]

    above = [p for p in thresholds(probabilities) if p >= threshold]
    assert linked(threshold) == (linked(above[-1]) if above else [])
