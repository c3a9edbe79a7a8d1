"""resolver.validation: what pydantic finds wrong, in the project's words."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from resolver.validation import MAX_SHOWN, UNKNOWN_KEY, first_problem, json_kind


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Item(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    size: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    count: int = 0
    colour: Colour = Field(default=Colour.RED, strict=False)
    tags: list[str] = Field(default=[], fail_fast=True)
    inner: Item | None = None

    @field_validator("name")
    @classmethod
    def _no_digit(cls, name: str) -> str:
        if name.isdecimal():
            raise ValueError("has only digits")
        return name


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"name": 1}, "name", "is a number, not a string"),
        ({"name": None}, "name", "missing or empty"),
        ({"name": "12"}, "name", "has only digits"),
        ({"size": "1"}, "size", "is a string, not a number"),
        ({"size": True}, "size", "is a boolean, not a number"),
        ({"size": -91}, "size", "is less than -90"),
        ({"size": 90.5}, "size", "is more than 90"),
        ({"size": math.nan}, "size", "is not a finite number"),
        ({"size": 10**400}, "size", "is too large a number"),
        ({"count": 1.5}, "count", "is not a whole number"),
        ({"count": "1"}, "count", "is a string, not a whole number"),
        ({"colour": "pink"}, "colour", '"pink" is not one of red, blue, green'),
        ({"tags": {"a": 1}}, "tags", "is an object, not a list"),
        ({"tags": ["a", 1, 2]}, "tags[1]", "is a number, not a string"),
        ({"inner": "x"}, "inner", "is a string, not an object"),
        ({"inner": {"name": "x", "tags": [None]}}, "inner.tags[0]", "missing or empty"),
        ({"size_": 1}, "size_", UNKNOWN_KEY),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_path_and_reason(changes: dict[str, object], path: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Item.model_validate({"name": "x"} | changes)
    assert first_problem(caught.value) == (path, reason)


def test_the_whole_has_no_path() -> None:
    with pytest.raises(ValidationError) as caught:
        Item.model_validate([])
    assert first_problem(caught.value) == ("", "is a list, not an object")


def test_what_is_not_json() -> None:
    with pytest.raises(ValidationError) as caught:
        Item.model_validate_json(b'{"name": ')
    path, reason = first_problem(caught.value)
    assert path == ""
    assert reason.startswith("not JSON: ")


def test_little_is_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        Item.model_validate({"name": "x", "colour": "pink" * 1000})
    _, reason = first_problem(caught.value)
    assert len(reason) < MAX_SHOWN + 50


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (True, "a boolean"),
        (1, "a number"),
        (1.5, "a number"),
        (math.inf, "not a number"),
        ("", "a string"),
        ([], "a list"),
        ({}, "an object"),
        (b"", "of type bytes"),
    ],
)
def test_kinds(value: object, kind: str) -> None:
    assert json_kind(value) == kind
