"""What the metrics say, that their labels are bounded, and that alerts and dashboard ask only for what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenantprofile.controller.metrics import MAX_MANAGERS, Metrics, Present
from tenantprofile.planning.status import Drift, Outcome, Problem, Tally

ROOT = Path(__file__).resolve().parents[3]
ALERTS = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["spec"]["groups"][0]["rules"]
DASHBOARD = json.loads((ROOT / "deploy/observability/dashboards/operator.json").read_text())
_NAME = re.compile(
    r"\b((?:tenantprofile|workqueue|rest_client|leader_election|controller_runtime)_[a-z_]+)\b"
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def value(metrics: Metrics, metric: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(metric, labels)


def test_the_time_to_protected_ends_with_the_pass_that_wrote_and_succeeded() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    metrics.waits("a", "new")
    clock.now = 0.5
    metrics.waits("a", "drift")
    metrics.passed("a", wrote=True, failed=True)
    clock.now = 2.0
    metrics.passed("a", wrote=True, failed=False)
    metrics.passed("a", wrote=True, failed=False)
    assert value(metrics, "tenantprofile_time_to_protected_seconds_sum") == 2.0
    assert value(metrics, "tenantprofile_time_to_protected_seconds_count") == 1.0
    assert value(metrics, "tenantprofile_time_to_repair_seconds_count") == 0.0
    assert (
        value(metrics, "controller_runtime_reconcile_total", controller="namespaces", result="error") == 1.0
    )


def test_a_standby_keeps_only_what_it_saw_in_the_gap_before_it_leads() -> None:
    clock = Clock()
    metrics = Metrics(clock)
    metrics.standby = True
    metrics.waits("old", "new")
    metrics.waits("again", "new")
    clock.now = 3600.0
    metrics.waits("again", "drift")
    metrics.waits("fresh", "new")
    clock.now = 3605.0
    metrics.standby = False
    metrics.took_over()
    for namespace in ("old", "again", "fresh"):
        metrics.passed(namespace, wrote=True, failed=False)
    assert value(metrics, "tenantprofile_time_to_protected_seconds_count") == 1.0
    assert value(metrics, "tenantprofile_time_to_protected_seconds_sum") == 5.0
    assert value(metrics, "tenantprofile_time_to_repair_seconds_sum") == 5.0


def test_what_a_standby_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantprofile.controller.metrics.MAX_WAITING", 10)
    metrics = Metrics(Clock())
    metrics.standby = True
    for number in range(100):
        metrics.waits(f"n{number}", "new")
    metrics.passed("n0", wrote=True, failed=False)
    assert value(metrics, "tenantprofile_time_to_protected_seconds_count") == 0.0
    metrics.passed("n99", wrote=True, failed=False)
    assert value(metrics, "tenantprofile_time_to_protected_seconds_count") == 1.0


def test_whoever_invents_field_managers_makes_no_series() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.repaired("changed", f"rival-{number}")
    series = [
        s for f in metrics.registry.collect() for s in f.samples if s.name == "tenantprofile_repairs_total"
    ]
    assert len(series) == MAX_MANAGERS + 1
    assert (
        value(metrics, "tenantprofile_repairs_total", what="changed", manager="other") == 1000 - MAX_MANAGERS
    )


def present() -> Present:
    tally = Tally(Drift())
    tally.put("a", Outcome(2, 1, (Problem("a", "deny", "Conflict", "no"),)))
    tally.put("b", Outcome(2, 2))
    return Present(
        tallies=lambda: {"p": tally},
        queue=lambda: {"depth": 3.0, "oldest": 1.5},
        watches={"namespaces": lambda: 7.0},
        blind={"namespaces": lambda: None, "tenantprofiles": lambda: "not served"},
        leads=lambda: True,
    )


def test_what_stands_is_asked_for_at_each_scrape() -> None:
    metrics = Metrics()
    metrics.registry.register(present())
    assert value(metrics, "tenantprofile_profile_policies", profile="p", state="ready") == 3.0
    assert value(metrics, "tenantprofile_profile_namespaces", profile="p", state="failing") == 1.0
    assert value(metrics, "tenantprofile_profile_problems", profile="p", reason="Conflict") == 1.0
    assert value(metrics, "tenantprofile_input_blind", kind="tenantprofiles") == 1.0
    assert value(metrics, "leader_election_master_status", name="tenantprofile-operator") == 1.0


def exposed() -> set[str]:
    metrics = Metrics()
    metrics.registry.register(present())
    metrics.waits("a", "new")
    metrics.passed("a", wrote=True, failed=False)
    metrics.repaired("changed", "kubectl")
    metrics.changed("created")
    metrics.refused(403, "Forbidden")
    metrics.requested("GET", "/", 200, 0.1)
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


EXPRESSIONS: list[Any] = [
    *((rule["alert"], rule["expr"]) for rule in ALERTS),
    *((panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]),
]


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_alerts_and_dashboard_ask_only_for_metrics_that_the_operator_exposes(
    name: str, expression: str
) -> None:
    asked = set(_NAME.findall(expression))
    assert asked
    assert asked <= exposed()


def test_every_alert_has_a_runbook_and_every_metric_is_documented() -> None:
    runbooks = (ROOT / "docs/runbooks.md").read_text()
    for rule in ALERTS:
        assert f"## {rule['alert']}\n" in runbooks
    reference = (ROOT / "docs/observability.md").read_text()
    for name in exposed():
        base = re.sub(r"_(bucket|sum|count|created)$", "", name)
        if name.endswith("_created"):
            continue
        assert f"`{base}`" in reference, base


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"] == "tenantprofile-operator"
    assert [v["type"] for v in DASHBOARD["templating"]["list"] if v["name"] == "datasource"] == ["datasource"]
    for panel in DASHBOARD["panels"]:
        sources = [panel["datasource"], *(t["datasource"] for t in panel["targets"] if "datasource" in t)]
        assert all(source["uid"] in ("$datasource", "${datasource}") for source in sources), panel["title"]
