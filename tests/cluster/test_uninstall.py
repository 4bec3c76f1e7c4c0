"""Removing the operator, in the documented order and in the wrong one: no policy goes that should stay.

On a control plane of its own, because CRDs are deleted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client import ALL_POLICIES, NAMESPACES, PROFILES, Client, Refused, eventually
from controlplane import NO_CONTROLLER_MANAGER, ControlPlane
from operatorprocess import OperatorProcess, install

ROOT = Path(__file__).resolve().parents[2]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD = f"{CRDS}/tenantprofiles.tenantprofile.dev"


@pytest.fixture(scope="module")
def own() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        if not plane.has_controller_manager:
            pytest.skip(NO_CONTROLLER_MANAGER)
        yield plane


@pytest.fixture
def installed(own: ControlPlane) -> ControlPlane:
    """Everything as the installation guide says, and the protection in force."""
    install(own)
    own.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "deploy" / "crd-protection"))
    return own


@pytest.fixture
def client(installed: ControlPlane) -> Client:
    return Client(installed.admin_kubeconfig)


@pytest.fixture
def profile(installed: ControlPlane, client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A profile with one namespace and one policy in it, the operator beside it; its name."""
    name = "uninstall"
    if client.find(f"{NAMESPACES}/tenant") is None:
        client.create(NAMESPACES, {"metadata": {"name": "tenant", "labels": {"tenant": name}}})
    client.apply(PROFILES, body(name, request.param), manager="platform-team")
    yield name
    force(client)


def body(name: str, deletion: str) -> dict[str, Any]:
    return {
        "apiVersion": "tenantprofile.dev/v1alpha1",
        "kind": "TenantProfile",
        "metadata": {"name": name},
        "spec": {
            "namespaceSelector": {"matchLabels": {"tenant": name}},
            "deletionPolicy": deletion,
            "policies": [{"template": "default-deny"}],
        },
    }


def managed(client: Client) -> list[str]:
    """The policies with our label, in the tenant's namespace."""
    found = client.items(ALL_POLICIES, labelSelector="tenantprofile.dev/profile")
    return [p["metadata"]["name"] for p in found]


def ready(client: Client, name: str) -> Callable[[], bool]:
    def check() -> bool:
        found = client.get(f"{PROFILES}/{name}")
        status = found.get("status") or {}
        assert status.get("observedGeneration") == found["metadata"]["generation"], status
        assert any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"]), status
        return True

    return check


def refusal(client: Client, path: str = CRD, **query: str) -> str:
    """What the API server says when the CRD would be deleted; waits until the protection is in force."""

    def check() -> str:
        try:
            client.request("DELETE", path, dryRun="All", **query)
        except Refused as error:
            return str(error)
        raise AssertionError("the API server would delete the CRD")

    return eventually(check, within=30.0)


def force(client: Client) -> None:
    """The documented way past the protection, then everything that is ours away."""
    if client.find(CRD) is not None:
        for profile in client.items(PROFILES):
            client.delete(f"{PROFILES}/{profile['metadata']['name']}")
    for policy in client.items(ALL_POLICIES, labelSelector="tenantprofile.dev/profile"):
        place = policy["metadata"]
        client.delete(
            f"/apis/networking.k8s.io/v1/namespaces/{place['namespace']}/networkpolicies/{place['name']}"
        )


@pytest.mark.parametrize("profile", ["Delete"], indirect=True)
def test_removing_the_operator_leaves_crds_profiles_and_policies(
    installed: ControlPlane, client: Client, profile: str
) -> None:
    with OperatorProcess(installed):
        eventually(ready(client, profile), within=30.0)
    before = client.items(ALL_POLICIES, labelSelector="tenantprofile.dev/profile")
    assert before

    installed.kubectl("delete", "-k", str(ROOT / "deploy" / "base"), "--wait=true")

    assert client.find(CRD) is not None
    assert client.find(f"{PROFILES}/{profile}") is not None
    assert client.items(ALL_POLICIES, labelSelector="tenantprofile.dev/profile") == before


@pytest.mark.parametrize("profile", ["Delete"], indirect=True)
def test_the_crd_is_not_deleted_while_that_would_delete_policies(
    installed: ControlPlane, client: Client, profile: str
) -> None:
    assert (
        f"would delete the policies of TenantProfile {profile}, which has deletionPolicy Delete"
        in refusal(client)
    )
    for command in (["-k", str(ROOT / "crds")], ["-f", str(ROOT / "crds")], ["crd", "--all"]):
        done = installed.kubectl("delete", "--dry-run=server", *command, check=False)
        assert done.returncode != 0, command
        assert f"TenantProfile {profile}" in done.stderr
    everything = refusal(client, CRDS, labelSelector="app.kubernetes.io/part-of=tenantprofile")
    assert f"TenantProfile {profile}" in everything, "a collection is deleted without names"


@pytest.mark.parametrize("profile", ["Retain"], indirect=True)
def test_retain_counts_when_the_operator_has_carried_it_out(
    installed: ControlPlane, client: Client, profile: str
) -> None:
    assert "has deletionPolicy Retain, but the operator has not reported it Ready" in refusal(client)

    with OperatorProcess(installed):
        eventually(ready(client, profile), within=30.0)
    eventually(lambda: client.request("DELETE", CRD, dryRun="All"), within=30.0)

    client.merge(f"{PROFILES}/{profile}", {"spec": {"deletionPolicy": "Delete"}})
    assert "has deletionPolicy Delete" in refusal(client)


@pytest.mark.parametrize("profile", ["Delete"], indirect=True)
def test_whoever_takes_the_label_off_means_it(client: Client, profile: str) -> None:
    refusal(client)
    client.merge(CRD, {"metadata": {"labels": {"tenantprofile.dev/deletion-protection": None}}})
    assert client.request("DELETE", CRD, dryRun="All")
    client.merge(CRD, {"metadata": {"labels": {"tenantprofile.dev/deletion-protection": "enabled"}}})
    refusal(client)


@pytest.mark.parametrize("profile", ["Delete"], indirect=True)
def test_the_documented_order_keeps_the_policies(
    installed: ControlPlane, client: Client, profile: str
) -> None:
    """docs/uninstall.md: Retain, operator, profiles, CRDs, and the protection last of all."""
    with OperatorProcess(installed):
        eventually(ready(client, profile), within=30.0)
        installed.kubectl(
            "patch", "tenantprofiles", profile, "--type=merge", "-p", '{"spec":{"deletionPolicy":"Retain"}}'
        )
        eventually(ready(client, profile), within=30.0)
    kept = managed(client)
    assert kept

    # It names the profile as its owner, as a policy does that is not retained: when it is gone, garbage
    # collection has been here.
    witness = f"{NAMESPACES}/tenant/configmaps"
    uid = client.get(f"{PROFILES}/{profile}")["metadata"]["uid"]
    owner = {"apiVersion": "tenantprofile.dev/v1alpha1", "kind": "TenantProfile", "name": profile, "uid": uid}
    client.create(witness, {"metadata": {"name": "witness", "ownerReferences": [owner]}})

    installed.kubectl("delete", "-k", str(ROOT / "deploy" / "base"))
    installed.kubectl("delete", "tenantprofiles,policytemplates", "--all")
    eventually(lambda: client.find(f"{witness}/witness") is None, within=90.0)
    installed.kubectl("delete", "-k", str(ROOT / "crds"), "--wait=true")
    installed.kubectl("delete", "-k", str(ROOT / "deploy" / "crd-protection"))

    assert client.find(CRD) is None
    assert managed(client) == kept
