"""Metrics of the continuous audit. No label takes a value of which there may be one for each namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tenantprofile import __version__
from tenantprofile.analysis.following import Found
from tenantprofile.connectivity.coverage import Level
from tenantprofile.connectivity.policies import DIRECTIONS
from tenantprofile.linting.catalogue import SEVERITIES

LEVELS: Final[Mapping[Level, str]] = {
    "open": "open",
    "open to all": "open_to_all",
    "restricted": "restricted",
}
BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The registry, and what happened."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rounds = Histogram(
            "tenantprofile_audit_round_seconds",
            "How long rounds took.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.failures = Counter(
            "tenantprofile_audit_failed_rounds", "Rounds that ended without a result.", registry=self.registry
        )
        Info("tenantprofile_audit_build", "The version of the audit.", registry=self.registry).info(
            {"version": __version__}
        )


@dataclass(eq=False)
class Present(Collector):
    """What stands now, asked for at each scrape. Before the first round there are no counts, rather than zeros."""

    found: Callable[[], Found | None]
    ages: Mapping[str, Callable[[], float]]
    """By kind: seconds since it was last heard of."""
    blind: Mapping[str, Callable[[], str | None]]
    """By kind: why it cannot be followed."""
    unreadable: Mapping[str, Callable[[], int]]
    """By kind: objects that are left out."""
    report_age: Callable[[], float]
    complete: Callable[[], bool]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, as prometheus-client asks for them."""
        yield self._by_kind(
            "input_age_seconds", "Since a watch was last heard of.", {k: f() for k, f in self.ages.items()}
        )
        yield self._by_kind(
            "input_blind",
            "1 for a kind that cannot be followed at present.",
            {kind: float(problem() is not None) for kind, problem in self.blind.items()},
        )
        yield self._by_kind(
            "unreadable_objects",
            "Objects that cannot be read, so what was known of them before counts.",
            {kind: count() for kind, count in self.unreadable.items()},
        )
        yield GaugeMetricFamily(
            "tenantprofile_audit_complete",
            "1 while every input is followed and the last round is of use.",
            value=float(self.complete()),
        )
        found = self.found()
        if found is not None:
            yield GaugeMetricFamily(
                "tenantprofile_audit_report_age_seconds",
                "Since the state that the counts are about.",
                value=self.report_age(),
            )
            yield from _counts(found)

    def _by_kind(self, name: str, text: str, values: Mapping[str, float]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"tenantprofile_audit_{name}", text, labels=("kind",))
        for kind, value in values.items():
            family.add_metric((kind,), value)
        return family


def _counts(found: Found) -> Iterator[GaugeMetricFamily]:
    audit = found.audit
    pods = GaugeMetricFamily(
        "tenantprofile_audit_pods", "Pods of tenants by level.", labels=("direction", "level")
    )
    spaces = GaugeMetricFamily(
        "tenantprofile_audit_namespaces",
        "Namespaces of tenants by the level of a new pod.",
        labels=("direction", "level"),
    )
    for direction in DIRECTIONS:
        for level, name in LEVELS.items():
            pods.add_metric((direction.lower(), name), len(audit.at(direction, level)))
            spaces.add_metric((direction.lower(), name), len(audit.spaces_at(direction, level)))
    yield from (pods, spaces)
    yield GaugeMetricFamily(
        "tenantprofile_audit_host_network_pods",
        "Pods on the host network in namespaces of tenants, which no policy covers.",
        value=sum(pod.exempt and pod.workload.namespace not in audit.system for pod in audit.pods),
    )
    yield GaugeMetricFamily(
        "tenantprofile_audit_widening_policies",
        "Policies beside the profiles' that let through what those stop.",
        value=len(audit.widenings),
    )
    yield GaugeMetricFamily(
        "tenantprofile_audit_violated_assertions",
        "Assertions that do not hold or cannot be decided.",
        value=len(found.violated),
    )
    findings = GaugeMetricFamily(
        "tenantprofile_audit_lint_findings", "Findings of lint by severity.", labels=("severity",)
    )
    for severity in SEVERITIES:
        findings.add_metric((severity,), found.lint.count(severity))
    yield findings
