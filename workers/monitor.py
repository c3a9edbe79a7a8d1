"""The health of an installation as metrics: checked again and again, served to Prometheus.

Run one for an installation: another would serve the same, and each check costs database time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from math import nan

from resolver.database.monitoring import Drift, Overview
from resolver.index import Manifest
from resolver.observing.metrics import SystemMetrics
from resolver.observing.serving import Serving
from resolver.settings import Settings
from resolver.workers import health
from resolver.workers.broker_state import BrokerState
from resolver.workers.health import Component, Health, Probes

log = logging.getLogger(__name__)

PORT = 9809
"""The port that it listens on when the settings name none."""

INTERVAL = 30.0
"""Seconds between two checks."""

COUNT_SECONDS = 20.0
"""Seconds that a count in the database may take: more than a person would wait."""

DRIFT_INTERVAL = 15 * 60
"""Seconds between two checks of drift: it reads all records, and changes by the week."""

STALE = 5 * INTERVAL
"""Seconds without a check after which the monitor is unhealthy."""


class Monitor:
    """Checks the health of an installation and serves it as metrics."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = SystemMetrics()
        self._settings = settings
        self._probes = Probes()
        self._checked: float | None = None
        self._drift: tuple[float, Sequence[Drift]] | None = None

    def check(self) -> Health:
        """Check once, and set the metrics."""
        began = time.monotonic()
        due = self._drift is None or began - self._drift[0] > DRIFT_INTERVAL
        checked = health.check(
            self._settings,
            count_seconds=COUNT_SECONDS,
            limit_seconds=3 * COUNT_SECONDS,
            drift=due,
            probes=self._probes,
        )
        if due and checked.database.state:
            self._drift = (began, checked.drift)
        self._set(checked)
        self._checked = time.monotonic()
        self.metrics.looked.set_to_current_time()
        self.metrics.seconds.set(self._checked - began)
        return checked

    def problem(self) -> str | None:
        """Why the metrics are not valid; None when they are fresh."""
        if self._checked is None:
            return "starting"
        silent = time.monotonic() - self._checked
        return f"no look for {silent:.0f} s" if silent > STALE else None

    def run(self, stop: threading.Event) -> None:
        """Check and serve until `stop` is set.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        serving = Serving(
            self.metrics.registry,
            self.problem,
            host=self._settings.metrics_host,
            port=self._settings.metrics_port or PORT,
        )
        log.info("metrics at http://%s:%d/metrics", self._settings.metrics_host, serving.port)
        known: set[str] = set()
        try:
            while not stop.is_set():
                current = {
                    str(problem.problem)
                    for problem in health.problems(self.check())
                    if problem.serious
                }
                for problem in sorted(current - known):
                    log.warning("%s", problem)
                known = current
                stop.wait(INTERVAL)
        finally:
            serving.close()

    def _set(self, checked: Health) -> None:
        for name, component in (
            ("database", checked.database),
            ("index", checked.index),
            ("broker", checked.broker),
        ):
            self.metrics.part.labels(name).set(_up(component))
        # What is not known becomes NaN, or is removed: an old figure would look like a new one.
        self._set_database(checked.database.state)
        self._set_index(checked.index.state)
        self._set_broker(checked.broker.state)
        self._set_drift(self._drift[1] if self._drift else ())

    def _set_database(self, overview: Overview | None) -> None:
        metrics = self.metrics
        release = overview.release if overview else None
        metrics.schema.set(overview.migrated if overview else nan)
        metrics.due.set(overview.due if overview and overview.due is not None else nan)
        metrics.version.set(overview.version.id if overview and overview.version else nan)
        metrics.registry_info.clear()
        for gauge in (metrics.registry_age, metrics.registry_loaded, metrics.organisations):
            gauge.set(nan)
        if release is None:
            return
        published = release.released_on
        since = (
            datetime(published.year, published.month, published.day, tzinfo=UTC)
            if published
            else release.loaded_at
        )
        metrics.registry_age.set((datetime.now(UTC) - since).total_seconds())
        metrics.registry_loaded.set(release.loaded_at.timestamp())
        metrics.registry_info.labels(release.version).set(1)
        metrics.organisations.set(release.organisation_count)

    def _set_index(self, manifest: Manifest | None) -> None:
        self.metrics.index_info.clear()
        if manifest is not None:
            self.metrics.index_info.labels(manifest.version).set(1)

    def _set_broker(self, state: BrokerState | None) -> None:
        metrics = self.metrics
        metrics.messages.clear()
        metrics.oldest.clear()
        metrics.serving.clear()
        for gauge in (metrics.dead, metrics.workers, metrics.active):
            gauge.set(nan)
        if state is None:
            return
        for queue in state.queues:
            metrics.messages.labels(queue.queue).set(queue.messages)
            metrics.serving.labels(queue.queue).set(state.serving(queue.queue))
            if queue.oldest is not None or not queue.messages:
                metrics.oldest.labels(queue.queue).set(queue.oldest or 0)
        metrics.dead.set(state.dead.messages)
        metrics.workers.set(len(state.workers))
        metrics.active.set(sum(worker.active for worker in state.workers))

    def _set_drift(self, weeks: Sequence[Drift]) -> None:
        metrics = self.metrics
        for gauge in (metrics.drift_records, metrics.drift_no_match, metrics.drift_probability):
            gauge.clear()
        this_week = _monday(datetime.now(UTC).date())
        for week in weeks:
            labels = (week.source, str((this_week - week.week).days // 7))
            metrics.drift_records.labels(*labels).set(week.records)
            metrics.drift_no_match.labels(*labels).set(week.no_match)
            if week.probability is not None:
                metrics.drift_probability.labels(*labels).set(week.probability)


def _up(component: Component[Overview] | Component[Manifest] | Component[BrokerState]) -> bool:
    return component.error is None


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
