"""``resolver explain``: how one affiliation is decided, step by step."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from resolver.cli.outcomes import REASONS, as_object, linked_organisations
from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.tables import Table
from resolver.cli.terminal import console, write_json
from resolver.database import overrides as stored
from resolver.matching import statement
from resolver.matching.decision import ELSEWHERE, Decision, Fate, Scored, decisions
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import OverrideNote, Reason
from resolver.matching.override import Override, affirmed, names_none
from resolver.matching.place import NamedPlaces, place_names
from resolver.matching.policy import Policy
from resolver.matching.statement import JudgedStatement
from resolver.registry.document import Document
from resolver.registry.identifier import identifiers_in
from resolver.service import embedded
from resolver.service.installation import Installation
from resolver.settings import Settings, load_settings
from resolver.text.affiliation import MAX_CHARACTERS, Affiliation, unescaped
from resolver.text.damage import respaced, restored
from resolver.text.parts import Part, PartKind
from resolver.text.text import registry_text
from resolver.text.words import fold

WEIGHED_SHOWN = 8
"""Kinds of evidence shown for a candidate; the rest is summed."""

WIDEST_RULE = 120
"""Characters of the line below a heading, where there is room for more."""

BAR = 12
"""Characters of the longest bar."""

STEPS = {
    Fate.LINKED: "linked",
    Fate.NOT_ADMITTED: "excluded",
    Fate.BELOW_THRESHOLD: "below",
    Fate.ONLY_PLACES: "only places",
    Fate.ONLY_ROLES: "only roles",
    Fate.OTHER_COUNTRY: "other country",
    Fate.WORDS_CLAIMED: "words taken",
    Fate.NAMESAKE_PLACED: "namesake",
    Fate.TIED: "tied",
    Fate.BEYOND_MAX_LINKS: "enough links",
}
"""What became of a candidate, in a table's words."""

SAID = {
    Fate.NOT_ADMITTED: "of a type or in a country that was excluded",
    Fate.ONLY_PLACES: "the text names places and nothing else",
    Fate.ONLY_ROLES: "the text names roles of persons and nothing else",
    Fate.OTHER_COUNTRY: "the text names another country, and nothing of its place",
    Fate.BEYOND_MAX_LINKS: "there are as many links as were asked for",
}
"""The same in a sentence, where it takes no rival to say."""

COLOURS = {
    PartKind.ORGANISATION: "green",
    PartKind.UNIT: "cyan",
    PartKind.ACRONYM: "green",
    PartKind.NAME: "yellow",
    PartKind.PLACE: "blue",
    PartKind.PERSON: "magenta",
    PartKind.REMARK: "magenta",
    PartKind.NUMBER: "bright_black",
}


