"""How the cost of connectivity analysis grows with namespaces, policies and pods.

    python benchmarks/connectivity.py                        # the ladder up to 10,000 namespaces
    python benchmarks/connectivity.py --namespaces 2000 --variety 50
    python benchmarks/connectivity.py --json figures.json

Every step runs in a process of its own, so that memory is that step's peak. Manifests are made as
the engine reads them: the figures are the engine's, not those of a pile of YAML.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "operator"))

from tenantprofile.connectivity.connections import ConnectionMap
from tenantprofile.connectivity.coverage import coverage
from tenantprofile.connectivity.difference import difference
from tenantprofile.connectivity.verdict import verdict
from tenantprofile.connectivity.world import World

LADDER = ((100, 5, 10), (1000, 5, 10), (10000, 1, 10), (10000, 5, 1), (10000, 5, 10))
APPS = ("frontend", "api", "db", "worker", "cache")
COLUMNS = (
    ("namespaces", "namespaces", "d"),
    ("policies", "policies", "d"),
    ("pods", "pods", "d"),
    ("load", "load s", ".2f"),
    ("classify", "classify s", ".2f"),
    ("flows_seconds", "all flows s", ".2f"),
    ("flows", "flows", "d"),
    ("pairs", "pairs behind them", "d"),
    ("coverage", "coverage s", ".2f"),
    ("difference", "diff s", ".2f"),
    ("verdict_ms", "verdict ms", ".3f"),
    ("total", "total s", ".2f"),
    ("peak_mib", "peak MiB", ".0f"),
)


def policy_specs(namespace: str, index: int, variety: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Up to ten policies of a tenant: the patterns that platform teams roll out.

    variety: how many namespaces write something nobody else writes (their own neighbour, their own
    address range), the worst case for grouping.
    """
    name = "kubernetes.io/metadata.name"
    dns = {
        "namespaceSelector": {"matchLabels": {name: "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    yield "default-deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    yield (
        "allow-dns",
        {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"to": [dns], "ports": [{"protocol": p, "port": 53} for p in ("UDP", "TCP")]}],
        },
    )
    yield (
        "same-namespace",
        {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}]}],
            "egress": [{"to": [{"namespaceSelector": {"matchLabels": {name: namespace}}}]}],
        },
    )
    yield (
        "from-ingress",
        {
            "podSelector": {"matchLabels": {"app": "frontend"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"namespaceSelector": {"matchLabels": {name: "ingress-nginx"}}}],
                    "ports": [{"port": "http"}],
                }
            ],
        },
    )
    database = {
        "cidr": f"10.{50 + index // 256 % 100}.{index % 256}.0/24" if index < variety else "10.50.0.0/24"
    }
    neighbour = f"tenant-{index ^ 1:05d}" if index < variety else "monitoring"
    yield (
        "database",
        {
            "podSelector": {
                "matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "worker"]}]
            },
            "policyTypes": ["Egress", "Ingress"],
            "egress": [{"to": [{"ipBlock": database}], "ports": [{"port": 5432}]}],
            "ingress": [
                {
                    "from": [{"namespaceSelector": {"matchLabels": {name: neighbour}}}],
                    "ports": [{"port": 9090, "endPort": 9099}],
                }
            ],
        },
    )
    for extra in range(5):
        yield (
            f"extra-{extra}",
            {
                "podSelector": {"matchLabels": {"app": APPS[extra]}},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}],
            },
        )


