"""Oldest and newest supported Kubernetes, and the way from an earlier release, which is taken over unchanged.

`releases/<version>/` holds the CRDs and objects that a release left in a cluster (dev/record_release.py). The oldest
Kubernetes is today's API server with `--emulated-version`: its APIs, fields and CEL are those of that version; its
bugs are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from client import ALL_POLICIES, NAMESPACES, PROFILES, TEMPLATES, Client, Object, eventually, policies_of
from controlplane import ControlPlane, etcd, is_write
from controlplane.assets import kubernetes_version
from operatorprocess import OperatorProcess, established

ROOT = Path(__file__).resolve().parents[2]
RELEASES = sorted(path for path in (Path(__file__).parent / "releases").iterdir() if path.is_dir())
OLDEST = "1.33"
NEWEST = ".".join(kubernetes_version().removeprefix("v").split(".")[:2])
PATHS = {"Namespace": NAMESPACES, "PolicyTemplate": TEMPLATES}
OPERATOR = "system:serviceaccount:tenantprofile-system:tenantprofile-operator"


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane of that version, empty."""
    flags = [] if request.param == NEWEST else [f"--emulated-version={request.param}"]
    with ControlPlane(audit=True, apiserver_flags=flags) as cluster:
        server = Client(cluster.admin_kubeconfig).get("/version")
        assert f"{server.get('emulationMajor')}.{server.get('emulationMinor')}" == request.param, server
        yield cluster


def restore(plane: ControlPlane, folder: Path) -> None:
    """The objects of a release. Profiles go straight into etcd, to keep the uid that the policies' digests cover."""
    client = Client(plane.admin_kubeconfig)
    for item in yaml.safe_load_all((folder / "state.yaml").read_text()):
        name = item["metadata"]["name"]
        if item["kind"] == "TenantProfile":
            etcd.put(plane.etcd_url, f"/registry/tenantprofile.dev/tenantprofiles/{name}", json.dumps(item))
        elif item["kind"] == "NetworkPolicy":
            place = policies_of(item["metadata"]["namespace"])
            client.create(f"{place}?fieldManager=tenantprofile-operator", item)
        else:
            client.create(PATHS[item["kind"]], item)


def policies(client: Client) -> dict[tuple[str, str], tuple[str, int, Any]]:
    """What every managed policy means: uid (it was not recreated), generation and spec."""
    found = client.items(ALL_POLICIES, labelSelector="tenantprofile.dev/profile")
    return {
        (p["metadata"]["namespace"], p["metadata"]["name"]): (
            p["metadata"]["uid"],
            p["metadata"]["generation"],
            p["spec"],
        )
        for p in found
    }


def writes(plane: ControlPlane) -> list[Any]:
    """What the operator has written: verb, resource, namespace, name."""
    return [
        (e["verb"], ref["resource"], ref.get("namespace", ""), ref.get("name", ""))
        for e in plane.audit_events()
        if is_write(e) and e["user"]["username"] == OPERATOR
        for ref in [e["objectRef"]]
    ]


def keeps(found: Any, recorded: Any) -> bool:
    """Whether nothing that was recorded is lost or changed; a new field may have been given its default."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        return all(key in found and keeps(found[key], value) for key, value in recorded.items())
    if isinstance(recorded, list) and isinstance(found, list):
        return len(found) == len(recorded) and all(map(keeps, found, recorded))
    return bool(found == recorded)


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_an_earlier_release_is_taken_over_without_a_change_to_any_spec(
    plane: ControlPlane, release: Path
) -> None:
    client = Client(plane.admin_kubeconfig)
    plane.kubectl("apply", "--server-side", "-f", str(release / "crds.yaml"))
    eventually(lambda: all(established(crd) for crd in plane.get("crd")["items"]), within=60.0)
    restore(plane, release)
    before = policies(client)
    assert before

    # The upgrade, as the installation guide says.
    for folder in ("crds", "deploy/crd-protection", "deploy/base"):
        done = plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / folder))
        assert "warning" not in done.stderr.lower()
    # A field that the new CRD no longer knew would be gone from a stored object at its next write.
    specs = {item["metadata"]["name"]: item["spec"] for item in objects(release, "TenantProfile")}
    # By kubectl, which tries again while the API server moves to the new CRD.
    found = {p["metadata"]["name"]: p["spec"] for p in plane.get("tenantprofiles")["items"]}
    assert keeps(found, specs), (found, specs)

    with OperatorProcess(plane):
        # One namespace more: when the profile counts it as ready, it has compared all the others.
        selected = client.get(f"{PROFILES}/team-sandboxes")["status"]["namespaces"]["selected"]
        client.create(NAMESPACES, {"metadata": {"name": "sandbox-late", "labels": {"tenancy": "sandbox"}}})

        def counted() -> bool:
            for name, more in (("payments", 0), ("production", 0), ("team-sandboxes", 1)):
                namespaces = client.get(f"{PROFILES}/{name}")["status"]["namespaces"]
                assert namespaces["ready"] == namespaces["selected"], (name, namespaces)
                assert not more or namespaces["selected"] == selected + more
            return True

        eventually(counted, within=60.0)

    after = policies(client)
    assert {place: after.get(place) for place in before} == before
    assert {place[0] for place in set(after) - set(before)} == {"sandbox-late"}
    # Releases before 0.2 wrote owner references, which are taken off by one write (docs/behaviour.md, "Deleting a
    # profile"). Nothing else is written, and nothing happens that would be worth an Event, but for the new namespace.
    owned = [p["metadata"] for p in objects(release, "NetworkPolicy") if p["metadata"].get("ownerReferences")]
    expected = sorted(("update", "networkpolicies", m["namespace"], m["name"]) for m in owned)
    written = [w for w in writes(plane) if w[1] in {"events", "networkpolicies"} and w[2] != "sandbox-late"]
    assert (
        sorted(w for w in written if not w[3].startswith("team-sandboxes.") or w[1] != "events") == expected
    )

    # From then on a start writes to no policy at all.
    with OperatorProcess(plane):
        client.create(NAMESPACES, {"metadata": {"name": "sandbox-later", "labels": {"tenancy": "sandbox"}}})
        selected += 1
        eventually(counted, within=60.0)
    again = [w for w in writes(plane) if w[1] == "networkpolicies" and not w[2].startswith("sandbox-late")]
    assert sorted(again) == expected

    def refused() -> bool:
        done = plane.kubectl("delete", "-k", str(ROOT / "crds"), "--dry-run=server", check=False)
        return "would delete the policies of TenantProfile" in done.stderr

    eventually(refused, within=30.0)


def objects(release: Path, kind: str) -> list[Object]:
    return [d for d in yaml.safe_load_all((release / "state.yaml").read_text()) if d["kind"] == kind]
