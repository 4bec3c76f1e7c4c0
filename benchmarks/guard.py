"""`python -m benchmarks.guard`: what the guard costs a namespace's update and a policy's creation.

Both are timed at the client, one after the other, as a user who holds none of the guard's verbs, on an API server that
does nothing else; without the guard and with it, at several numbers of profiles. Within a run the two differ in
nothing but the guard, so their ratio counts, and not the milliseconds of one machine. The API server's processor time
for each request is told as well: it says the same on a machine that has other things to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "operator")]

import guardinstall  # noqa: E402
from actors import allowed_to, grant, role  # noqa: E402
from client import NAMESPACES, PROFILES, Client, Object, Refused, eventually, policies_of  # noqa: E402
from controlplane import ControlPlane  # noqa: E402
from operatorprocess import install  # noqa: E402

GROUP: Final = "tenantprofile.dev"
PARTS: Final = ("managed-objects", "membership", "guardrails", "other-kinds")
COUNTS: Final = (0, 1, 20, 100)
PLACE: Final = "team-a"
MERGE: Final = "application/merge-patch+json"

GUARDRAILS: Final[Object] = {
    "refuse": ["Everybody", "AllNamespaces", "OpenNamespaceSelectors", "MetadataAddresses", "NAT64"],
    "widestIPv4": 16,
    "widestIPv6": 48,
}
POLICY: Final[Object] = {
    "podSelector": {"matchLabels": {"app": "shop"}},
    "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}], "ports": [{"port": 8080}]}],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.1.2.0/24"}}], "ports": [{"port": 5432}]}],
}


Timed = tuple[list[float], float]
"""Milliseconds of each request, and of the API server's processor time for all of them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds of one kind of request with so many profiles."""

    request: str
    profiles: int
    without: Sequence[float]
    guarded: Sequence[float]
    cpu_without: float
    cpu_guarded: float
    """Milliseconds of the API server's processor time for one request."""

    @property
    def ratio(self) -> float:
        return statistics.median(self.guarded) / statistics.median(self.without)

    def as_data(self) -> dict[str, Any]:
        return {
            "request": self.request,
            "profiles": self.profiles,
            "without": _summary(self.without),
            "guarded": _summary(self.guarded),
            "ratio": round(self.ratio, 2),
            "cpu_without": round(self.cpu_without, 2),
            "cpu_guarded": round(self.cpu_guarded, 2),
        }