def manifest(kind: str, namespace: str, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": fields.pop("labels", {})}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}


def pod(namespace: str, index: int, serial: int, labels: dict[str, str]) -> dict[str, Any]:
    container = {"name": "main", "ports": [{"name": "http", "containerPort": 8080}]}
    address = f"10.{100 + serial // 65536}.{serial // 256 % 256}.{serial % 256}"
    return manifest(
        "Pod",
        namespace,
        f"{next(iter(labels.values()))}-{index}",
        labels=labels,
        spec={"containers": [container], "nodeName": f"node-{serial % 500}"},
        status={"podIP": address, "hostIP": f"192.168.{serial % 500 // 250}.{serial % 250}"},
    )


def cluster(
    namespaces: int, policies: int, pods: int, variety: int, without: str = ""
) -> Iterator[dict[str, Any]]:
    """A cluster of tenants; `without` leaves one policy out of every hundredth namespace."""
    serial = 0
    for name, key, value in (
        ("kube-system", "k8s-app", "kube-dns"),
        ("ingress-nginx", "app", "ingress"),
        ("monitoring", "app.kubernetes.io/name", "prometheus"),
    ):
        yield manifest("Namespace", "", name)
        for index in range(3):
            yield pod(name, index, serial, {key: value})
            serial += 1
    for index in range(namespaces):
        name = f"tenant-{index:05d}"
        labels = {"team": f"team-{index % 97}", "environment": ("dev", "prod")[index % 2]}
        yield manifest("Namespace", "", name, labels=labels)
        for (policy, spec), _ in zip(policy_specs(name, index, variety), range(policies), strict=False):
            if not (policy == without and index % 100 == 0):
                yield manifest("NetworkPolicy", name, policy, "networking.k8s.io/v1", spec=spec)
        for number in range(pods):
            serial += 1
            yield pod(name, number, serial, {"app": APPS[number % 5], "pod-template-hash": f"{index % 100}"})


def measure(namespaces: int, policies: int, pods: int, variety: int) -> dict[str, Any]:
    """Figures of one cluster: seconds, counts, peak memory of the analysis (before the comparison)."""
    marks = [time.perf_counter()]

    def mark() -> float:
        marks.append(time.perf_counter())
        return marks[-1] - marks[-2]

    world = World.from_objects(cluster(namespaces, policies, pods, variety))
    figures: dict[str, Any] = {
        "namespaces": len(world.namespaces),
        "policies": len(world.policies),
        "pods": len(world.workloads),
        "variety": variety,
        "load": mark(),
    }
    table = ConnectionMap(world)
    figures["classify"] = mark()
    figures["kinds"], figures["roles"] = len(table.classes.kinds), len(table.classes.roles)
    figures["flows"] = sum(1 for _ in table.flows())
    figures["flows_seconds"] = mark()
    figures["uncovered"] = sum(not c.covered for c in coverage(world))
    figures["coverage"] = mark()
    figures["total"] = marks[-1] - marks[0]
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures["pairs"] = len(world.workloads) * (len(world.workloads) - 1)
    chosen = random.Random(1)
    ends = [(chosen.choice(world.workloads), chosen.choice(world.workloads)) for _ in range(2000)]
    mark()
    for source, destination in ends:
        verdict(world, source, destination, "TCP", 8080)
    figures["verdict_ms"] = mark() / len(ends) * 1000
    other = cluster(
        namespaces, policies, pods, variety, without="default-deny" if policies == 1 else "allow-dns"
    )
    changed = ConnectionMap(world.with_policies(other))
    figures["classify_again"] = mark()
    figures["changes"] = sum(1 for _ in difference(table, changed))
    figures["difference"] = mark()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--namespaces", type=int, help="one cluster of this size instead of the ladder")
    parser.add_argument("--policies", type=int, default=5, help="policies in each namespace, at most 10")
    parser.add_argument("--pods", type=int, default=10, help="pods in each namespace")
    parser.add_argument(
        "--variety", type=int, default=0, help="namespaces that write what nobody else writes"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well ('-': to the terminal)")
    arguments = parser.parse_args()
    steps: Sequence[tuple[int, int, int]] = LADDER
    if arguments.namespaces is not None:
        steps = ((arguments.namespaces, arguments.policies, arguments.pods),)
    print(" | ".join(title for _, title, _ in COLUMNS))
    print(" | ".join("---:" for _ in COLUMNS))
    results = []
    for number, step in enumerate(steps, 1):
        print(f"step {number} of {len(steps)}: {step[0]} namespaces ...", file=sys.stderr, flush=True)
        with multiprocessing.get_context("spawn").Pool(1) as process:
            figures = process.apply(measure, (*step, arguments.variety))
        results.append(figures)
        print(" | ".join(format(figures[key], form) for key, _, form in COLUMNS), flush=True)
    text = json.dumps(results, indent=2)
    if arguments.json is not None and str(arguments.json) != "-":
        arguments.json.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
