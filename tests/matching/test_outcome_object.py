"""The JSON form of an outcome."""

from __future__ import annotations

import orjson

from resolver.matching.outcome import CountryAgreement, Link, LinkEvidence, Outcome, Reason
from resolver.matching.outcome_object import as_object, place_of
from resolver.registry.document import Document

EVIDENCE = LinkEvidence(
    "York", 0, 4, CountryAgreement.NONE_NAMED, True, 1, 2.00004, None, weighed=(("logit", 0.12345),)
)
YORK = Link("04m01e293", "University of York", "York", 4.12341, 0.987654, 1, EVIDENCE, ("00aa",))
DOCUMENT = Document("04m01e293", "York", "York", False, "York", None, "GB", "United Kingdom")


def test_a_link_has_its_place_and_rounded_numbers() -> None:
    written = as_object(Outcome("York", (YORK,)), {"04m01e293": DOCUMENT})
    found = orjson.loads(orjson.dumps(written))
    assert (found["status"], found["reason"]) == ("linked", None)
    (link,) = found["links"]
    assert (link["probability"], link["score"], link["city"]) == (0.9877, 4.1234, "York")
    assert link["evidence"]["weighed"] == {"logit": 0.1235}
    assert link["evidence"]["sparse"] == 2.0
    assert link["stands_for"] == ["00aa"]


def test_an_organisation_that_the_index_does_not_have_has_no_place() -> None:
    (link,) = orjson.loads(orjson.dumps(as_object(Outcome("York", (YORK,)), {})))["links"]
    assert {link[name] for name in place_of(None)} == {None}


def test_a_lone_surrogate_is_written_as_a_question_mark() -> None:
    found = as_object(Outcome("Yo\ud800rk", reason=Reason.PLACE_ONLY), {})
    assert (found["affiliation"], found["links"]) == ("Yo?rk", [])
