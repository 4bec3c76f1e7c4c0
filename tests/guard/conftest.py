"""One control plane with base and guard installed, for the tests of the guard. No operator runs but where a test starts
one.

TENANTPROFILE_EMULATED_VERSION=1.33 lets the API server behave as that version does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

import guardinstall
from actors import acting, allowed_to, grant, role
from client import NAMESPACES, PROFILES, Client, Object, Refused, eventually, policies_of
from cluster.conftest import World, clean
from controlplane import NO_CONTROLLER_MANAGER, ControlPlane
from operatorprocess import install

GROUP = "tenantprofile.dev"


def control_plane(version: str = "") -> ControlPlane:
    flags = [f"--emulated-version={version}"] if version else []
    # For pods that real controllers start; what they wait for is the guard, not their own limit of requests.
    workloads = [
        "--controllers=deployment-controller,replicaset-controller,statefulset-controller,job-controller",
        "--kube-api-qps=500",
        "--kube-api-burst=500",
    ]
    return ControlPlane(audit=True, apiserver_flags=flags, controller_manager_flags=workloads)


@pytest.fixture(scope="session")
def cp() -> Iterator[ControlPlane]:
    with control_plane(os.environ.get("TENANTPROFILE_EMULATED_VERSION", "")) as plane:
        install(plane)
        guardinstall.install(plane)
        admin = Client(plane.admin_kubeconfig)
        people(admin)
        in_force(plane)
        yield plane


def people(admin: Client) -> None:
    """Those who act in these tests, with their rights for the whole cluster."""
    everything = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
    networking = {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": everything}
    namespaces = {
        "apiGroups": [""],
        "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
        "verbs": everything,
    }
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": everything}
    others = {
        "apiGroups": ["cilium.io", "crd.antrea.io", "policy.networking.k8s.io", "projectcalico.org"],
        "resources": ["*"],
        "verbs": everything,
    }
    role(admin, "test-tenant", [networking, namespaces, pods, others])
    profiles = {"apiGroups": [GROUP], "resources": ["tenantprofiles"]}
    for verb in ("override", "enter", "leave"):
        role(admin, f"test-{verb}", [{**profiles, "verbs": [verb]}])
    role(admin, "test-delegate", [{**profiles, "verbs": ["override"], "resourceNames": ["delegated"]}])
    for user, roles in {
        "tenant": (),
        "platform": ("override", "enter", "leave"),
        "enterer": ("enter",),
        "leaver": ("leave",),
        "delegate": ("delegate",),
    }.items():
        grant(admin, user, "test-tenant")
        for one in roles:
            grant(admin, user, f"test-{one}")
        allowed_to(admin, user, "create", "networkpolicies", group="networking.k8s.io")
    for verb in ("override", "enter", "leave"):
        allowed_to(admin, "platform", verb, "tenantprofiles", group=GROUP)
    allowed_to(admin, "enterer", "enter", "tenantprofiles", group=GROUP)
    allowed_to(admin, "leaver", "leave", "tenantprofiles", group=GROUP)
    allowed_to(admin, "delegate", "override", "tenantprofiles", group=GROUP, name="delegated")


def refused(call: Callable[[], object], *words: str, status: int = 403) -> str:
    """The message of a refusal, which must hold these words."""
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.status == status, caught.value
    for word in words:
        assert word in str(caught.value), caught.value
    return str(caught.value)


def in_force(plane: ControlPlane) -> None:
    """Wait until the API server applies every policy of the guard: bindings take effect after a second."""
    admin, tenant = Client(plane.admin_kubeconfig), acting(plane, "tenant")
    profile = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "TenantProfile",
        "metadata": {"name": "barrier"},
        "spec": {
            "suspend": True,
            "namespaceSelector": {"matchLabels": {"barrier": "on"}},
            "policies": [{"template": "default-deny"}],
            "guardrails": {"refuse": ["Everybody"]},
        },
    }
    # The CRD's storage is ready a moment after the CRD is established.
    eventually(lambda: admin.apply(PROFILES, profile), within=60.0)
    labels = {"barrier": "on", f"{GROUP}/pod-admission": "RequireBaseline"}
    admin.create(NAMESPACES, {"metadata": {"name": "barrier", "labels": labels}})

    def no(call: Callable[[], object], policy: str) -> bool:
        try:
            call()
        except Refused as error:
            return f"'{policy}.{GROUP}'" in str(error)
        return False

    def policy(name: str, labels: dict[str, str], spec: Object) -> Callable[[], object]:
        body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        return lambda: tenant.request("POST", policies_of("barrier"), body, dryRun="All")

    closed: Object = {"podSelector": {}}
    ingress: Object = {"podSelector": {}, "ingress": [{}]}
    unlabelled = {"metadata": {"labels": {"barrier": None}}}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    checks = {
        "managed-policies-are-read-only": policy("a", {f"{GROUP}/profile": "barrier"}, closed),
        "names-of-profiles-are-reserved": policy("barrier.a", {}, closed),
        "guardrails": policy("a", {}, ingress),
        "profile-membership": lambda: tenant.request(
            "PATCH",
            f"{NAMESPACES}/barrier",
            unlabelled,
            content_type="application/merge-patch+json",
            dryRun="All",
        ),
        "namespace-subresources-keep-labels": lambda: tenant.request(
            "PATCH",
            f"{NAMESPACES}/barrier/status",
            unlabelled,
            content_type="application/merge-patch+json",
            dryRun="All",
        ),
        "pods-need-a-network-baseline": lambda: tenant.request(
            "POST", f"{NAMESPACES}/barrier/pods", pod, dryRun="All"
        ),
    }
    for name, check in checks.items():
        eventually(lambda name=name, check=check: no(check, name), within=60.0)  # type: ignore[misc]
    admin.delete(f"{PROFILES}/barrier")


@pytest.fixture
def controller_manager(cp: ControlPlane) -> ControlPlane:
    if not cp.has_controller_manager:
        pytest.skip(NO_CONTROLLER_MANAGER)
    return cp


@pytest.fixture(scope="session")
def admin(cp: ControlPlane) -> Client:
    return Client(cp.admin_kubeconfig)


@pytest.fixture
def world(admin: Client) -> Iterator[World]:
    yield World(admin)
    clean(admin)


@pytest.fixture(scope="session")
def tenant(cp: ControlPlane) -> Client:
    """Writes policies, pods and namespaces everywhere, and holds none of the guard's verbs."""
    return acting(cp, "tenant")


@pytest.fixture(scope="session")
def platform(cp: ControlPlane) -> Client:
    """The same with all of the guard's verbs."""
    return acting(cp, "platform")


@pytest.fixture(scope="session")
def delegate(cp: ControlPlane) -> Client:
    """The same with `override` on the profile `delegated`."""
    return acting(cp, "delegate")


@pytest.fixture(scope="session")
def operator(cp: ControlPlane) -> Client:
    """The operator's account, without an operator."""
    return Client(cp.service_account_kubeconfig("tenantprofile-system", "tenantprofile-operator"))
