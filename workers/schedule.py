"""Celery beat: sends `resolver.update` at the times of a cron expression.

It only sends. A worker of the queue ``registry`` does the work, and one of ``refresh`` what that
makes due. Run one: two would send each message twice, which is harmless and of no use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery
from celery.schedules import ParseException, crontab

from resolver.errors import SettingsError
from resolver.settings import Settings
from resolver.workers import broker
from resolver.workers.app import create_app
from resolver.workers.client import UPDATE

if TYPE_CHECKING:
    from pathlib import Path

EXPIRES = 12 * 60 * 60
"""Seconds after which an update that no worker took is not worth doing: the next one does it."""


def schedule_file(settings: Settings) -> Path:
    """Where beat remembers when it sent the last one."""
    return settings.home / "schedule"


def scheduled(settings: Settings, *, broker_url: str | None = None) -> Celery:
    """The application with its schedule; times are UTC.

    Raises:
        SettingsError: no schedule is set, or it is no cron expression.
    """
    expression = settings.update_schedule
    if expression is None:
        raise SettingsError(
            "no schedule is set",
            remedy="set RESOLVER_UPDATE_SCHEDULE, as in: 0 3 * * 1 (Mondays at 03:00 UTC)",
        )
    app = create_app(settings, broker_url=broker_url)
    app.conf.beat_schedule = {
        "update": {
            "task": UPDATE,
            "schedule": every(expression),
            "options": {"queue": "registry", "expires": EXPIRES},
        }
    }
    return app


def every(expression: str) -> crontab:
    """The times of a cron expression: minute, hour, day of the month, month, day of the week.

    Raises:
        SettingsError: it is none.
    """
    try:
        return crontab.from_string(expression)
    except (ParseException, ValueError) as error:
        raise SettingsError(
            f"RESOLVER_UPDATE_SCHEDULE: {expression!r} is no cron expression: {error}",
            remedy="write five fields, as in: 0 3 * * 1 (Mondays at 03:00 UTC)",
        ) from error


def run_schedule(settings: Settings, *, log_level: str = "INFO") -> None:
    """Send updates until stopped. Without a broker URL it runs on the embedded Redis.

    Raises:
        SettingsError: no schedule is set, or it is no cron expression.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with broker.address(settings) as url:
        app = scheduled(settings, broker_url=url)
        app.Beat(schedule=str(schedule_file(settings)), loglevel=log_level, quiet=True).run()
