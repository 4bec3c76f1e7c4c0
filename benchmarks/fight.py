"""The fight: a tenant opens one policy over and over, and the operator closes it. In which share of time is it open?

    python -m benchmarks.fight             (with dev and the repository on PYTHONPATH, as `make bench` sets it)

The tenant patches as often as it is told to, or in a tight loop over one connection; somebody else reads the policy
all the while. A sample is open when its spec is not the operator's. Each line is one pause between the tenant's
patches; each column is one spacing of the operator's repairs of a policy that is fought over. Everything shares the
machine: read the numbers beside each other, not by themselves.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "operator")]

from client import NAMESPACES, PROFILES, Client, Object, eventually, policies_of  # noqa: E402
from controlplane import ControlPlane  # noqa: E402
from operatorprocess import OperatorProcess, install  # noqa: E402
from tenantprofile.controller.contention import SPACING  # noqa: E402

SECONDS: Final = 5.0
"""Of each cell, after the policy counts as fought over."""
PAUSES: Final = (1.0, 0.1, 0.02, 0.0)
SPACINGS: Final = (0.1, SPACING, 0.0)
OPEN: Final[Object] = {"spec": {"ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]}}
PROFILE: Final[Object] = {
    "apiVersion": "tenantprofile.dev/v1alpha1",
    "kind": "TenantProfile",
    "metadata": {"name": "baseline"},
    "spec": {
        "namespaceSelector": {"matchLabels": {"tenancy": "shared"}},
        "policies": [{"template": "default-deny"}],
    },
}
PATH: Final = f"{policies_of('attacked')}/baseline.default-deny"


def operator(cluster: ControlPlane, spacing: float) -> OperatorProcess:
    """The operator with another spacing of its repairs."""
    program = (
        "import sys; from tenantprofile.controller import contention; "
        f"contention.SPACING = {spacing}; sys.argv[0] = 'tenantprofile'; "
        "from tenantprofile.cli.main import main; main()"
    )
    return OperatorProcess(cluster, program=(sys.executable, "-c", program))


def share(cluster: ControlPlane, pause: float) -> tuple[float, float]:
    """The share of samples in which the policy is open, and the tenant's patches in a second."""
    stop = threading.Event()
    patches = 0

    def attack() -> None:
        nonlocal patches
        tenant = Client(cluster.admin_kubeconfig)
        while not stop.is_set():
            tenant.merge(PATH, OPEN, manager="kubectl-edit")
            patches += 1
            stop.wait(pause) if pause else None

    thread = threading.Thread(target=attack)
    thread.start()
    reader = Client(cluster.admin_kubeconfig)
    try:
        time.sleep(max(2.0, 6 * pause))
        began, before = time.monotonic(), patches
        opened = samples = 0
        while time.monotonic() - began < SECONDS:
            opened += bool(reader.get(PATH)["spec"].get("ingress"))
            samples += 1
            time.sleep(0.001)
        rate = (patches - before) / (time.monotonic() - began)
    finally:
        stop.set()
        thread.join()
    return opened / samples, rate


def main() -> None:
    """Print the table."""
    rows: dict[float, list[str]] = {pause: [] for pause in PAUSES}
    with ControlPlane() as cluster:
        install(cluster)
        admin = Client(cluster.admin_kubeconfig)
        admin.create(NAMESPACES, {"metadata": {"name": "attacked", "labels": {"tenancy": "shared"}}})
        eventually(lambda: admin.apply(PROFILES, PROFILE))
        for spacing in SPACINGS:
            with operator(cluster, spacing):
                for pause in PAUSES:
                    eventually(lambda: "ingress" not in admin.get(PATH)["spec"], within=60.0)
                    found, rate = share(cluster, pause)
                    rows[pause].append(f"{found:.0%} ({rate:.0f}/s)")
                    print(f"spacing {spacing} s, pause {pause} s: {rows[pause][-1]}", flush=True)
    heads = " | ".join(f"repairs spaced {spacing:g} s" for spacing in SPACINGS)
    print(f"\n| the tenant patches | {heads} |\n|---|{'---|' * len(SPACINGS)}")
    for pause, cells in rows.items():
        often = f"every {pause:g} s" if pause else "without a pause"
        print(f"| {often} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
