"""The Kustomize base on a real API server: it installs, and its account may do what it needs and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane import ControlPlane
from tenantprofile import __version__

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "base"
NAMESPACE = "tenantprofile-system"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:tenantprofile-operator"


@pytest.fixture(scope="module")
def rendered(cp: ControlPlane) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(cp.kubectl("kustomize", str(BASE)).stdout))


@pytest.fixture(scope="module")
def base(cp: ControlPlane) -> ControlPlane:
    """Installed and left there: other tests of the session may stand on it."""
    cp.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(BASE))
    return cp


def one(documents: list[dict[str, Any]], kind: str, name: str = "tenantprofile-operator") -> dict[str, Any]:
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def may(cp: ControlPlane, user: str, verb: str, resource: str, *more: str) -> bool:
    answer = cp.kubectl("auth", "can-i", verb, resource, *more, user=user, check=False)
    assert answer.stdout.strip() in {"yes", "no"}, answer.stderr
    return answer.stdout.strip() == "yes"


def test_a_second_apply_finds_nothing_to_change_and_nothing_to_warn_about(base: ControlPlane) -> None:
    again = base.kubectl("diff", "--server-side", "-k", str(BASE), check=False)
    assert again.returncode == 0, again.stdout + again.stderr

    done = base.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", str(BASE))
    assert not done.stderr


@pytest.mark.parametrize("crds", [("-k", "crds"), ("-f", "crds")], ids=lambda pair: " ".join(pair))
def test_the_crds_are_applied_by_folder_and_by_kustomization(
    base: ControlPlane, crds: tuple[str, str]
) -> None:
    flag, folder = crds
    done = base.kubectl("apply", "--server-side", "--dry-run=server", flag, str(ROOT / folder))
    assert done.stdout.count("customresourcedefinition") == 2
    assert not done.stderr


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        *((verb, "namespaces") for verb in ("get", "list", "watch")),
        *(
            (verb, "networkpolicies.networking.k8s.io")
            for verb in ("get", "list", "watch", "create", "update", "delete")
        ),
        *((verb, "tenantprofiles.tenantprofile.dev") for verb in ("get", "list", "watch")),
        *((verb, "policytemplates.tenantprofile.dev") for verb in ("list", "watch")),
        ("patch", "tenantprofiles.tenantprofile.dev/status"),
        ("patch", "policytemplates.tenantprofile.dev/status"),
        ("create", "events"),
        ("patch", "events"),
    ],
)
def test_the_operator_may_do_what_it_needs_everywhere(base: ControlPlane, verb: str, resource: str) -> None:
    name, _, sub = resource.partition("/")
    more = [f"--subresource={sub}"] if sub else []
    assert may(base, OPERATOR, verb, name, *more, "--all-namespaces")


@pytest.mark.parametrize("verb", ["get", "create", "update"])
def test_the_operator_may_hold_a_lease_in_its_own_namespace_only(base: ControlPlane, verb: str) -> None:
    assert may(base, OPERATOR, verb, "leases.coordination.k8s.io", f"--namespace={NAMESPACE}")
    assert not may(base, OPERATOR, verb, "leases.coordination.k8s.io", "--namespace=default")


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("list", "pods"),
        ("create", "pods"),
        ("delete", "configmaps"),
        ("update", "namespaces"),
        ("patch", "namespaces"),
        ("delete", "namespaces"),
        ("patch", "networkpolicies.networking.k8s.io"),
        ("delete", "leases.coordination.k8s.io"),
        ("update", "tenantprofiles.tenantprofile.dev"),
        ("patch", "policytemplates.tenantprofile.dev"),
        ("get", "policytemplates.tenantprofile.dev"),
        ("deletecollection", "networkpolicies.networking.k8s.io"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("impersonate", "users"),
        ("create", "serviceaccounts"),
        ("list", "customresourcedefinitions.apiextensions.k8s.io"),
    ],
)
def test_the_operator_may_not_do_what_it_does_not_need(base: ControlPlane, verb: str, resource: str) -> None:
    assert not may(base, OPERATOR, verb, resource, f"--namespace={NAMESPACE}")


def test_no_rule_has_a_wildcard(rendered: list[dict[str, Any]]) -> None:
    for document in rendered:
        for rule in document.get("rules", []) if "Role" in document["kind"] else []:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"], document["metadata"]


def test_whoever_views_the_cluster_can_read_profiles_and_a_tenants_admin_cannot_write_them(
    base: ControlPlane,
) -> None:
    if not base.has_controller_manager:
        pytest.skip("roles are aggregated by kube-controller-manager, which these assets lack")
    base.kubectl("create", "clusterrolebinding", "a-viewer", "--clusterrole=view", "--user=viewer")
    base.kubectl("create", "rolebinding", "a-tenant", "--clusterrole=admin", "--user=tenant", "-n", "default")
    base.kubectl("create", "clusterrolebinding", "an-editor", "--clusterrole=edit", "--user=editor")
    try:
        base.kubectl(
            "wait",
            "clusterrole/view",
            "--for=jsonpath={.rules[?(@.apiGroups[0]=='tenantprofile.dev')].verbs[0]}=get",
            "--timeout=30s",
        )
        # All namespaces is how a cluster-scoped object is asked for.
        everywhere = "--all-namespaces"
        assert may(base, "viewer", "get", "tenantprofiles.tenantprofile.dev", everywhere)
        assert not may(base, "tenant", "get", "tenantprofiles.tenantprofile.dev", everywhere)
        for user in ("viewer", "tenant", "editor"):
            assert not may(base, user, "update", "tenantprofiles.tenantprofile.dev", everywhere)
            assert not may(base, user, "create", "policytemplates.tenantprofile.dev", everywhere)
    finally:
        base.kubectl("delete", "clusterrolebinding", "a-viewer", "an-editor")
        base.kubectl("delete", "rolebinding", "a-tenant", "-n", "default")


def pod(template: dict[str, Any], **changed: Any) -> str:
    """A pod as the Deployment would make it, with parts of its container's security changed."""
    document = json.loads(json.dumps(template))
    document["spec"]["containers"][0]["securityContext"].update(changed)
    document["metadata"].update({"name": "a-try", "namespace": NAMESPACE})
    return json.dumps({"apiVersion": "v1", "kind": "Pod", **document})


