"""The state page: figures about the answers and the decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from resolver.curation import review
from resolver.review.plots import Bar, bars
from resolver.review.site import Site


@dataclass(frozen=True, slots=True)
class StatePage:
    """How much is linked, why the rest is not, and how reviewing goes on."""

    site: Site

    async def show(self, request: Request) -> Response:
        """Figures about the answers and the decisions."""
        figures = await self.site.figure("figures", lambda: review.figures(self.site.engine))
        return self.site.templates.page(
            request,
            "state.html",
            f=figures,
            histogram=_histogram(figures.histogram),
            pace=_pace(figures.pace),
        )


def _histogram(counts: Sequence[int]) -> Markup:
    drawn = [
        Bar(
            f"{place / len(counts):.1f}",
            count,
            f"{place / len(counts):.2f} to {(place + 1) / len(counts):.2f}: {count:,} links",
        )
        for place, count in enumerate(counts)
    ]
    return bars(drawn, label="Links by probability", every=4, end="1.0")


def _pace(pace: Iterable[review.Pace]) -> Markup:
    days: dict[date, int] = {}
    for entry in sorted(pace, key=lambda entry: entry.day):
        days[entry.day] = days.get(entry.day, 0) + entry.decisions
    drawn = [
        Bar(f"{day:%-d %b}", count, f"{day:%-d %b}: {count:,} decisions")
        for day, count in days.items()
    ]
    return bars(drawn, label="Decisions by day", every=max(1, len(drawn) // 6))
