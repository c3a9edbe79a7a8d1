"""Celery beat: sends the tasks of updates, deletions and repairs of the review at the times
of cron expressions.

It only sends. A worker of the queue ``registry`` does the update, and one of ``refresh`` resolves
the answers that it makes due. Run one beat: two would send each message twice, which is harmless
and useless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery
from celery.schedules import ParseException, crontab

from resolver.errors import SettingsError
from resolver.settings import Settings
from resolver.workers import broker
from resolver.workers.app import create_app
from resolver.workers.client import FORGET, REBUILD_REVIEW, UPDATE

if TYPE_CHECKING:
    from pathlib import Path

EXPIRES = 12 * 60 * 60
"""Seconds after which a message that no worker took expires: the next one does the same."""


def schedule_file(settings: Settings) -> Path:
    """The file in which beat keeps the times of its last messages."""
    return settings.home / "schedule"


def scheduled(settings: Settings, *, broker_url: str | None = None) -> Celery:
    """The application with its schedule; times are UTC.

    Raises:
        SettingsError: no schedule is set, or one is no cron expression.
    """
    chosen = {
        UPDATE: ("RESOLVER_UPDATE_SCHEDULE", settings.update_schedule),
        FORGET: ("RESOLVER_FORGET_SCHEDULE", settings.forget_schedule),
        REBUILD_REVIEW: ("RESOLVER_REVIEW_SCHEDULE", settings.review_schedule),
    }
    if not any(expression for _, expression in chosen.values()):
        raise SettingsError(
            "no schedule is set",
            remedy="set RESOLVER_UPDATE_SCHEDULE, as in: 0 3 * * 1 (Mondays at 03:00 UTC), or "
            "RESOLVER_FORGET_SCHEDULE or RESOLVER_REVIEW_SCHEDULE",
        )
    app = create_app(settings, broker_url=broker_url)
    app.conf.beat_schedule = {
        task.removeprefix("resolver."): {
            "task": task,
            "schedule": every(expression, variable),
            "options": {"queue": "registry", "expires": EXPIRES},
        }
        for task, (variable, expression) in chosen.items()
        if expression
    }
    return app


def every(expression: str, variable: str = "RESOLVER_UPDATE_SCHEDULE") -> crontab:
    """The times of a cron expression: minute, hour, day of the month, month, day of the week.

    `variable` is the name of its setting, for the error.

    Raises:
        SettingsError: it is no cron expression.
    """
    try:
        return crontab.from_string(expression)
    except (ParseException, ValueError) as error:
        raise SettingsError(
            f"{variable}: {expression!r} is no cron expression: {error}",
            remedy="write five fields, as in: 0 3 * * 1 (Mondays at 03:00 UTC)",
        ) from error


def run_schedule(settings: Settings, *, log_level: str = "INFO") -> None:
    """Send the scheduled messages until it is stopped. Without a broker URL it runs on the embedded
    Redis.

    Raises:
        SettingsError: no schedule is set, or one is no cron expression.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with broker.address(settings) as url:
        app = scheduled(settings, broker_url=url)
        app.Beat(schedule=str(schedule_file(settings)), loglevel=log_level, quiet=True).run()
