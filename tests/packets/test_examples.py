"""Every example of the repository on the wire, and the situations that people describe in words.

Each profile of `examples/` is applied as it is, to the example's own namespaces. Besides the
comparison with the connectivity engine, a few connections are spelt out: what the example says in
its comments, in a form that does not depend on any engine of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from packets import oracle
from packets.cast import cast_for
from packets.flows import FAMILIES, Flow, Protocol
from packets.tenancy import Tenancy
from packets.world import World

FOLDER = Path(__file__).resolve().parents[2] / "examples"
Says = Mapping[tuple[str, str, Protocol, int], bool]


def manifests(path: Path) -> list[dict[str, Any]]:
    return [m for m in yaml.safe_load_all(path.read_text()) if m]


def of_kind(*kinds: str) -> list[tuple[Path, dict[str, Any]]]:
    return [(p, m) for p in sorted(FOLDER.glob("*.yaml")) for m in manifests(p) if m["kind"] in kinds]


PROFILES = [pytest.param(m, id=p.name) for p, m in of_kind("TenantProfile")]
NAMESPACES = {m["metadata"]["name"]: m["metadata"].get("labels", {}) for _, m in of_kind("Namespace")}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_example_profile(profile: dict[str, Any], world: World, tenancy: Tenancy) -> None:
    for _, template in of_kind("PolicyTemplate"):
        tenancy.apply(template)
    selected = _selected(profile["spec"]) or {"example": _labels(profile["spec"])}
    for name, labels in {**NAMESPACES, **selected}.items():
        world.add_namespace(name, labels)
    tenancy.apply(profile)
    names = [
        f"{profile['metadata']['name']}.{e.get('name', e['template'])}" for e in profile["spec"]["policies"]
    ]
    policies = [
        (namespace, item["spec"])
        for namespace in selected
        for item in tenancy.expect(namespace, names).values()
    ]
    cast = cast_for(policies, selected)
    cast.enter(world)
    comparison = oracle.compare(world, cast.flows(world))
    assert not comparison.differences, str(comparison)
    assert comparison.allowed < comparison.flows


def test_the_example_template(world: World, tenancy: Tenancy) -> None:
    """examples/policytemplate-*.yaml are used by a profile as a built-in template would be."""
    world.add_namespace("shop", {"tenant": "shop"})
    world.add_namespace("proxy")
    for _, template in of_kind("PolicyTemplate"):
        tenancy.apply(template)
    entry = {"template": "egress-proxy", "parameters": {"proxyNamespace": "proxy"}}
    tenancy.profile("proxied", {"tenant": "shop"}, ["default-deny", entry])
    tenancy.expect("shop", ["proxied.default-deny", "proxied.egress-proxy"])
    world.ports = {"TCP": (3128, 443), "UDP": (3128,)}
    world.add_pod("shop", "allowed", {"egress-proxy": "allowed"})
    world.add_pod("shop", "other")
    world.add_pod("proxy", "proxy", {"app.kubernetes.io/name": "egress-proxy"})
    world.add_host("internet", "198.51.100.7")
    check(
        world,
        {
            ("shop/allowed", "proxy/proxy", "TCP", 3128): True,
            ("shop/allowed", "proxy/proxy", "TCP", 443): False,
            ("shop/allowed", "internet", "TCP", 443): False,
            ("shop/other", "proxy/proxy", "TCP", 3128): False,
        },
    )


def test_three_tiers_and_a_database_subnet(world: World, tenancy: Tenancy) -> None:
    """examples/payments.yaml: ingress → frontend → api → database; Prometheus scrapes; nothing else."""
    _apply("payments.yaml", world, tenancy)
    world.ports = {"TCP": (53, 5432, 8080, 8443, 9090), "UDP": (53,)}
    for tier in ("frontend", "api", "job"):
        world.add_pod("payments", tier, {"tier": tier, "metrics": "enabled"})
    _platform(world)
    world.add_host("database", "10.50.0.20")
    world.add_host("beside", "10.50.1.20")
    check(
        world,
        {
            ("ingress-nginx/controller", "payments/frontend", "TCP", 8080): True,
            ("ingress-nginx/controller", "payments/api", "TCP", 8443): False,
            ("payments/frontend", "payments/api", "TCP", 8443): True,
            ("payments/frontend", "payments/api", "TCP", 8080): False,
            ("payments/api", "payments/frontend", "TCP", 8080): False,
            ("payments/job", "payments/api", "TCP", 8443): False,
            ("payments/api", "database", "TCP", 5432): True,
            ("payments/frontend", "database", "TCP", 5432): False,
            ("payments/api", "beside", "TCP", 5432): False,
            ("payments/api", "kube-system/coredns", "UDP", 53): True,
            ("payments/api", "kube-system/coredns", "TCP", 53): True,
            ("monitoring/prometheus", "payments/api", "TCP", 9090): True,
            ("monitoring/prometheus", "payments/api", "TCP", 8443): False,
            ("monitoring/other", "payments/api", "TCP", 9090): False,
            ("shop-web/web", "payments/api", "TCP", 8443): False,
        },
    )


def test_production_refuses_development(world: World, tenancy: Tenancy) -> None:
    """examples/production.yaml: environments are segments; the shop's pages reach the stock service."""
    _apply("production.yaml", world, tenancy)
    world.ports = {"TCP": (53, 8080, 9090), "UDP": (53,)}
    world.add_namespace("shop-dev", {"environment": "dev"})
    world.add_pod("shop-web", "web", {"app": "web", "metrics": "enabled"})
    world.add_pod("shop-stock", "stock", {"app": "stock"})
    world.add_pod("shop-dev", "web", {"app": "web"})
    _platform(world)
    check(
        world,
        {
            ("shop-web/web", "shop-stock/stock", "TCP", 8080): True,
            ("shop-stock/stock", "shop-web/web", "TCP", 8080): False,
            ("shop-dev/web", "shop-web/web", "TCP", 8080): False,
            ("shop-dev/web", "shop-stock/stock", "TCP", 8080): False,
            ("shop-web/web", "shop-dev/web", "TCP", 8080): False,
            ("ingress-nginx/controller", "shop-web/web", "TCP", 8080): True,
            ("ingress-nginx/controller", "shop-stock/stock", "TCP", 8080): False,
            ("monitoring/prometheus", "shop-web/web", "TCP", 9090): True,
            ("monitoring/prometheus", "shop-stock/stock", "TCP", 9090): False,
        },
    )


