"""Alerts and dashboard ask for what the code serves, and each alert has its entry in the runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from support.paths import ROOT

from resolver.observing.metrics import DoorMetrics, ScorerMetrics, SystemMetrics, WorkMetrics

ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "monitoring/dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    **{rule["alert"]: rule["expr"] for rule in ALERTS},
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    },
}
JOBS = {"resolver-worker", "resolver-monitor", "resolver-scorer", "resolver-serve"}
OF_PROMETHEUS = {"instance", "job"}


def served() -> dict[str, set[str]]:
    """Names of series, as a query names them, with their labels."""
    found: dict[str, set[str]] = {"up": set()}
    for metrics in (WorkMetrics(), SystemMetrics(), DoorMetrics(), ScorerMetrics()):
        for collector in list(metrics.registry._collector_to_names):
            labels = set(getattr(collector, "_labelnames", ()))
            for family in collector.collect():
                if family.type == "histogram":
                    for suffix in ("_count", "_sum"):
                        found[family.name + suffix] = labels
                    found[f"{family.name}_bucket"] = labels | {"le"}
                elif family.type == "counter":
                    found[f"{family.name}_total"] = labels
                else:
                    found[family.name] = labels
    return found


SERVED = served()


def parts(expression: Any) -> Iterator[Any]:
    yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        inner = getattr(expression, name, None)
        if inner is not None:
            yield from parts(inner)
    for argument in getattr(expression, "args", ()):
        yield from parts(argument)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_asks_for_what_is_served(query: str) -> None:
    expression = promql_parser.parse(query.replace("$__rate_interval", "5m"))
    selectors = [p for p in parts(expression) if isinstance(p, promql_parser.VectorSelector)]
    assert selectors
    # A label that a part of the query makes itself.
    made = set(re.findall(r'count_values\("(\w+)"', query))
    known = OF_PROMETHEUS | made
    for selector in selectors:
        assert selector.name in SERVED, selector.name
        labels = SERVED[selector.name] | OF_PROMETHEUS
        known |= labels
        assert {matcher.name for matcher in selector.matchers.matchers} <= labels
        for matcher in selector.matchers.matchers:
            if matcher.name == "job":
                assert matcher.value in JOBS
    grouped = {
        label.strip()
        for labels in re.findall(r"(?:by|without|on|ignoring|group_left)\s*\(([^)]*)\)", query)
        for label in labels.split(",")
        if label.strip()
    }
    assert grouped <= known


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_an_alert_has_an_entry_in_the_runbook(rule: dict[str, Any]) -> None:
    document, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor == rule["alert"].lower()
    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text(), re.M)
    assert rule["alert"] in headings
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]


def test_each_alert_is_tried_with_series_that_raise_it() -> None:
    tried = (ROOT / "monitoring/alerts_test.yml").read_text()
    assert {rule["alert"] for rule in ALERTS} == set(re.findall(r'alertname="(\w+)"', tried))


def test_all_the_project_s_metrics_are_documented() -> None:
    _, document = (ROOT / "docs/monitoring.md").read_text().split("\n## Metrics\n")
    named = set(re.findall(r"`(resolver_\w+)", document))
    own = {name for name in SERVED if name.startswith("resolver_")}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in own}
    assert named == families


def test_scrape_jobs_are_those_that_alerts_name() -> None:
    config = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())
    assert {job["job_name"] for job in config["scrape_configs"]} == JOBS
    assert config["rule_files"] == ["alerts.yml"]
    [workers] = config["scrape_configs"][0]["dns_sd_configs"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert workers["names"] == [name for name in services if name.startswith("worker")]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
