"""The metrics that dashboards and alerts may rely on, each named in one place.

`WorkMetrics` belong to one worker, `DoorMetrics` to one ``resolver serve``, `ScorerMetrics` to one
scorer: they count what its processes did since it started.
`SystemMetrics` describe the whole installation; ``resolver monitor`` looks them up and serves them.
Labels have values from fixed lists (stages, reasons, queues, error classes); sources, whose names
are free, are limited by `resolver.database.monitoring`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import nan
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from resolver import __version__
from resolver.matching.meters import STAGES
from resolver.matching.outcome import Reason
from resolver.observing.outcome_counts import BUCKETS

CHUNK_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200)
"""Up to the time limit of a chunk."""

WAIT_SECONDS = (0.1, 1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 24 * 3600)
"""From a delay that nobody notices to a day."""


REQUEST_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
"""From a look at the health to a large request."""

SCORER_WAIT_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
"""From what the next batch takes on a GPU to a worker's time-out."""

BATCH_TOKENS = (256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 49_152, 65_536, 131_072)
"""From one string to more than a GPU's batch (`resolver.reranker.packed.GPU_BUDGET`)."""


class _Registry(CollectorRegistry):
    """Leaves out the series ``…_created`` of each counter and histogram, which nobody reads. The
    library's own switch for it is global, and this process may belong to another program."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def _gauge(registry: CollectorRegistry, name: str, what: str, *labels: str) -> Gauge:
    return Gauge(f"resolver_{name}", what, labels, registry=registry)


class WorkMetrics:
    """What one worker did. Only one thread may write: that of the parent's event loop."""

    def __init__(self) -> None:
        self.registry = registry = _Registry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"resolver_{name}", what, labels, registry=registry)

        gauge = partial(_gauge, registry)
        self.build = gauge("build_info", "1; the version of the package", "version")
        self.records = counter("records_received", "Records of messages, refused ones included")
        self.refused = counter("records_refused", "Records that were stored as refused")
        self.resolved = counter("strings_resolved", "Distinct strings that got an answer")
        self.cached = counter("strings_cached", "Distinct strings that had a valid answer already")
        self.links = counter("links_found", "Links of the answers")
        self.abstentions = counter("abstentions", "Answers without a link", "reason")
        self.probability = _Probabilities(registry)
        self.pairs = counter("pairs_scored", "Pairs that the reranker scored")
        self.avoided = counter("pairs_avoided", "Pairs more, had each string been scored alone")
        self.sieved = counter("candidates_sieved", "Candidates that were not worth a pair")
        self.stages = counter("stage_seconds", "Seconds that a stage was at work", "stage")
        self.chunks = Histogram(
            "resolver_chunk_seconds",
            "Seconds from a message to its stored answers",
            ["task"],
            buckets=CHUNK_SECONDS,
            registry=registry,
        )
        self.wait = Histogram(
            "resolver_message_wait_seconds",
            "Seconds from when a message was sent to when a worker took it",
            ["queue"],
            buckets=WAIT_SECONDS,
            registry=registry,
        )
        self.errors = counter("errors", "Failures, those that were tried again included", "kind")
        self.replaced = counter("processes_replaced", "Processes that died and were replaced")
        self.processes = gauge("processes", "Processes that resolve")
        self.memory = gauge("processes_resident_memory_bytes", "Resident memory of all of them")
        self.version = gauge("version_in_use", "Id of the resolver version that was used last")
        self.heartbeat = gauge("heartbeat_timestamp_seconds", "When the worker last showed life")
        self.lost = counter("reports_lost", "Reports of chunks that did not reach these metrics")
        self.build.labels(__version__).set(1)
        # From the first scrape on: a rate of what appears with its first event would miss that.
        for stage in STAGES:
            self.stages.labels(stage)
        for reason in Reason:
            self.abstentions.labels(reason.value)

    def chunk(self, report: Mapping[str, Any]) -> None:
        """Count one chunk, as `resolver.workers.telemetry` reports it.

        ``task``, ``wall``, ``stages`` (seconds by name), ``version`` and the counts ``received``,
        ``refused``, ``resolved``, ``cached``, ``links``, ``pairs``, ``pairs_avoided``, ``sieved``;
        and the fields of `resolver.observing.outcome_counts.OutcomeCounts`.
        """
        self.records.inc(report["received"])
        self.refused.inc(report["refused"])
        self.resolved.inc(report["resolved"])
        self.cached.inc(report["cached"])
        self.links.inc(report["links"])
        self.pairs.inc(report["pairs"])
        self.avoided.inc(report["pairs_avoided"])
        self.sieved.inc(report["sieved"])
        self.version.set(report["version"])
        self.chunks.labels(report["task"]).observe(report["wall"])
        for stage, seconds in report["stages"].items():
            self.stages.labels(stage).inc(seconds)
        for reason, count in report["reasons"].items():
            self.abstentions.labels(reason).inc(count)
        self.probability.add(report["probabilities"], report["probability_sum"])


class _Probabilities(Collector):
    """A histogram that takes counts; the client library's takes one observation at a time."""

    NAME = "resolver_link_probability"

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counts, self._sum = [0] * len(BUCKETS), 0.0
        registry.register(self)

    def add(self, counts: Sequence[int], total: float) -> None:
        """`counts` has a number for each of `BUCKETS`, not cumulative."""
        self._counts = [old + new for old, new in zip(self._counts, counts, strict=True)]
        self._sum += total

    def collect(self) -> Iterator[Metric]:
        below, buckets = 0, []
        for bound, count in zip(BUCKETS, self._counts, strict=True):
            below += count
            buckets.append((str(bound), float(below)))
        family = HistogramMetricFamily(self.NAME, "Probability of a link")
        family.add_metric([], [*buckets, ("+Inf", float(below))], self._sum)
        yield family


