"""Settings, from the environment (``RESOLVER_*``) or a ``.env`` file."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from dotenv import dotenv_values
from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from resolver.errors import SettingsError
from resolver.network import addresses

log = logging.getLogger(__name__)

PREFIX = "RESOLVER_"
OF_TESTS = "RESOLVER_TEST_"
"""Names that begin so are for this project's own tests, and no settings."""
ENV_FILE = Path(".env")

BUILTIN = "builtin"
"""Name of the models that ship with the package."""


def _listed(value: object) -> object:
    """What is between the commas of a string."""
    if not isinstance(value, str):
        return value
    return frozenset(part.strip() for part in value.split(",") if part.strip())


MAX_SECRET_BYTES = 64 * 1024
"""Longest file that is taken for a secret: the wrong path may name a disk image."""


Listed = Annotated[frozenset[str], NoDecode, BeforeValidator(_listed)]
"""Strings, in the environment separated by commas."""


class Settings(BaseSettings):
    """Where things are and how to decide. Every field is ``RESOLVER_<FIELD>`` in the environment.

    What names a model, and what every answer depends on, is for the resolver version in use to
    say once there is one: see `resolver.service.version`.

    A URL that is not set means the embedded form of that service, kept under `home`.

    Each `SecretStr` may come from a file instead: the setting of that name and ``_file`` has the
    file's path. What it holds, without white space around it, is the value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        extra="ignore",
        # An error of one value would else quote them all, passwords among them.
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default=Path(".resolver"),
        description="Folder of the embedded services, the index and downloads.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="postgresql://… ; unset: Postgres from a wheel, under home."
    )
    database_url_file: Path | None = Field(
        default=None, description="A file that holds database_url."
    )
    broker_url: SecretStr | None = Field(
        default=None, description="amqp://… or redis://… ; unset: Redis from a wheel, under home."
    )
    broker_url_file: Path | None = Field(default=None, description="A file that holds broker_url.")
    broker_certificate: Path | None = Field(
        default=None, description="PEM file that shows the broker who this is; TLS alone."
    )
    broker_key: Path | None = Field(
        default=None, description="PEM file of its private key; unset: in the same file."
    )
    qdrant_url: str | None = Field(
        default=None, description="http://host:6333 ; unset: Qdrant's engine in process."
    )
    qdrant_api_key: SecretStr | None = Field(default=None, description="The Qdrant server's key.")
    qdrant_api_key_file: Path | None = Field(
        default=None, description="A file that holds qdrant_api_key."
    )
    qdrant_timeout: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="Seconds to wait for the Qdrant server."
    )
    qdrant_copies: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="Nodes of the Qdrant server that keep a new index version."
    )

    encoder: str = Field(
        default=BUILTIN, description="builtin, or a sentence-transformers id or path."
    )
    reranker: str = Field(
        default=BUILTIN,
        description="builtin, a cross-encoder's Hugging Face id or path, or a server's http://… .",
    )
    reranker_api_key: SecretStr | None = Field(
        default=None, description="Bearer token for the reranker's server."
    )
    reranker_api_key_file: Path | None = Field(
        default=None, description="A file that holds reranker_api_key."
    )
    reranker_calibration: Path | None = Field(
        default=None, description="calibration.json for a reranker on a server; unset: the sigmoid."
    )
    reranker_timeout: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="Seconds to wait for an answer of the reranker's server."
    )
    reranker_requests: Annotated[int, Field(ge=1, le=256)] = Field(
        default=8, description="Requests that a process has at the reranker's server at a time."
    )
    scorer: Path | None = Field(
        default=None,
        description="Unix socket of the scorer that computes the reranker; unset: each process "
        "does.",
    )
    judge: str = Field(
        default=BUILTIN, description="builtin, or a file that resolver train --part judge wrote."
    )
    device: str | None = Field(
        default=None, description="cpu, cuda, cuda:1 …; unset: the best there is (not for builtin)."
    )

    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that broker, Qdrant and reranker are trusted by.",
    )

    threads: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Threads of the built-in reranker in a process, and processes of a large "
        "selection; unset: one for each core.",
    )

    recall_depth: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=50, description="Organisations that the first stage returns."
    )
    rerank_depth: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="Organisations of those that the cross-encoder scores at most."
    )
    rerank_from: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.005,
        description="Probability, before it, from which the cross-encoder scores an organisation.",
    )
    accept_probability: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Least calibrated probability of a link."
    )
    target_precision: Annotated[float, Field(ge=0.5, le=0.999)] | None = Field(
        default=None, description="Share of links to be right, instead of accept_probability."
    )
    max_links: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="Most links of one affiliation."
    )
    level: Literal["named", "most-specific", "top-parent", "both"] = Field(
        default="named", description="Which of an organisation and its parents to link."
    )
    succession: Literal["keep", "roll-forward"] = Field(
        default="keep", description="What becomes of a link to an organisation that has ended."
    )
    types: Listed = Field(
        default=frozenset(), description="ROR types that may be linked; none: all."
    )
    countries: Listed = Field(
        default=frozenset(), description="Countries (ISO 3166-1 alpha-2) to link in; none: all."
    )

    registry_url: str = Field(
        default="https://zenodo.org", description="Where releases come from: Zenodo, or a mirror."
    )
    update_schedule: str | None = Field(
        default=None,
        description="When to take in the newest release: a cron expression, in UTC; unset: never.",
    )

    forget_schedule: str | None = Field(
        default=None,
        description="When to delete what is over and old: a cron expression, in UTC; unset: never.",
    )
    review_schedule: str | None = Field(
        default=None,
        description="When to repair the review's queue: a cron expression, in UTC; unset: never.",
    )
    keep_withdrawn_days: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Days that withdrawn records are kept; unset: for ever."
    )
    keep_past_days: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Days that replaced answers and records are kept; unset: for ever.",
    )
    keep_refused_days: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Days that refused records are kept; unset: for ever."
    )

    chunk_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=256, description="Affiliations in a task message."
    )
    queue_limit: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="Messages in a queue from which on senders wait or are refused."
    )
    slice_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=64, description="Affiliations that go through a stage of the matcher together."
    )

    ror_precision: Annotated[float, Field(ge=0.5, le=0.999)] = Field(
        default=0.95, description="Share of links to be right that ROR's API matches for."
    )
    ror_chosen: Literal["all", "one"] = Field(
        default="all", description="Links of an affiliation that ROR's API calls chosen."
    )

    log_format: Literal["text", "json"] = Field(
        default="text", description="How workers log: text for a person, json for a collector."
    )
    heartbeat_file: Path | None = Field(
        default=None, description="A file that a worker touches while it lives; unset: none."
    )
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="Port of a worker's /metrics and /healthz; unset: none."
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address that /metrics and /healthz listen on."
    )

    serve_keys: Path | None = Field(
        default=None,
        description="A file of the keys that resolver serve asks for; unset: it asks for none.",
    )
    serve_rate: str | None = Field(
        default=None,
        description="Requests that a key, or an address without one, may send: 100/minute; unset: "
        "any number.",
    )
    serve_rate_url: SecretStr | None = Field(
        default=None,
        description="redis://… that counts them for all processes; unset: a broker that is Redis, "
        "else each process counts its own.",
    )
    serve_rate_url_file: Path | None = Field(
        default=None, description="A file that holds serve_rate_url."
    )
    serve_url: str | None = Field(
        default=None,
        description="Address that resolver serve is reached by: https://host/path ; unset: that of "
        "each request.",
    )
    serve_proxies: Listed = Field(
        default=frozenset({"127.0.0.1", "::1"}),
        description="Addresses of the proxies that say whom a request is from.",
    )
    serve_waiting: Annotated[int, Field(ge=1)] = Field(
        default=1000, description="Affiliations that wait, in a process, before it refuses more."
    )
    serve_seconds: Annotated[float, Field(gt=0)] = Field(
        default=50.0, description="Seconds that the answer to a request may take."
    )
    serve_leave_seconds: Annotated[float, Field(ge=0)] = Field(
        default=2.0,
        description="Seconds, after SIGTERM, that new requests are taken and /readyz is 503.",
    )
    serve_jobs_days: Annotated[int, Field(ge=1)] = Field(
        default=7, description="Days that a job and its results are kept."
    )

    review_user_header: str | None = Field(
        default=None,
        description="Header in which a proxy names the person at the review page: "
        "X-Forwarded-User; unset: all decisions are those of one person.",
    )
    review_proxies: Listed = Field(
        default=frozenset({"127.0.0.1", "::1"}),
        description="Addresses or networks of the proxies from which that header is taken.",
    )
    review_hosts: Listed = Field(
        default=frozenset(),
        description="Names by which browsers reach the review page, beside those of this machine.",
    )
    review_guide: Path | None = Field(
        default=None,
        description="Markdown file of the review page's guide; unset: the one that comes with it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        read = dict(values)
        for name in SECRETS:
            path = read.get(f"{name}_file")
            if path in (None, ""):
                read.pop(f"{name}_file", None)
                continue
            if read.get(name) not in (None, ""):
                variable = f"RESOLVER_{name.upper()}"
                raise ValueError(f"{variable} and {variable}_FILE exclude each other")
            read[name] = _secret(name, Path(path))
        return read

    @field_validator("qdrant_url", "registry_url", "serve_url")
    @classmethod
    def _without_password(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            address = addresses.read(value)
        except ValueError:
            raise ValueError("the URL cannot be read; write it as https://host:port") from None
        if address.user is not None:
            raise ValueError("the URL holds a user or a password, which would be shown")
        return value

    @field_validator("ca_file", "broker_certificate", "broker_key", "serve_keys", "review_guide")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if self.target_precision is not None and "accept_probability" in self.model_fields_set:
            raise ValueError(
                "RESOLVER_TARGET_PRECISION and RESOLVER_ACCEPT_PROBABILITY exclude each other"
            )
        return self


SECRETS = tuple(
    name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)
)
"""Settings that are shown nowhere, and may come from a file."""


NAMES = tuple(f"{PREFIX}{name.upper()}" for name in Settings.model_fields)
"""All settings, as the environment has them."""

_warned: set[tuple[str, str]] = set()


def _unknown() -> Iterator[tuple[str, str]]:
    """Names in the environment and in the file beside it that look like settings and are none."""
    try:
        in_file = list(dotenv_values(ENV_FILE)) if ENV_FILE.is_file() else []
    except (OSError, UnicodeDecodeError):
        in_file = []  # Whoever reads the settings from it says what is wrong with it.
    for where, names in (("the environment", list(os.environ)), (str(ENV_FILE), in_file)):
        for name in names:
            upper = name.upper()
            if upper.startswith(PREFIX) and upper not in NAMES and not upper.startswith(OF_TESTS):
                yield name, where


def _meant(name: str) -> str:
    known = [field.upper() for field in Settings.model_fields]
    near = difflib.get_close_matches(name[len(PREFIX) :].upper(), known, n=1)
    return f"did you mean {PREFIX}{near[0]}?" if near else "docs/settings.md lists all there are"


def _secret(name: str, path: Path) -> str:
    """What is in the file of a secret; an error names the file and shows nothing of it."""
    variable = f"RESOLVER_{name.upper()}_FILE"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{variable}: {path}: {error.strerror or 'cannot be read'}") from None
    except ValueError:
        raise ValueError(f"{variable}: not a path") from None
    if len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"{variable}: {path} has more than {MAX_SECRET_BYTES:,} bytes")
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {path} is not UTF-8") from None
    if not text:
        raise ValueError(f"{variable}: {path} is empty")
    return text


def load_settings(**given: Any) -> Settings:
    """Settings from the environment; what is `given` takes the place of what is there.

    A name that is none of a setting is logged as a warning, once: what it was to set is not set.

    Raises:
        SettingsError: a value is of the wrong kind or out of range; names the variable.
    """
    for name, where in _unknown():
        if (name, where) not in _warned:
            _warned.add((name, where))
            log.warning("%s in %s is no setting and does nothing; %s", name, where, _meant(name))
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].removeprefix("Value error, ")
        if first["loc"]:
            problem = f"RESOLVER_{str(first['loc'][0]).upper()}: {problem}"
        raise SettingsError(
            problem, remedy="see docs/settings.md for the accepted values"
        ) from error
