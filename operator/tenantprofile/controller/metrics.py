"""Metrics for Prometheus: what happened is counted here, what stands is asked for when somebody scrapes.

No label takes a value of which there may be one for each namespace. Names that other controllers use
(`workqueue_*`, `rest_client_requests_total`, `leader_election_master_status`) are used where they mean the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tenantprofile import __version__
from tenantprofile.planning.status import Tally
from tenantprofile.settings import GAP

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Seconds."""
MAX_MANAGERS: Final = 20
"""Field managers by name; others are counted as `other`, because anybody may choose one."""
MAX_WAITING: Final = 50_000


class Metrics:
    """The metrics of one operator. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.standby = False
        """While another operator leads."""
        self._since: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._managers: set[str] = set()
        self.registry = CollectorRegistry()
        registry = self.registry
        self._protected = Histogram(
            "tenantprofile_time_to_protected_seconds",
            "From the first sight of a new or newly selected namespace to its last policy accepted.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._repaired_after = Histogram(
            "tenantprofile_time_to_repair_seconds",
            "From the first sight of drift to the last repair accepted.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._repairs = Counter(
            "tenantprofile_repairs",
            "Policies that others had changed or deleted and that were put right, by what happened and field manager.",
            ("what", "manager"),
            registry=registry,
        )
        self._policies = Counter(
            "tenantprofile_policy_changes",
            "Policies created, adopted, replaced or deleted.",
            ("what",),
            registry=registry,
        )
        self._refusals = Counter(
            "tenantprofile_refused_writes",
            "Writes of policies that the API server refused, or that had no answer, by its reason.",
            ("code", "reason"),
            registry=registry,
        )
        self._requests = Counter(
            "rest_client_requests", "Requests to the API server.", ("method", "code"), registry=registry
        )
        self._latency = Histogram(
            "rest_client_request_duration_seconds",
            "How long requests to the API server took.",
            ("verb",),
            buckets=BUCKETS,
            registry=registry,
        )
        self._passes = Counter(
            "controller_runtime_reconcile",
            "Passes over a namespace.",
            ("controller", "result"),
            registry=registry,
        )
        Info("tenantprofile_build", "The operator's version.", registry=registry).info(
            {"version": __version__}
        )

    # --- what happened ---

    def waits(self, namespace: str, what: str) -> None:
        """A namespace is to be looked at: `new` for one that was created or labelled, `drift` for a changed policy."""
        if self.standby:
            # The one that leads deals with it. What counts is what comes last before this one takes over.
            self._since.pop(namespace, None)
        if namespace not in self._since:
            self._since[namespace] = (what, self._clock())
            if len(self._since) > MAX_WAITING:
                self._since.popitem(last=False)

    def took_over(self) -> None:
        """This operator leads from now on: what was seen before the gap was dealt with by the one before."""
        oldest = self._clock() - GAP
        while self._since and next(iter(self._since.values()))[1] < oldest:
            self._since.popitem(last=False)

    def passed(self, namespace: str, *, wrote: bool, failed: bool) -> None:
        """A pass over a namespace has ended."""
        self._passes.labels("namespaces", "error" if failed else "success").inc()
        if failed:
            return
        what, since = self._since.pop(namespace, ("", 0.0))
        if what and wrote:
            (self._protected if what == "new" else self._repaired_after).observe(self._clock() - since)

    def repaired(self, what: str, manager: str | None) -> None:
        """`what`: changed or deleted."""
        name = manager or "unknown"
        if name not in self._managers and len(self._managers) >= MAX_MANAGERS:
            name = "other"
        self._managers.add(name)
        self._repairs.labels(what, name).inc()

    def changed(self, what: str, count: int = 1) -> None:
        """`what`: created, adopted, replaced or deleted."""
        self._policies.labels(what).inc(count)

    def refused(self, code: int, reason: str) -> None:
        self._refusals.labels(str(code), reason[:60] or "unknown").inc()

    def requested(self, method: str, _path: str, code: int, seconds: float) -> None:
        """A request has ended; code 0 for one without an answer."""
        self._requests.labels(method, str(code) if code else "<error>").inc()
        self._latency.labels(method).observe(seconds)


@dataclass(eq=False)
class Present(Collector):
    """What stands now, asked for at each scrape. Times are seconds ago."""

    tallies: Callable[[], Mapping[str, Tally]]
    queue: Callable[[], Mapping[str, float]] = dict
    """`depth`, `high`, `low`, `retrying`, `oldest`."""
    watches: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    blind: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    compared: Callable[[], float] = float
    leads: Callable[[], bool] = bool
    renders: Callable[[], int] = int

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, as prometheus-client asks for them."""
        policies = GaugeMetricFamily(
            "tenantprofile_profile_policies", "Policies of a profile.", labels=("profile", "state")
        )
        namespaces = GaugeMetricFamily(
            "tenantprofile_profile_namespaces",
            "Selected namespaces of a profile.",
            labels=("profile", "state"),
        )
        problems = GaugeMetricFamily(
            "tenantprofile_profile_problems", "Problems of a profile by reason.", labels=("profile", "reason")
        )
        for profile, tally in sorted(self.tallies().items()):
            policies.add_metric((profile, "desired"), tally.desired)
            policies.add_metric((profile, "ready"), tally.ready)
            policies.add_metric((profile, "failing"), tally.desired - tally.ready)
            namespaces.add_metric((profile, "looked_at"), len(tally.counted))
            namespaces.add_metric((profile, "ready"), tally.namespaces_ready)
            namespaces.add_metric((profile, "failing"), len(tally.counted) - tally.namespaces_ready)
            reasons: dict[str, int] = {}
            for found in tally.problems():
                reasons[found.reason] = reasons.get(found.reason, 0) + 1
            for reason, count in sorted(reasons.items()):
                problems.add_metric((profile, reason), count)
        yield from (policies, namespaces, problems)
        queue = self.queue()
        depth = GaugeMetricFamily(
            "workqueue_depth", "Namespaces that wait or are worked on.", labels=("name",)
        )
        depth.add_metric(("namespaces",), queue.get("depth", 0))
        yield depth
        yield GaugeMetricFamily(
            "tenantprofile_oldest_urgent_seconds",
            "How long the longest-waiting urgent namespace has waited.",
            value=queue.get("oldest", 0),
        )
        age = GaugeMetricFamily(
            "tenantprofile_watch_age_seconds", "Since a watch was last heard of.", labels=("kind",)
        )
        for kind, ago in self.watches.items():
            age.add_metric((kind,), ago())
        yield age
        blind = GaugeMetricFamily(
            "tenantprofile_input_blind", "1 for a kind that cannot be followed at present.", labels=("kind",)
        )
        for kind, problem in self.blind.items():
            blind.add_metric((kind,), float(problem() is not None))
        yield blind
        yield GaugeMetricFamily(
            "tenantprofile_last_comparison_age_seconds",
            "Since the last full comparison with the cluster.",
            value=self.compared(),
        )
        leads = GaugeMetricFamily(
            "leader_election_master_status", "1 while this operator holds the lease.", labels=("name",)
        )
        leads.add_metric(("tenantprofile-operator",), float(self.leads()))
        yield leads
        yield GaugeMetricFamily(
            "tenantprofile_renders",
            "Renderings of PolicyTemplates in their own process.",
            value=self.renders(),
        )
