"""``resolver explain``: how one affiliation is decided, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.tables import Table
from resolver.cli.terminal import console, write_json
from resolver.database import overrides as stored
from resolver.matching import explanation
from resolver.matching.decision import Decision, Fate, Scored, decisions
from resolver.matching.explanation import ExplainedCandidate
from resolver.matching.matcher import Judgement
from resolver.matching.outcome import CountryAgreement, OverrideNote, Reason
from resolver.matching.outcome_object import linked_organisations
from resolver.matching.override import Override, affirmed, names_none
from resolver.matching.policy import Policy
from resolver.matching.statement import JudgedStatement
from resolver.registry.document import Document
from resolver.registry.identifier import identifiers_in
from resolver.service import embedded
from resolver.service.installation import Installation
from resolver.settings import Settings, load_settings
from resolver.text.affiliation import Affiliation
from resolver.text.parts import Part, PartKind

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

MEANS = {
    Reason.NOT_ADMITTED: "--types, --countries",
    Reason.BELOW_THRESHOLD: "--accept-probability",
    Reason.NOT_IN_REGISTRY: "`resolver unmatched` lists what it lacks",
    Reason.OVERRIDDEN: "`resolver override remove`",
}
"""How a command gives what a link would take, by the reason for none."""

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
            whole = explanation.as_object(judgement, matcher.policy, organisations)
            write_json(whole | {"would_change": would_change(judgement, matcher.policy)})
        else:
            tell(judgement, matcher.policy, console, shown=candidates)


def stored_overrides(settings: Settings, text: str) -> dict[str, list[Override]]:
    """The overrides of a normalised text, by the text; none where there is no database."""
    if not settings.database_url and not embedded.has_postgres(settings.home):
        return {}
    with Installation(settings) as installation:
        return stored.applying(installation.engine, [text])


def tell(judgement: Judgement, policy: Policy, console: Console, *, shown: int = 10) -> None:
    """Print the explanation for a person."""
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
    explained = explanation.candidates(judgement, policy)
    for number, judged in enumerate(judgement.statements, start=1):
        if len(judgement.statements) > 1:
            console.print(_section(f"Statement {number}"))
            console.print(judged.affiliation.text, markup=False, highlight=False)
        if judged.candidates:
            of_statement = {c.ror_id: c for c in explained if c.statement == number}
            _tell_statement(judged, of_statement, judgement, policy, console, shown)
    console.print(_section("The answer"))
    for answer in _answer(judgement, policy):
        console.print(Padding.indent(answer, 2))


def _tell_statement(
    judged: JudgedStatement,
    explained: Mapping[str, ExplainedCandidate],
    judgement: Judgement,
    policy: Policy,
    console: Console,
    shown: int,
) -> None:
    found = decisions(judged.affiliation, judged.scored, policy)
    console.print(_section("Candidates"))
    console.print(_candidates(judged, explained, found, shown))
    if compared := _compared(found):
        console.print(_section("What weighed how much"))
        console.print(_weighed(compared))
    console.print(_section("The decision"))
    for number, step in enumerate(_steps(judged, judgement, found, policy), start=1):
        console.print(Padding.indent(Text(f"{number}. ", style="dim").append(step), 2))


def would_change(judgement: Judgement, policy: Policy) -> str | None:
    """What a link would take, with the options and commands for it; None for a linked
    affiliation."""
    wanted = explanation.remedy(judgement, policy)
    if wanted is None:
        return None
    means = f" ({MEANS[wanted.reason]})" if wanted.reason in MEANS else ""
    if wanted.reason is Reason.AMBIGUOUS:
        named = [f"{s.document.display_name} ({_place(s.document)})" for s in wanted.organisations]
        return f"{wanted}{means}: {'; '.join(named)}"
    nearest = [f"{s.document.display_name} ({s.probability:.2f})" for s in wanted.organisations]
    return f"{wanted}{means}" + "".join(f"; nearest: {near}" for near in nearest)


def _section(title: str) -> Group:
    rule = Rule(Text(title, style="bold"), align="left", style="dim")
    return Group("", Constrain(rule, WIDEST_RULE))


def _links_in(judgement: Judgement) -> Text:
    """The text in the colours of its parts, with what was linked underlined."""
    shown = Text(judgement.affiliation.text)
    for part in explanation.parts(judgement):
        shown.stylize(COLOURS[part.kind], part.start, part.end)
    for link in judgement.outcome.links:
        if link.evidence and link.evidence.text:
            shown.stylize("bold underline", link.evidence.start, link.evidence.end)
    return shown


def _about_text(raw: str, judgement: Judgement) -> Iterator[tuple[str, Text]]:
    if changed := explanation.changes(raw):
        yield "changed", Text(", ".join(changed))
    affiliation = judgement.affiliation
    if affiliation.refused:
        return
    yield "reads as", _reading(explanation.parts(judgement))
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


def _candidates(
    judged: JudgedStatement,
    explained: Mapping[str, ExplainedCandidate],
    found: Sequence[Decision],
    shown: int,
) -> RenderableType:
    table = Table()
    for name in ("1st", "words", "sense", "logit", "prob."):
        table.add_column(name, justify="right")
    for name in ("organisation", "place", "text", "step"):
        table.add_column(name)
    for decision in found[:shown]:
        s = decision.scored
        candidate, document = s.candidate, s.document
        known = explained[decision.ror_id]
        is_linked = decision.fate is Fate.LINKED
        shown_name = Text(document.display_name, style="bold" if is_linked else "")
        if document.name != document.display_name:
            shown_name.append(f" as “{document.name}”", style="not bold dim")
        table.add_row(
            str(known.rank),
            _score(candidate.sparse.score if candidate.sparse else None),
            _score(candidate.dense.score if candidate.dense else None),
            _logit(s),
            Text(f"{s.probability:.3f}", style=_shade(s.probability)),
            shown_name.append(f" {candidate.ror_id}", style="not bold dim"),
            _marked_place(known),
            _meter(known.text_share),
            Text(STEPS[decision.fate], style="green" if is_linked else "dim"),
        )
    notes = [
        "1st: rank in the first stage; words, sense: its scores; logit: the reranker's",
        *_about_forecasts(found[:shown]),
        "text: how much of it the name covers; ✓ named there, ✗ another country is named there",
    ]
    rest = len(judged.scored) - min(shown, len(judged.scored))
    unlisted = len(judged.candidates) - len(judged.scored)
    if rest or unlisted:
        notes.append(f"left out: {rest} less probable, {unlisted} that are not on the shortlist")
    return Group(table, *(Padding.indent(Text(note, style="dim"), 2) for note in notes))


def _logit(s: Scored) -> str:
    """The score, with the forecast that the judge went by in its place: "-4.2 (-5.0)"."""
    score = _score(s.score, digits=1)
    return score if s.forecast is None else f"{score} ({s.forecast:.1f})"


def _about_forecasts(found: Sequence[Decision]) -> Iterator[str]:
    if any(decision.scored.forecast is not None for decision in found):
        yield (
            "logit (forecast): to answer, the reranker does not read it, and the judge goes by the "
            "forecast"
        )


def _marked_place(explained: ExplainedCandidate) -> Text:
    shown, document = Text(), explained.candidate.document
    if document.city:
        shown.append(document.city)
        if explained.city_named:
            shown.append("✓", style="green")
        shown.append(" ")
    if document.country_code:
        shown.append(document.country_code)
        match explained.country:
            case CountryAgreement.NAMED:
                shown.append("✓", style="green")
            case CountryAgreement.OTHER_NAMED:
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
        f"{len(judged.candidates)} organisations found, {len(judged.scored)} on the shortlist, "
        f"{sum(s.forecast is None for s in judged.scored)} reranked, "
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
                said.append(Text(f": {explanation.FATES[step]}", style="not bold yellow"))
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
        yield Text("no match ", style="yellow").append(
            f"{reason}: {explanation.REASONS[reason]}", "default"
        )
        yield Text(f"a link would take {would_change(judgement, policy)}", style="dim")


def _noted(override: OverrideNote) -> str:
    return _who(override.author, override.date, override.note)


def _place(document: Document) -> str:
    return ", ".join(part for part in (document.city, document.country) if part) or "place unknown"


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(inside / (1 - inside))


def _score(score: float | None, digits: int = 2) -> str:
    return "–" if score is None else f"{score:.{digits}f}"


def _shade(probability: float) -> str:
    return "green" if probability >= 0.8 else "yellow" if probability >= 0.3 else "dim"


def _meter(share: float) -> Text:
    full = round(share * 5)
    return Text("█" * full, style="green").append("░" * (5 - full), style="dim")


def _bar(added: float, largest: float) -> Text:
    length = max(round(abs(added) / largest * BAR), 1 if abs(added) > 0.005 else 0)
    colour = "green" if added > 0 else "red"
    return Text(f"{added:+6.2f} ").append("█" * min(length, BAR), style=colour)
