"""What a person sees: whole, as it is, in every terminal, and never read as markup."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text
from support.all_commands import ALL
from support.command_line import Run, in_a_terminal
from support.paths import ROOT
from typer.testing import CliRunner

from resolver.cli import app
from resolver.cli.tables import Table, rows_table
from resolver.cli.terminal import Terminal

SOURCES = sorted((ROOT / "resolver" / "cli").glob("*.py"))

ID, SHA256 = (
    "https://ror.org/052gg0110",
    "654a4f98d4593895594d7d9070dfdfaeb89e3b5eef0148c709b1992e897d",
)
LONG = "Department of Physics, University of Oxford, Parks Road, Oxford OX1 3PU, United Kingdom"


# Help


@pytest.mark.parametrize("path", [path for path, _ in ALL])
def test_help_shows_what_stands_in_brackets(path: str) -> None:
    command = dict(ALL)[path]
    done = CliRunner().invoke(app, [*path.split()[1:], "--help"], env={"COLUMNS": "300"})
    assert done.exit_code == 0
    shown = " ".join(re.sub("[│╭╮╰╯─]", " ", done.output).split())
    for described in (command, *command.params):
        written = (getattr(described, "help", None) or "").replace("\\[", "[")
        for bracketed in re.findall(r"\[[^\]]+\]", written):
            assert " ".join(bracketed.split()) in shown


@pytest.mark.parametrize("path", [path for path, _ in ALL])
def test_no_option_is_cut_in_a_narrow_terminal(path: str) -> None:
    command = dict(ALL)[path]
    done = CliRunner().invoke(app, [*path.split()[1:], "--help"], env={"COLUMNS": "80"})
    for option in command.params:
        for name in (*option.opts, *option.secondary_opts):
            assert not name.startswith("-") or re.search(rf"{name}(?=[\s│])", done.output), name


def test_paragraphs_of_help_are_as_wide_as_the_terminal() -> None:
    done = CliRunner().invoke(app, ["enqueue", "--help"], env={"COLUMNS": "300"})
    (paragraph,) = (line for line in done.output.splitlines() if "harmless" in line)
    assert paragraph.strip().endswith("settings.")


def test_there_is_help_in_brackets() -> None:
    written = [p.help or "" for _, command in ALL for p in command.params if hasattr(p, "help")]
    assert sum("[" in text for text in written) > 10


# One way to print

STYLES = re.compile(
    r"\[/?(?:not |bold|dim|italic|underline|red|green|yellow|blue|cyan|magenta|bright_|none|link)"
    r"[a-z _]*\]|\[/\]"
)
PRINTING = {"print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "Console"}
MODULES = {
    "rich.table": {"tables.py", "terminal.py"},
    "rich.markup": {"__init__.py"},
    "rich": {"tables.py"},
}
"""What only these files import: the others take `Table` and `Text`, and write no markup. `terminal`
needs the columns of a progress bar."""


def called(node: ast.expr) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, attribute):
            return f"{called(value)}.{attribute}"
    return "?"


def otherwise_printed(tree: ast.AST, file: str) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(function) if called(function) in PRINTING:
                if (file, called(function)) != ("terminal.py", "Console"):
                    yield called(function)
            case ast.Attribute(attr="from_markup"):
                yield "from_markup"
            case ast.keyword(arg="markup", value=ast.Constant(value=True)):
                yield "markup=True"
            case ast.Constant(value=str(text)) if STYLES.search(text):
                yield text
            case ast.ImportFrom(module=str(module)) if file not in MODULES.get(module, {file}):
                yield f"from {module}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_everything_is_printed_in_one_way(source: Path) -> None:
    assert list(otherwise_printed(ast.parse(source.read_text()), source.name)) == []


@pytest.mark.parametrize(
    "source",
    [
        'print("x")', "typer.echo(x)", "Console()", 'say(f"[red]{x}[/]")', "from rich.table import Table",
        "from rich.markup import escape", 'Text.from_markup("x")', "console.print(x, markup=True)",
        'NONE = "[dim]–[/]"', 'mark = "[bold red]✗"',
    ],
)  # fmt: skip
def test_it_would_be_found(source: str) -> None:
    assert list(otherwise_printed(ast.parse(source), "some.py"))


# Tables


def printed(table: Table, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, markup=False, emoji=False).print(table)
    return file.getvalue()


@pytest.mark.parametrize("cell", ["Oxford\x1b[31m, UK", Text("Oxford\x1b[31m, UK", "red")])
def test_a_control_character_takes_the_place_of_nothing_else(cell: str | Text) -> None:
    table = Table("affiliation")
    table.add_row(cell)
    assert "Oxford\ufffd[31m, UK" in printed(table, 80)


def releases() -> Table:
    table = Table("in use", "version", "release", "encoder", "organisations", "names", "built")
    table.add_row("●", "v2.9-3f1c09aa17b2", "v2.9", "intfloat/multilingual-e5-small", "129,046",
                  "265,123", "2026-11-30 10:42")  # fmt: skip
    return table


def facts() -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("organisations", "129,046")
    table.add_row("sha256", SHA256)
    return table


def found() -> Table:
    return rows_table(
        ["affiliation", "organisation", "ror_id", "probability"],
        [
            (LONG, "University of Oxford", ID, 0.98712345),
            (f"{LONG} ({LONG})", None, None, None),
            (f"    {'x' * 24}", "        indented", None, None),
        ],
    )


def many() -> Table:
    return rows_table([f"column_{n}" for n in range(20)], [tuple(range(10**8, 10**8 + 20))] * 3)


def styled() -> Table:
    table = Table("id", "name")
    table.add_row(Text(ID, style="green"), Text(LONG), style="dim")
    return table


TABLES = [releases, facts, found, many, styled]


def words_of(table: Table) -> set[str]:
    cells = [cell for column in table.columns for cell in column.cells]
    return {word for cell in cells for word in str(cell).split()}


@pytest.mark.parametrize("width", [200, 120, 80, 79])
@pytest.mark.parametrize("make", TABLES)
def test_no_word_is_cut(make: Callable[[], Table], width: int) -> None:
    shown = printed(make(), width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    assert words_of(make()) <= set(shown.split())


@pytest.mark.parametrize("make", TABLES)
def test_nothing_is_lost_even_where_a_word_does_not_fit(make: Callable[[], Table]) -> None:
    shown = printed(make(), 30)
    assert "…" not in shown
    pieces = "".join(re.sub("[─●]", "", shown).split())
    for word in words_of(make()) - {SHA256, "●"}:
        assert len(word) > 12 or word in pieces


def test_other_scripts_are_broken_where_they_must() -> None:
    table = Table("affiliation", "ror_id")
    table.add_row("東京大学大学院情報理工学系研究科コンピュータ科学専攻" * 3, ID)
    shown = printed(table, 80)
    assert ID in shown.split()
    assert "".join(shown.split()).count("東京大学") == 3


def test_data_is_no_markup() -> None:
    table = Table("[/b]", "x", title="[the title]")
    table.add_row("[/b] [the file] :smile:", "\x1b[31mred\x07")
    file = io.StringIO()
    terminal = Terminal()
    terminal.file = file
    terminal.print(table)
    terminal.print("[/b] [the file] :smile: \x1b[31mred")
    shown = file.getvalue()
    assert shown.count("[/b] [the file] :smile:") == 2
    assert "[the title]" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


# Terminals and files

SHOW = """
from test_printing import *
from resolver.cli.terminal import console, prepare, say
prepare()
console.print({what})
"""


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/cli")))
    return kept | {"PYTHONPATH": path} | changes


def shown_by(code: str, *, columns: int, **changes: str) -> str:
    code_run, shown = in_a_terminal(
        [sys.executable, "-c", code], columns=columns, env=environment(**changes)
    )
    assert code_run == 0, shown
    return shown


def test_a_terminal_of_80_columns() -> None:
    shown = shown_by(SHOW.format(what="found()"), columns=80)
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert words_of(found()) <= set(shown.split())


@pytest.mark.parametrize("columns", [{}, {"COLUMNS": "40"}], ids=["unset", "COLUMNS=40"])
def test_a_file_is_never_cut(columns: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(what="found()")],
        capture_output=True, text=True, check=True, env=environment(**columns),
    )  # fmt: skip
    assert f"{LONG} ({LONG})" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 5  # headers, line, rows


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("form", ["terminal", "file"])
def test_a_terminal_without_unicode(encoding: str, form: str) -> None:
    what = '"● ✓ “Universität” — 東京 → …", releases()'
    code = SHOW.format(what=what) + 'say("Zürich \\udcff ✗")'
    if form == "terminal":
        shown = shown_by(code, columns=300, PYTHONIOENCODING=encoding)
    else:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True,
            env=environment(PYTHONIOENCODING=encoding),
        )  # fmt: skip
        shown = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in shown
    if encoding == "ascii":
        assert '* v "Universit\\xe4t" - \\u6771\\u4eac -> ...' in shown
        assert "Z\\xfcrich \\udcff x" in shown
    assert "v2.9-3f1c09aa17b2" in shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("resolve", "--help"), ("models", "list"), ("resolve", "Universität"), ("nö",)],
    ids=" ".join,
)
def test_commands_without_unicode(
    resolver_anew: Run, encoding: str, arguments: tuple[str, ...]
) -> None:
    done = resolver_anew(*arguments, env={"PYTHONIOENCODING": encoding}, errors="replace")
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode in (0, 1, 2)
    assert done.stdout + done.stderr


def test_names_in_brackets(resolver_anew: Run, tmp_path: Path) -> None:
    folder = tmp_path / "x[/b]"
    folder.mkdir(parents=True)
    (folder / "[the file].jsonl").write_text('{"affiliation": 1}\n')
    for name in ("[the file].jsonl", "[/red] none.jsonl"):
        done = resolver_anew("evaluate", f"x[/b]/{name}")
        assert done.returncode == 1
        assert f"x[/b]/{name}" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_disk_below_a_redirect(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "resolver.cli", "models", "list"],
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path,
            check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
