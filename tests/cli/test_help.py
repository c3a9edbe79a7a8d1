import click
import pytest
from support.all_commands import ALL


def test_the_commands_are_those_documented() -> None:
    assert {path.removeprefix("resolver ") for path, _ in ALL} >= {
        "registry load", "registry fetch", "registry show", "index build", "index show",
        "resolve", "enqueue", "worker", "evaluate", "train", "migrate", "sql", "demo",
        "update", "refresh", "schedule", "withdraw", "registry diff", "index activate",
        "index prune", "version list", "version show", "version use", "version rollback",
        "compare", "override add", "override remove", "override list", "override history",
        "override import", "override export", "override check",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_and_option_says_what_it_is(path: str, command: click.Command) -> None:
    assert command.help, path
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{path} {parameter.name}"
