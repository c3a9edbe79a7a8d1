"""What a bar of progress says: what is left, how many a second, and how long it will take."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from resolver.cli import terminal
from resolver.cli.terminal import Terminal, progress

Shown = Callable[..., str]


class _Screen(io.StringIO):
    """A terminal that keeps what is written to it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """The bar 10 s after the last of these reports, each of them 10 s after the one before."""

    def last_line(title: str, *reports: tuple[int, ...], columns: int = 100, **more: object) -> str:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        screen, now = _Screen(), 0.0
        console = Terminal(stderr=True)
        console.file = screen
        console.get_time = lambda: now
        monkeypatch.setattr(terminal, "errors", console)
        with progress(title) as report:
            for arguments in reports:
                report(*arguments, **more)
                now += 10
        lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()))
        return next(line for line in reversed(lines) if line.strip()).strip()

    return last_line


@pytest.mark.parametrize(
    ("title", "reports", "figures"),
    [
        ("names", [(0, 129_046), (25_000,), (50_000,)],
         "79,046 of 129,046 left  2,500/s  0:32 to go"),
        ("pairs", [(0, 100), (20,)], "80 of 100 left  2.0/s  0:40 to go"),
        ("fits", [(0, 21), (1,), (2,)], "19 of 21 left  6.0/min  3:10 to go"),
        ("affiliations", [(0, 100_000_000), (50_000,)],
         "99,950,000 of 100,000,000 left  5,000/s  5:33:10 to go"),
        ("fetch: bytes", [(0, 34_000_000), (10_000_000,)],
         "24.0 MB of 34.0 MB left  1.0 MB/s  0:24 to go"),
        ("names", [(0, 500)], "500 of 500 left  -:-- to go"),
        ("records sent", [(1_000,), (5_000,)], "5,000  250/s  in 0:20"),
    ],
)  # fmt: skip
def test_what_is_left(
    shown: Shown, title: str, reports: list[tuple[int, ...]], figures: str
) -> None:
    line = shown(title, *reports)
    assert title in line
    assert line.endswith(figures)


def test_a_total_that_is_an_estimate_says_so(shown: Shown) -> None:
    line = shown("organisations", (0, 130_000), (10_000, 129_000), (20_000, 128_000), about=True)
    # A total that changes does not begin the measuring anew.
    assert line.endswith("108,000 of about 128,000 left  1,000/s  1:48 to go")


@pytest.mark.parametrize(
    ("reports", "figures"),
    [([(0, 80), (40,), (80,)], "80  4.0/s  in 0:20"), ([(7,)], "7  42/min  in 0:10")],
)
def test_in_the_end_it_says_how_long_it_took(
    shown: Shown, reports: list[tuple[int, ...]], figures: str
) -> None:
    assert shown("names", *reports).endswith(figures)


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_cut_in_a_terminal_of_80_columns(shown: Shown, columns: int) -> None:
    line = shown("refresh: affiliations", (0, 2_129_046), (100_000,), columns=columns)
    assert "refresh: affiliations" in line
    assert line.endswith("2,029,046 of 2,129,046 left  10,000/s  3:23 to go")
    assert len(line) <= columns


def test_a_log_gets_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "errors", Terminal(stderr=True))
    with progress("names", 10) as report:
        report(10)
    assert capsys.readouterr().err == ""
