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
    POOLED,
    TARGET_PRECISIONS,
    Figures,
    ResolvedSet,
    ResolvedString,
    figures,
    measure,
    pooled,
    work,
)
from resolver.evaluation.mistake import Mistake, MistakeKind, Side
from resolver.evaluation.operating_point import FLOOR, LinksAtThreshold, thresholds
from resolver.evaluation.stage import Stage
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Fate, Scored, decide
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


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ("", Gold("a", ("052gg0110",))),
        (', "maybe": []', Gold("a", ("052gg0110",), complete=True)),
        (
            ', "maybe": ["04M01E293"], "not": ["https://ror.org/05a0ya142"], "read": true',
            Gold(
                "a", ("052gg0110",),
                maybe=("04m01e293",), complete=True, ruled_out=("05a0ya142",),
            ),
        ),
        (', "asserted": []', Gold("a", ("052gg0110",), asserted=())),
        (', "asserted": ["04m01e293"]', Gold("a", ("052gg0110",), asserted=("04m01e293",))),
    ],
)  # fmt: skip
def test_read_gold_takes_what_was_read_of_other_organisations(
    tmp_path: Path, lists: str, expected: Gold
) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(f'{{"affiliation": "a", "ror_ids": ["052gg0110"]{lists}}}')
    assert read_gold(path) == [expected]


@pytest.mark.parametrize(
    ("gold", "asserted"),
    [
        (Gold("a", ("x",), "s"), None),
        (Gold("a", ("x",), "s", asserted=("y",)), Gold("a", ("y",), "s")),
        (Gold("a", ("x",), maybe=("y",), ruled_out=("z",), asserted=()), Gold("a", ())),
    ],
)
def test_an_asserted_label_stands_alone(gold: Gold, asserted: Gold | None) -> None:
    """It was made without those that were read beside it."""
    assert gold.as_asserted() == asserted


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
        ('{"affiliation": "a", "ror_ids": [], "maybe": ["x"]}', ":1: maybe: 'x' is no ROR id"),
        ('{"affiliation": "a", "ror_ids": [], "not": "x"}', ":1: not must be a list"),
        ('{"affiliation": "a", "ror_ids": [], "asserted": null}', ":1: asserted must be a list"),
        (
            '{"affiliation": "a", "ror_ids": ["052gg0110"], "not": ["https://ror.org/052GG0110"]}',
            ":1: 052gg0110 is in ror_ids and in not",
        ),
        (
            '{"affiliation": "a", "ror_ids": [], "maybe": ["052gg0110"], "not": ["052gg0110"]}',
            ":1: 052gg0110 is in maybe and in not",
        ),
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


def missed(ror_id: str, lost_at: Stage, fate: Fate | None = None) -> Mistake:
    before, after = (None,) * 3, (None,) * 6
    return Mistake(
        "…",
        Side.MISSED,
        MistakeKind.OMITTED,
        ror_id,
        *before,
        lost_at,
        fate,
        *after,
        (),
        (),
        (),
        (),
    )


def wrong(ror_id: str) -> Mistake:
    return Mistake("…", Side.WRONG, MistakeKind.EXTRA, ror_id, *(None,) * 11, (), (), (), ())


