"""Record what a release leaves in a cluster, so that later releases can be tested for taking it over unchanged.

    PYTHONPATH=dev python dev/record_release.py tests/cluster/releases/VERSION

Run it on the release's own sources. It installs them on the local control plane, applies the examples, waits until
every profile is Ready, and writes the CRDs and all objects without what the cluster gives out again (resourceVersion).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from client import ALL_POLICIES, NAMESPACES, PROFILES, TEMPLATES, Client, Object, eventually
from controlplane import ControlPlane
from operatorprocess import OperatorProcess, install

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ("namespaces", "policytemplate-egress-proxy", "payments", "team-sandboxes", "production")
GIVEN_OUT = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
#: What a profile keeps of these: the digest on each of its policies covers the owner's uid.
KEPT_ON_PROFILES = ("creationTimestamp", "generation", "uid")

#: Namespaces that every cluster has, and the operator's own.
KEPT_OUT = {"default", "tenantprofile-system"}


def ready(client: Client) -> bool:
    """Whether every profile is Ready in its present generation."""
    for profile in client.items(PROFILES):
        conditions = (profile.get("status") or {}).get("conditions") or []
        assert any(c["type"] == "Ready" and c["status"] == "True" for c in conditions), profile["metadata"][
            "name"
        ]
    return True


def labels(item: Object) -> dict[str, str]:
    """An object's labels."""
    found: dict[str, str] = item["metadata"].get("labels") or {}
    return found


def stripped(item: Object, kind: str, version: str) -> Object:
    """An object as it could be created again; a profile, which has to keep its uid, as it could be stored again."""
    kept = KEPT_ON_PROFILES if kind == "TenantProfile" else ()
    metadata = {k: v for k, v in item["metadata"].items() if k not in GIVEN_OUT or k in kept}
    metadata.get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    rest = {k: v for k, v in item.items() if k in {"spec", "status"} and kind != "Namespace"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def main(folder: Path) -> None:
    """Write crds.yaml and state.yaml into a folder."""
    with ControlPlane() as plane:
        install(plane)
        for name in EXAMPLES:
            plane.kubectl("apply", "-f", str(ROOT / "examples" / f"{name}.yaml"))
        client = Client(plane.admin_kubeconfig)
        with OperatorProcess(plane):
            eventually(lambda: ready(client), within=60.0)
        found: list[Any] = []
        for path, kind, version in (
            (NAMESPACES, "Namespace", "v1"),
            (TEMPLATES, "PolicyTemplate", "tenantprofile.dev/v1alpha1"),
            (PROFILES, "TenantProfile", "tenantprofile.dev/v1alpha1"),
            (ALL_POLICIES, "NetworkPolicy", "networking.k8s.io/v1"),
        ):
            items = [i for i in client.items(path) if not str(i["metadata"]["name"]).startswith("kube-")]
            managed = [
                i for i in items if kind != "NetworkPolicy" or "tenantprofile.dev/profile" in labels(i)
            ]
            found += [stripped(i, kind, version) for i in managed if i["metadata"]["name"] not in KEPT_OUT]
    folder.mkdir(parents=True, exist_ok=True)
    crds = [yaml.safe_load(p.read_text()) for p in sorted((ROOT / "crds").glob("tenantprofile.dev_*.yaml"))]
    (folder / "crds.yaml").write_text(yaml.safe_dump_all(crds, sort_keys=False, allow_unicode=True))
    (folder / "state.yaml").write_text(yaml.safe_dump_all(found, sort_keys=False, allow_unicode=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
