"""The judging commands read a live cluster: what is there, what may be read, and what a change would do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from client import Refused
from cluster.conftest import World
from controlplane import ControlPlane
from operatorprocess import ACCOUNT, NAMESPACE
from tenantprofile.cli.main import main


def run(kubeconfig: Path, command: str, *arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, [command, *arguments, "--kubeconfig", str(kubeconfig)], input=text)


@pytest.fixture
def pods(world: World) -> str:
    """A namespace with two pods, which no node runs."""
    namespace = world.namespace()
    for name in ("web", "db"):
        world.client.create(
            f"/api/v1/namespaces/{namespace}/pods",
            {
                "metadata": {"name": name, "labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "none", "ports": [{"containerPort": 80}]}]},
            },
        )
    return namespace


def test_connections_of_a_cluster_are_listed(cp: ControlPlane, pods: str) -> None:
    done = run(cp.admin_kubeconfig, "connections", "--namespace", pods, "-o", "csv")
    assert done.exit_code == 0, done.output
    assert f"{pods}/web,{pods}/db,all" in done.stdout.splitlines()


def test_a_change_is_judged_against_the_cluster_before_it_is_applied(
    cp: ControlPlane, world: World, pods: str
) -> None:
    profile: dict[str, Any] = world.body("default-deny", "dns-egress")
    done = run(cp.admin_kubeconfig, "diff", "-", "-o", "json", text=yaml.safe_dump(profile))
    assert done.exit_code == 1, done.output
    lost = {(row["source"], row["destination"]) for row in json.loads(done.stdout)["lost"]}
    assert (f"{pods}/web", f"{pods}/db") in lost
    assert not world.names(pods), "nothing is written"


def test_a_kind_that_may_not_be_read_is_said_and_pods_are_indispensable(cp: ControlPlane, pods: str) -> None:
    # The operator's own account may not see pods.
    kubeconfig = cp.service_account_kubeconfig(NAMESPACE, ACCOUNT)
    done = run(kubeconfig, "audit")
    assert done.exit_code == 2
    assert "pods of the cluster cannot be listed: https://" in done.stderr


def test_a_wrong_context_is_said_with_the_file(cp: ControlPlane) -> None:
    done = run(cp.admin_kubeconfig, "audit", "--context", "nowhere")
    assert done.exit_code == 2
    assert "nowhere" in done.stderr
    assert str(cp.admin_kubeconfig) in done.stderr


# --- PolicyTemplates of the cluster ---

ALLOW_PORT = (
    "podSelector: {}\npolicyTypes: [Ingress]\ningress:\n  - from:\n      - podSelector: {}\n"
    "    ports:\n      - {protocol: TCP, port: 8080}\n"
)


def test_templates_of_the_cluster_stand_beside_the_built_in_ones(cp: ControlPlane, world: World) -> None:
    name = f"{world.tag}-own"
    world.template(name, ALLOW_PORT)
    done = run(cp.admin_kubeconfig, "templates", "-o", "json")
    assert done.exit_code == 0, done.output
    origins = {item["name"]: item["origin"] for item in json.loads(done.stdout)["items"]}
    assert (origins[name], origins["default-deny"]) == ("PolicyTemplate", "built-in")
    assert "of a test" in run(cp.admin_kubeconfig, "templates", name).stdout


def test_a_bad_template_of_the_cluster_is_reported_by_its_name(cp: ControlPlane, world: World) -> None:
    good, bad = f"{world.tag}-good", f"{world.tag}-bad"
    world.template(good, ALLOW_PORT)
    world.template(bad, "podSelector: {}\n{% include 'x' %}\n")
    done = run(cp.admin_kubeconfig, "templates")
    assert done.exit_code == 1
    assert f"PolicyTemplate {bad}" in done.stderr
    assert good in done.stdout
    assert run(cp.admin_kubeconfig, "templates", good).exit_code == 0
    assert run(cp.admin_kubeconfig, "templates", bad).exit_code == 1
    done = run(cp.admin_kubeconfig, "lint", "-o", "name")
    assert f"policytemplate.tenantprofile.dev/{bad}" in done.stdout.splitlines()


def test_render_uses_the_clusters_templates_namespaces_and_profiles(cp: ControlPlane, world: World) -> None:
    own, bad = f"{world.tag}-own", f"{world.tag}-bad"
    world.template(own, ALLOW_PORT)
    world.template(bad, "podSelector: {}\n{% include 'x' %}\n")
    here, other = world.namespace(), world.namespace(tenant="")
    profile = world.body("default-deny", own)
    done = run(cp.admin_kubeconfig, "render", "-f", "-", text=yaml.safe_dump(profile))
    assert done.exit_code == 0, done.output
    made = [(p["metadata"]["namespace"], p["metadata"]["name"]) for p in yaml.safe_load_all(done.stdout)]
    assert made == [(here, f"{world.tag}.default-deny"), (here, f"{world.tag}.{own}")]
    assert f"PolicyTemplate {bad}" in done.stderr
    assert not world.names(here), "nothing is written"
    # A profile of the cluster, about one namespace; and one that needs the bad template.
    world.profile("default-deny", bad)
    done = run(cp.admin_kubeconfig, "render", "-n", here, "-o", "name")
    assert done.exit_code == 1
    assert done.stdout == f"networkpolicy.networking.k8s.io/{world.tag}.default-deny\n"
    assert f"{world.tag}/{bad} in {here}: TemplateInvalid" in done.stderr
    assert "nothing is selected" in run(cp.admin_kubeconfig, "render", "-n", other).stderr


def test_contexts_namespaces_and_profiles_of_the_cluster_are_completed(
    cp: ControlPlane, world: World
) -> None:
    profile, namespace = world.profile("default-deny"), world.namespace()

    def completed(*words: str) -> list[str]:
        done = CliRunner().invoke(main, ["__complete", *words], env={"KUBECONFIG": str(cp.admin_kubeconfig)})
        return done.stdout.splitlines()

    assert completed("audit", "-n", namespace[:-1]) == [namespace, ":4"]
    assert completed("status", profile[:1]) == [profile, ":4"]
    assert completed("status", "--context", "")[-1] == ":4"


# --- policies of other kinds, nodes and endpoints ---

CILIUM = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ciliumnetworkpolicies.cilium.io"},
    "spec": {
        "group": "cilium.io",
        "scope": "Namespaced",
        "names": {"kind": "CiliumNetworkPolicy", "plural": "ciliumnetworkpolicies"},
        "versions": [
            {
                "name": "v2",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


@pytest.fixture
def cilium(world: World, pods: str) -> Iterator[str]:
    """A policy of another kind in the namespace with pods; the name of its namespace."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    world.client.create(crds, CILIUM)
    policies = f"/apis/cilium.io/v2/namespaces/{pods}/ciliumnetworkpolicies"
    policy = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "deny"}}
    try:
        eventually(lambda: world.client.create(policies, policy))
        yield pods
    finally:
        world.client.delete(f"{crds}/{CILIUM['metadata']['name']}")  # type: ignore[index]


