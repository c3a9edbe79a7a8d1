from __future__ import annotations

import pytest
from sqlalchemy import Engine
from support.deciding import KELMAR, OTHER_KELMAR, TEXTS, choice, decided

from resolver.curation import review
from resolver.curation.review import Action, LackingState, ReviewError, undo


def test_the_request_is_filled_in_and_kept(engine: Engine, texts: dict[str, int]) -> None:
    fields = review.lacking_fields(engine, texts[KELMAR])
    assert fields["Name of organization"].startswith("Kelmar Technical")
    assert fields["Country"] == "Norway"
    assert not any(affiliation in value for affiliation in TEXTS for value in fields.values())
    fields["Website"] = "https://kelmar.example"
    (made,) = decided(engine, choice(engine, texts[KELMAR], Action.LACKING, lacking=fields)).ids
    (draft,) = review.lacking(engine)
    assert (draft.fields, draft.state, draft.records) == (fields, LackingState.DRAFT, 1)
    assert review.lacking_fields(engine, texts[OTHER_KELMAR]) == fields
    sent = review.update_lacking(
        engine, draft.cluster, "bob", state=LackingState.SENT, ror_issue="https://example.org/1"
    )
    assert (sent.state, sent.author, sent.fields) == (LackingState.SENT, "bob", fields)
    assert review.lacking(engine, LackingState.DRAFT) == []
    with pytest.raises(ReviewError):
        review.update_lacking(engine, b"x", "bob", state=LackingState.SENT)
    undo(engine, made, "ada")
    assert review.lacking(engine) != []  # it was sent


def test_a_draft_goes_with_its_decisions(engine: Engine, texts: dict[str, int]) -> None:
    (made,) = decided(engine, choice(engine, texts[KELMAR], Action.LACKING)).ids
    assert len(review.lacking(engine)) == 1
    undo(engine, made, "ada")
    assert review.lacking(engine) == []
