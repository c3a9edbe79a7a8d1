"""What the source may not contain: ways for data to become code, SQL made of values, and URLs that
are read or printed by the way."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from support.paths import ROOT

SOURCES = sorted(
    path for package in ("resolver", "workers") for path in (ROOT / package).rglob("*.py")
)

MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
"""Whose files and messages run code when they are read."""

CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load", "torch.load", "torch.jit.load",
    "subprocess.getoutput", "tempfile.mktemp",
}  # fmt: skip

KEYWORDS = {("shell", True), ("verify", False), ("allow_pickle", True), ("weights_only", False)}
"""Keyword arguments that may not have this value."""

EXECUTING = {"text", "execute", "executemany", "exec_driver_sql", "copy", "SQL"}
"""What takes SQL."""


URLS = {
    "urlsplit", "urlparse", "urlunsplit", "urlunparse", "make_url", "parse_url", "render_as_string",
    "sanitize_url", "maybe_sanitize_url", "as_uri",
}  # fmt: skip
"""What takes a URL apart or prints one: `resolver.network.addresses` does, which hides passwords."""


def name_of(node: ast.expr) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, attribute):
            return f"{name_of(value)}.{attribute}"
    return "?"


def findings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                for alias in names:
                    if alias.name.partition(".")[0] in MODULES:
                        yield f"import {alias.name}", node.lineno
            case ast.ImportFrom(module) if module and module.partition(".")[0] in MODULES:
                yield f"import {module}", node.lineno
            case ast.Call(function, arguments, keywords):
                called = name_of(function)
                given = {(one.arg, getattr(one.value, "value", None)) for one in keywords}
                if called in CALLS and not (
                    # Safe with their guards.
                    (called == "torch.load" and ("weights_only", True) in given)
                    or (called.endswith(".load") and ("allow_pickle", False) in given)
                ):
                    yield called, node.lineno
                for keyword in given & KEYWORDS:
                    yield f"{keyword[0]}={keyword[1]}", node.lineno
                if called.rpartition(".")[2] in URLS:
                    yield "URL", node.lineno
                if called.rpartition(".")[2] in EXECUTING and arguments:
                    yield from (("SQL", line) for line in put_together(arguments[0]))


def put_together(sql: ast.expr) -> Iterator[int]:
    """Lines where SQL is not a literal: an f-string with something in it, or an operator."""
    match sql:
        case ast.JoinedStr(values) if any(isinstance(one, ast.FormattedValue) for one in values):
            yield sql.lineno
        case ast.BinOp(op=ast.Add() | ast.Mod()):
            yield sql.lineno
        case ast.Call(ast.Attribute(attr="format" | "join" | "replace")):
            yield sql.lineno


ALLOWED = {
    ("resolver/network/addresses.py", "URL"): "the one reader",
    ("resolver/registry/identifier.py", "URL"): "websites of organisations",
    ("workers/broker.py", "URL"): "whether kombu reads a broker's as we do",
    ("resolver/cli/demo.py", "SQL"): "queries that come with the package",
    ("resolver/database/sampling.py", "SQL"): "one of two operators, constants there",
    ("resolver/database/copying.py", "SQL"): "names of temporary tables, constants of the callers",
    ("resolver/database/schema.py", "SQL"): "the name of a function, a constant there",
    ("resolver/database/jobs.py", "SQL"): "columns, a constant there",
    ("resolver/database/overrides.py", "SQL"): "columns and conditions, constants there",
    ("resolver/database/review_figures.py", "SQL"): "conditions, constants of review_filters",
    ("resolver/database/review_items.py", "SQL"): "conditions, constants there",
    ("resolver/database/review_leases.py", "SQL"): "columns and conditions, constants there",
    ("resolver/database/review_decisions.py", "SQL"): "columns and conditions, constants there",
    ("resolver/database/releases.py", "SQL"): "names of tables, constants there",
    ("resolver/database/resolver_versions.py", "SQL"): "columns and conditions, constants there",
    ("resolver/database/due_answers.py", "SQL"): "columns and conditions, constants there",
}
"""What is found and may stay, with the reason. A value of the outside is never part of SQL."""


def test_nothing_of_that_is_in_the_source() -> None:
    found: dict[tuple[str, str], list[int]] = {}
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        for what, line in findings(ast.parse(path.read_text())):
            found.setdefault((place, what), []).append(line)
    unexpected = {key: lines for key, lines in found.items() if key not in ALLOWED}
    assert not unexpected
    assert not ALLOWED.keys() - found.keys()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle", "import pickle"),
        ("from dill import loads", "import dill"),
        ("eval(text)", "eval"),
        ("torch.load(path)", "torch.load"),
        ("torch.load(path, weights_only=True)", None),
        ("np.load(path)", "np.load"),
        ("load(path, allow_pickle=True)", "allow_pickle=True"),
        ("np.load(path, allow_pickle=False)", None),
        ("subprocess.run(text, shell=True)", "shell=True"),
        ("httpx.get(url, verify=False)", "verify=False"),
        ("connection.execute(text(f'SELECT {name}'))", "SQL"),
        ("cursor.execute('SELECT %s' % name)", "SQL"),
        ("cursor.execute('SELECT ' + name)", "SQL"),
        ("cursor.execute('SELECT {}'.format(name))", "SQL"),
        ("cursor.execute('SELECT %s', (name,))", None),
        ("connection.execute(text('SELECT :name'), {'name': name})", None),
        ("kombu.utils.url.maybe_sanitize_url(url)", "URL"),
        ("urlsplit(url).hostname", "URL"),
    ],
)
def test_it_would_be_found(source: str, expected: str | None) -> None:
    assert {what for what, _ in findings(ast.parse(source))} == ({expected} - {None})


def test_messages_are_json() -> None:
    from resolver.settings import Settings
    from resolver.workers.app import create_app

    app = create_app(Settings(_env_file=None), broker_url="redis://127.0.0.1:1/0")  # type: ignore[call-arg]
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.result_accept_content in (None, ["json"])
    assert app.conf.event_serializer == "json"
