"""What the same affiliations, candidates and scores give, beside the numbers of the forms.

``forms.json`` holds affiliations with candidates of the sample registry, as the built-in models
found and scored them, and what evidence and decision made of that under the forms it names. A
change of code that changes any of it needs another form, or answers that are not valid any more go
on as valid, and the judge is asked about numbers that it was not fitted to. When a form was raised,
this records anew::

    python tests/matching/test_forms.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from resolver import sample
from resolver.matching import decision, evidence, lineage
from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.decision import Scored, curated, decide, decisions
from resolver.matching.outcome import Link
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Level, Policy, Succession
from resolver.matching.reading import Reading, of_others
from resolver.registry.document import Document, documents
from resolver.registry.organisation import Organisation
from resolver.registry.record import parse
from resolver.text.affiliation import Affiliation

KEPT = Path(__file__).with_name("forms.json")

POLICIES = {
    "default": Policy(),
    "strict": Policy(accept_probability=0.9, max_links=1),
    "lax": Policy(accept_probability=0.1),
    "most specific": Policy(level=Level.MOST_SPECIFIC, succession=Succession.ROLL_FORWARD),
    "top parent": Policy(level=Level.TOP_PARENT, types=frozenset({"education", "healthcare"})),
    "both": Policy(level=Level.BOTH, countries=frozenset({"US", "GB", "DE"})),
}

Case = dict[str, Any]


@cache
def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(KEPT.read_text())
    return found


@cache
def registry() -> dict[str, Organisation]:
    records = json.loads(sample.REGISTRY.read_text())
    return {one.ror_id: one for one in (parse(raw, index=0) for raw in records)}


def candidates(case: Case) -> list[Candidate]:
    return [
        Candidate(
            _document(one["ror_id"], one["name"], one["namesakes"]),
            _ranked(one["sparse"]),
            _ranked(one["dense"]),
            one["fused"],
        )
        for one in case["candidates"]
    ]


def _ranked(one: list[Any] | None) -> Ranked | None:
    return Ranked(*one) if one else None


def _document(ror_id: str, name: str, namesakes: int) -> Document:
    (found,) = (one for one in documents(registry()[ror_id]) if one.name == name)
    return replace(found, namesakes=namesakes)


def seen(case: Case) -> dict[str, Any]:
    """What the affiliation and its candidates give, as JSON values."""
    affiliation = Affiliation.of(case["affiliation"])
    reading = Reading(affiliation, candidates(case))
    shortlist = evidence.Shortlist(reading, case["shortlist"])
    table = evidence.evidence(shortlist, case["logits"])
    return {
        "text": affiliation.text,
        "segments": list(affiliation.searched),
        "features": _rounded(table.tolist()),
    }


def decided(case: Case) -> dict[str, Any]:
    """What is decided of it under each policy, as JSON values."""
    affiliation = Affiliation.of(case["affiliation"])
    first_stage = candidates(case)
    scored = [
        Scored(first_stage[position], logit, probability)
        for position, logit, probability in zip(
            case["shortlist"], case["logits"], case["probabilities"], strict=True
        )
    ]
    last = first_stage[-1]
    override = Override(1, affiliation.text, last.ror_id, Verdict.IS, "ada")
    made = decisions(affiliation, scored, POLICIES["default"])
    return {
        "steps": {decision.ror_id: [decision.fate, decision.rival] for decision in made},
        "said": _links(curated(affiliation, {last.ror_id: override}, first_stage, scored, {})),
        "default": _answer(affiliation, scored, POLICIES["default"]),
        # The same links need not be written out again.
        **{name: _short(_answer(affiliation, scored, policy)) for name, policy in POLICIES.items()
           if name != "default"},
    }  # fmt: skip


def _answer(affiliation: Affiliation, scored: list[Scored], policy: Policy) -> Any:
    outcome = decide(affiliation, scored, policy)
    if outcome.reason:
        return outcome.reason
    known: dict[str, Document | None] = {s.ror_id: s.document for s in scored}
    while missing := lineage.needed(outcome.links, policy, known):
        known |= {one: next(documents(registry()[one]), None) if one in registry() else None
                  for one in missing}  # fmt: skip
    return _links(lineage.apply(outcome.links, policy, known, barred=()))


def _short(answer: Any) -> Any:
    if isinstance(answer, str):
        return answer
    return [[link["ror_id"], link["matched_name"], *link["stands_for"]] for link in answer]


def _links(links: tuple[Link, ...]) -> Any:
    return _rounded([asdict(link) for link in links])


def _rounded(value: Any) -> Any:
    """JSON values, with numbers of six digits: processors differ in the last."""
    match value:
        case float():
            short = float(f"{value:.6g}")
            return int(short) if short.is_integer() else short
        case dict():
            return {name: _rounded(item) for name, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value


def differences(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Where two JSON values differ by more than rounding."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before.keys() | now.keys():
            yield from differences(before.get(name), now.get(name), f"{where}/{name}")
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differences(one, other, f"{where}/{place}")
    elif isinstance(before, float | int) and isinstance(now, float | int):
        if now != pytest.approx(before, rel=1e-4, abs=1e-6):
            yield f"{where}: {before} before, {now} now"
    elif before != now:
        yield f"{where}: {before!r} before, {now!r} now"


def changes_seen() -> list[str]:
    columns = differences(kept()["columns"], list(evidence.NAMES), "columns")
    cases = (differences(case["seen"], seen(case), case["affiliation"]) for case in kept()["cases"])
    return [*columns, *(one for found in cases for one in found)]


def changes_decided() -> list[str]:
    cases = (
        differences(case["decided"], decided(case), case["affiliation"]) for case in kept()["cases"]
    )
    return [one for found in cases for one in found]


HOW = "raise FORM in {}, then: python tests/matching/test_forms.py\n{}"


def test_evidence_that_changes_has_another_form() -> None:
    assert kept()["evidence_form"] == evidence.FORM, "record: python tests/matching/test_forms.py"
    found = changes_seen()
    assert not found, HOW.format("resolver/matching/evidence.py", "\n".join(found[:20]))


def test_decisions_that_change_have_another_form() -> None:
    assert kept()["decision_form"] == decision.FORM, "record: python tests/matching/test_forms.py"
    found = changes_decided()
    assert not found, HOW.format("resolver/matching/decision.py", "\n".join(found[:20]))


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("resolver.matching.evidence.NO_NAMESAKE", 11.0),
        ("resolver.matching.evidence.STRONG", 4.0),
        ("resolver.matching.evidence.NAMES", ("novelty", *evidence.NAMES)),
        ("resolver.matching.evidence.FIRST_STAGE_FEATURES", evidence.FIRST_STAGE_FEATURES[::-1]),
        ("resolver.matching.evidence._SHORT", 1),
        ("resolver.matching.reading._competing", lambda shared: of_others(shared >= 0)),
        ("resolver.text.segments.MAX_SEGMENTS", 1),
    ],
)  # fmt: skip
def test_a_change_of_evidence_does_not_go_unseen(
    monkeypatch: pytest.MonkeyPatch, what: str, value: object
) -> None:
    monkeypatch.setattr(what, value)
    assert changes_seen()


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("resolver.matching.decision.OWN_SHARE", 0.95),
        ("resolver.matching.decision.NAMESAKE_SHARE", 1.1),
        ("resolver.matching.reason.NEAR", 0.9),
        ("resolver.matching.decision.curated", lambda *_: ()),
    ],
)
def test_a_change_of_decision_does_not_go_unseen(
    monkeypatch: pytest.MonkeyPatch, what: str, value: object
) -> None:
    monkeypatch.setattr(what, value)
    if what.endswith("curated"):
        monkeypatch.setitem(globals(), "curated", value)
    assert changes_decided()


def record() -> None:
    """Write what evidence and decision give now; what changed must have another form."""
    found = kept()
    for name, form, changes in (
        ("evidence_form", evidence.FORM, changes_seen()),
        ("decision_form", decision.FORM, changes_decided()),
    ):
        if changes and form == found[name]:
            raise SystemExit(f"{name} {form} is kept with other results: raise FORM first")
        found[name] = form
    found["columns"] = list(evidence.NAMES)
    for case in found["cases"]:
        case |= {"seen": seen(case), "decided": decided(case)}
    write(found)


def write(found: dict[str, Any]) -> None:
    """One case a line."""
    *head, cases = found.items()
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head]
    told = ",\n".join(
        json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases[1]
    )
    KEPT.write_text("{" + ",\n".join([*lines, f'"cases": [\n{told}\n]']) + "}\n")


if __name__ == "__main__":
    record()
