"""How an answer came about: reasons, remedies, and the words that candidates stand on."""

from __future__ import annotations

import orjson
import pytest
from support.judgements import TORONTO, YORK, judged, scored

from resolver.matching.decision import Fate, Scored
from resolver.matching.explanation import (
    FATES,
    REASONS,
    REMEDIES,
    as_object,
    candidates,
    changes,
    in_words,
    remedy,
)
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import CountryAgreement, Outcome, Reason
from resolver.matching.policy import Policy
from resolver.matching.statement import JudgedStatement
from resolver.text.affiliation import Affiliation, normalise


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("University of York", []),
        ("Universit&auml;t", ["HTML entities resolved"]),
        ("<i>York</i>", ["tags removed"]),
        (r"Universit\"at", ["damage mended"]),
        ("Universita¨t", ["damage mended"]),
        ("ofYork", ["damage mended"]),
        ("ﬁne", ["compatibility characters folded"]),
        ("Yo\u200brk", ["invisible characters removed"]),
        ("Yo\x00rk", ["control characters replaced"]),
        ("Yo\ud800rk", ["broken characters replaced"]),
        (" a  b\n", ["white space made single"]),
        ("&#" + "9" * 5_000 + ";", ["HTML entities resolved"]),
    ],
    ids=ascii,
)
def test_changes(raw: str, expected: list[str]) -> None:
    assert changes(raw) == expected
    assert bool(expected) == (normalise(raw) != raw)


def test_every_reason_and_fate_has_words() -> None:
    assert set(REASONS) == set(REMEDIES) == set(Reason)
    assert set(FATES) == set(Fate)
    assert in_words(Reason.AMBIGUOUS) == "ambiguous: several organisations fit equally well"


COLLEGES = (
    scored("York College", 0.9, "York", "GB", 1),
    scored("York college", 0.8, "Toronto", "CA", 2),
)


@pytest.mark.parametrize(
    ("judgement", "expected", "about"),
    [
        (judged("York Hospital", YORK), None, []),
        (
            judged("Kelmar Hospital", scored("York", 0.3, "York", "GB", 1)),
            "a fuller name, or a lower threshold",
            ["York"],
        ),
        (judged("Kelmar Hospital"), "a record in the registry", []),
        (
            judged("Kelmar Hospital", scored("York", 0.1, "York", "GB", 1)),
            "a record in the registry",
            ["York"],
        ),
        (judged("York College", *COLLEGES), "a place that tells which", ["York College"] * 2),
        (
            Judgement(Outcome("York", reason=Reason.OVERRIDDEN)),
            "the end of the override",
            [],
        ),
    ],
    ids=["linked", "below", "no candidate", "not near", "namesakes", "overridden"],
)
def test_what_a_link_would_take(
    judgement: Judgement, expected: str | None, about: list[str]
) -> None:
    wanted = remedy(judgement, Policy())
    assert (wanted and str(wanted)) == expected
    named = [s.document.name for s in wanted.organisations] if wanted else []
    assert [name.casefold() for name in named] == [name.casefold() for name in about]


def stands_on(judgement: Judgement) -> list[list[str]]:
    text = judgement.affiliation.text
    return [
        [text[start:end] for start, end in explained.stands_on]
        for explained in candidates(judgement, Policy())
    ]


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        pytest.param(
            "Dept. of Physics, Univ. of York, York, UK",
            ["University of York", "York University"],
            [["Univ. of York"], ["Univ", "York"]],
            id="a name in one piece and one in two",
        ),
        pytest.param("Kelmar, Oslo", ["University of York"], [[]], id="no word of it"),
        pytest.param("東京大学医学部", ["東京大学"], [["東京大学"]], id="without spaces"),
        pytest.param(
            "قسم الفيزياء، جامعة الملك سعود",
            ["جامعة الملك سعود"],
            [["جامعة الملك سعود"]],
            id="with the article",
        ),
    ],
)
def test_the_words_that_a_candidate_stands_on(
    text: str, names: list[str], expected: list[list[str]]
) -> None:
    country = "GB" if text.isascii() else "SA"
    found = [scored(name, 0.4, "York", country, rank) for rank, name in enumerate(names, start=1)]
    assert stands_on(judged(text, *found)) == expected


def test_the_words_of_a_statement_are_those_of_the_whole_text() -> None:
    whole = Affiliation.of("York University, Toronto, Canada; University of York, York, UK")
    of_each: list[list[Scored]] = [[TORONTO], [YORK]]
    statements = [
        JudgedStatement(stated, [s.candidate for s in its], its, start)
        for (start, stated), its in zip(whole.statements, of_each, strict=True)
    ]
    judgement = Judgement(Outcome(whole.text, reason=Reason.AMBIGUOUS), whole, statements)
    assert stands_on(judgement) == [["York University"], ["University of York"]]
    assert [explained.statement for explained in candidates(judgement, Policy())] == [1, 2]


def test_a_candidate_that_was_not_read_has_words_and_no_decision() -> None:
    judgement = judged("Univ. of York, UK", YORK)
    (statement,) = judgement.statements
    more = JudgedStatement(
        statement.affiliation, [*statement.candidates, TORONTO.candidate], statement.scored
    )
    first, second = candidates(Judgement(judgement.outcome, more.affiliation, [more]), Policy())
    assert first.decision is not None
    assert (first.decision.fate, first.rank, first.country) == (
        Fate.LINKED, 1, CountryAgreement.NAMED,
    )  # fmt: skip
    assert (second.decision, second.rank, second.country, second.city_named) == (
        None, 2, None, None,
    )  # fmt: skip
    assert second.stands_on


def test_the_explanation_is_json() -> None:
    judgement = judged("Univ. of York, UK", YORK, TORONTO)
    found = orjson.loads(orjson.dumps(as_object(judgement, Policy(), {})))
    assert [c["step"] for c in found["candidates"]] == ["linked", "other_country"]
    assert found["candidates"][0]["weighed"] == {"logit": 2.0, "city": 0.5, "country": -0.25}
    assert found["candidates"][0]["stands_on"] == [[0, 13]]
    assert found["links"][0]["evidence"]["text"] == "Univ. of York"
    assert [read["segments"] for read in found["statements"]] == [["Univ. of York"]]
    assert (found["would_change"], found["overrides"]) == (None, [])
