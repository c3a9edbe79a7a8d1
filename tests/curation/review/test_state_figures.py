from __future__ import annotations

from sqlalchemy import Engine
from support.deciding import KELMAR, WRONG, choice, decided
from support.reviewing import NOT_THERE, send

from resolver.curation import review
from resolver.curation.review import Action


def test_figures(engine: Engine, version: int, texts: dict[str, int]) -> None:
    send(engine, version, WRONG, records=3, source="datacite")
    decided(engine, choice(engine, texts[KELMAR], Action.NONE, seconds=4.0))
    figures = review.figures(engine)
    assert (figures.texts, figures.linked) == (4, 2)
    assert (figures.records, figures.linked_records) == (7, 5)
    assert figures.reasons == {NOT_THERE: 2}
    assert sum(figures.histogram) == 3
    assert figures.histogram[18] == figures.histogram[12] == figures.histogram[14] == 1
    (pace,) = figures.pace
    assert (pace.author, pace.decisions, pace.seconds) == ("ada", 1, 4.0)
    assert figures.remaining.items == 3
    assert review.counts(engine) == {review.LINKED: 2, NOT_THERE: 1}
