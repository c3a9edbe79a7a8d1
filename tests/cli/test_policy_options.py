from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from resolver.cli.policy_options import OPTIONS, Choices, policy_options
from resolver.errors import SettingsError
from resolver.matching.policy import Level, Policy
from resolver.service.parts import make_policy
from resolver.settings import Settings


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


def run(*arguments: str) -> tuple[int, list[object]]:
    """What a command with the options is called with."""
    app = typer.Typer()
    called: list[object] = []

    @app.command()
    @policy_options
    def link(
        texts: Annotated[list[str], typer.Argument(help="Texts.")],
        loud: Annotated[bool, typer.Option(help="Loudly.")] = False,
        *,
        choices: Choices,
    ) -> None:
        """Link."""
        called.extend([texts, loud, choices])

    return CliRunner().invoke(app, arguments).exit_code, called


def test_options_come_as_choices() -> None:
    assert run("a", "b", "--loud") == (0, [["a", "b"], True, Choices()])
    given = ("--level", "both", "--max-links", "3", "--types", "education", "--countries", "CH")
    chosen = Choices(level=Level.BOTH, max_links=3, types="education", countries="CH")
    assert run(*given, "a") == (0, [["a"], False, chosen])


@pytest.mark.parametrize(
    "option",
    [("--level", "top"), ("--max-links", "0"), ("--target-precision", "1"), ("--succession", "x")],
    ids=" ".join,
)
def test_bad_values_are_refused_at_once(option: tuple[str, str]) -> None:
    assert run(*option, "a") == (2, [])


def test_there_is_an_option_for_each_choice() -> None:
    assert set(OPTIONS) == set(Choices.__dataclass_fields__)
    chosen = set(Policy().as_object()) - {"ambiguity_margin"}
    assert set(OPTIONS) == chosen | {"target_precision"}


MEASURED = [(0.7, 0.97, 0.80)]


@pytest.mark.parametrize(
    ("choices", "set_before", "expected"),
    [
        pytest.param(Choices(), {"max_links": 3}, Policy(max_links=3), id="nothing given"),
        pytest.param(Choices(max_links=2), {"max_links": 3}, Policy(max_links=2), id="over"),
        pytest.param(
            Choices(types="education, company"),
            {"types": frozenset({"funder"}), "countries": frozenset({"CH"})},
            Policy(types=frozenset({"education", "company"}), countries=frozenset({"CH"})),
            id="lists are replaced whole",
        ),
        pytest.param(
            Choices(types=""), {"types": frozenset({"funder"})}, Policy(), id="or emptied"
        ),
        pytest.param(
            Choices(accept_probability=0.4),
            {"target_precision": 0.95},
            Policy(accept_probability=0.4),
            id="a threshold in place of a target",
        ),
        pytest.param(
            Choices(target_precision=0.95),
            {"accept_probability": 0.4},
            Policy(accept_probability=0.7),
            id="a target in place of a threshold",
        ),
    ],
)
def test_choices_go_over_the_settings(
    choices: Choices, set_before: dict[str, object], expected: Policy
) -> None:
    assert make_policy(choices.over(settings(**set_before)), MEASURED) == expected


def test_a_message_carries_what_was_given() -> None:
    assert Choices().as_object() == {}
    given = Choices(target_precision=0.9, level=Level.TOP_PARENT, countries="CH,DE")
    assert given.as_object() == {
        "target_precision": 0.9,
        "level": "top-parent",
        "countries": ["CH", "DE"],
    }


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (Choices(target_precision=0.9, accept_probability=0.5), "target_precision"),
        (Choices(types="educaton"), "'educaton'"),
        (Choices(countries="UK"), "'UK'"),
    ],
    ids=str,
)
def test_choices_that_make_no_sense_are_told(choices: Choices, said: str) -> None:
    for ask in (choices.as_object, lambda: choices.over(settings())):
        with pytest.raises(SettingsError, match=said):
            ask()
