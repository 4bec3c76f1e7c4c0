"""The guard's components applied to a cluster, for tests and benchmarks.

As an administrator would do it: a kustomization that names components, applied in the documented order,
policies before bindings.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane import Cluster

COMPONENTS: Final = Path(__file__).resolve().parents[1] / "deploy" / "components" / "guard"
PARTS: Final = ("managed-objects", "membership", "pod-gate", "guardrails", "other-kinds")
LABEL: Final = "tenantprofile.dev/guard"


def rendered(cluster: Cluster, parts: Iterable[str] = PARTS) -> list[dict[str, Any]]:
    """What Kustomize makes of some parts."""
    folder = cluster.directory / "guard"
    folder.mkdir(exist_ok=True)
    components = [os.path.relpath(COMPONENTS / part, folder.resolve()) for part in parts]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "components": components,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(folder)).stdout))


def apply(cluster: Cluster, documents: Iterable[dict[str, Any]]) -> None:
    """Server-side apply, policies first."""
    ordered = sorted(documents, key=lambda d: bool(d["kind"].endswith("Binding")))
    if ordered:
        cluster.kubectl(
            "apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump_all(ordered)
        )


def install(cluster: Cluster, parts: Sequence[str] = PARTS) -> None:
    """Apply some parts as shipped. They take effect about a second later."""
    apply(cluster, rendered(cluster, parts))


def remove(cluster: Cluster) -> None:
    """Bindings, then policies: the documented order. What the pod gate leaves behind stays, as documented."""
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        cluster.kubectl("delete", kind, f"--selector={LABEL},!{LABEL}-stays", "--ignore-not-found")
