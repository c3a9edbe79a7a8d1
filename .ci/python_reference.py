"""Write docs/python-reference.md to stdout: what `resolver` exports, by its docstrings.

.venv/bin/python .ci/python_reference.py > docs/python-reference.md
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from itertools import pairwise

from pydantic_settings import BaseSettings

import resolver
from resolver import errors

ORDER = (
    "Resolver", "Answer", "LinkedOrganisation", "Reason", "PolicyChoices", "AsyncResolver", "Job",
    "enqueue", "withdraw", "EnqueueReport", "Settings", "ResolverError",
)  # fmt: skip

HEAD = """\
# Python reference

What `from resolver import …` gives, made from the docstrings by `.ci/python_reference.py`;
[docs/python.md](python.md) shows how it is used. `resolver.__version__` is the version.
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef

WIDTH = 92
"""Characters of a signature in one line."""


def reference() -> str:
    missing = {*resolver.__all__} - {*ORDER, "__version__"}
    if missing:
        raise SystemExit(f"not in the order of the reference: {', '.join(sorted(missing))}")
    return "\n".join([HEAD, *(line for name in ORDER for line in section(name)), *error_tree()])


def section(name: str) -> Iterator[str]:
    value = getattr(resolver, name)
    [node] = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    yield from (f"## `{name}`", "")
    if isinstance(node, Function):
        yield from code(signature(node))
        yield from markdown(value.__doc__)
    elif isinstance(node, ast.ClassDef):
        yield from declaration(node, value)
        yield from markdown(value.__doc__)
        if issubclass(value, Enum):
            yield from values(node, value)
        yield from methods(node)


def declaration(node: ast.ClassDef, value: type) -> Iterator[str]:
    """How it is made, where it says so itself; else its fields."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            yield from code(signature(member, name=node.name, returns=False))
            return
    fields = [source(member) for member in node.body if isinstance(member, ast.AnnAssign)]
    if fields and not issubclass(value, BaseSettings):  # docs/settings.md has those
        yield from code("\n    ".join([f"class {node.name}:", *fields]))


def methods(node: ast.ClassDef) -> Iterator[str]:
    overloads: list[str] = []
    for member in node.body:
        if not isinstance(member, Function) or member.name.startswith("_"):
            continue
        decorators = [source(decorator) for decorator in member.decorator_list]
        if "overload" in decorators:
            overloads.append(signature(member))
            continue
        yield from (f"### `{node.name}.{member.name}`", "")
        if "property" in decorators:
            assert member.returns is not None
            yield from code(f"{member.name}: {source(member.returns)}")
        else:
            yield from code("\n\n".join(overloads or [signature(member)]))
        overloads.clear()
        yield from markdown(ast.get_docstring(member))


def values(node: ast.ClassDef, kind: type[Enum]) -> Iterator[str]:
    """The values of an enumeration, each with the string below it."""
    for member, following in pairwise(node.body):
        if isinstance(member, ast.Assign) and isinstance(following, ast.Expr):
            [target] = member.targets
            words = inspect.cleandoc(ast.literal_eval(following.value))
            yield f"- `{kind[source(target)].value}`: {' '.join(words.split())}"
    yield ""


def signature(node: Function, *, name: str | None = None, returns: bool = True) -> str:
    """As it is written in the source, without `self`; over several lines where it is long."""
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + arguments.defaults
    parts = [parameter(a, d) for a, d in zip(plain, defaults, strict=True) if a.arg != "self"]
    if arguments.kwonlyargs:
        parts.append("*")
    parts += map(parameter, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg:
        parts.append(f"**{parameter(arguments.kwarg, None)}")
    result = f" -> {source(node.returns)}" if returns and node.returns else ""
    awaited = "async " if isinstance(node, ast.AsyncFunctionDef) and not _streams(node) else ""
    start = f"{awaited}{name or node.name}("
    line = f"{start}{', '.join(parts)}){result}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([start, *(f"    {part}," for part in parts), f"){result}"])


def _streams(node: Function) -> bool:
    """Whether it is called without ``await``, in ``async for``."""
    return any(isinstance(part, ast.Yield) for part in ast.walk(node))


def parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = source(argument)
    return text if default is None else f"{text} = {source(default)}"


def source(node: ast.AST) -> str:
    """With the quotes that the formatter writes."""
    return ast.unparse(node).replace("'", '"')


def code(text: str, language: str = "py") -> Iterator[str]:
    yield from (f"```{language}", text, "```", "")


def markdown(docstring: str | None) -> Iterator[str]:
    """A docstring with its code, its errors and its names as Markdown has them."""
    assert docstring
    text = inspect.cleandoc(docstring)
    text = re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL)
    for paragraph in re.split(r"\n\n(?! )", text.replace("\n\n::\n\n", "\n\n::\n")):
        if paragraph.startswith("::\n"):
            yield from code(textwrap.dedent(paragraph.removeprefix("::\n")))
        elif paragraph.startswith("Raises:\n"):
            yield from ("Raises:", "", *raised(paragraph.removeprefix("Raises:\n")), "")
        else:
            yield from (paragraph, "")


def raised(text: str) -> Iterator[str]:
    """Each error with when it is raised; lines that go on are further to the right."""
    for entry in re.split(r"\n(?! )", textwrap.dedent(text)):
        names, colon, when = " ".join(entry.split()).partition(": ")
        yield (
            f"- {', '.join(f'`{name}`' for name in names.split(', '))}: {when}"
            if colon
            else (f"- {names}")
        )


def error_tree() -> Iterator[str]:
    assert errors.__doc__
    [tree] = re.findall(r"::\n\n((?:    .*\n)+)", errors.__doc__)
    yield from ("## Errors", "", "All are in `resolver.errors`:", "")
    yield from code(textwrap.dedent(tree).rstrip("\n"), "text")


if __name__ == "__main__":
    print(reference(), end="")
