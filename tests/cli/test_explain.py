"""``resolver explain``: the story of an affiliation, from a judgement and as a user runs it."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from rich.console import Console
from support.command_line import Run
from support.judgements import TORONTO, YORK, judged, scored

from resolver.cli.explain import stored_overrides, tell, would_change
from resolver.matching import explanation
from resolver.matching.decision import Scored, curated
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import Outcome, Reason
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Policy
from resolver.settings import Settings
from resolver.text.affiliation import Affiliation


def told(judgement: Judgement, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    tell(judgement, Policy(), console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_link_is_told_step_by_step() -> None:
    shown = told(judged("Dept. of Physics, University of York, York, UK", YORK, TORONTO))
    for expected in (
        "unit Dept. of Physics · organisation University of York · place York · place UK",
        "2 organisations found, 2 on the shortlist, 2 reranked, 2 reach the threshold of 0.50",
        "University of York (0.900) stands on “University of York”: linked",
        "York University (0.600): the text names another country",
        "on “University of York” (characters 18 to 36)",
        "runner-up York University (York University), 0.300 behind",
        "logit +2.00 ████████████ +2.00",
        "country -0.25 ██ -0.25",
    ):
        assert expected in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(
    ("other", "logit", "reranked"),
    [
        (replace(TORONTO, probability=0.2), "1.5 ", 2),
        (replace(TORONTO, probability=0.2, forecast=-3.25), "1.5 (-3.2) ", 1),
        (replace(TORONTO, probability=0.2, score=None, forecast=-3.25), "– (-3.2) ", 1),
    ],
    ids=["a score", "a forecast, and the score beside it", "a forecast alone"],
)
def test_a_forecast_is_told_from_a_score(other: Scored, logit: str, reranked: int) -> None:
    judgement = judged("University of York, York, UK", YORK, other)
    shown = told(judgement)
    (row,) = (line for line in shown.splitlines() if "0.200" in line and "York University" in line)
    assert logit in row
    assert f"2 on the shortlist, {reranked} reranked" in shown
    assert ("(forecast)" in shown) == (other.forecast is not None)
    candidates = explanation.as_object(judgement, Policy(), {})["candidates"]
    assert isinstance(candidates, list)
    assert (candidates[1]["score"], candidates[1]["forecast"]) == (other.score, other.forecast)


@pytest.mark.parametrize(
    ("judgement", "expected"),
    [
        (judged("York Hospital", YORK), "linked"),
        (
            judged("Kelmar Hospital", scored("York", 0.2, "York", "GB", 1)),
            "a lower threshold (--accept-probability); nearest: York (0.20)",
        ),
        (judged("Kelmar Hospital"), "`resolver unmatched`"),
        (judged("Dept. of Physics"), "what that is part of"),
        (judged("Jena, Germany"), "the name of an organisation"),
        (Judgement(Outcome("", reason=Reason.EMPTY)), "1 to 10,000 characters"),
        (Judgement(Outcome("x" * 20_000, reason=Reason.TOO_LONG)), "too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_answer_says_what_a_link_would_take(judgement: Judgement, expected: str) -> None:
    assert expected in told(judgement)
    assert (would_change(judgement, Policy()) is None) == bool(judgement.outcome.links)


def test_namesakes_are_told_with_their_places() -> None:
    rivals = (
        scored("York College", 0.9, "York", "GB", 1),
        scored("York college", 0.8, "Toronto", "CA", 2),
    )
    shown = told(judged("York College", *rivals))
    assert "ambiguous" in shown
    rivals_told = "York College (York, United Kingdom); York college (Toronto, Canada)"
    assert rivals_told in " ".join(shown.split())


TEXT = "Dept. of Physics, University of York, York, UK"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TORONTO_SAID = Override(
    1, TEXT, TORONTO.candidate.ror_id, Verdict.IS, "ada", "their own page", NOON, "York University"
)


def test_what_a_person_said_is_told_before_what_the_model_found() -> None:
    judgement = judged(TEXT, YORK, TORONTO)
    links = curated(
        judgement.affiliation,
        {TORONTO.candidate.ror_id: TORONTO_SAID},
        judgement.candidates,
        judgement.scored,
        {},
    )
    judgement = replace(
        judgement,
        outcome=Outcome(TEXT, links, overrides=(1,)),
        overrides=[TORONTO_SAID],
    )
    shown = " ".join(told(judgement).split())
    for expected in (
        "is York University York University ada, 2026-03-01: their own page",
        "University of York (0.900) stands on “University of York”: linked",
        "none of this counts: a curator decided",
        "York University 1.000 York University",
        "said by ada, 2026-03-01: their own page",
    ):
        assert expected in shown
    whole = json.loads(orjson.dumps(explanation.as_object(judgement, Policy(), {})))
    assert whole["overrides"][0]["verdict"] == "is"
    assert whole["links"][0]["evidence"]["override"] == {
        "id": 1, "author": "ada", "note": "their own page", "date": "2026-03-01",
    }  # fmt: skip


def test_what_a_person_took_away_is_told() -> None:
    denied = replace(TORONTO_SAID, ror_id="x", verdict=Verdict.IS_NOT, note="", name=None)
    outcome = Outcome(TEXT, reason=Reason.OVERRIDDEN, overrides=(1,))
    shown = " ".join(told(Judgement(outcome, Affiliation.of(TEXT), overrides=[denied])).split())
    assert "is not x ada, 2026-03-01" in shown
    assert "overridden: a curator decided against a link" in shown
    assert "the end of the override (`resolver override remove`)" in shown
    assert would_change(Judgement(outcome), Policy()) is not None


def test_that_it_names_no_organisation_is_told_before_what_the_model_found() -> None:
    none = replace(TORONTO_SAID, ror_id=None, verdict=Verdict.NONE, name=None)
    outcome = Outcome(TEXT, reason=Reason.OVERRIDDEN, overrides=(1,))
    judgement = replace(judged(TEXT, YORK, TORONTO), outcome=outcome, overrides=[none])
    shown = " ".join(told(judgement).split())
    for expected in (
        "names none of the registry's organisations ada, 2026-03-01: their own page",
        "University of York (0.900) stands on “University of York”: linked",
        "none of this counts: a curator decided",
        "overridden: a curator decided against a link",
    ):
        assert expected in shown
    whole = json.loads(orjson.dumps(explanation.as_object(judgement, Policy(), {})))
    (decision,) = whole["overrides"]
    assert (decision["verdict"], decision["ror_id"]) == ("none", None)


def test_a_text_of_15_mb_is_told_as_soon_as_any() -> None:
    judgement = Judgement(Outcome("\ufdfa" * 5_000_000, reason=Reason.TOO_LONG))
    began = time.process_time()
    shown = told(judgement)
    explanation.as_object(judgement, Policy(), {})
    assert time.process_time() - began < 2
    assert "compatibility characters folded" in shown
    assert len(shown) < 2_000


def test_where_there_is_no_database_nothing_was_said(tmp_path: Path) -> None:
    assert stored_overrides(Settings(home=tmp_path / "home"), TEXT) == {}
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_explain_as_a_user_runs_it(resolver: Run) -> None:
    text = "Dept. of Physics, Univ. of Oxford &amp; co, Oxford, UK"
    done = resolver("explain", text)
    assert done.returncode == 0, done.stderr
    assert "052gg0110" in done.stdout
    assert "HTML entities resolved" in done.stdout
    whole = json.loads(resolver("explain", "--json", text).stdout)
    assert whole["links"][0]["ror_id"] == "052gg0110"
    assert len(whole["candidates"]) == 50
    (oxford,) = [one for one in whole["candidates"] if one["ror_id"] == "052gg0110"]
    assert [whole["normalised"][a:b] for a, b in oxford["stands_on"]] == ["Univ. of Oxford"]
    refused = json.loads(resolver("explain", "--json", "--countries", "CH", text).stdout)
    assert refused["reason"] == "not_admitted"
    assert refused["would_change"].endswith("(--types, --countries)")
