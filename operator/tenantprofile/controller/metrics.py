"""Metrics for Prometheus: what happened is counted here, what stands is asked for when somebody scrapes.

No label takes a value of which there may be one for each namespace. Names that other controllers use
(`workqueue_*`, `rest_client_requests_total`, `leader_election_master_status`) are used where they mean the same.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

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
QUEUE: Final = "namespaces"
"""The only queue, and the only controller."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what it is called, its type and labels, and what it means."""

    name: str
    type: Literal["counter", "gauge", "histogram", "info"]
    labels: tuple[str, ...]
    meaning: str


FAMILIES: Final = {
    family.name: family
    for family in (
        Family(
            "tenantprofile_time_to_protected_seconds",
            "histogram",
            (),
            "From the first sight of a new or newly selected namespace to its last policy accepted.",
        ),
        Family(
            "tenantprofile_time_to_repair_seconds",
            "histogram",
            (),
            "From the first sight of drift to the last repair accepted.",
        ),
        Family(
            "tenantprofile_repairs_total",
            "counter",
            ("what", "manager"),
            "Policies that others had changed or deleted and that were put right, by what happened and field manager"
            " (20 by name, then `other`).",
        ),
        Family(
            "tenantprofile_policy_changes_total",
            "counter",
            ("what",),
            "Policies created, adopted, replaced or deleted.",
        ),
        Family(
            "tenantprofile_refused_writes_total",
            "counter",
            ("code", "reason"),
            "Writes of policies that the API server refused, or that had no answer (code 0), by its reason.",
        ),
        Family(
            "tenantprofile_render_seconds",
            "histogram",
            (),
            "How long renderings of PolicyTemplates took, which are made in a process of their own.",
        ),
        Family(
            "tenantprofile_profile_policies",
            "gauge",
            ("profile", "state"),
            "Policies of a profile: `desired`, `ready`, `failing`. The leader's.",
        ),
        Family(
            "tenantprofile_profile_namespaces",
            "gauge",
            ("profile", "state"),
            "Selected namespaces of a profile: `looked_at` since its last change, `ready`, `failing`. The leader's.",
        ),
        Family(
            "tenantprofile_profile_problems",
            "gauge",
            ("profile", "reason"),
            "Problems of a profile by reason. The leader's.",
        ),
        Family(
            "tenantprofile_oldest_urgent_seconds",
            "gauge",
            (),
            "How long the longest-waiting urgent namespace has waited for its first attempt; 0 for a standby.",
        ),
        Family("tenantprofile_watch_age_seconds", "gauge", ("kind",), "Since a watch was last heard of."),
        Family(
            "tenantprofile_input_blind",
            "gauge",
            ("kind",),
            "1 for a kind that cannot be followed at present.",
        ),
        Family(
            "tenantprofile_last_comparison_age_seconds",
            "gauge",
            (),
            "Since the last full comparison with the cluster.",
        ),
        Family("tenantprofile_build_info", "info", ("version",), "The operator's version; always 1."),
        Family("leader_election_master_status", "gauge", ("name",), "1 while this operator holds the lease."),
        Family(
            "controller_runtime_reconcile_total",
            "counter",
            ("controller", "result"),
            "Passes over a namespace.",
        ),
        Family(
            "controller_runtime_reconcile_errors_total",
            "counter",
            ("controller",),
            "Passes over a namespace that are tried again.",
        ),
        Family("workqueue_depth", "gauge", ("name",), "Namespaces that wait to be worked on."),
        Family(
            "workqueue_adds_total",
            "counter",
            ("name",),
            "Namespaces put into the queue; one that waits already does not count.",
        ),
        Family(
            "workqueue_queue_duration_seconds",
            "histogram",
            ("name",),
            "How long a namespace was in the queue before it was worked on.",
        ),
        Family(
            "workqueue_work_duration_seconds",
            "histogram",
            ("name",),
            "How long a pass over a namespace took, its writes included.",
        ),
        Family(
            "workqueue_retries_total",
            "counter",
            ("name",),
            "Namespaces to be worked on later: a pass failed, or they are to be looked at again.",
        ),
        Family(
            "workqueue_unfinished_work_seconds",
            "gauge",
            ("name",),
            "Seconds of passes that are under way, summed up.",
        ),
        Family(
            "workqueue_longest_running_processor_seconds",
            "gauge",
            ("name",),
            "How long the longest of the passes under way has taken so far.",
        ),
        Family("rest_client_requests_total", "counter", ("method", "code"), "Requests to the API server."),
        Family(
            "rest_client_request_duration_seconds",
            "histogram",
            ("verb",),
            "How long requests to the API server took; watches do not count.",
        ),
    )
}
"""Every metric, in the order of the reference page, which is made from this."""


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    return Counter(
        name.removesuffix("_total"), FAMILIES[name].meaning, FAMILIES[name].labels, registry=registry
    )


def _histogram(name: str, registry: CollectorRegistry) -> Histogram:
    family = FAMILIES[name]
    return Histogram(name, family.meaning, family.labels, buckets=BUCKETS, registry=registry)


def _gauge(name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, FAMILIES[name].meaning, labels=FAMILIES[name].labels)


@dataclass(slots=True)
class _Sight:
    """A namespace that is to be looked at: why, since when, and when something was last written for it."""

    what: str
    at: float
    last_write: float | None = None


