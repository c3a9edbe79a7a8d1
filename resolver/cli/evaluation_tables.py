"""Figures of an evaluation as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.text import Text

from resolver.cli.tables import Table
from resolver.evaluation.bootstrap import Interval
from resolver.evaluation.measurement import LOSING, RANKED, RECALL_CUTS, Evaluation, Figures
from resolver.evaluation.metrics import BINS, LEAST_CLAIMS, Reliability
from resolver.evaluation.mistake import MistakeKind, Side
from resolver.evaluation.operating_point import OperatingPoint
from resolver.evaluation.published import PUBLISHED
from resolver.evaluation.stage import Stage
from resolver.matching.decision import Fate

INTERVALS = ("precision", "recall", "f1", "exact")
"""Figures that have an interval, in the order of the table."""

WHAT_IS_LOST = {
    Stage.FIRST_STAGE: "not a candidate",
    Stage.SIEVE: "not passed on",
    Stage.JUDGE: "below the threshold",
    Stage.LINEAGE: "replaced by a relative",
}
"""What it means to be lost at a stage; the decision has its fates."""


def decisions(reports: Iterable[Evaluation]) -> Table:
    """Links against labels, beside published systems that were measured on the same set.

    Those were measured against asserted labels: where a set has these beside the ones that were
    read, they have their own row, and the systems stand below it.
    """
    columns = ["strings", "P", "R", "F1", "F0.5", "exact", "no-match", "top-1"]
    table = _table("What is linked", "set", *columns)
    for report in reports:
        _add_decisions(table, Text(report.file, style="bold"), report.figures)
        if report.asserted:
            _add_decisions(table, Text("  asserted labels"), report.asserted)
        if published := PUBLISHED.get(report.file):
            table.add_row(f"  {published.where}", style="dim italic")
            for peer in published.peers:
                shares = (peer.precision, peer.recall, peer.f1, peer.f05, peer.exact)
                table.add_row(f"    {peer.system}", "", *map(percent, shares))
        table.add_section()
    return table


def _add_decisions(table: Table, name: Text, figures: Figures) -> None:
    measured, first = figures.agreement, figures.rankings[Stage.DECISION]
    table.add_row(
        name,
        f"{measured.strings:,}",
        *map(_bold, (measured.precision, measured.recall, measured.f1, measured.f05)),
        _bold(measured.exact),
        percent(measured.no_match_specificity),
        percent(first.top1 if first.strings else None),
    )
    if figures.intervals:
        p, r, f1, exact = (_interval(figures.intervals.get(name)) for name in INTERVALS)
        table.add_row("  95% interval", "", p, r, f1, "", exact, style="dim")


def stages(reports: Iterable[Evaluation]) -> Table:
    """Recall of the first stage, and the ranking after each stage."""
    cuts = [f"R@{k}" for k in RECALL_CUTS]
    table = _table(
        "Stage by stage", "set", "stage", *cuts, "top-1", "MRR@10", "nDCG@10", "calib. error"
    )
    table.columns[1].justify = "left"
    for report in reports:
        figures = report.figures
        for stage in RANKED:
            ranking, claims = figures.rankings[stage], figures.reliability.get(stage)
            first = stage is Stage.FIRST_STAGE
            shares = (ranking.top1, ranking.mrr, ranking.ndcg) if ranking.strings else (None,) * 3
            table.add_row(
                Text(report.file if first else "", style="bold"),
                stage,
                *(percent(figures.recall_at[k]) if first else "" for k in RECALL_CUTS),
                *map(percent, shares),
                "" if claims is None else f"{claims.expected_error:.3f}",
                end_section=stage is RANKED[-1],
            )
    return table


def operating_points(reports: Iterable[Evaluation]) -> Table:
    """What other thresholds would give, chosen on the same strings."""
    columns = ["accept probability", "P", "R", "F1", "exact"]
    table = _table("Operating points", "set", "point", *columns)
    table.columns[1].justify = "left"
    for report in reports:
        points: list[tuple[str, OperatingPoint | None]] = [
            ("best F1", report.figures.best_f1),
            *((f"P ≥ {100 * t:g}", point) for t, point in report.figures.at_precision.items()),
        ]
        for number, (name, point) in enumerate(points):
            shares = (
                (point.precision, point.recall, point.f1, point.exact) if point else (None,) * 4
            )
            table.add_row(
                Text("" if number else report.file, style="bold"),
                name,
                f"{point.accept_probability:.4f}" if point else "out of reach",
                *map(percent, shares),
                end_section=number == len(points) - 1,
            )
    return table


def speeds(reports: Iterable[Evaluation], caption: str) -> Table:
    """Time from string to outcome, alone and in chunks."""
    table = _table("Speed", "set", "alone: strings", "p50 ms", "p95 ms", "in chunks: strings/s")
    table.caption, table.caption_justify = caption, "left"
    for report in reports:
        alone = report.latency
        table.add_row(
            Text(report.file, style="bold"),
            *((f"{alone.strings:,}", f"{alone.p50_ms:.0f}", f"{alone.p95_ms:.0f}") if alone
              else ("–",) * 3),
            f"{report.strings_per_second:.1f}",
        )  # fmt: skip
    return table


def mistake_kinds(reports: Sequence[Evaluation]) -> Table:
    """How many mistakes there are of each kind, by set: missed + linked wrongly."""
    table = _table(
        "Mistakes: missed + linked wrongly", "kind", *(report.file for report in reports)
    )
    counts = [Counter((m.kind, m.side) for m in report.mistakes) for report in reports]
    for kind in MistakeKind:
        if any(count[kind, side] for count in counts for side in Side):
            cells = (_sides({side: count[kind, side] for side in Side}) for count in counts)
            table.add_row(kind.replace("_", " "), *cells)
    table.add_section()
    sums = (
        _sides({side: sum(m.side is side for m in report.mistakes) for side in Side})
        for report in reports
    )
    table.add_row("all", *sums, style="bold")
    return table


def losses(reports: Sequence[Evaluation]) -> Table:
    """How many missed organisations were lost at each stage, by set."""
    table = _table("Where what is missing was lost", "stage", *(report.file for report in reports))
    counts = [report.losses() for report in reports]
    for stage in LOSING:
        for fate in (None, *Fate):
            if any(count[stage, fate] for count in counts):
                cells = (f"{count[stage, fate]:,}" for count in counts)
                table.add_row(_place(stage, fate), *cells)
    table.add_section()
    table.add_row("all", *(f"{count.total():,}" for count in counts), style="bold")
    return table


def _place(stage: Stage, fate: Fate | None) -> str:
    return f"{stage}: {fate.replace('_', ' ') if fate else WHAT_IS_LOST[stage]}"


def reliability_table(measured: Reliability, claim: str, *, title: str | None = None) -> Table:
    """For each range of probabilities the share of candidates that were right. `claim` says whose
    probabilities these are."""
    table = _table(title, claim, "candidates", "claimed", "right", "difference")
    for bin_ in measured.bins:
        low = min(int(bin_.claimed * BINS), BINS - 1) / BINS
        table.add_row(
            f"{low:.1f} to {low + 1 / BINS:.1f}",
            f"{bin_.claims:,}",
            f"{bin_.claimed:.3f}",
            f"{bin_.right:.3f}",
            f"{bin_.right - bin_.claimed:+.3f}",
        )
    caption = f"calibration error {measured.expected_error:.3f}"
    if measured.largest_error is not None:
        caption += f"; at most {measured.largest_error:.3f} in tenths of {LEAST_CLAIMS} or more"
    table.caption, table.caption_justify = caption, "left"
    # Rich breaks a caption to the width of its table, too.
    table.min_width = max(table.min_width or 0, len(caption) + 1)
    return table


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _table(title: str | None, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    # Rich breaks a title to the width of its table.
    table.min_width = len(title or "") + 1
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _bold(share: float | None) -> Text:
    return Text(percent(share), style="bold")


def _interval(interval: Interval | None) -> str:
    return "–" if interval is None else f"{100 * interval[0]:.1f} – {100 * interval[1]:.1f}"


def _sides(count: Mapping[Side, int]) -> str:
    if not any(count.values()):
        return "·"
    return f"{count[Side.MISSED]} + {count[Side.WRONG]}"
