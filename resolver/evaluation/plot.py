"""Precision–recall curves in a file, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from resolver.errors import SettingsError
from resolver.evaluation.measurement import Evaluation, Figures
from resolver.evaluation.published import PUBLISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that colour-blind people can tell apart: M. Okabe and K. Ito, "Color universal design",
2008."""

MARKERS = ("^", "s", "D", "v", "P")
"""Of published systems."""

F1_LINES = (0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def require_plottable(path: Path) -> None:
    """Refuse a path that `plot` cannot write to, before minutes of work are lost.

    Raises:
        SettingsError: another suffix, no such folder, or no matplotlib.
    """
    if path.suffix not in SUFFIXES:
        raise SettingsError(
            f"{path}: curves are written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}",
            remedy="give the file one of these suffixes",
        )
    if not path.parent.is_dir():
        raise SettingsError(f"{path.parent} is no folder", remedy="make it, or name another one")
    if find_spec("matplotlib") is None:
        raise SettingsError(
            "curves need matplotlib, which is not installed",
            remedy="pip install 'affiliation-resolver[plot]'",
        )


def plot(evaluations: Sequence[Evaluation], path: Path) -> None:
    """A curve for each set, a dot at the threshold in use, and the published systems.

    Where a set has asserted labels beside those that were read, the curve against them is dashed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.add_subplot()
    shown: list[tuple[float, float]] = []
    for number, evaluation in enumerate(evaluations):
        colour, name = COLOURS[number % len(COLOURS)], evaluation.file
        strings = evaluation.figures.agreement.strings
        shown += _draw_curve(axes, evaluation.figures, colour, f"{name} ({strings:,} strings)", "-")
        if evaluation.asserted:
            shown += _draw_curve(axes, evaluation.asserted, colour, "  asserted labels", "--")
        shown += _draw_peers(axes, name, colour)
    _frame(axes, shown)
    figure.savefig(path, dpi=150)


def _draw_curve(
    axes: Axes, figures: Figures, colour: str, label: str, line: str
) -> list[tuple[float, float]]:
    """Draw a curve and its dot; the (recall, precision) points that must be in sight."""
    axes.plot(
        [100 * point.recall for point in figures.curve],
        [100 * point.precision for point in figures.curve],
        line, color=colour, linewidth=1.8, label=label,
    )  # fmt: skip
    precision, recall = figures.agreement.precision, figures.agreement.recall
    if precision is None or recall is None:
        return []
    axes.plot(100 * recall, 100 * precision, "o", color=colour, markersize=8, markeredgecolor="w")
    return [(100 * recall, 100 * precision)]


def _draw_peers(axes: Axes, name: str, colour: str) -> list[tuple[float, float]]:
    """Draw the systems that were published on a set; their (recall, precision) points."""
    published = PUBLISHED.get(name)
    shown = []
    for marker, peer in zip(MARKERS, published.peers if published else (), strict=False):
        shown.append((100 * peer.recall, 100 * peer.precision))
        axes.plot(
            *shown[-1], marker, color=colour, markerfacecolor="none", markersize=8,
            linestyle="none", label=f"  {peer.system}, as published",
        )  # fmt: skip
    return shown


def _frame(axes: Axes, shown: Sequence[tuple[float, float]]) -> None:
    # Further left a curve rests on a few strings only.
    left, bottom = (
        max(0, 10 * math.floor(min((*values, 90)) / 10) - 10)
        for values in (zip(*shown, strict=True) if shown else ((), ()))
    )
    axes.set_xlim(left, 100)
    axes.set_ylim(bottom, 100.5)
    for f1 in F1_LINES:
        recalls = [r / 2 for r in range(1, 201) if r / 200 > f1 / 2]
        # P = F1 · R / (2R − F1)
        precisions = [100 * f1 * (r / 100) / (2 * r / 100 - f1) for r in recalls]
        axes.plot(recalls, precisions, color="0.85", linewidth=0.8, zorder=0)
        if f1 / (2 - f1) * 100 > left and (at_right := 100 * f1 / (2 - f1)) > bottom:
            axes.annotate(
                f"F1 {100 * f1:.0f}", (100, at_right), xytext=(3, 0), textcoords="offset points",
                color="0.55", fontsize=8, va="center", annotation_clip=False,
            )  # fmt: skip
    axes.set_xlabel("recall, %")
    axes.set_ylabel("precision, %")
    axes.set_title("Precision and recall at every threshold; the dot is the decision as made")
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", fontsize=9, frameon=True, framealpha=0.9, edgecolor="0.9")
