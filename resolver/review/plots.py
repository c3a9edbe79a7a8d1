"""Figures of the state page as SVG, drawn here: the page loads no code to draw with.

Colours and fonts come from the style sheet. Each plot has a table beside it with the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 480, 180
"""In the units of the drawing; the page scales it."""

LEFT, BOTTOM, TOP = 44, 24, 14
"""Room for the numbers beside and below the bars, and above them."""


WIDEST = 48
"""Of a bar, where there are few."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; `label` stands below it where there is room, `title` says what it is."""

    label: str
    value: float
    title: str


def _round(most: float) -> int:
    """The least of 1, 2, 4, 10, 20, 40, 100 … that is no less: half of it is a whole number."""
    unit = 1
    while most > 4 * unit:
        unit *= 10
    return next(unit * times for times in (1, 2, 4) if unit * times >= most)


def bars(bars: Sequence[Bar], *, label: str, every: int = 1, end: str = "") -> Markup:
    """A bar chart, described by `label`; each `every`th bar has its label below where it begins,
    and `end` stands where the last one ends."""
    most = _round(max((bar.value for bar in bars), default=0))
    room, height = WIDTH - LEFT, HEIGHT - BOTTOM - TOP
    step = min(room / max(len(bars), 1), WIDEST)
    drawn = [
        Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
            LEFT, TOP + height, WIDTH, TOP + height
        ),
        *(
            Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
                LEFT - 6, TOP + height - height * share + 4, f"{most * share:,.0f}"
            )
            for share in ((0, 1) if most == 1 else (0, 0.5, 1))
        ),
    ]
    for place, bar in enumerate(bars):
        x, tall = LEFT + place * step, height * bar.value / most
        drawn.append(
            Markup(
                '<rect class="bar-of" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}">'
                "<title>{}</title></rect>"
            ).format(x + 1, TOP + height - tall, max(step - 2, 1), tall, bar.title)
        )
        if place % every == 0:
            drawn.append(
                Markup('<text class="tick" x="{:.1f}" y="{}">{}</text>').format(
                    x + 1, HEIGHT - 6, bar.label
                )
            )
    drawn.append(
        Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            WIDTH, HEIGHT - 6, end
        )
    )
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(drawn)
    )