class DoorMetrics:
    """What the processes of one `resolver serve` did.

    With ``PROMETHEUS_MULTIPROC_DIR`` in the environment when prometheus_client is imported, the
    figures of all its processes are in files there, and `exposed` adds them up.
    """

    def __init__(self) -> None:
        self.registry = registry = _Registry()
        self.seconds = Histogram(
            "resolver_http_request_seconds",
            "Seconds from a request to the end of its answer",
            ["door", "status"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self.refused = Counter(
            "resolver_http_requests_refused",
            "Requests that were to come back later: 429 and 503",
            ["door", "status"],
            registry=registry,
        )
        self.ready = Gauge(
            "resolver_http_ready",
            "1 if requests can be answered, as /readyz says",
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.in_work = Gauge(
            "resolver_http_requests_in_work",
            "Requests that are being answered",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.texts = Counter(
            "resolver_http_affiliations", "Affiliations that were answered", registry=registry
        )
        self.batches = Counter(
            "resolver_http_batches", "Calls of the matcher that answered them", registry=registry
        )
        self.jobs_failed = Counter(
            "resolver_http_jobs_failed", "Jobs that were set aside as failed", registry=registry
        )
        self.waiting = Gauge(
            "resolver_http_affiliations_waiting",
            "Affiliations that wait for the matcher",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def batch(self, texts: int) -> None:
        """Count a batch of so many texts."""
        self.batches.inc()
        self.texts.inc(texts)

    def exposed(self) -> bytes:
        """In Prometheus' text format."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        registry = _Registry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class ScorerMetrics:
    """What one scorer did."""

    def __init__(self) -> None:
        self.registry = registry = _Registry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, what: str) -> Counter:
            return Counter(f"resolver_scorer_{name}", what, registry=registry)

        gauge = partial(_gauge, registry)
        self.build = gauge("build_info", "1; the version of the package", "version")
        self.requests = counter("requests", "Requests whose pairs were scored")
        self.pairs = counter("pairs", "Pairs that were scored")
        self.tokens = counter("tokens", "Tokens of these pairs")
        self.batches = counter("batches", "Batches that were computed")
        self.failed = counter("requests_failed", "Requests that make the reranker fail")
        self.busy = counter("busy_seconds", "Seconds in which a batch was in work")
        self.waiting = gauge("scorer_tokens_waiting", "Tokens of requests that wait for a batch")
        self.batch_tokens = Histogram(
            "resolver_scorer_batch_tokens",
            "Tokens of a batch",
            buckets=BATCH_TOKENS,
            registry=registry,
        )
        self.wait = Histogram(
            "resolver_scorer_wait_seconds",
            "Seconds from a request to the start of its batch",
            buckets=SCORER_WAIT_SECONDS,
            registry=registry,
        )
        self.build.labels(__version__).set(1)

    def batch(self, *, requests: int, pairs: int, tokens: int) -> None:
        """Count a batch that was computed."""
        self.requests.inc(requests)
        self.pairs.inc(pairs)
        self.tokens.inc(tokens)
        self.batches.inc()
        self.batch_tokens.observe(tokens)

    def value(self, name: str) -> float:
        """The value of the series ``resolver_scorer_<name>``, for the log."""
        return self.registry.get_sample_value(f"resolver_scorer_{name}") or 0.0


class SystemMetrics:
    """The state of the whole installation when it was last looked up."""

    def __init__(self) -> None:
        self.registry = registry = _Registry()

        gauge = partial(_gauge, registry)
        self.build = gauge("build_info", "1; the version of the package", "version")
        self.part = gauge("part_up", "1 if a part answers, else 0", "part")
        self.looked = gauge("monitor_timestamp_seconds", "When the monitor last looked")
        self.seconds = gauge("monitor_seconds", "How long the last look took")
        self.messages = gauge("queue_messages", "Messages that wait, those in work not", "queue")
        self.oldest = gauge(
            "queue_oldest_age_seconds", "Age of the oldest message that waits (Redis only)", "queue"
        )
        self.dead = gauge("dead_letters", "Messages that failed for good")
        self.workers = gauge("workers", "Workers that showed life within the last seconds")
        self.serving = gauge("queue_workers", "Of these, those that serve a queue", "queue")
        self.active = gauge("workers_active_tasks", "Messages in work")
        self.due = gauge("answers_due", "Answers that are to be given anew")
        self.schema = gauge("schema_current", "1 if the schema is the one of this version, else 0")
        self.registry_age = gauge("registry_age_seconds", "Since the release in use was published")
        self.registry_loaded = gauge(
            "registry_loaded_timestamp_seconds", "When the newest release was loaded"
        )
        self.registry_info = gauge("registry_info", "1; the release in use", "release")
        self.organisations = gauge("registry_organisations", "Organisations of that release")
        self.version = gauge("current_version", "Id of the resolver version in use")
        self.index_info = gauge("index_info", "1; the active index version", "index")
        # weeks_ago is 0 for the week at hand.
        drift = ("source", "weeks_ago")
        self.drift_records = gauge("drift_records", "Answered records of a week", *drift)
        self.drift_no_match = gauge("drift_no_match_ratio", "Of these, without a link", *drift)
        self.drift_probability = gauge(
            "drift_probability_mean", "Mean probability of the best link of the others", *drift
        )
        # Not known before the first look; 0 would be a value.
        for unknown in (
            self.looked,
            self.seconds,
            self.dead,
            self.workers,
            self.active,
            self.due,
            self.schema,
            self.registry_age,
            self.registry_loaded,
            self.organisations,
            self.version,
        ):
            unknown.set(nan)
        self.build.labels(__version__).set(1)
