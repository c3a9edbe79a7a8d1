"""Plots of the state page."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from resolver.review.plots import HEIGHT, WIDEST, WIDTH, Bar, bars

SVG = {"svg": "http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([], ["0", "1"]),
        ([1], ["0", "1"]),
        ([3], ["0", "2", "4"]),
        ([7, 2], ["0", "5", "10"]),
        ([984, 0], ["0", "500", "1,000"]),
        ([1_500_000], ["0", "1,000,000", "2,000,000"]),
    ],
)
def test_axes_are_round(values: list[int], ticks: list[str]) -> None:
    drawing = ElementTree.fromstring(bars([Bar("", value, "") for value in values], label="Links"))
    shown = [text.text for text in drawing.iter("text") if text.get("text-anchor") == "end"]
    assert shown[: len(ticks)] == ticks
    for rectangle in drawing.iter("rect"):
        x, y, width, height = (float(rectangle.get(k, "")) for k in ("x", "y", "width", "height"))
        assert x >= 0
        assert x + width <= WIDTH
        assert width <= WIDEST
        assert y >= 0
        assert y + height <= HEIGHT


def test_labels_are_text() -> None:
    drawing = bars([Bar("<b>", 1, '"><script>')], label='a "label"')
    assert "<b>" not in drawing
    assert "<script>" not in drawing
    assert ElementTree.fromstring(drawing).get("aria-label") == 'a "label"'
