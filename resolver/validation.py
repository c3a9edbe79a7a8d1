"""What pydantic finds wrong with a value that comes in, in this project's words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

UNKNOWN_KEY = "no such key"

MAX_SHOWN = 80

_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "frozen_set_type": "a list",
    "model_type": "an object",
    "dataclass_type": "an object",
}
"""What was expected, by pydantic's type of error."""


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The path of the first bad value, as "names[2].value" ("" for the whole), and what is wrong.

    A `ValueError` of a validator is given in its own words. Of a value only a choice is quoted, at
    most `MAX_SHOWN` characters of it.
    """
    problem = error.errors(include_url=False)[0]
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "value_error":
        reason = str(context["error"])
    elif kind == "json_invalid":
        reason = f"not JSON: {context['error']}"
    elif kind in ("extra_forbidden", "invalid_key"):
        reason = UNKNOWN_KEY
    elif kind == "enum":
        shown = json.dumps(value, default=str)[:MAX_SHOWN]
        choices = context["expected"].replace(" or ", ", ").replace("'", "")
        reason = f"{shown} is not one of {choices}"
    elif kind == "missing" or (value is None and kind in ("string_type", "list_type")):
        reason = "missing or empty"
    elif kind == "greater_than_equal":
        reason = f"is less than {context['ge']:.0f}"
    elif kind == "less_than_equal":
        reason = f"is more than {context['le']:.0f}"
    elif kind == "finite_number":
        reason = "is not a finite number"
    elif kind == "float_type" and json_kind(value) == "a number":
        reason = "is too large a number"
    elif kind in ("int_type", "int_from_float") and json_kind(value) == "a number":
        reason = "is not a whole number"
    elif kind in _EXPECTED:
        reason = f"is {json_kind(value)}, not {_EXPECTED[kind]}"
    else:
        reason = f"is not valid ({kind.replace('_', ' ')})"
    return _path(problem["loc"]), reason


def json_kind(value: object) -> str:
    """What JSON calls a value, with its article: "a string", "an object"."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case float() if value != value or value in (float("inf"), float("-inf")):
            return "not a number"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return f"of type {type(value).__name__}"


def _path(steps: Iterable[int | str]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return path.removeprefix(".")