@policy_options
def explain(
    affiliation: Annotated[str, typer.Argument(help="One affiliation.")],
    candidates: Annotated[int, typer.Option(min=1, help="Candidates shown.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    model_alone: Annotated[
        bool,
        typer.Option("--model-alone", help="Ignore curators' overrides; needs no database."),
    ] = False,
    *,
    choices: Choices,
) -> None:
    """Explain one affiliation: candidates, weights of the evidence, each step of the decision."""
    settings = load_settings()
    read = Affiliation.of(affiliation)
    overrides = {} if model_alone else stored_overrides(settings, read.text)
    with (
        Installation(choices.over(settings)) as installation,
        installation.open_matcher() as matcher,
    ):
        (judgement,) = matcher.judgements([read], overrides=overrides)
        if as_json:
            organisations = linked_organisations(matcher.recall.index, [judgement.outcome])
            write_json(story(judgement, matcher.policy, organisations))
        else:
            tell(judgement, matcher.policy, console, shown=candidates)


def stored_overrides(settings: Settings, text: str) -> dict[str, list[Override]]:
    """The overrides of a normalised text, by the text; none where there is no database."""
    if not settings.database_url and not embedded.has_postgres(settings.home):
        return {}
    with Installation(settings) as installation:
        return stored.applying(installation.engine, [text])


def changes(raw: str) -> list[str]:
    """What normalisation did to a text, in words."""
    # What is longer was not read.
    raw = raw[: MAX_CHARACTERS + 1]
    plain = unescaped(raw)
    mended = restored(plain)
    categories = {unicodedata.category(character) for character in raw}
    found = {
        "HTML entities resolved": plain != raw,
        "tags removed": bool(re.search(r"</?[A-Za-z][^<>]{0,200}>", mended)),
        "damage mended": mended != plain or respaced(plain) != plain,
        "compatibility characters folded": not unicodedata.is_normalized("NFKC", mended),
        "invisible characters removed": "Cf" in categories,
        "control characters replaced": any(
            unicodedata.category(c) == "Cc" and not c.isspace() for c in raw
        ),
        "broken characters replaced": "Cs" in categories,
        "white space made single": bool(re.search(r"\s\s|[^\S ]|^\s|\s$", raw)),
    }
    return [change for change, made in found.items() if made]


def story(
    judgement: Judgement, policy: Policy, organisations: Mapping[str, Document]
) -> dict[str, object]:
    """The JSON form: all that `tell` shows, of all candidates."""
    raw = judgement.outcome.affiliation
    affiliation = judgement.affiliation
    documents = [s.document for s in judgement.scored]
    return {
        **as_object(judgement.outcome, organisations),
        "normalised": affiliation.text,
        "changes": changes(raw),
        "statements": [
            {
                "text": judged.affiliation.text,
                "start": judged.start,
                "segments": list(judged.affiliation.searched),
            }
            for judged in judgement.statements
        ],
        "identifiers": sorted(identifiers_in(affiliation.text)),
        "parts": [asdict(part) for part in affiliation.parts(place_names(documents))],
        "policy": policy.as_object(),
        "said": [asdict(override) for override in judgement.overrides],
        "candidates": [
            candidate
            for number, judged in enumerate(judgement.statements, start=1)
            for candidate in _candidates_of(judged, number, policy)
        ],
        "would_change": would_change(judgement, policy),
    }


def _candidates_of(
    judged: JudgedStatement, number: int, policy: Policy
) -> Iterator[dict[str, object]]:
    """The candidates of a statement, which is the `number`th from 1, in the first stage's order."""
    affiliation = judged.affiliation
    places = NamedPlaces.of(affiliation, [s.document for s in judged.scored])
    steps = {d.ror_id: d for d in decisions(affiliation, judged.scored, policy)}
    scored = {s.ror_id: s for s in judged.scored}
    for rank, candidate in enumerate(judged.candidates, start=1):
        yield {
            "statement": number,
            "ror_id": candidate.ror_id,
            "name": candidate.document.display_name,
            "matched_name": candidate.document.name,
            "city": candidate.document.city,
            "country_code": candidate.document.country_code,
            "first_stage_rank": rank,
            "sparse": candidate.sparse.score if candidate.sparse else None,
            "dense": candidate.dense.score if candidate.dense else None,
            **(
                _judged(affiliation, places, scored[candidate.ror_id], steps[candidate.ror_id])
                if candidate.ror_id in scored
                else {}
            ),
        }


def _judged(
    affiliation: Affiliation, places: NamedPlaces, s: Scored, decision: Decision
) -> dict[str, object]:
    matched = affiliation.matched(registry_text(s.document.name))
    return {
        "score": s.score,
        "probability": s.probability,
        "text_share": _share(affiliation, s.document),
        "country": places.country(s.document, matched),
        "city_named": places.city(s.document),
        "weighed": dict(s.weighed),
        "step": decision.fate,
        "rival": decision.rival,
    }


def tell(judgement: Judgement, policy: Policy, console: Console, *, shown: int = 10) -> None:
    """Print the story for a person."""
    raw, affiliation = judgement.outcome.affiliation, judgement.affiliation
    console.print(_section("The text"))
    console.print(_links_in(judgement) if affiliation.text else Text(repr(raw[:200])))
    about = Table(box=None, show_header=False, padding=(0, 2), pad_edge=True)
    for label, content in _about_text(raw, judgement):
        about.add_row(Text(label, style="dim"), content)
    if about.row_count:
        console.print(about)
    if judgement.overrides:
        console.print(_section("Curators' decisions"))
        for override in judgement.overrides:
            console.print(Padding.indent(_decided_by(override), 2))
    for number, judged in enumerate(judgement.statements, start=1):
        if len(judgement.statements) > 1:
            console.print(_section(f"Statement {number}"))
            console.print(judged.affiliation.text, markup=False, highlight=False)
        if judged.candidates:
            _tell_statement(judged, judgement, policy, console, shown)
    console.print(_section("The answer"))
    for answer in _answer(judgement, policy):
        console.print(Padding.indent(answer, 2))


def _tell_statement(
    judged: JudgedStatement, judgement: Judgement, policy: Policy, console: Console, shown: int
) -> None:
    found = decisions(judged.affiliation, judged.scored, policy)
    console.print(_section("Candidates"))
    console.print(_candidates(judged, found, shown))
    if compared := _compared(found):
        console.print(_section("What weighed how much"))
        console.print(_weighed(compared))
    console.print(_section("The decision"))
    for number, step in enumerate(_steps(judged, judgement, found, policy), start=1):
        console.print(Padding.indent(Text(f"{number}. ", style="dim").append(step), 2))


def would_change(judgement: Judgement, policy: Policy) -> str | None:
    """What would have to be otherwise for a link; None for a linked affiliation."""
    reason = judgement.outcome.reason
    best = next(
        (
            decision.scored
            for decision in statement.decisions(judgement.statements, policy)
            if decision.fate in {Fate.BELOW_THRESHOLD, *ELSEWHERE}
        ),
        None,
    )
    nearest = f"{best.document.display_name} ({best.probability:.2f})" if best else ""
    match reason:
        case None:
            return None
        case Reason.EMPTY | Reason.TOO_LONG:
            return f"a text of 1 to {MAX_CHARACTERS:,} characters"
        case Reason.PLACE_ONLY | Reason.PERSON_OR_NOISE:
            return "the name of an organisation"
        case Reason.DEPARTMENT_ONLY:
            return "the name of the organisation that the department is part of"
        case Reason.NOT_ADMITTED:
            return "other types or countries to link (--types, --countries)"
        case Reason.AMBIGUOUS:
            rivals = _rivals(judgement, policy)
            return "a place that tells which: " + "; ".join(
                f"{s.document.display_name} ({_place(s.document)})" for s in rivals
            )
        case Reason.OVERRIDDEN:
            return "the end of the override (`resolver override remove`)"
        case Reason.BELOW_THRESHOLD:
            return f"a fuller name, or a lower threshold (--accept-probability); nearest: {nearest}"
        case Reason.NOT_IN_REGISTRY:
            known = f" (nearest: {nearest})" if nearest else ""
            return f"a record in the registry{known}; `resolver unmatched` lists what it lacks"


def _section(title: str) -> Group:
    rule = Rule(Text(title, style="bold"), align="left", style="dim")
    return Group("", Constrain(rule, WIDEST_RULE))


def _links_in(judgement: Judgement) -> Text:
    """The text in the colours of its parts, with what was linked underlined."""
    shown = Text(judgement.affiliation.text)
    for part in _parts(judgement):
        shown.stylize(COLOURS[part.kind], part.start, part.end)
    for link in judgement.outcome.links:
        if link.evidence and link.evidence.text:
            shown.stylize("bold underline", link.evidence.start, link.evidence.end)
    return shown


def _parts(judgement: Judgement) -> list[Part]:
    return judgement.affiliation.parts(place_names(s.document for s in judgement.scored))


def _about_text(raw: str, judgement: Judgement) -> Iterator[tuple[str, Text]]:
    if changed := changes(raw):
        yield "changed", Text(", ".join(changed))
    affiliation = judgement.affiliation
    if affiliation.refused:
        return
    yield "reads as", _reading(_parts(judgement))
    searched = [
        part
        for judged in judgement.statements
        for part in (
            "the whole" if len(judgement.statements) == 1 else judged.affiliation.text,
            *judged.affiliation.searched,
        )
    ]
    if len(searched) > 1:
        yield "searched", Text(" ¦ ".join(searched))
    if carried := identifiers_in(affiliation.text):
        yield "carries", Text(", ".join(sorted(carried)))


def _reading(read: Sequence[Part]) -> Text:
    return Text(" · ").join(
        Text.assemble((f"{part.kind} ", "dim"), (part.text, COLOURS[part.kind])) for part in read
    )


def _decided_by(override: Override) -> Text:
    who = _who(override.author, override.date, override.note)
    if override.ror_id is None:
        return Text.assemble("names none of the registry's organisations", (f"  {who}", "dim"))
    name = f" {override.name}" if override.name else ""
    return Text.assemble(
        f"{override.verdict} ", (override.ror_id, "green"), (name, "bold"), (f"  {who}", "dim")
    )


def _who(author: str, day: date | None, note: str) -> str:
    """ "ada, 2026-03-01: seen on their page"."""
    said_on = f"{author}, {day}" if day else author
    return f"{said_on}: {note}" if note else said_on


def _candidates(judged: JudgedStatement, found: Sequence[Decision], shown: int) -> RenderableType:
    places = NamedPlaces.of(judged.affiliation, (s.document for s in judged.scored))
    ranks = {c.ror_id: rank for rank, c in enumerate(judged.candidates, start=1)}
    table = Table()
    for name in ("1st", "words", "sense", "logit", "prob."):
        table.add_column(name, justify="right")
    for name in ("organisation", "place", "text", "step"):
        table.add_column(name)
    for decision in found[:shown]:
        s = decision.scored
        candidate, document = s.candidate, s.document
        is_linked = decision.fate is Fate.LINKED
        shown_name = Text(document.display_name, style="bold" if is_linked else "")
        if document.name != document.display_name:
            shown_name.append(f" as “{document.name}”", style="not bold dim")
        table.add_row(
            str(ranks.get(candidate.ror_id, "–")),
            _score(candidate.sparse.score if candidate.sparse else None),
            _score(candidate.dense.score if candidate.dense else None),
            f"{s.score:.1f}",
            Text(f"{s.probability:.3f}", style=_shade(s.probability)),
            shown_name.append(f" {candidate.ror_id}", style="not bold dim"),
            _marked_place(places, judged.affiliation, document),
            _meter(_share(judged.affiliation, document)),
            Text(STEPS[decision.fate], style="green" if is_linked else "dim"),
        )
    notes = [
        "1st: rank in the first stage; words, sense: its scores; logit: the reranker's",
        "text: how much of it the name covers; ✓ named there, ✗ another country is named there",
    ]
    rest = len(judged.scored) - min(shown, len(judged.scored))
    unread = len(judged.candidates) - len(judged.scored)
    if rest or unread:
        notes.append(f"left out: {rest} less probable, {unread} that were not reranked")
    return Group(table, *(Padding.indent(Text(note, style="dim"), 2) for note in notes))


def _marked_place(places: NamedPlaces, affiliation: Affiliation, document: Document) -> Text:
    shown = Text()
    matched = affiliation.matched(registry_text(document.name))
    if document.city:
        shown.append(document.city)
        if places.city(document):
            shown.append("✓", style="green")
        shown.append(" ")
    if document.country_code:
        shown.append(document.country_code)
        match places.country(document, matched):
            case "named":
                shown.append("✓", style="green")
            case "other_named":
                shown.append("✗", style="red")
    return shown


def _compared(found: Sequence[Decision]) -> list[Scored]:
    """The best one and what came next to it, where there is anything to compare."""
    weighed = [decision.scored for decision in found if decision.scored.weighed]
    linked = [v.scored for v in found if v.fate is Fate.LINKED and v.scored.weighed]
    rest = [s for s in weighed if s not in linked]
    return [*linked[:2], *rest][: max(2, min(len(linked) + 1, 3))]


def _weighed(compared: Sequence[Scored]) -> Table:
    """Bars of log odds, a column a candidate; the largest effects on the first one come first."""
    effects = [dict(s.weighed) for s in compared]
    names = sorted(
        {name for effect in effects for name in effect},
        key=lambda name: -max(abs(effect.get(name, 0.0)) for effect in effects),
    )
    names, others = names[:WEIGHED_SHOWN], names[WEIGHED_SHOWN:]
    largest = max((abs(effect.get(n, 0.0)) for effect in effects for n in names), default=1.0)
    table = Table()
    table.add_column("log odds")
    for s in compared:
        table.add_column(Text(s.document.display_name))
    for name in names:
        bars = [_bar(effect.get(name, 0.0), largest or 1.0) for effect in effects]
        table.add_row(name, *bars)
    if others:
        sums = [sum(effect.get(name, 0.0) for name in others) for effect in effects]
        table.add_row(f"{len(others)} others", *(_bar(added, largest or 1.0) for added in sums))
    constant = [
        _log_odds(s.probability) - sum(effect.values())
        for s, effect in zip(compared, effects, strict=True)
    ]
    table.add_row("constant", *(_bar(added, largest or 1.0) for added in constant))
    table.add_section()
    table.add_row("sum", *(f"{_log_odds(s.probability):+6.2f}" for s in compared))
    table.add_row("probability", *(Text(f"{s.probability:6.3f}", style="bold") for s in compared))
    return table


def _steps(
    judged: JudgedStatement, judgement: Judgement, found: Sequence[Decision], policy: Policy
) -> Iterator[Text]:
    names = {s.candidate.ror_id: s.document.display_name for s in judged.scored}
    reached = [v for v in found if v.scored.probability >= policy.accept_probability]
    verb = "reaches" if len(reached) == 1 else "reach"
    yield Text(
        f"{len(judged.candidates)} organisations found, {len(judged.scored)} reranked, "
        f"{len(reached)} {verb} the threshold of {policy.accept_probability:.2f}"
    )
    for decision in reached:
        s, rival = decision.scored, names.get(decision.rival or "", decision.rival)
        said = Text(f"{s.document.display_name} ({s.probability:.3f})", style="bold")
        match decision.fate:
            case Fate.LINKED | Fate.TIED:
                affiliation, matched = judged.affiliation, decision.matched
                if matched:
                    start = affiliation.spans[min(matched)][0]
                    end = affiliation.spans[max(matched)][1]
                    on = affiliation.text[start:end]
                    said.append(Text(f" stands on “{on}”", style="not bold"))
                else:
                    said.append(Text(" stands on no word of the text", style="not bold"))
                if decision.fate is Fate.LINKED:
                    said.append(Text(": linked", style="not bold green"))
                else:
                    said.append(Text(f": tied with {rival}", style="not bold yellow"))
            case Fate.WORDS_CLAIMED:
                said.append(Text(f": its words are taken by {rival}", style="not bold yellow"))
            case Fate.NAMESAKE_PLACED:
                said.append(Text(f": the text names the place of {rival}", style="not bold yellow"))
            case step:
                said.append(Text(f": {SAID[step]}", style="not bold yellow"))
        yield said
    if affirmed(judgement.overrides) or names_none(judgement.overrides):
        yield Text("none of this counts: a curator decided", style="yellow")
    for link in judgement.outcome.links:
        if link.stands_for:
            stood = ", ".join(names.get(ror_id, ror_id) for ror_id in link.stands_for)
            yield Text(f"{link.name} stands for {stood} ({policy.level}, {policy.succession})")


def _answer(judgement: Judgement, policy: Policy) -> Iterator[Text]:
    for link in judgement.outcome.links:
        line = Text(link.ror_id, style="green").append(f"  {link.probability:.3f}  ", "default")
        line.append(link.name, style="bold default")
        yield line
        if evidence := link.evidence:
            if evidence.override:
                yield Text(f"  said by {_noted(evidence.override)}", style="dim")
            if evidence.text:
                on = f"on “{evidence.text}” (characters {evidence.start} to {evidence.end})"
            else:
                on = "its name is written otherwise in the text"
            yield Text(f"  {on}", style="dim")
            if evidence.runner_up and evidence.margin is not None:
                rival = f"{evidence.runner_up_name} ({evidence.runner_up})"
                yield Text(f"  runner-up {rival}, {evidence.margin:.3f} behind", style="dim")
    if reason := judgement.outcome.reason:
        yield Text("no match ", style="yellow").append(f"{reason}: {REASONS[reason]}", "default")
        yield Text(f"a link would take {would_change(judgement, policy)}", style="dim")


def _noted(override: OverrideNote) -> str:
    return _who(override.author, override.date, override.note)


def _rivals(judgement: Judgement, policy: Policy) -> list[Scored]:
    """Those that are tied, else the most probable one and its namesakes."""
    found = statement.decisions(judgement.statements, policy)
    by_id = {decision.ror_id: decision.scored for decision in found}
    for decision in found:
        if decision.fate is Fate.TIED and decision.rival in by_id:
            return [decision.scored, by_id[decision.rival]]
    best = fold(found[0].scored.document.name)
    return [v.scored for v in found if fold(v.scored.document.name) == best]


def _place(document: Document) -> str:
    return ", ".join(part for part in (document.city, document.country) if part) or "place unknown"


def _share(affiliation: Affiliation, document: Document) -> float:
    """Share of the text's words that match a name."""
    matched = affiliation.matched(registry_text(document.name))
    return len(matched) / len(affiliation.units) if affiliation.units else 0.0


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.2f}"


def _shade(probability: float) -> str:
    return "green" if probability >= 0.8 else "yellow" if probability >= 0.3 else "dim"


def _meter(share: float) -> Text:
    full = round(share * 5)
    return Text("█" * full, style="green").append("░" * (5 - full), style="dim")


def _bar(added: float, largest: float) -> Text:
    length = max(round(abs(added) / largest * BAR), 1 if abs(added) > 0.005 else 0)
    colour = "green" if added > 0 else "red"
    return Text(f"{added:+6.2f} ").append("█" * min(length, BAR), style=colour)
