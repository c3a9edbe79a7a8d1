"""Families, and what a chunk adds to them."""

from __future__ import annotations

import math
import re
from dataclasses import asdict

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from resolver.matching.meters import STAGES
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.observing.metrics import SystemMetrics, WorkMetrics
from resolver.observing.outcome_counts import OutcomeCounts


def link(probability: float) -> Link:
    return Link("052gg0110", "University of Oxford", "Oxford", 1.0, probability, 1)


OUTCOMES = [
    Outcome("a", (link(0.97), link(0.5))),
    Outcome("b", (link(1.0),)),
    Outcome("c", reason=Reason.AMBIGUOUS),
    Outcome("d", reason=Reason.AMBIGUOUS),
    Outcome("", reason=Reason.EMPTY),
]

CHUNK = {
    "task": "resolve_chunk",
    "received": 7,
    "refused": 1,
    "resolved": 5,
    "cached": 1,
    "links": 3,
    "pairs": 40,
    "pairs_avoided": 4,
    "sieved": 200,
    "wall": 2.5,
    "stages": {"recall": 0.5, "score": 1.5},
    "version": 3,
}


def exposed(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """(name, labels) → value, as Prometheus reads them."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_chunks_add_up() -> None:
    metrics = WorkMetrics()
    for _ in range(2):
        metrics.chunk(CHUNK | asdict(OutcomeCounts.of(OUTCOMES)))
    found = exposed(metrics.registry)
    expected = {
        ("resolver_records_received_total", ""): 14,
        ("resolver_records_refused_total", ""): 2,
        ("resolver_strings_resolved_total", ""): 10,
        ("resolver_strings_cached_total", ""): 2,
        ("resolver_links_found_total", ""): 6,
        ("resolver_pairs_scored_total", ""): 80,
        ("resolver_pairs_avoided_total", ""): 8,
        ("resolver_candidates_sieved_total", ""): 400,
        ("resolver_stage_seconds_total", "stage=recall"): 1,
        ("resolver_stage_seconds_total", "stage=score"): 3,
        ("resolver_stage_seconds_total", "stage=store"): 0,
        ("resolver_abstentions_total", "reason=ambiguous"): 4,
        ("resolver_abstentions_total", "reason=overridden"): 0,
        ("resolver_chunk_seconds_count", "task=resolve_chunk"): 2,
        ("resolver_chunk_seconds_sum", "task=resolve_chunk"): 5,
        ("resolver_link_probability_bucket", "le=0.5"): 2,
        ("resolver_link_probability_bucket", "le=0.95"): 2,
        ("resolver_link_probability_bucket", "le=0.98"): 4,
        ("resolver_link_probability_bucket", "le=+Inf"): 6,
        ("resolver_link_probability_count", ""): 6,
        ("resolver_version_in_use", ""): 3,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert found["resolver_link_probability_sum", ""] == pytest.approx(4.94)


def test_series_are_there_before_the_first_event() -> None:
    found = exposed(WorkMetrics().registry)
    assert {labels for name, labels in found if name == "resolver_abstentions_total"} == {
        f"reason={reason}" for reason in Reason
    }
    assert {labels for name, labels in found if name == "resolver_stage_seconds_total"} == {
        f"stage={stage}" for stage in STAGES
    }


def test_what_nobody_looked_up_is_no_number() -> None:
    found = exposed(SystemMetrics().registry)
    unlabelled = {name: value for (name, labels), value in found.items() if not labels}
    assert len(unlabelled) == 11
    assert all(map(math.isnan, unlabelled.values()))


@pytest.mark.parametrize("metrics", [WorkMetrics, SystemMetrics])
def test_names_follow_the_conventions(metrics: type[WorkMetrics | SystemMetrics]) -> None:
    """https://prometheus.io/docs/practices/naming: base units in the plural, a total for counters."""
    for family in metrics().registry.collect():
        if not family.name.startswith("resolver_"):
            continue
        assert re.fullmatch(r"[a-z_]+", family.name)
        assert family.documentation
        assert not re.search(r"_(total|count|sum|bucket|ms|minutes|percent)$", family.name)
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_probability"))


def test_no_series_says_when_another_began() -> None:
    metrics = WorkMetrics()
    metrics.chunk(CHUNK | asdict(OutcomeCounts.of(OUTCOMES)))
    assert not [name for name, _ in exposed(metrics.registry) if name.endswith("_created")]
