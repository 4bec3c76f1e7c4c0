"""Datadog's dashboard and monitors ask only for what its Agent makes of what the operator exposes.

The renaming is that of the Agent's OpenMetrics check, version 2 (datadog-checks-base 38.7.0, openmetrics/v2): it reads
the text format, in which a counter's family has lost `_total`, and adds `.count` to counters and `.count`, `.sum` and
`.bucket` to histograms. Tag values are lower case in queries.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tenantprofile.controller.metrics import Metrics, Present
from tenantprofile.planning.status import Drift, Outcome, Tally

ROOT = Path(__file__).resolve().parents[3]
DATADOG = ROOT / "deploy/observability/datadog"
MONITORS: list[Any] = json.loads((DATADOG / "monitors.json").read_text())
DASHBOARD = json.loads((DATADOG / "dashboard.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
QUERIES = [(monitor["name"], monitor["query"]) for monitor in MONITORS] + [
    (widget["definition"]["title"], request["q"])
    for widget in DASHBOARD["widgets"]
    for request in widget["definition"]["requests"]
]
SUFFIXES = {"counter": (".count",), "gauge": ("",), "histogram": (".count", ".sum", ".bucket")}


def instance() -> Any:
    """The check's only instance, from the annotation."""
    component = yaml.safe_load((ROOT / "deploy/components/datadog/kustomization.yaml").read_text())
    pod = yaml.safe_load(component["patches"][0]["patch"])["spec"]["template"]
    (check,) = pod["metadata"]["annotations"].values()
    return json.loads(check)["openmetrics"]["instances"][0]


def families() -> dict[str, tuple[str, set[str]]]:
    """What the operator exposes as the Agent reads it: type and labels by family."""
    metrics = Metrics()
    tally = Tally(Drift())
    tally.put("a", Outcome(2, 1))
    watches = {"namespaces": lambda: 1.0}
    metrics.registry.register(
        Present(tallies=lambda: {"p": tally}, watches=watches, blind={"namespaces": lambda: None})
    )
    metrics.passed("a", wrote=True, failed=False)
    metrics.repaired("changed", "kubectl")
    metrics.changed("created")
    metrics.refused(403, "Forbidden")
    metrics.requested("GET", "/", 200, 0.1)
    text = generate_latest(metrics.registry).decode()
    found = {
        family.name: (family.type, {label for sample in family.samples for label in sample.labels})
        for family in text_string_to_metric_families(text)
        if not family.name.endswith("_created")
    }
    # No sample without a problem, but the label is the collector's.
    return found | {"tenantprofile_profile_problems": ("gauge", {"profile", "reason"})}


def sent() -> dict[str, set[str]]:
    """Datadog's metrics, and the tags each has."""
    exposed = families()
    names = {raw: name for entry in instance()["metrics"] for raw, name in entry.items()}
    return {
        f"{instance()['namespace']}.{name}{suffix}": exposed[raw][1]
        for raw, name in names.items()
        for suffix in SUFFIXES[exposed[raw][0]]
    }


def test_the_agent_is_told_of_every_metric_and_of_no_other() -> None:
    assert {raw for entry in instance()["metrics"] for raw in entry} == set(families())


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_monitors_and_widgets_ask_only_for_what_is_sent(name: str, query: str) -> None:
    asked = re.findall(r"(?:sum|min|max|avg):([\w.]+)\{([^}]*)\}(?: by \{([^}]*)\})?", query)
    assert asked
    for metric, scope, groups in asked:
        assert metric in sent()
        tags = set(filter(None, groups.split(","))) | set(re.findall(r"(\w+)(?::| IN )", scope))
        assert tags <= sent()[metric]


def test_every_alert_has_a_monitor_with_its_severity_and_runbook() -> None:
    assert [monitor["name"] for monitor in MONITORS] == [rule["alert"] for rule in ALERTS]
    for monitor, rule in zip(MONITORS, ALERTS, strict=True):
        assert f"severity:{rule['labels']['severity']}" in monitor["tags"]
        assert monitor["message"].endswith(rule["annotations"]["runbook"])
        threshold = monitor["options"]["thresholds"]["critical"]
        assert re.search(rf"[<>] {threshold}$", monitor["query"])


def test_the_annotation_names_the_operators_container_and_port() -> None:
    component = yaml.safe_load((ROOT / "deploy/components/datadog/kustomization.yaml").read_text())
    patch = yaml.safe_load(component["patches"][0]["patch"])
    (annotation,) = patch["spec"]["template"]["metadata"]["annotations"]
    deployment = yaml.safe_load((ROOT / "deploy/base/deployment.yaml").read_text())
    container = deployment["spec"]["template"]["spec"]["containers"][0]["name"]
    assert annotation == f"ad.datadoghq.com/{container}.checks"
    monitoring = (ROOT / "deploy/components/monitoring/kustomization.yaml").read_text()
    port = re.search(r"containerPort: (\d+)", monitoring)
    assert port is not None
    assert instance()["openmetrics_endpoint"] == f"http://%%host%%:{port[1]}/metrics"
