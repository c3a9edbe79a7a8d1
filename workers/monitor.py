"""The installation's state as metrics: looked up again and again, served to Prometheus.

One for an installation: what it tells is the same from everywhere, and each look asks the database.
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
from resolver.workers import installation
from resolver.workers.installation import Asking, Installation, Part
from resolver.workers.traffic import Traffic

log = logging.getLogger(__name__)

PORT = 9809
"""Where it listens when the settings name no port."""

INTERVAL = 30.0
"""Seconds between two looks."""

COUNT_SECONDS = 20.0
"""How long a count may take: on a large database longer than a person would wait."""

DRIFT_INTERVAL = 15 * 60
"""Seconds between two looks at drift, which reads all records; it moves by the week."""

STALE = 5 * INTERVAL
"""Seconds without a look after which the monitor is not healthy."""


class Monitor:
    """Looks and serves."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = SystemMetrics()
        self._settings = settings
        self._asking = Asking()
        self._looked: float | None = None
        self._drift: tuple[float, Sequence[Drift]] | None = None

    def look(self) -> Installation:
        """Look once, and set the metrics to what is found."""
        began = time.monotonic()
        due = self._drift is None or began - self._drift[0] > DRIFT_INTERVAL
        found = installation.look(
            self._settings,
            count_seconds=COUNT_SECONDS,
            given_seconds=3 * COUNT_SECONDS,
            drift=due,
            asking=self._asking,
        )
        if due and found.database.found:
            self._drift = (began, found.drift)
        self._set(found)
        self._looked = time.monotonic()
        self.metrics.looked.set_to_current_time()
        self.metrics.seconds.set(self._looked - began)
        return found

    def problem(self) -> str | None:
        """Why the metrics are not to be trusted; None when they are fresh."""
        if self._looked is None:
            return "starting"
        silent = time.monotonic() - self._looked
        return f"no look for {silent:.0f} s" if silent > STALE else None

    def run(self, stop: threading.Event) -> None:
        """Look and serve until `stop` is set.

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
        wrong: set[str] = set()
        try:
            while not stop.is_set():
                found = self.look()
                told = {str(p.problem) for p in installation.problems(found) if p.serious}
                for problem in sorted(told - wrong):
                    log.warning("%s", problem)
                wrong = told
                stop.wait(INTERVAL)
        finally:
            serving.close()

    def _set(self, found: Installation) -> None:
        for name, part in (
            ("database", found.database),
            ("index", found.index),
            ("broker", found.broker),
        ):
            self.metrics.part.labels(name).set(_up(part))
        # What is not known is NaN, or not there: an old figure would look like a new one.
        self._set_database(found.database.found)
        self._set_index(found.index.found)
        self._set_broker(found.broker.found)
        self._set_drift(self._drift[1] if self._drift else ())

    def _set_database(self, found: Overview | None) -> None:
        metrics = self.metrics
        release = found.release if found else None
        metrics.schema.set(found.migrated if found else nan)
        metrics.due.set(found.due if found and found.due is not None else nan)
        metrics.version.set(found.version.id if found and found.version else nan)
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

    def _set_index(self, found: Manifest | None) -> None:
        self.metrics.index_info.clear()
        if found is not None:
            self.metrics.index_info.labels(found.version).set(1)

    def _set_broker(self, found: Traffic | None) -> None:
        metrics = self.metrics
        metrics.messages.clear()
        metrics.oldest.clear()
        metrics.serving.clear()
        for gauge in (metrics.dead, metrics.workers, metrics.active):
            gauge.set(nan)
        if found is None:
            return
        for queue in found.queues:
            metrics.messages.labels(queue.queue).set(queue.messages)
            metrics.serving.labels(queue.queue).set(found.serving(queue.queue))
            if queue.oldest is not None or not queue.messages:
                metrics.oldest.labels(queue.queue).set(queue.oldest or 0)
        metrics.dead.set(found.dead.messages)
        metrics.workers.set(len(found.workers))
        metrics.active.set(sum(worker.active for worker in found.workers))

    def _set_drift(self, weeks: Sequence[Drift]) -> None:
        metrics = self.metrics
        for gauge in (metrics.drift_records, metrics.drift_no_match, metrics.drift_probability):
            gauge.clear()
        this = _monday(datetime.now(UTC).date())
        for one in weeks:
            labels = (one.source, str((this - one.week).days // 7))
            metrics.drift_records.labels(*labels).set(one.records)
            metrics.drift_no_match.labels(*labels).set(one.no_match)
            if one.probability is not None:
                metrics.drift_probability.labels(*labels).set(one.probability)


def _up(part: Part[Overview] | Part[Manifest] | Part[Traffic]) -> bool:
    return part.error is None


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
