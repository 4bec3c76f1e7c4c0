"""The shipped alerts fire and clear in a real Prometheus that scrapes a real operator.

The rules are those of deploy/observability/alerts.yaml with every wait (`for`) set to nothing, and where a test says so
with a shorter window or a lower threshold: SHORT and SHORT_COMPARISON name the substitutions.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import prometheus
from client import Refused, eventually, policies_of
from cluster.conftest import World
from controlplane import ControlPlane
from controlplane.process import Process, free_ports
from faultproxy import Fault, FaultProxy
from operatorprocess import ACCOUNT, NAMESPACE, OperatorProcess

ROOT = Path(__file__).resolve().parents[2]
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
LEASE = "tenantprofile-operator"


SHORT = {
    # Above the minute that passes between two bookmarks on a quiet watch.
    "TenantProfileWatchStale": {"> 240": "> 100"},
    "TenantProfileSlowProtection": {"[10m]": "[30s]"},
    "TenantProfileWritesRefused": {"[5m]": "[30s]"},
}
"""By alert: what is shipped, and what stands in its place here."""
SHORT_COMPARISON = {"TenantProfileComparisonLate": {"> 1800": "> 20"}}
"""Where the operator compares each five seconds."""


class Prometheus:
    """One Prometheus that scrapes the operator's port each second."""

    def __init__(self, folder: Path, scraped: int, **more: dict[str, str]) -> None:
        programs = prometheus.resolve()
        rules = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["spec"]
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule["for"] = "0s"
            for shipped, short in (SHORT | more).get(rule["alert"], {}).items():
                assert shipped in rule["expr"]
                rule["expr"] = rule["expr"].replace(shipped, short)
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        job = {"job_name": "operator", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}
        every = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
        config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        (self._port,) = free_ports(1)
        arguments = [
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process = Process(programs / "prometheus", arguments, folder / "prometheus.log", folder)
        self.process.start()

    def firing(self) -> set[str]:
        """The alerts that fire. Fails until Prometheus has scraped and evaluated the rules for the first time."""
        alerts = {(a["labels"]["alertname"]) for a in self._get("alerts")["alerts"] if a["state"] == "firing"}
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        assert all(rule["health"] == "ok" for rule in rules), rules
        return alerts

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def fires(self, *alerts: str, within: float = 90.0) -> None:
        """Wait until these fire, whatever else does."""
        eventually(lambda: self._check(lambda firing: firing >= set(alerts)), within=within, every=0.2)

    def is_silent(self) -> None:
        """Wait until nothing fires."""
        eventually(lambda: self._check(lambda firing: not firing), within=150.0, every=0.2)

    def _check(self, holds: Callable[[set[str]], bool]) -> bool:
        firing = self.firing()
        assert holds(firing), sorted(firing)
        return True


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def watching(tmp_path: Path, port: int, request: pytest.FixtureRequest) -> Iterator[Prometheus]:
    try:
        prometheus.resolve()
    except prometheus.PrometheusError as error:
        pytest.skip(f"prometheus: {error}")
    running = Prometheus(tmp_path, port, **getattr(request, "param", {}))
    yield running
    running.process.stop()


def test_a_foreign_policy_in_the_way_fires_until_it_is_gone(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    start(f"--metrics-port={port}")
    namespace = world.namespace()
    name = f"{world.tag}.default-deny"
    foreign = {"metadata": {"name": name}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    world.client.create(policies_of(namespace), foreign)
    world.profile("default-deny")
    world.is_degraded("Conflict")
    watching.fires("TenantProfileUnprotectedNamespace", "TenantProfileNamespacesFailing")
    world.client.delete(f"{policies_of(namespace)}/{name}")
    world.is_ready()
    watching.is_silent()


def test_an_operator_that_is_gone_fires_until_one_runs(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    operator = start(f"--metrics-port={port}")
    watching.is_silent()
    operator.kill()
    watching.fires("TenantProfileOperatorAbsent")
    operator.start()
    watching.is_silent()


def test_a_lease_held_by_nobody_who_runs_fires_until_it_is_deleted(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    operator = start(f"--metrics-port={port}")
    watching.is_silent()
    operator.stop()
    lease = {
        "holderIdentity": "gone",
        "leaseDurationSeconds": 3600,
        "renewTime": "2090-01-01T00:00:00.000000Z",
    }
    try:
        world.client.merge(f"{LEASES}/{LEASE}", {"spec": lease})
        operator.start(wait=False)
        watching.fires("TenantProfileNoLeader")
    finally:
        try:
            world.client.delete(f"{LEASES}/{LEASE}")
        except Refused as error:
            assert error.status == 404, error
    watching.is_silent()


def test_a_fight_over_a_policy_fires_until_it_is_over(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    start(f"--metrics-port={port}")
    namespace = world.namespace()
    name = f"{world.profile('default-deny')}.default-deny"
    world.has(namespace, name)

    def fight() -> bool:
        world.client.merge(
            f"{policies_of(namespace)}/{name}", {"spec": {"egress": [{}]}}, manager="other-tool"
        )
        return "TenantProfileContested" in watching.firing()

    eventually(fight, within=60.0, every=0.3)
    world.is_ready(within=60)
    watching.is_silent()


ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/tenantprofile-operator"


def test_a_kind_that_may_not_be_read_fires_until_it_may(
    world: World, start: Callable[..., OperatorProcess], watching: Prometheus, port: int
) -> None:
    operator = start(f"--metrics-port={port}")
    watching.is_silent()
    operator.stop()
    rules = world.client.get(ROLE)["rules"]
    fewer = [rule for rule in rules if "policytemplates" not in rule.get("resources", ())]
    assert fewer != rules
    try:
        world.client.merge(ROLE, {"rules": fewer})
        operator.start(wait=False)
        watching.fires("TenantProfileInputBlind")
    finally:
        world.client.merge(ROLE, {"rules": rules})
    watching.is_silent()


@pytest.fixture
def proxy(cp: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(cp) as between:
        yield between


def by_proxy(cp: ControlPlane, proxy: FaultProxy) -> Path:
    return proxy.kubeconfig(cp.service_account_kubeconfig(NAMESPACE, ACCOUNT))


@pytest.mark.parametrize("watching", [SHORT_COMPARISON], indirect=True, ids=["short"])
def test_comparisons_that_fail_fire_until_one_ends(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    watching: Prometheus,
    port: int,
    proxy: FaultProxy,
) -> None:
    start(f"--metrics-port={port}", "--comparison-interval=5", kubeconfig=by_proxy(cp, proxy))
    watching.is_silent()
    with proxy.trouble(Fault("lists", frozenset({"read"}), "networkpolicies", answer=500)):
        watching.fires("TenantProfileComparisonLate")
    watching.is_silent()


def test_slow_writes_fire_until_namespaces_are_protected_quickly_again(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    watching: Prometheus,
    port: int,
    proxy: FaultProxy,
) -> None:
    start(f"--metrics-port={port}", kubeconfig=by_proxy(cp, proxy))
    name = f"{world.profile('default-deny')}.default-deny"
    world.has(world.namespace(), name)
    watching.is_silent()
    slow = Fault("slow", frozenset({"write"}), "networkpolicies", answer_delay=7.0, method="POST")
    with proxy.trouble(slow):
        late = [world.namespace() for _ in range(3)]
        watching.fires("TenantProfileSlowProtection")
    for namespace in late:
        world.has(namespace, name)
    watching.is_silent()


def test_refused_writes_fire_until_they_are_accepted(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    watching: Prometheus,
    port: int,
    proxy: FaultProxy,
) -> None:
    start(f"--metrics-port={port}", kubeconfig=by_proxy(cp, proxy))
    name = f"{world.profile('default-deny')}.default-deny"
    world.has(world.namespace(), name)
    watching.is_silent()
    with proxy.trouble(Fault("refused", frozenset({"write"}), "networkpolicies", answer=500)):
        refused = [world.namespace() for _ in range(4)]
        watching.fires("TenantProfileWritesRefused")
    for namespace in refused:
        world.has(namespace, name, within=60)
    watching.is_silent()


@pytest.mark.slow
def test_a_watch_that_hears_nothing_fires_until_it_does(
    cp: ControlPlane,
    world: World,
    start: Callable[..., OperatorProcess],
    watching: Prometheus,
    port: int,
    proxy: FaultProxy,
) -> None:
    start(f"--metrics-port={port}", kubeconfig=by_proxy(cp, proxy))
    watching.is_silent()
    with proxy.trouble(Fault("away", frozenset({"read", "watch"}), "policytemplates", answer=503)):
        proxy.end_watches("break")
        watching.fires("TenantProfileWatchStale", within=240.0)
    watching.is_silent()


def test_every_alert_of_the_operator_is_shown_here() -> None:
    """Those of the continuous audit are tested with promtool alone."""
    rules = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["spec"]["groups"]
    text = Path(__file__).read_text()
    operators = [group for group in rules if group["name"] != "tenantprofile-audit"]
    assert operators
    for rule in (rule for group in operators for rule in group["rules"]):
        assert re.search(rf'fires\([^)]*"{rule["alert"]}"', text) or f'"{rule["alert"]}" in' in text, rule