def eventually(attempt: Callable[[], object]) -> None:
    """The API server serves a new kind a moment after its CRD is there."""
    for _ in range(100):
        try:
            attempt()
        except (Refused, json.JSONDecodeError):  # before it is served, the answer is plain text
            time.sleep(0.2)
        else:
            return
    attempt()


@pytest.mark.parametrize("command", [["audit"], ["connections"], ["lint"], ["graph"]])
def test_policies_of_other_kinds_are_named_of_a_cluster_too(
    cp: ControlPlane, cilium: str, command: list[str]
) -> None:
    done = run(cp.admin_kubeconfig, *command)
    assert done.stderr.count("policies that are not read: 1 CiliumNetworkPolicy (cilium.io/v2)") == 1
    strict = run(cp.admin_kubeconfig, *command, "--strict")
    assert strict.exit_code == 2
    assert "policies that are not read" in strict.stderr


def test_nodes_and_endpoints_of_a_cluster_are_read(cp: ControlPlane, world: World, pods: str) -> None:
    nodes, slices = "/api/v1/nodes", f"/apis/discovery.k8s.io/v1/namespaces/{pods}/endpointslices"
    world.client.create(nodes, {"metadata": {"name": f"node-{pods}"}})
    world.client.merge(
        f"{nodes}/node-{pods}/status",
        {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.77"}]}},
    )
    world.client.create(
        f"/api/v1/namespaces/{pods}/services",
        {"metadata": {"name": "far"}, "spec": {"ports": [{"port": 80}]}},
    )
    world.client.create(
        slices,
        {
            "metadata": {"name": "far-1", "labels": {"kubernetes.io/service-name": "far"}},
            "addressType": "IPv4",
            "ports": [{"port": 8080, "protocol": "TCP", "name": ""}],
            "endpoints": [{"addresses": ["198.51.100.7"]}],
        },
    )
    try:
        done = run(cp.admin_kubeconfig, "explain", f"{pods}/web", f"{pods}/svc/far", "--port", "80")
        assert done.exit_code == 0, done.output
        assert "198.51.100.7, TCP 8080: allowed" in done.stdout
        node = run(cp.admin_kubeconfig, "explain", f"node/node-{pods}", f"{pods}/web")
        assert node.exit_code == 0, node.output
        assert "192.0.2.77" in node.stdout
    finally:
        world.client.delete(f"{nodes}/node-{pods}")


def test_kinds_that_may_not_be_listed_are_said_once_and_strict_stops(
    cp: ControlPlane, world: World, pods: str
) -> None:
    account = {"metadata": {"name": "reader", "namespace": pods}}
    world.client.create(f"/api/v1/namespaces/{pods}/serviceaccounts", account)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = f"reader-{pods}"
    resources = {"": ["namespaces", "pods"], "networking.k8s.io": ["networkpolicies"]}
    rules = [{"apiGroups": [g], "resources": r, "verbs": ["list"]} for g, r in resources.items()]
    world.client.create(f"{rbac}/clusterroles", {"metadata": {"name": role}, "rules": rules})
    world.client.create(
        f"{rbac}/clusterrolebindings",
        {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": pods}],
        },
    )
    try:
        kubeconfig = cp.service_account_kubeconfig(pods, "reader")
        done = run(kubeconfig, "audit")
        assert done.exit_code == 1, done.output
        for plural in ("nodes", "endpointslices", "services"):
            assert done.stderr.count(f"{plural} of the cluster cannot be listed: https://") == 1
        assert run(kubeconfig, "audit", "--strict").exit_code == 2
    finally:
        world.client.delete(f"{rbac}/clusterrolebindings/{role}")
        world.client.delete(f"{rbac}/clusterroles/{role}")
