"""The continuous audit at size: memory, and seconds for a round, on objects that no API server holds.

    python -m benchmarks.audit --namespaces 10000 --pods 100000

Prints one JSON object. The state is fed as a list would feed it; then a round over everything, a round in which one
pod came, and the report.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenantprofile.analysis.evidence import Circumstances
from tenantprofile.analysis.following import Following, Kind
from tenantprofile.auditor.pages import Inputs, picture, report
from tenantprofile.connectivity.settings import DEFAULT_SETTINGS
from tenantprofile.names import LABEL_MANAGED_BY, LABEL_POLICY, LABEL_PROFILE, MANAGED_BY

TEAMS = 200
DAY = "2026-01-31"
SPECS: dict[str, Any] = {
    "default-deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    "same-namespace": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}]}],
        "egress": [{"to": [{"podSelector": {}}]}],
    },
    "dns-egress": {
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {
                "to": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
                ],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            }
        ],
    },
}


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def fill(following: Following, namespaces: int, pods: int) -> None:
    """Tenants with a profile's three policies, a Service and their pods; one in a hundred opens itself to all."""

    def put(kind: Kind, raw: dict[str, Any]) -> None:
        metadata = raw["metadata"]
        following.put(kind, metadata.get("namespace", ""), metadata["name"], following.read(kind, raw))

    put("Namespace", {"metadata": {"name": "kube-system"}})
    put(
        "TenantProfile",
        {
            "metadata": {"name": "base", "uid": "u", "generation": 1},
            "spec": {
                "namespaceSelector": {"matchLabels": {"tenant": "yes"}},
                "policies": [{"template": name} for name in SPECS],
                "assertions": [
                    {
                        "name": "nothing-from-outside",
                        "from": {"anything": True},
                        "to": {"everyPod": True},
                        "expect": "deny",
                    }
                ],
            },
        },
    )
    for index in range(namespaces):
        space = f"tenant-{index:05}"
        put(
            "Namespace",
            {"metadata": {"name": space, "labels": {"tenant": "yes", "team": f"team-{index % TEAMS}"}}},
        )
        for name, spec in SPECS.items():
            labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PROFILE: "base", LABEL_POLICY: name}
            put(
                "NetworkPolicy",
                {"metadata": {"namespace": space, "name": f"base.{name}", "labels": labels}, "spec": spec},
            )
        if index % 100 == 0:
            own = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
            put("NetworkPolicy", {"metadata": {"namespace": space, "name": "open"}, "spec": own})
        address = f"10.{96 + index // 65536}.{index // 256 % 256}.{index % 256}"
        put(
            "Service",
            {
                "metadata": {"namespace": space, "name": "web"},
                "spec": {"clusterIP": address, "selector": {"app": "app-0"}, "ports": [{"port": 80}]},
            },
        )
    for index in range(pods):
        put("Pod", pod(index, namespaces))


def pod(index: int, namespaces: int) -> dict[str, Any]:
    """A pod as the API server lists it, with what the audit drops."""
    app = f"app-{index // namespaces % 3}"
    address = f"10.{128 + index // 65536}.{index // 256 % 256}.{index % 256}"
    node = index % 1000
    container = {
        "name": "main",
        "image": "registry/app:1",
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    return {
        "metadata": {
            "namespace": f"tenant-{index % namespaces:05}",
            "name": f"{app}-6d5f4c7b9-{index:06}",
            "labels": {"app": app, "pod-template-hash": "6d5f4c7b9"},
            "annotations": {"example.com/note": "x" * 200},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{app}-6d5f4c7b9", "controller": True}],
        },
        "spec": {"nodeName": f"node-{node}", "containers": [container], "hostNetwork": index % 1000 == 999},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": f"192.168.{node // 250}.{node % 250}",
        },
    }


def timed(do: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = do()
    return time.perf_counter() - begun, result


def measure(namespaces: int, pods: int) -> dict[str, Any]:
    """The figures."""
    start = resident()
    following = Following()
    filling, _ = timed(lambda: fill(following, namespaces, pods))
    gc.collect()
    held = resident()
    first, found = timed(lambda: following.judge(following.snapshot(), DAY))
    new = pod(pods, namespaces)
    name = new["metadata"]["name"]
    following.put("Pod", new["metadata"]["namespace"], name, following.read("Pod", new))
    del found
    second, found = timed(lambda: following.judge(following.snapshot(), DAY))
    after = resident()
    inputs = Inputs({}, {}, {})
    reporting, data = timed(lambda: json.dumps(report(found, Circumstances("now"), inputs)))
    drawing, page = timed(lambda: picture(found, DEFAULT_SETTINGS))
    return {
        "namespaces": namespaces,
        "pods": pods,
        "policies": len(found.assembly.policies),
        "secondsToFill": round(filling, 2),
        "mebibytesHeld": round(held - start, 1),
        "secondsFirstRound": round(first, 2),
        "secondsNextRound": round(second, 2),
        "mebibytesAfterRounds": round(after, 1),
        "mebibytesPeak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "secondsReport": round(reporting, 2),
        "mebibytesReport": round(len(data) / 2**20, 2),
        "secondsPicture": round(drawing, 2),
        "mebibytesPicture": round(len(page) / 2**20, 2),
        "widening": len(found.audit.widenings),
        "findings": len(found.lint.findings),
        "assertions": [outcome.result.status for outcome in found.assertions],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespaces", type=int, default=10_000)
    parser.add_argument("--pods", type=int, default=100_000)
    given = parser.parse_args()
    json.dump(measure(given.namespaces, given.pods), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
