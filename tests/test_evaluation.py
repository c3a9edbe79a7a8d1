"""Reading gold files, and the report's form; the figures' definitions are tests/domain/test_metrics.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.domain.metrics import Agreement, Bin, Ranking, Reliability
from resolver.errors import GoldError
from resolver.evaluation import Report
from resolver.gold import Gold, read_gold


def test_read_gold_takes_bare_and_full_ids_and_skips_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '{"affiliation": "a", "ror_ids": ["https://ror.org/052gg0110"], "source": "x"}\n\n'
        '{"affiliation": "", "ror_ids": []}\n'
    )
    assert read_gold(path) == [Gold("a", ("052gg0110",)), Gold("", ())]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", ":1: not a labelled affiliation"),
        ('{"affiliation": "a", "ror_ids": []}\n[]', ":2: not a labelled affiliation"),
        ('{"affiliation": "a"}', ":1: not a labelled affiliation"),
        ('{"affiliation": null, "ror_ids": []}', ":1: affiliation must be a string"),
        ('{"affiliation": "a", "ror_ids": "052gg0110"}', "ror_ids a list"),
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


def test_the_report_is_flat_and_keeps_what_is_not_known() -> None:
    report = Report(
        file="x",
        agreement=Agreement(1, None, None, None, None, 1.0, 1.0),
        recall_at={5: None, 20: None, 50: None, 100: None},
        rankings={"reranker": Ranking(2, 0.5, 0.75, 0.8)},
        reliability={"judge": Reliability((Bin(2, 0.9, 1.0),), 0.1)},
        seconds=0.5,
        strings_per_second=2.0,
    ).as_dict()
    assert report["precision"] is None
    assert report["exact"] == 1.0
    assert report["rankings"] == {"reranker": {"strings": 2, "top1": 0.5, "mrr": 0.75, "ndcg": 0.8}}
    assert report["reliability"] == {
        "judge": {
            "bins": ({"claims": 2, "claimed": 0.9, "right": 1.0},),
            "expected_error": 0.1,
        }
    }
    assert report["recall_at"] == {"5": None, "20": None, "50": None, "100": None}
