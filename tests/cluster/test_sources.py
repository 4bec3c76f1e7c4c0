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
