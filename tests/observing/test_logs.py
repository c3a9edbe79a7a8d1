"""Lines as a person and as a collector get them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.contextvars import bound_contextvars

from resolver.observing import logs
from resolver.settings import Settings

URL = "amqp://resolver:s3cret-p%40ss@broker:5672//"
SETTINGS = {"broker_url": URL, "qdrant_api_key": "0123456789abcdef", "home": Path("home")}


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """The root logger as it was: pytest listens to it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


def lines(form: str, *, level: int = logging.INFO) -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    settings = Settings(_env_file=None, log_format=form, **SETTINGS)  # type: ignore[arg-type, call-arg]
    logs.configure(settings, level, stream=stream)
    return logging.getLogger("resolver.tests"), stream


def test_json_is_one_object_a_line_with_its_context() -> None:
    log, stream = lines("json")
    with bound_contextvars(task_id="7", queue="bulk", resolver_version=3, first_record="10.1/é"):
        log.warning("two\nlines of %s", "text")
    log.info("later")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "message": "two\nlines of text",
        "level": "warning",
        "logger": "resolver.tests",
        "task_id": "7",
        "queue": "bulk",
        "resolver_version": 3,
        "first_record": "10.1/é",
    }
    assert "task_id" not in second


def test_the_figures_of_a_chunk_are_fields_in_json_and_a_sentence_in_text() -> None:
    figures = {"received": 2, "wall": 0.5, "stages": {"score": 0.4}}
    log, stream = lines("json")
    log.info("ChunkReport(received=2)", extra={"chunk": figures})
    line = json.loads(stream.getvalue())
    assert (line["message"], line["received"], line["stages"]) == ("chunk done", 2, {"score": 0.4})
    log, stream = lines("text")
    log.info("ChunkReport(received=2)", extra={"chunk": figures})
    assert "[info] ChunkReport(received=2)\n" in stream.getvalue()


def test_lines_of_celery_name_their_task() -> None:
    log, stream = lines("json")
    log.info("received", extra={"data": {"id": "7", "name": "resolver.update", "args": "x" * 9}})
    line = json.loads(stream.getvalue())
    assert (line["task_id"], line["task"]) == ("7", "resolver.update")
    assert "data" not in line


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "written",
    [
        f"cannot reach {URL}",
        "cannot reach redis://:other-pass@host/0 and http://a:other-pass@b",
        "connection to host=h user=u password=other-pass failed",
        "the key 0123456789abcdef is refused",
        "it is s3cret-p@ss, unquoted",
    ],
    ids=["own url", "other urls", "libpq", "api key", "bare password"],
)
def test_no_line_has_a_secret(form: str, written: str) -> None:
    log, stream = lines(form)
    log.error(written)
    with bound_contextvars(detail=[{"nested": written}]):
        log.info("a line")
    try:
        raise ValueError(written)
    except ValueError:
        log.exception("failed")
    told = stream.getvalue()
    assert told.count("***") >= 3
    for secret in ("s3cret", "other-pass", "0123456789abcdef"):
        assert secret not in told
    assert "ValueError" in told


@pytest.mark.parametrize("form", ["text", "json"])
def test_megabytes_are_cut(form: str) -> None:
    log, stream = lines(form)
    megabyte = "A\0" * 2**19
    with bound_contextvars(first_record=megabyte):
        log.warning("refused: %s", megabyte)
    try:
        raise ValueError(megabyte)
    except ValueError:
        log.exception("failed")
    assert len(stream.getvalue()) < 10 * logs.MAX_VALUE + 6 * logs.MAX_TRACEBACK
    assert "1,048,585 characters" in stream.getvalue()


def test_libraries_are_quiet_unless_somebody_debugs() -> None:
    _, stream = lines("text")
    logging.getLogger("httpx").info("HTTP Request: POST http://qdrant")
    logging.getLogger("httpx").warning("told")
    assert "HTTP Request" not in stream.getvalue()
    assert "told" in stream.getvalue()
    _, stream = lines("text", level=logging.DEBUG)
    logging.getLogger("httpx").info("HTTP Request: POST http://qdrant")
    assert "HTTP Request" in stream.getvalue()
    lines("text")
