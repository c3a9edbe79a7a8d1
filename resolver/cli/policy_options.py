"""The choices of a policy as options, the same for every command that decides.

::

    @policy_options
    def resolve(files: ..., choices: Choices) -> None:
        settings = choices.over(load_settings())

The decorator puts the options in the place of the parameter `choices`, which comes last and has
no default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Annotated, Any

import typer

from resolver.errors import SettingsError
from resolver.matching.policy import MAX_LINKS, TARGET_PRECISIONS, Level, Policy, Succession
from resolver.settings import Settings

PANEL = "What to link"
"""Where the help lists these options."""


def _option(name: str, help: str, **limits: Any) -> Any:
    return typer.Option(f"--{name}", help=help, rich_help_panel=PANEL, **limits)


OPTIONS: dict[str, Any] = {
    "target_precision": Annotated[
        float | None,
        _option(
            "target-precision",
            "Desired share of right links: sets the threshold as measured.",
            min=TARGET_PRECISIONS[0],
            max=TARGET_PRECISIONS[1],
        ),
    ],
    "accept_probability": Annotated[
        float | None, _option("accept-probability", "Minimum probability of a link.", min=0, max=1)
    ],
    "max_links": Annotated[
        int | None,
        _option("max-links", "Maximum number of links.", min=1, max=MAX_LINKS),
    ],
    "level": Annotated[
        Level | None, _option("level", "Which of an organisation and its parents to link.")
    ],
    "succession": Annotated[
        Succession | None,
        _option("succession", "How to link an organisation that has ended."),
    ],
    "types": Annotated[
        str | None, _option("types", "ROR types that may be linked: education,healthcare.")
    ],
    "countries": Annotated[
        str | None, _option("countries", "Countries (ISO codes) to link in: CH,DE.")
    ],
}
"""The annotation of each parameter. An option that is not given is None."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The options as given; None was not given, and leaves the setting as it is."""

    target_precision: float | None = None
    accept_probability: float | None = None
    max_links: int | None = None
    level: Level | None = None
    succession: Succession | None = None
    types: str | None = None
    countries: str | None = None

    def as_object(self) -> dict[str, Any]:
        """The choices that were given, in the form of a message (docs/tasks.md).

        Raises:
            SettingsError: the choices make no sense, or not together.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        given |= {name: str(given[name]) for name in ("level", "succession") if name in given}
        for name in ("types", "countries"):
            if name in given:
                parts = (part.strip() for part in given[name].split(","))
                given[name] = sorted({part for part in parts if part})
        try:
            # The threshold of a target precision is known to who has the models: a worker.
            Policy.from_object(given, threshold_for=lambda _: 1.0)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        return given

    def over(self, settings: Settings) -> Settings:
        """The settings with these choices in place of theirs.

        Raises:
            SettingsError: as for `as_object`.
        """
        given = self.as_object()
        for name in ("types", "countries"):
            if name in given:
                given[name] = frozenset(given[name])
        if "accept_probability" in given:
            given["target_precision"] = None
        return settings.model_copy(update=given)


def policy_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with `OPTIONS` in the place of its last parameter, `choices`."""
    # Typer reads annotations by evaluating them, which those of the options are already.
    signature = inspect.signature(command, eval_str=True)
    *own, choices = signature.parameters.values()
    assert choices.name == "choices"
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in OPTIONS.items()
    ]

    @wraps(command)
    def with_options(*arguments: Any, **options: Any) -> None:
        given = {name: options.pop(name, None) for name in OPTIONS}
        command(*arguments, **options, choices=Choices(**given))

    parameters = [*own, *added]
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return with_options
