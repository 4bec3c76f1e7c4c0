"""`make demo`: the product at work on a real API server, told step by step.

Everything is real: a kube-apiserver with etcd and a kube-controller-manager, the shipped CRDs and RBAC,
the operator as a process of its own under its own ServiceAccount, the three tenants of `examples/`.
Exit code 0 when every step ended as it should.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from client import NAMESPACES, PROFILES, Client, Refused, eventually, policies_of
from controlplane import Cluster, open_cluster
from operatorprocess import OperatorProcess, install

ROOT: Final = Path(__file__).resolve().parents[1]
PATIENCE: Final = 30.0
"""Seconds after which a step counts as failed."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keep", action="store_true", help="stay up afterwards and print the kubeconfig")
    arguments.add_argument(
        "--context",
        default="",
        help="use an existing cluster by the name of its kubeconfig context (its namespaces payments,"
        " sandbox-* and shop-* are made and left there)",
    )
    options = arguments.parse_args()
    # SIGTERM ends the demo as Ctrl-C does: with everything taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    step("Starting a Kubernetes control plane (etcd, kube-apiserver, kube-controller-manager)")
    with open_cluster(options.context) as cluster:
        step("Installing the CRDs, the ServiceAccount and its RBAC: kubectl apply -k crds, -k deploy/base")
        install(cluster)
        step("Starting the operator: tenantprofile run, as that ServiceAccount")
        with OperatorProcess(cluster) as operator:
            try:
                show(cluster, Client(cluster.admin_kubeconfig))
            except AssertionError as error:
                print(f"\nThis did not end as it should: {error}\n{operator.log()[-3000:]}", file=sys.stderr)
                sys.exit(1)
            if options.keep:
                stay(cluster)


def show(cluster: Cluster, client: Client) -> None:
    """The tour: three tenants, and four things that go wrong and are put right."""
    step("Three tenants, from examples/: their namespaces, and a TenantProfile each")
    for name in ("namespaces", "payments", "team-sandboxes", "production"):
        run(cluster, "apply", "-f", f"examples/{name}.yaml")
    for profile in ("payments", "team-sandboxes", "production"):
        eventually(lambda p=profile: ready(client, p), within=PATIENCE)  # type: ignore[misc]
    run(cluster, "get", "tenantprofiles")
    run(cluster, "get", "networkpolicies", "-n", "payments")

    step("Somebody deletes the default deny of payments")
    deny = f"{policies_of('payments')}/payments.default-deny"
    client.delete(deny)
    timed("it is back", lambda: client.find(deny))

    step("Somebody edits the default deny to allow everything, as kubectl edit would")
    client.merge(deny, {"spec": {"ingress": [{}], "egress": [{}]}}, manager="kubectl-edit")
    timed("it denies again", lambda: not client.get(deny)["spec"].get("egress"))

    step("A new sandbox namespace is created")
    client.create(NAMESPACES, {"metadata": {"name": "sandbox-dana", "labels": {"tenancy": "sandbox"}}})
    timed("all four policies are in it", lambda: len(client.items(policies_of("sandbox-dana"))) == 4)

    step("Somebody takes a sandbox's label away, and gives it back")
    client.merge(f"{NAMESPACES}/sandbox-ana", {"metadata": {"labels": {"tenancy": None}}})
    timed("released", lambda: not client.items(policies_of("sandbox-ana")))
    client.merge(f"{NAMESPACES}/sandbox-ana", {"metadata": {"labels": {"tenancy": "sandbox"}}})
    timed("protected", lambda: len(client.items(policies_of("sandbox-ana"))) == 4)

    step("What the platform team sees")
    eventually(
        lambda: client.get(f"{PROFILES}/payments")["status"]["drift"]["repaired"] == 2, within=PATIENCE
    )
    eventually(lambda: ready(client, "team-sandboxes", "4/4"), within=PATIENCE)
    run(cluster, "get", "tenantprofiles", "-o", "wide")
    eventually(lambda: client.items(f"{NAMESPACES}/payments/events"), within=PATIENCE)
    run(cluster, "get", "events", "-n", "payments")


def ready(client: Client, profile: str, summary: str = "") -> bool:
    status = client.get(f"{PROFILES}/{profile}").get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
    return conditions.get("Ready") == "True" and summary in ("", status["namespaces"]["summary"])


def step(title: str) -> None:
    print(f"\n\033[1m── {title}\033[0m" if sys.stdout.isatty() else f"\n── {title}", flush=True)


def run(cluster: Cluster, *arguments: str) -> None:
    """Run kubectl and show both the command and its answer."""
    print(f"$ kubectl {' '.join(arguments)}")
    in_place = [str(ROOT / a) if a.startswith("examples/") else a for a in arguments]
    print(cluster.kubectl(*in_place).stdout.rstrip(), flush=True)


def timed(what: str, condition: Callable[[], object]) -> None:
    """Wait for something, and say how long it took."""
    begin = time.monotonic()
    try:
        eventually(condition, within=PATIENCE, every=0.001)
    except (Refused, OSError) as error:
        raise AssertionError(f"{what}: {error}") from error
    print(f"   {what} after {(time.monotonic() - begin) * 1000:.0f} ms", flush=True)


def stay(cluster: Cluster) -> None:
    step("Everything stays up until Ctrl-C")
    print(
        f"export KUBECONFIG={cluster.admin_kubeconfig}\nexport PATH={cluster.kubectl_program.parent}:$PATH",
        flush=True,
    )
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
