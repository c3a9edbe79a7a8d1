"""Link raw affiliation strings to ROR organisations and keep the links true.

Data flows one way: *dump → organisations → documents → vectors*, and
*affiliation → candidates → scores → decision → links*.

What is in `__all__` is the package as a library: docs/python.md shows it, docs/python-reference.md
lists it. Each name is loaded when it is first used, so that ``import resolver`` loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resolver.api.answer import Answer, LinkedOrganisation
    from resolver.api.async_resolver import AsyncResolver
    from resolver.api.choices import PolicyChoices
    from resolver.api.job import Job
    from resolver.api.resolver import Resolver
    from resolver.errors import ResolverError
    from resolver.matching.outcome import Reason
    from resolver.settings import Settings
    from resolver.workers.client import EnqueueReport, enqueue, withdraw

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "AsyncResolver",
    "EnqueueReport",
    "Job",
    "LinkedOrganisation",
    "PolicyChoices",
    "Reason",
    "Resolver",
    "ResolverError",
    "Settings",
    "__version__",
    "enqueue",
    "withdraw",
]

_MODULES = {
    "Answer": "resolver.api.answer",
    "AsyncResolver": "resolver.api.async_resolver",
    "EnqueueReport": "resolver.workers.client",
    "Job": "resolver.api.job",
    "LinkedOrganisation": "resolver.api.answer",
    "PolicyChoices": "resolver.api.choices",
    "Reason": "resolver.matching.outcome",
    "Resolver": "resolver.api.resolver",
    "ResolverError": "resolver.errors",
    "Settings": "resolver.settings",
    "enqueue": "resolver.workers.client",
    "withdraw": "resolver.workers.client",
}
"""Where each exported name is defined."""


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
