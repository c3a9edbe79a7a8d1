"""What `resolver` exports: all of it is there, documented, and named for what it is."""

from __future__ import annotations

import ast
import re

import pytest
from support.paths import ROOT

import resolver

REFERENCE = (ROOT / "docs/python-reference.md").read_text()


def test_the_names_are_sorted_and_shown() -> None:
    assert resolver.__all__ == sorted(resolver.__all__)
    assert {*resolver.__all__} <= {*dir(resolver)}


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    """The names imported for type checkers, and their modules, are those of `__getattr__`."""
    tree = ast.parse((ROOT / "resolver/__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == resolver._MODULES
    assert {*imported, "__version__"} == {*resolver.__all__}


@pytest.mark.parametrize("name", sorted({*resolver.__all__} - {"__version__"}))
class TestExported:
    def test_it_has_its_own_name_and_module(self, name: str) -> None:
        value = getattr(resolver, name)
        assert value.__name__ == value.__qualname__ == name
        assert value.__module__ == resolver._MODULES[name]

    def test_it_says_what_it_is(self, name: str) -> None:
        assert getattr(resolver, name).__doc__.strip()

    def test_it_is_in_the_reference(self, name: str) -> None:
        assert re.search(rf"^## `{name}`$", REFERENCE, re.MULTILINE)