class Metrics:
    """The metrics of one operator. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.standby = False
        """While another operator leads."""
        self._since: OrderedDict[str, _Sight] = OrderedDict()
        self._managers: set[str] = set()
        registry = self.registry = CollectorRegistry()
        self._protected = _histogram("tenantprofile_time_to_protected_seconds", registry)
        self._repaired_after = _histogram("tenantprofile_time_to_repair_seconds", registry)
        self._repairs = _counter("tenantprofile_repairs_total", registry)
        self._policies = _counter("tenantprofile_policy_changes_total", registry)
        self._refusals = _counter("tenantprofile_refused_writes_total", registry)
        self._rendered = _histogram("tenantprofile_render_seconds", registry)
        self._requests = _counter("rest_client_requests_total", registry)
        self._latency = _histogram("rest_client_request_duration_seconds", registry)
        self._passes = _counter("controller_runtime_reconcile_total", registry)
        self._errors = _counter("controller_runtime_reconcile_errors_total", registry).labels(QUEUE)
        self.queue = QueueMetrics(registry)
        build = FAMILIES["tenantprofile_build_info"]
        Info("tenantprofile_build", build.meaning, registry=registry).info({"version": __version__})

    # --- what happened ---

    def waits(self, namespace: str, what: str) -> None:
        """A namespace is to be looked at: `new` for one that was created or labelled, `drift` for a changed policy."""
        if self.standby:
            # The one that leads deals with it. What counts is what comes last before this one takes over.
            self._since.pop(namespace, None)
        if namespace not in self._since:
            self._since[namespace] = _Sight(what, self._clock())
            if len(self._since) > MAX_WAITING:
                self._since.popitem(last=False)

    def took_over(self) -> None:
        """This operator leads from now on: what was seen before the gap was dealt with by the one before."""
        oldest = self._clock() - GAP
        while self._since and next(iter(self._since.values())).at < oldest:
            self._since.popitem(last=False)

    def passed(self, namespace: str, *, wrote: bool, failed: bool) -> None:
        """A pass over a namespace has ended."""
        self._passes.labels(QUEUE, "error" if failed else "success").inc()
        sight = self._since.get(namespace)
        if sight is not None and wrote:
            sight.last_write = self._clock()
        if failed:
            self._errors.inc()
            return
        if sight is not None:
            del self._since[namespace]
            if sight.last_write is not None:
                ended = self._protected if sight.what == "new" else self._repaired_after
                ended.observe(sight.last_write - sight.at)

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

    def rendered(self, seconds: float) -> None:
        """A PolicyTemplate was rendered, or was not, after so long."""
        self._rendered.observe(seconds)

    def requested(self, method: str, _path: str, code: int, seconds: float) -> None:
        """A request has ended; code 0 for one without an answer."""
        self._requests.labels(method, str(code) if code else "<error>").inc()
        self._latency.labels(method).observe(seconds)


class Unmeasured(Metrics):
    """Counts nothing, where nobody can ask."""

    def waits(self, namespace: str, what: str) -> None:
        pass

    def passed(self, namespace: str, *, wrote: bool, failed: bool) -> None:
        pass

    def repaired(self, what: str, manager: str | None) -> None:
        pass

    def changed(self, what: str, count: int = 1) -> None:
        pass

    def refused(self, code: int, reason: str) -> None:
        pass


class QueueMetrics:
    """What the work queue tells (`queue.Observer`), under client-go's names and with their meaning."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._adds = _counter("workqueue_adds_total", registry).labels(QUEUE)
        self._waits = _histogram("workqueue_queue_duration_seconds", registry).labels(QUEUE)
        self._works = _histogram("workqueue_work_duration_seconds", registry).labels(QUEUE)
        self._retries = _counter("workqueue_retries_total", registry).labels(QUEUE)

    def added(self) -> None:
        self._adds.inc()

    def taken(self, seconds: float) -> None:
        self._waits.observe(seconds)

    def worked(self, seconds: float) -> None:
        self._works.observe(seconds)

    def put_off(self) -> None:
        self._retries.inc()


@dataclass(eq=False)
class Present(Collector):
    """What stands now, asked for at each scrape. Times are seconds ago."""

    tallies: Callable[[], Mapping[str, Tally]]
    depth: Callable[[], int] = int
    under_way: Callable[[], list[float]] = list
    """For how many seconds each of the passes under way has been so."""
    oldest: Callable[[], float] = float
    watches: Mapping[str, Callable[[], float]] = field(default_factory=dict)
    blind: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    compared: Callable[[], float] = float
    leads: Callable[[], bool] = bool

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, as prometheus-client asks for them."""
        policies = _gauge("tenantprofile_profile_policies")
        namespaces = _gauge("tenantprofile_profile_namespaces")
        problems = _gauge("tenantprofile_profile_problems")
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
        under_way = self.under_way()
        for name, labels, value in (
            ("workqueue_depth", (QUEUE,), self.depth()),
            ("workqueue_unfinished_work_seconds", (QUEUE,), sum(under_way)),
            ("workqueue_longest_running_processor_seconds", (QUEUE,), max(under_way, default=0.0)),
            ("tenantprofile_oldest_urgent_seconds", (), self.oldest()),
            ("tenantprofile_last_comparison_age_seconds", (), self.compared()),
            ("leader_election_master_status", ("tenantprofile-operator",), float(self.leads())),
        ):
            family = _gauge(name)
            family.add_metric(labels, value)
            yield family
        age = _gauge("tenantprofile_watch_age_seconds")
        for kind, ago in self.watches.items():
            age.add_metric((kind,), ago())
        yield age
        blind = _gauge("tenantprofile_input_blind")
        for kind, problem in self.blind.items():
            blind.add_metric((kind,), float(problem() is not None))
        yield blind