def test_sandboxes_keep_to_themselves(world: World, tenancy: Tenancy) -> None:
    """examples/team-sandboxes.yaml: within a sandbox everything, between sandboxes nothing."""
    _apply("team-sandboxes.yaml", world, tenancy)
    world.ports = {"TCP": (53, 8080), "UDP": (53, 8080)}
    for sandbox in ("sandbox-ana", "sandbox-ben"):
        world.add_pod(sandbox, "one")
        world.add_pod(sandbox, "two")
    _platform(world)
    world.add_host("node-local", "169.254.20.10")
    world.add_host("internet", "198.51.100.7", "2001:db8:7::7")
    check(
        world,
        {
            ("sandbox-ana/one", "sandbox-ana/two", "TCP", 8080): True,
            ("sandbox-ana/one", "sandbox-ana/two", "UDP", 8080): True,
            ("sandbox-ana/one", "sandbox-ben/one", "TCP", 8080): False,
            ("sandbox-ben/one", "sandbox-ana/one", "UDP", 8080): False,
            ("sandbox-ana/one", "node-local", "UDP", 53): True,
            ("sandbox-ana/one", "kube-system/coredns", "TCP", 53): True,
            ("sandbox-ana/one", "internet", "TCP", 8080): False,
            ("internet", "sandbox-ana/one", "TCP", 8080): False,
        },
    )


def test_shared_platform_namespaces(world: World, tenancy: Tenancy) -> None:
    """Tenants reach logging and registry, on their ports, and not each other's."""
    world.add_namespace("team", {"tenant": "team"})
    for name in ("logging", "registry"):
        world.add_namespace(name)
    tenancy.profile("shared", {"tenant": "team"}, ["default-deny", "dns-egress", "shared-services-egress"])
    tenancy.expect("team", ["shared.default-deny", "shared.dns-egress", "shared.shared-services-egress"])
    world.ports = {"TCP": (53, 3100, 5000, 24224), "UDP": (53, 3100)}
    world.add_pod("team", "app")
    world.add_pod("logging", "loki")
    world.add_pod("registry", "registry")
    _platform(world)
    check(
        world,
        {
            ("team/app", "logging/loki", "TCP", 3100): True,
            ("team/app", "logging/loki", "UDP", 3100): False,
            ("team/app", "logging/loki", "TCP", 5000): False,
            ("team/app", "registry/registry", "TCP", 5000): True,
            ("logging/loki", "team/app", "TCP", 3100): False,
            ("team/app", "monitoring/prometheus", "TCP", 3100): False,
        },
    )


def check(world: World, says: Says) -> None:
    """What is spelt out, in each family that both ends have; then everything against the engine."""
    world.settle()
    for (source, destination, protocol, port), allowed in says.items():
        ends = world.parties[source], world.parties[destination]
        flows = [
            Flow(source, destination, protocol, port, family)
            for family in FAMILIES
            if all(end.address(family) for end in ends)
        ]
        assert flows
        for flow, outcome in world.probe(flows).items():
            assert outcome.allowed == allowed, f"{flow}: {outcome}"
    comparison = oracle.compare(world)
    assert not comparison.differences, str(comparison)


def _apply(file: str, world: World, tenancy: Tenancy) -> None:
    """An example's profile for the namespaces of the examples, and its policies in place."""
    for name, labels in NAMESPACES.items():
        world.add_namespace(name, labels)
    for profile in manifests(FOLDER / file):
        tenancy.apply(profile)
        entries = profile["spec"]["policies"]
        names = [f"{profile['metadata']['name']}.{e.get('name', e['template'])}" for e in entries]
        for namespace in _selected(profile["spec"]):
            tenancy.expect(namespace, names)


def _platform(world: World) -> None:
    """DNS, ingress controllers, monitoring, and a tenant that no profile of the test selects."""
    for namespace in ("ingress-nginx", "monitoring"):
        world.add_namespace(namespace)
    world.add_pod("kube-system", "coredns", {"k8s-app": "kube-dns"})
    world.add_pod("ingress-nginx", "controller", {"app.kubernetes.io/name": "ingress-nginx"})
    world.add_pod("monitoring", "prometheus", {"app.kubernetes.io/name": "prometheus"})
    world.add_pod("monitoring", "other")
    if "shop-web/web" not in world.parties:
        world.add_namespace("shop-web", {})
        world.add_pod("shop-web", "web", {"app": "web"})


def _selected(spec: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The namespaces of the examples that a profile selects."""
    wanted = _labels(spec)
    excluded = spec.get("excludedNamespaces", ())
    return {n: ls for n, ls in NAMESPACES.items() if wanted.items() <= ls.items() and n not in excluded}


def _labels(spec: Mapping[str, Any]) -> dict[str, str]:
    """Labels that its namespaceSelector asks for (matchLabels, and In with one value)."""
    selector = spec["namespaceSelector"]
    found = dict(selector.get("matchLabels", {}))
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In", "teach this test the operator of the new example"
        found[expression["key"]] = expression["values"][0]
    return found