class Bench:
    """One control plane with the base installed, and a tenant who acts."""

    def __init__(self, plane: ControlPlane, samples: int) -> None:
        self.plane, self.samples = plane, samples
        self.admin = Client(plane.admin_kubeconfig)
        install(plane)
        everything = ["get", "list", "create", "update", "patch", "delete"]
        rules = [
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": everything},
            {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": everything},
        ]
        grant(self.admin, "tenant", role(self.admin, "tenant", rules))
        allowed_to(self.admin, "tenant", "create", "networkpolicies", group="networking.k8s.io")
        self.tenant = Client(plane.impersonated_kubeconfig("tenant"))
        labels = {"tenant": "team-0"}
        self.admin.create(NAMESPACES, {"metadata": {"name": PLACE, "labels": labels}})

    def profiles(self, count: int) -> None:
        """So many profiles with guardrails, of which the first selects the namespace."""
        have = len(self.admin.items(PROFILES))
        for number in range(have, count):
            body = {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "TenantProfile",
                "metadata": {"name": f"team-{number}"},
                "spec": {
                    "namespaceSelector": {
                        "matchLabels": {"tenant": f"team-{number}"},
                        "matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["sandbox"]}],
                    },
                    "policies": [{"template": "default-deny"}],
                    "guardrails": GUARDRAILS,
                },
            }
            eventually(lambda body=body: self.admin.apply(PROFILES, body), within=60.0)  # type: ignore[misc]

    def guard(self, on: bool, profiles: int) -> None:
        """Install or remove the guard, and wait until the API server goes by it."""
        if on:
            guardinstall.install(self.plane, PARTS)
        else:
            guardinstall.remove(self.plane)
        claimed = {"metadata": {"name": "x", "labels": {f"{GROUP}/profile": "x"}}, "spec": POLICY}
        checks = [lambda: self.tenant.request("POST", policies_of(PLACE), claimed, dryRun="All")]
        if profiles:
            # The last of them, so that the API server knows all.
            entering = {"metadata": {"labels": {"tenant": f"team-{profiles - 1}"}}}
            leaving = {"metadata": {"labels": {"tenant": "nobody"}}}
            last = entering if profiles > 1 else leaving
            wide = {"metadata": {"name": "x"}, "spec": {"podSelector": {}, "ingress": [{}]}}
            checks += [
                lambda: self.tenant.request(
                    "PATCH", f"{NAMESPACES}/{PLACE}", last, content_type=MERGE, dryRun="All"
                ),
                lambda: self.tenant.request("POST", policies_of(PLACE), wide, dryRun="All"),
            ]
        for check in checks:
            eventually(lambda check=check: _refuses(check) == on, within=60.0)  # type: ignore[misc]

    def cpu(self) -> float:
        """Milliseconds of processor time that the API server has used so far."""
        pid = self.plane.pid("kube-apiserver")
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def namespace_update(self) -> Timed:
        """A label that no profile selects by."""

        def once(number: int) -> None:
            change = {"metadata": {"labels": {"cost": str(number % 2)}}}
            self.tenant.request("PATCH", f"{NAMESPACES}/{PLACE}", change, content_type=MERGE)

        return self._timed(once)

    def policy_create(self) -> Timed:
        """A policy of a tenant's own that no guardrail refuses; its deletion is not timed."""

        def once(number: int) -> None:
            body = {"metadata": {"name": f"own-{number}"}, "spec": POLICY}
            self.tenant.request("POST", policies_of(PLACE), body)

        found = self._timed(once)
        self.admin.request("DELETE", policies_of(PLACE))
        return found

    def _timed(self, once: Callable[[int], None]) -> Timed:
        for number in range(self.samples // 10):  # to warm up
            once(number)
        found, before = [], self.cpu()
        for number in range(self.samples):
            began = time.perf_counter()
            once(number + self.samples)
            found.append((time.perf_counter() - began) * 1000)
        return found, self.cpu() - before


def measure(samples: int, counts: Sequence[int] = COUNTS) -> list[Figure]:
    """Both requests at every number of profiles; the guard comes and goes twice at each."""
    figures = []
    with ControlPlane(controller_manager=False) as plane:
        bench = Bench(plane, max(10, samples // 2))
        for count in counts:
            bench.profiles(count)
            times: dict[tuple[str, bool], list[float]] = defaultdict(list)
            cpu: dict[tuple[str, bool], float] = defaultdict(float)
            for on in (False, True, False, True):
                bench.guard(on, count)
                for request, run in (
                    ("namespace update", bench.namespace_update),
                    ("policy create", bench.policy_create),
                ):
                    found, used = run()
                    times[request, on] += found
                    cpu[request, on] += used
            bench.guard(False, count)
            for request in ("namespace update", "policy create"):
                without, guarded = times[request, False], times[request, True]
                each = (cpu[request, on] / len(times[request, on]) for on in (False, True))
                figures.append(Figure(request, count, without, guarded, *each))
    return figures


def table(figures: Sequence[Figure]) -> str:
    """Markdown: medians with 95th percentiles, the ratio of the medians, and processor time."""
    header = ("request", "profiles", "without", "with the guard", "ratio", "processor time without", "with")
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for figure in sorted(figures, key=lambda figure: figure.request):
        cells = [_cell(figure.without), _cell(figure.guarded), f"{figure.ratio:.1f}"]
        cells += [f"{figure.cpu_without:.1f} ms", f"{figure.cpu_guarded:.1f} ms"]
        lines.append(f"| {figure.request} | {figure.profiles} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    summary = _summary(values)
    return f"{summary['p50']} ms ({summary['p95']})"


def _summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(len(ordered) * 0.95)], 1),
    }


def _refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except Refused:
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="requests of each kind (200)")
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args()
    figures = measure(arguments.samples)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps([figure.as_data() for figure in figures], indent=2) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