def answer(
    gold: str,
    recalled: str,
    probabilities: tuple[float, ...],
    linked: str,
    *,
    maybe: str = "",
    asserted: str | None = None,
) -> ResolvedString:
    """Organisations are letters. All that is recalled is reranked, in the first stage's order, and
    linked from its probability on."""
    label = Gold(
        "…", tuple(gold), maybe=tuple(maybe), asserted=None if asserted is None else tuple(asserted)
    )
    claims = list(zip(recalled, probabilities, strict=True))
    return ResolvedString(
        gold=label,
        recalled=tuple(recalled),
        orders={
            Stage.FIRST_STAGE: recalled,
            Stage.RERANKER: recalled,
            Stage.JUDGE: recalled,
            Stage.DECISION: linked,
        },
        probabilities={Stage.RERANKER: claims, Stage.JUDGE: claims},
        by_threshold=tuple(
            LinksAtThreshold(p, tuple(recalled[:place])) for place, p in enumerate(probabilities, 1)
        ),
        mistakes=tuple(
            [missed(i, Stage.JUDGE, Fate.BELOW_THRESHOLD) for i in gold if i not in linked]
            + [wrong(i) for i in linked if i not in gold]
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
    against = report.figures
    assert against.agreement.precision == against.agreement.recall == 0.5
    assert against.recall_at == {5: 1.0, 20: 1.0, 50: 1.0, 100: 1.0}
    assert against.rankings[Stage.JUDGE].top1 == 0.5
    assert against.rankings[Stage.JUDGE].mrr == 0.75
    # What is not linked is not found, however high it was ranked.
    assert against.rankings[Stage.DECISION].mrr == 0.5
    assert report.strings_per_second == 4.0
    assert report.latency is not None
    assert (report.latency.strings, report.latency.p50_ms) == (3, pytest.approx(20))
    assert report.latency.p95_ms == pytest.approx(29)
    assert against.best_f1 is not None
    assert (against.best_f1.accept_probability, against.best_f1.f1) == (0.4, 0.8)
    assert against.intervals == {}
    assert report.asserted is None


def test_pooled_figures_are_those_of_one_large_set() -> None:
    both = pooled([ONE, OTHER])
    assert (both.name, len(both.answers), both.seconds) == (POOLED, 4, 2.0)
    report = measure(both)
    assert report.figures.agreement.recall == pytest.approx(1 / 3)  # not the mean of 1/2 and 0
    assert report.figures.agreement.no_match_specificity == 1.0
    assert report.strings_per_second == 2.0
    assert report.latency == measure(ONE).latency
    assert len(report.mistakes) == 3


def test_a_set_without_strings_has_no_figures() -> None:
    report = measure(ResolvedSet("empty", [], 0.0), resamples=10)
    assert report.figures.agreement.precision is None
    assert report.figures.best_f1 is None
    assert set(report.figures.at_precision.values()) == {None}
    assert set(report.figures.intervals.values()) == {None}
    assert report.asserted is None
    assert report.latency is None


MAYBES = {
    "linked beside what is right": (
        answer("a", "ma", (0.9, 0.8), "ma", maybe="m"), answer("a", "a", (0.8,), "a"),
    ),
    "linked alone, and nothing is labelled": (
        answer("", "mb", (0.9, 0.2), "m", maybe="m"), answer("", "b", (0.2,), ""),
    ),
    "not linked, and nothing is labelled": (
        answer("", "mb", (0.3, 0.2), "", maybe="m"), answer("", "b", (0.2,), ""),
    ),
    "linked in place of what is right": (
        answer("a", "ma", (0.9, 0.2), "m", maybe="m"), answer("a", "a", (0.2,), ""),
    ),
    "in front of what is wrong": (
        answer("a", "mba", (0.9, 0.8, 0.1), "mb", maybe="m"), answer("a", "ba", (0.8, 0.1), "b"),
    ),
    "several": (
        answer("ab", "ambn", (0.9, 0.8, 0.7, 0.6), "ambn", maybe="mn"),
        answer("ab", "ab", (0.9, 0.7), "ab"),
    ),
}  # fmt: skip


def of_one(string: ResolvedString) -> Figures:
    """Its figures, beside two strings that have all that a figure needs."""
    rows = [string, *ONE.answers]
    return figures(rows, [row.gold for row in rows], resamples=20)


@pytest.mark.parametrize(("with_maybe", "without"), MAYBES.values(), ids=MAYBES)
def test_a_maybe_counts_in_no_figure(with_maybe: ResolvedString, without: ResolvedString) -> None:
    """The figures are those of answers in which it never was."""
    assert of_one(with_maybe) == of_one(without)


READ = ResolvedSet(
    "read",
    [
        answer("ab", "ab", (0.9, 0.8), "ab", asserted="a"),
        answer("c", "cm", (0.9, 0.8), "cm", maybe="m", asserted="m"),
        answer("", "d", (0.2,), "", asserted="d"),
    ],
    seconds=1.0,
)


def test_asserted_labels_are_measured_beside_those_that_were_read() -> None:
    report = measure(READ, resamples=20)
    asserted = report.asserted
    assert asserted is not None
    read = report.figures.agreement
    assert (read.precision, read.recall, read.exact) == (1.0, 1.0, 1.0)
    # Of a, b, c, m only a and m were asserted; d was, and is missed.
    measured = asserted.agreement
    assert (measured.precision, measured.recall, measured.exact) == (2 / 4, pytest.approx(2 / 3), 0)
    assert measured.no_match_specificity is None
    assert asserted.rankings[Stage.DECISION].top1 == pytest.approx(1 / 3)
    assert asserted.recall_at[5] == 1.0
    assert asserted.intervals.keys() == report.figures.intervals.keys()
    assert report.as_dict()["asserted"] == asserted.as_dict()


def test_asserted_labels_of_some_strings_make_no_figures() -> None:
    assert measure(pooled([READ, ONE])).asserted is None


def test_what_was_lost_is_counted_by_stage_and_fate() -> None:
    lost = [
        missed("a", Stage.FIRST_STAGE),
        *[missed("b", Stage.JUDGE, Fate.BELOW_THRESHOLD)] * 2,
        missed("c", Stage.DECISION, Fate.TIED),
        *[missed("c", Stage.DECISION, Fate.OTHER_COUNTRY)] * 3,
        wrong("d"),
    ]
    string = replace(ONE.answers[0], mistakes=tuple(lost))
    report = measure(ResolvedSet("lost", [string], 1.0))
    assert report.losses() == {
        (Stage.FIRST_STAGE, None): 1,
        (Stage.JUDGE, None): 2,
        (Stage.DECISION, Fate.TIED): 1,
        (Stage.DECISION, Fate.OTHER_COUNTRY): 3,
    }
    written = report.as_dict()
    assert written["lost_at"] == {
        "first stage": 1, "sieve": 0, "judge": 2, "decision": 4, "lineage": 0,
    }  # fmt: skip
    assert written["lost_in_decision"] == {"other_country": 3, "tied": 1}


def test_the_report_is_flat_and_keeps_what_is_not_known() -> None:
    report = measure(ONE, resamples=50).as_dict()
    assert report["file"] == "one"
    assert report["exact"] == 0.5
    assert report["no_match_specificity"] is None
    assert report["rankings"]["judge"] == {  # type: ignore[index]
        "strings": 2, "top1": 0.5, "mrr": 0.75, "ndcg": pytest.approx(0.8155, abs=1e-4),
    }  # fmt: skip
    assert report["recall_at"].keys() == {"5", "20", "50", "100"}  # type: ignore[attr-defined]
    assert list(map(float, report["at_precision"])) == list(TARGET_PRECISIONS)  # type: ignore[call-overload]
    assert report["best_f1"]["exact"] == 0.5  # type: ignore[index]
    assert [p["accept_probability"] for p in report["curve"]] == [0.9, 0.6, 0.4, 0.2]  # type: ignore[attr-defined]
    assert report["intervals"].keys() == {"precision", "recall", "f1", "exact"}  # type: ignore[attr-defined]
    assert report["mistakes"] == {"omitted": {"missed": 1}, "extra": {"wrong": 1}}
    assert report["asserted"] is None
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
