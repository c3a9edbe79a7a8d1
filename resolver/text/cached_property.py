"""Attributes that are worked out once, when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801
    """`functools.cached_property` as it is from Python 3.12 on: without a lock.

    With the lock of Python 3.11 the first use takes three times as long, and some 500 such
    attributes are worked out for each string. Two threads may both work one out; what they come to
    is the same.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> T | Self:
        if instance is None:
            return self
        # In the instance's dictionary, where it is found from now on before this is asked.
        value = instance.__dict__[self._name] = self._function(instance)
        return value
