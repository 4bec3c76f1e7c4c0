"""Worlds to draw: a small one with everything in it, and one of 500 workloads."""

from __future__ import annotations

from typing import Any

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.world import World
from tenantprofile.drawing.topology import Topology, topology

Manifest = dict[str, Any]


def namespace(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(path: str, labels: dict[str, str], *ports: int, **spec: Any) -> Manifest:
    space, name = path.split("/")
    container = {"name": "main", "ports": [{"containerPort": port} for port in ports]}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    metadata = {"name": name, "namespace": space}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": pod}}


def policy(path: str, pods: dict[str, str] | None = None, **spec: Any) -> Manifest:
    space, name = path.split("/")
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": space},
        "spec": {"podSelector": {"matchLabels": pods} if pods else {}, **spec},
    }


def pods(**labels: str) -> Manifest:
    return {"podSelector": {"matchLabels": labels}}


def of(name: str, **labels: str) -> Manifest:
    """Pods of a namespace, by its name."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": name}}
    return {"namespaceSelector": selector, **(pods(**labels) if labels else {})}


def tcp(*ports: int | str) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def drawn(objects: list[Manifest], **options: Any) -> Topology:
    return topology(ConnectionMap(World.from_objects(objects)), **options)


def shop() -> list[Manifest]:
    """web → api → database subnet, two alike batch jobs, a caller without an egress policy, a bare
    namespace, and a pod on its node's network."""
    return [
        namespace("shop"),
        namespace("edge"),
        namespace("bare"),
        namespace("empty"),
        deployment("shop/web", {"app": "web"}, 8080),
        deployment("shop/api", {"app": "api"}, 8443),
        deployment("shop/nightly", {"app": "batch"}),
        deployment("shop/weekly", {"app": "batch"}),
        deployment("edge/proxy", {"app": "proxy"}),
        deployment("bare/lab", {"app": "lab"}),
        deployment("bare/agent", {"app": "agent"}, hostNetwork=True),
        policy("shop/deny", policyTypes=["Ingress", "Egress"]),
        policy("shop/web", {"app": "web"}, ingress=[{"from": [of("edge", app="proxy")], "ports": tcp(8080)}]),
        policy(
            "shop/web-out",
            {"app": "web"},
            policyTypes=["Egress"],
            egress=[{"to": [pods(app="api")], "ports": tcp(8443)}],
        ),
        policy(
            "shop/api",
            {"app": "api"},
            policyTypes=["Ingress", "Egress"],
            ingress=[
                {"from": [pods(app="monitor")], "ports": tcp(9090)},
                {"from": [pods(app="other"), pods(app="web")], "ports": tcp(8443)},
            ],
            egress=[{"to": [{"ipBlock": {"cidr": "10.50.0.0/24"}}], "ports": tcp(5432)}],
        ),
        policy("edge/in", policyTypes=["Ingress"]),
    ]


TEAMS = 25
TIERS = ("web", "api", "worker", "cache", "db")
APPS = ("orders", "stock", "mail", "search")


def estate(teams: int = TEAMS) -> list[Manifest]:
    """Teams of 20 workloads each, most of them with policies, and three system namespaces."""
    found = [namespace(name) for name in ("ingress-nginx", "monitoring", "kube-system")]
    found += [
        deployment("ingress-nginx/controller", {"app": "ingress"}, 443),
        deployment("monitoring/prometheus", {"app": "prometheus"}, 9090),
        deployment("kube-system/coredns", {"k8s-app": "kube-dns"}, 53),
        policy("monitoring/deny", policyTypes=["Ingress"]),
    ]
    for number in range(teams):
        found += _team(number, teams)
    return found


def _team(number: int, teams: int) -> list[Manifest]:
    space = f"team-{number:02d}"
    found = [namespace(space)]
    for app in APPS:
        for tier in TIERS:
            labels = {"app": app, "tier": tier, "team": space}
            found.append(deployment(f"{space}/{app}-{tier}", labels, 8080))
    if number % 5 == 4:
        return found  # a team that nobody has given a policy yet
    found.append(
        policy(f"{space}/deny", policyTypes=["Ingress"] if number % 7 == 3 else ["Ingress", "Egress"])
    )
    dns = {"to": [of("kube-system")], "ports": [{"protocol": "UDP", "port": 53}]}
    found.append(policy(f"{space}/dns", policyTypes=["Egress"], egress=[dns]))
    monitored = [{"from": [of("monitoring", app="prometheus")], "ports": tcp(9090)}]
    found.append(policy(f"{space}/metrics", policyTypes=["Ingress"], ingress=monitored))
    for app in APPS:
        found += _app(space, app, f"team-{(number + 1) % teams:02d}")
    return found


def _app(space: str, app: str, neighbour: str) -> list[Manifest]:
    def chain(source: str, destination: str, port: int) -> list[Manifest]:
        name = f"{app}-{source}-{destination}"
        one, other = pods(app=app, tier=source), pods(app=app, tier=destination)
        into = [{"from": [one], "ports": tcp(port)}]
        out = [{"to": [other], "ports": tcp(port)}]
        return [
            policy(
                f"{space}/{name}", {"app": app, "tier": destination}, policyTypes=["Ingress"], ingress=into
            ),
            policy(f"{space}/{name}-out", {"app": app, "tier": source}, policyTypes=["Egress"], egress=out),
        ]

    web = [{"from": [of("ingress-nginx")], "ports": tcp(8080)}]
    found = [policy(f"{space}/{app}-web", {"app": app, "tier": "web"}, policyTypes=["Ingress"], ingress=web)]
    found += chain("web", "api", 8443) + chain("api", "cache", 6379) + chain("api", "db", 5432)
    if app == "orders":
        internet = {
            "ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]}
        }
        out = [{"to": [internet], "ports": tcp(443)}]
        found.append(
            policy(
                f"{space}/{app}-internet", {"app": app, "tier": "worker"}, policyTypes=["Egress"], egress=out
            )
        )
        calls = [{"to": [of(neighbour, app="stock", tier="api")], "ports": tcp(8443)}]
        found.append(
            policy(f"{space}/{app}-calls", {"app": app, "tier": "api"}, policyTypes=["Egress"], egress=calls)
        )
    if app == "stock":
        called = [{"from": [{"namespaceSelector": {}, **pods(app="orders", tier="api")}], "ports": tcp(8443)}]
        found.append(
            policy(
                f"{space}/{app}-called", {"app": app, "tier": "api"}, policyTypes=["Ingress"], ingress=called
            )
        )
    return found
