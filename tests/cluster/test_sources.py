"""The judging commands read a live cluster: what is there, what may be read, and what a change would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

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