def test_the_operators_pod_is_admitted_under_the_restricted_standard_and_a_weaker_one_is_not(
    base: ControlPlane, rendered: list[dict[str, Any]]
) -> None:
    template = one(rendered, "Deployment")["spec"]["template"]

    admitted = base.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=pod(template))
    assert json.loads(admitted.stdout)["spec"]["priority"] == 2_000_000_000, "system-cluster-critical"

    refused = base.kubectl(
        "create",
        "--dry-run=server",
        "-f",
        "-",
        input=pod(template, allowPrivilegeEscalation=True),
        check=False,
    )
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_the_operators_container_needs_nothing_to_write_to_and_no_privilege(
    rendered: list[dict[str, Any]],
) -> None:
    spec = one(rendered, "Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == ["run"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532, "as in the Dockerfile"
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"requests", "limits"} <= set(container["resources"])
    assert {variable["name"] for variable in container["env"]} >= {"POD_NAME", "POD_NAMESPACE"}


def test_probes_and_the_operators_own_policies_speak_of_the_same_port_and_pods(
    rendered: list[dict[str, Any]],
) -> None:
    template = one(rendered, "Deployment")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    paths = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        paths[probe] = container[probe]["httpGet"]["path"]
        assert container[probe]["httpGet"]["port"] == "health"
    assert paths == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}

    policies = [d for d in rendered if d["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in [p["spec"] for p in policies]
    for policy in policies:
        wanted = policy["spec"]["podSelector"].get("matchLabels", {}).items()
        assert wanted <= template["metadata"]["labels"].items(), policy["metadata"]["name"]
    assert ports["health"] == 8080
    assert not [p for p in policies if p["spec"].get("ingress")], (
        "probes come from the node, and nothing else does"
    )
    assert container["image"] == f"tenantprofile-operator:{__version__}"
