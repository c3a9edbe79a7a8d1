"""docker-compose.yml says what it should; no Docker is needed to see that."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from resolver.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
WORKERS = {"worker-cpu", "worker-gpu"}


def test_services() -> None:
    assert {"postgres", "qdrant", "rabbitmq", "migrate"} | WORKERS <= SERVICES.keys()
    assert SERVICES["worker-cpu"]["profiles"] == ["cpu"]
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in {"migrate", "cli"}])
def test_what_runs_on_has_a_healthcheck_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_workers_wait_for_what_they_need(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "qdrant": {"condition": "service_healthy"},
        "rabbitmq": {"condition": "service_healthy"},
    }


def test_updates_are_sent_only_where_that_is_wanted() -> None:
    assert SERVICES["schedule"]["profiles"] == ["schedule"]
    assert all("RESOLVER_UPDATE_SCHEDULE" not in SERVICES[n]["environment"] for n in WORKERS)


def test_migrate_runs_once_after_postgres() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", ["postgres", "qdrant", "rabbitmq"])
def test_servers_are_pinned_and_keep_their_data(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image
    assert tag not in {"", "latest"}
    volume = SERVICES[name]["volumes"][0].split(":")[0]
    assert volume in yaml.safe_load(COMPOSE)["volumes"]


def test_no_password_is_baked_in() -> None:
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    secrets = re.findall(r"(\w*(?:PASS|PASSWORD|API_KEY)\w*): (\S.*)", COMPOSE)
    assert secrets
    for name, value in secrets:
        assert re.match(r"\$\{(\w+):\?", value), f"{name} has a value of its own"
    for variable in re.findall(r"\$\{(\w+):\?", COMPOSE):
        assert example[variable] == "", f"{variable} is not in .env.example, or has a value there"
    for url in re.findall(r"\w+://\w+:([^@\s]+)@", COMPOSE):
        assert url.startswith("${")


def test_every_setting_named_is_one() -> None:
    known = {f"RESOLVER_{field.upper()}" for field in Settings.model_fields}
    assert set(re.findall(r"RESOLVER_[A-Z_]+", COMPOSE)) <= known


def test_images_copy_files_that_exist() -> None:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source


@pytest.mark.parametrize("name", ["migrate", "schedule", *sorted(WORKERS)])
def test_commands_are_commands(name: str) -> None:
    import typer.main

    from resolver.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert SERVICES[name]["command"][0] in commands


def test_stages_named_exist() -> None:
    stages = re.findall(r"^FROM \S+ AS (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for service in SERVICES.values():
        if "build" in service:
            assert service["build"]["target"] in stages
